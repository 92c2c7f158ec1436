"""OGBench: its arm (cube, scene, puzzle) and its mazes, each with its five goals: episode seed s gets goal 1 + s mod 5.

An observation is a dictionary: `observation`, as the environment gives it; `goal`, the observation that is to be reached; and for the arm also
`robot` (the first 19 numbers), `objects` (the rest) and `objects_goal`. The `singletask` environments have one goal, and no `goal` here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import types
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

ROBOT = 19  # joint angles and velocities, where the gripper is, its yaw, opening and touch
GOALS = 5


class GoalInObservation(gymnasium.Wrapper):
    """OGBench tells its goal once, in reset's info; a policy has to see it."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._goal: Any = None

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None:
            self.unwrapped.action_space.seed(int(seed))
        chosen = {} if seed is None or _single(self) else {"task_id": 1 + int(seed) % GOALS}
        obs, info = self.env.reset(seed=seed, options={**chosen, **(options or {})})
        self._goal = None if _single(self) else info["goal"]
        return self._read(obs), info

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._read(obs), reward, terminated, truncated, info

    def _read(self, obs: Any) -> dict[str, Any]:
        out = {"observation": obs}
        if self._goal is not None:
            out["goal"] = self._goal
        if np.ndim(obs) == 1 and hasattr(self.unwrapped, "compute_ob_info"):
            parts = {"robot": obs[:ROBOT], "objects": obs[ROBOT:]}
            goal = {} if self._goal is None else {"objects_goal": self._goal[ROBOT:]}
            out = {**out, **parts, **goal}
        return out


def make(id: str, kwargs: dict[str, Any]) -> Any:
    importlib.import_module("ogbench")  # registers the ids
    env = gymnasium.make(id, disable_env_checker=True, **kwargs)
    inner: Any = env.unwrapped
    if isinstance(getattr(type(inner), "action_space", None), property):
        # The arm's action space is made anew each time it is asked for, so its goals, found by a few random actions, would follow no seed.
        space = inner.action_space
        inner.__class__ = type(type(inner).__name__, (type(inner),), {"action_space": space})
    return GoalInObservation(env)


def render(env: Any, camera: str, height: int, width: int) -> Any:
    """Cameras of the arm: front, front_pixels; the mazes are seen from where their authors look."""
    inner = env.unwrapped
    renderer = getattr(inner, "mujoco_renderer", None)
    place = camera or (_part("offscreen").view(renderer.default_cam_config, inner.model) if renderer is not None else "front")
    return _part("offscreen").draw(inner.model, inner.data, place, height, width)


def _single(env: Any) -> bool:
    return getattr(env.unwrapped, "_reward_task_id", None) is not None


@functools.lru_cache(maxsize=2)
def _part(name: str) -> Any:
    """A file in parts/, by its path: in another interpreter it is on no search path."""
    loader = importlib.machinery.SourceFileLoader(name, str(Path(__file__).parent / "parts" / f"{name}.py"))
    module = types.ModuleType(loader.name)
    loader.exec_module(module)
    return module
