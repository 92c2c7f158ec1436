"""Fast pictures of gymnasium-robotics (Adroit, Fetch, Kitchen, hands and mazes), and when a kitchen is done.

Fetch and Kitchen need MuJoCo 3 in the interpreter that runs them; Adroit also runs on 4.0.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import types
from pathlib import Path
from typing import Any

import gymnasium

NAMES = ("is_success", "success")  # Fetch and the hands say the first, Adroit and the mazes the second


def register() -> None:
    gymnasium.register_envs(importlib.import_module("gymnasium_robotics"))


def success(env: Any, obs: Any, reward: float, info: dict[str, Any]) -> bool:
    """What the environment says; for Kitchen: every task that it was made with has been completed."""
    if "tasks_to_complete" in info:
        return not info["tasks_to_complete"]
    return any(bool(info.get(name, False)) for name in NAMES)


def render(env: Any, camera: str, height: int, width: int) -> Any:
    """Without a camera's name: from where the environment's authors look."""
    inner = getattr(env.unwrapped, "robot_env", env.unwrapped)  # Kitchen wraps its robot
    show_goal = getattr(inner, "_render_callback", None)
    if show_goal is not None:
        show_goal()
    place = camera or _part("offscreen").view(inner.mujoco_renderer.default_cam_config, inner.model)
    return _part("offscreen").draw(inner.model, inner.data, place, height, width)


@functools.lru_cache(maxsize=2)
def _part(name: str) -> Any:
    """A file in parts/, by its path: in another interpreter it is on no search path."""
    loader = importlib.machinery.SourceFileLoader(name, str(Path(__file__).parent / "parts" / f"{name}.py"))
    module = types.ModuleType(loader.name)
    loader.exec_module(module)
    return module
