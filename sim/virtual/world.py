"""What a virtual arm moves: `World`, and its implementation by a task of sim.env in MuJoCo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from data.config import build
from data.spec import PolicySpec
from real.base import RobotSpec
from sim.env import SUCCESS_STEPS, ArmVecEnv


class World(Protocol):
    """One arm and what stands around it, moved `timestep` [s] at a time."""

    robot: RobotSpec
    spec: PolicySpec  # what robot and task offer
    timestep: float

    def reset(self, seed: int) -> None:
        """Arm and objects to the start of the episode of that seed, at rest."""

    def step(self, q: np.ndarray, dq: np.ndarray, width: float) -> None:
        """One time step towards joint targets `q` (dof,) [rad] that move at `dq` [rad/s], and gripper opening `width` [m]."""

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """(dof,) [rad], (dof,) [rad/s]"""

    def width(self) -> float: ...

    def observe(self) -> Mapping[str, np.ndarray]:
        """What perception sees, (D,) float32 each. Ground truth of the simulator."""

    def success(self) -> bool:
        """Whether the task is done at this instant."""

    def state(self) -> np.ndarray:
        """Everything needed to draw this instant again."""

    def show(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        """(height, width, 3) uint8. Raises RenderError without OpenGL."""


class TaskWorld:
    """One row of an ArmVecEnv. Only its physics is stepped: actions, chunks and IK are the control loop's business."""

    def __init__(self, env: Mapping[str, Any]) -> None:
        """env: the node of configs/env that describes it."""
        self._env: ArmVecEnv = build(env, num_envs=1, threads=1, images=False)
        self.robot, self.spec = self._env.robot, self._env.spec
        self.timestep = self._env.physics.timestep
        self.success_steps = SUCCESS_STEPS

    def reset(self, seed: int) -> None:
        self._env.reset(np.array([seed]))

    def step(self, q: np.ndarray, dq: np.ndarray, width: float) -> None:
        self._env.physics.step(q[None, None], dq[None], np.array([[[width]]]))

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        q, dq = self._env.physics.joints()
        return q[0].copy(), dq[0].copy()

    def width(self) -> float:
        return float(self._env.physics.widths()[0, 0])

    def observe(self) -> Mapping[str, np.ndarray]:
        return {name: values[0] for name, values in self._env.task.observe(self._env.physics).items()}

    def success(self) -> bool:
        return bool(self._env.task.success(self._env.physics)[0])

    def state(self) -> np.ndarray:
        return self._env.physics.state()[0].copy()

    def show(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        return self._env.physics.show(self.state(), camera, size)
