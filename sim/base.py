"""The contracts of simulation: `VecEnv` is what rollouts drive, `Physics` is what an engine must do, `Task` is what is asked.

B = number of simulations stepped together. Every array has B rows, in the order of the seeds given to reset().
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from data.spec import Feature, PolicySpec

if TYPE_CHECKING:
    import mujoco

    from sim.world import Mount

Obs = dict[str, np.ndarray]
# Settings of an environment that change no episode.
NO_MATTER = ("num_envs", "threads", "workers", "images", "python", "isolate", "timeout", "start_timeout", "extra", "requirements")


def settings_of(env: object) -> dict[str, Any]:
    """The settings that decide an environment's episodes; nothing where it has no config."""
    config = getattr(env, "config", None)
    found = dataclasses.asdict(config) if dataclasses.is_dataclass(config) and not isinstance(config, type) else {}
    nothing = {key for key in ("randomize", "identified") if not found.get(key)}  # as before there was such a thing
    return {key: value for key, value in found.items() if key not in NO_MATTER and key not in nothing}


class VecEnv(Protocol):
    """B episodes stepped together, Gymnasium's words. Rows that have ended keep their last state and are ignored."""

    spec: PolicySpec  # everything the environment can offer, images included; n_obs_steps = horizon = n_action_steps = 1
    num_envs: int
    max_steps: int
    instruction: str  # what is asked, in words
    drawing: bool  # whether the next observation needs its pictures; where not, the last ones may be given again
    camera_names: tuple[str, ...]  # what render() knows, the first for people
    milestones: tuple[str, ...]  # the steps by which one comes to success, in order; () where nobody says
    action_low: np.ndarray  # (A,) finite: where a random action lies between
    action_high: np.ndarray  # (A,)

    def reset(self, seeds: np.ndarray) -> Obs:
        """Start one episode per seed (B,), each a function of its seed alone. Returns vectors only, (B, D) float32."""

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, dict]:
        """(B, A) in SI units -> obs, reward (B,), terminated (B,), truncated (B,), info with `success` (B,) bool and,
        where rows broke in this step, `error`: {row: what happened}; a broken row is terminated and has failed. It may hold
        `milestones` (B, M) bool, which of them are reached at this instant, and `limited` (B,) bool: the environment did not
        do all that was asked in this step.

        active: (B,) bool, the rows still running; None means all.
        """

    def render(self, camera: str, rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """(len(rows), height, width, 3) uint8 RGB. Raises RenderError, naming what to install, where nothing can draw."""

    def close(self) -> None: ...


class Physics(Protocol):
    """B copies of one world, the same in every engine (sim.physics.Worlds). Joint targets are followed by the control law of
    sim.control. `rows` are indices of simulations, R of them; J = joints of all arms, one arm after the other.
    """

    num_envs: int

    def set_joints(self, q: np.ndarray, widths: np.ndarray, rows: np.ndarray) -> None:
        """Place the arms (R, J) and grippers (R, arms) at rest."""

    def set_body(self, name: str, position: np.ndarray, quat: np.ndarray, rows: np.ndarray) -> None:
        """Place a free or mocap body: (R, 3) [m], (R, 4) w first."""

    def set_joint(self, name: str, value: np.ndarray, rows: np.ndarray) -> None:
        """Place a hinge or slide of the scene: (R,) [rad] or [m]."""

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (B, J) [rad] and velocity (B, J) [rad/s] of the arms."""

    def widths(self) -> np.ndarray:
        """Gripper openings (B, arms) [m]."""

    def tool(self, arm: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Position (B, 3) [m] and quaternion (B, 4) of an arm's tool centre point in the world."""

    def joint(self, name: str) -> np.ndarray:
        """(B,) [rad] or [m] of a hinge or slide of the scene."""

    def body(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (B, 3) [m] and w-first quaternion (B, 4) of any body in the world."""

    def velocity(self, name: str) -> np.ndarray:
        """(B, 6) of a free body: linear [m/s] in the world, angular [rad/s] in its own frame."""


class Task(Protocol):
    """What to do in the world, written once for all engines, vectorised over B (sim.task.ArmTask has the defaults)."""

    name: str
    instruction: str  # for people and for policies that read
    features: tuple[Feature, ...]  # what is observed beside the arms
    cameras: tuple[str, ...]  # what policies look through
    film_camera: str  # what people look through
    mounts: tuple[Mount, ...]
    milestones: tuple[str, ...]  # the steps by which one comes to success, in order; the last one is as good as success

    def edit(self, world: mujoco.MjSpec) -> None: ...
    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None: ...
    def observe(self, physics: Physics) -> dict[str, np.ndarray]: ...
    def success(self, physics: Physics) -> np.ndarray: ...
    def reached(self, physics: Physics) -> np.ndarray: ...
    def reward(self, physics: Physics) -> np.ndarray: ...
