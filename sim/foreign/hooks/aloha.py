"""gym-aloha: two ViperX arms that pass a cube or put a peg into a socket. Needs gym-aloha (MuJoCo < 3.9) in the interpreter that runs it.

Its own step draws three pictures of 480x640 whether they are wanted or not; here nothing is drawn before it is asked for. An observation is
`agent_pos` (14 joints), and `objects`, where the cube, or the peg and the socket, are. The action space is that of the joints: gym-aloha
declares -1..1, which does not even hold the pose that it starts in. Wild targets make the simulation diverge; that ends the episode as failed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

TASKS = {"gym_aloha/AlohaTransferCube-v0": "transfer_cube", "gym_aloha/AlohaInsertion-v0": "insertion"}
SCRIPTS = {"transfer_cube": "transfer", "insertion": "insertion"}  # functions of parts/aloha_expert.py
FINGERS = (6, 7, 14, 15)  # of the 16 actuators; the action has one number for each pair


class Quiet(gymnasium.Wrapper):
    """Without pictures, with the joints' limits, and with the objects in the observation."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._last: dict[str, Any] = {}
        inner: Any = env.unwrapped
        task, limits = inner._env.task, inner._env.physics.model.actuator_ctrlrange
        task.get_observation = lambda physics: {"qpos": task.get_qpos(physics), "images": {"top": np.zeros(0)}}
        low, high = (np.insert(np.delete(limits[:, side], FINGERS), (6, 12), side) for side in (0, 1))  # a gripper is 0 closed, 1 open
        self.action_space = gymnasium.spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        box = functools.partial(gymnasium.spaces.Box, -np.inf, np.inf, dtype=np.float64)
        self.observation_space = gymnasium.spaces.Dict({"agent_pos": box((14,)), "objects": box((len(_objects(self)),))})

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._read(obs), info

    def step(self, action: Any) -> Any:
        try:
            obs, reward, terminated, truncated, info = self.env.step(np.asarray(action, np.float64))
        except importlib.import_module("dm_control.rl.control").PhysicsError:
            return self._last, 0.0, True, False, {"is_success": False, "diverged": True}
        return self._read(obs), float(reward), bool(terminated), truncated, info

    def _read(self, obs: dict[str, Any]) -> dict[str, Any]:
        self._last = {"agent_pos": obs["agent_pos"], "objects": _objects(self)}
        return self._last


def ids() -> list[str]:
    return list(TASKS)


def make(id: str, kwargs: dict[str, Any]) -> Any:
    module = importlib.import_module("gym_aloha.env")
    return Quiet(module.AlohaEnv(TASKS[id], obs_type="pixels_agent_pos", **kwargs))


def render(env: Any, camera: str, height: int, width: int) -> Any:
    """Cameras: top, angle, front_close, left_pillar, right_pillar, left_wrist, right_wrist."""
    physics = env.unwrapped._env.physics
    return _part("offscreen").draw(physics.model.ptr, physics.data.ptr, camera or "top", height, width)


def expert(env: Any, rng: Any) -> Callable[[Any], Any]:
    """Open loop within a phase, closed loop between phases; see parts/aloha_expert.py."""
    file = _part("aloha_expert")
    return file.start(env, getattr(file, SCRIPTS[env.unwrapped.task]), rng)


def _objects(env: Any) -> Any:
    return env.unwrapped._env.physics.data.qpos[16:].copy()


@functools.lru_cache(maxsize=2)
def _part(name: str) -> Any:
    """A file in parts/, by its path: in another interpreter it is on no search path."""
    loader = importlib.machinery.SourceFileLoader(name, str(Path(__file__).parent / "parts" / f"{name}.py"))
    module = types.ModuleType(loader.name)
    loader.exec_module(module)
    return module
