"""robosuite's tasks by their names, `env.id=Stack`, with any of its robots and controllers: `env.kwargs.robots=Sawyer`.

An observation is robosuite's dictionary, but with quaternions w-first. The seed of an episode draws where the objects and the robot's joints
start; what robosuite draws while it builds the model (the cube's size in Lift) stays as it was first drawn, since building it again takes a second.
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

OURS = {
    "has_renderer": False,
    "has_offscreen_renderer": False,
    "use_camera_obs": False,
    "hard_reset": False,
    "ignore_done": True,
    "seed": 0,
}
VISUAL = (1,)  # the geom group with what is to be seen; 0 holds the collision shapes


class Gym(gymnasium.Env):
    """robosuite's own reset ignores its seed and its step answers in the old way."""

    def __init__(self, env: Any) -> None:
        self.env = env
        low, high = env.action_spec
        self.action_space = gymnasium.spaces.Box(np.float32(low), np.float32(high), dtype=np.float32)
        spaces: dict[str, gymnasium.Space[Any]] = {
            key: gymnasium.spaces.Box(-np.inf, np.inf, value.shape, np.float64) for key, value in self._read(env.reset()).items()
        }
        self.observation_space = gymnasium.spaces.Dict(spaces)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:  # the placement samplers hold a reference to this very generator
            self.env.rng.bit_generator.state = np.random.default_rng(int(seed)).bit_generator.state
        return self._read(self.env.reset()), {"success": False}

    def step(self, action: Any) -> Any:
        obs, reward, _, _ = self.env.step(np.asarray(action, np.float64))
        done = bool(self.env._check_success())
        return self._read(obs), float(reward), done, False, {"success": done}

    def close(self) -> None:
        self.env.close()

    @staticmethod
    def _read(obs: dict[str, Any]) -> dict[str, Any]:
        out = {key: np.atleast_1d(np.asarray(value, np.float64)) for key, value in obs.items() if not key.endswith("-state")}
        return {key: np.roll(value, 1) if "_quat" in key else value for key, value in out.items()}  # x y z w -> w x y z


def ids() -> list[str]:
    return sorted(importlib.import_module("robosuite").ALL_ENVIRONMENTS)


def make(id: str, kwargs: dict[str, Any]) -> Any:
    return Gym(importlib.import_module("robosuite").make(id, **{**OURS, **kwargs}))


def render(env: Any, camera: str, height: int, width: int) -> Any:
    """Cameras: frontview, birdview, agentview, sideview, robot0_robotview, robot0_eye_in_hand."""
    sim = env.unwrapped.env.sim
    return _part("offscreen").draw(sim.model._model, sim.data._data, camera or "frontview", height, width, VISUAL)


@functools.lru_cache(maxsize=2)
def _part(name: str) -> Any:
    """A file in parts/, by its path: in another interpreter it is on no search path."""
    loader = importlib.machinery.SourceFileLoader(name, str(Path(__file__).parent / "parts" / f"{name}.py"))
    module = types.ModuleType(loader.name)
    loader.exec_module(module)
    return module
