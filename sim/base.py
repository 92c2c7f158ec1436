"""The contracts of simulation: `VecEnv` is what rollouts drive, `Physics` is what an engine must do, `Task` is what is asked.

B = number of simulations stepped together. Every array has B rows, in the order of the seeds given to reset().
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from data.spec import PolicySpec

Obs = dict[str, np.ndarray]


class VecEnv(Protocol):
    """B episodes stepped together, Gymnasium's words. Rows that have ended keep their last state and are ignored."""

    spec: PolicySpec  # everything the environment can offer, images included; n_obs_steps = horizon = n_action_steps = 1
    num_envs: int
    max_steps: int

    def reset(self, seeds: np.ndarray) -> Obs:
        """Start one episode per seed (B,), each a function of its seed alone. Returns vectors only, (B, D) float32."""

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, dict]:
        """(B, A) in SI units -> obs, reward (B,), terminated (B,), truncated (B,), info with `success` (B,) bool.

        active: (B,) bool, the rows still running; None means all.
        """

    def render(self, camera: str, rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """(len(rows), height, width, 3) uint8 RGB. Raises RenderError, naming the package to install, without OpenGL."""

    def close(self) -> None: ...


class Physics(Protocol):
    """B copies of one world. Joint targets are followed by the same control law in every engine (see sim.control)."""

    num_envs: int

    def reset(self, rows: np.ndarray) -> None:
        """Put the given rows back to the model's initial state."""

    def set_joints(self, q: np.ndarray, width: np.ndarray, rows: np.ndarray) -> None:
        """Place arm (R, dof) and gripper (R,) at rest; targets follow."""

    def set_body(self, name: str, position: np.ndarray, quat: np.ndarray, rows: np.ndarray) -> None:
        """Place a free or fixed body: (R, 3) [m], (R, 4) w first."""

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (B, dof) [rad] and velocity (B, dof) [rad/s]."""

    def width(self) -> np.ndarray:
        """Gripper opening (B,) [m]."""

    def body(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (B, 3) [m] and w-first quaternion (B, 4) of a body."""

    def step(self, q_targets: np.ndarray, dq_targets: np.ndarray, width_targets: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Follow q_targets (R, nstep, dof) and width_targets (R, nstep), one target per physics step; the joint targets move
        at dq_targets (R, dof) [rad/s]. rows: the R rows to step (sorted), None for all."""

    def render(self, camera: str, rows: np.ndarray, size: tuple[int, int]) -> np.ndarray: ...

    def close(self) -> None: ...


class Task(Protocol):
    """What to do in the world, written once for all engines, vectorised over B."""

    name: str
    max_steps: int
    objects: Mapping[str, str]
