"""`ArmTask`: what a task with arms says of itself. One task is one file in sim/tasks with its scene beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from data.errors import ConfigError, did_you_mean
from data.rotations import quat_about_z
from data.spec import Feature
from sim.base import Physics

if TYPE_CHECKING:
    import mujoco

    from sim.world import Mount

POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
POSE_UNITS = ("m", "m", "m", "1", "1", "1", "1")


def at_level(config: Any, levels: Mapping[str, Mapping[str, Any]]) -> Any:
    """The config with every field that is None filled in from its `level`; Any, because its fields say that they may be None.

    Raises ConfigError for a level that does not exist.
    """
    level = config.level
    if level not in levels:
        raise ConfigError(f"env.task.level={level!r}; {did_you_mean(level, levels)}")
    return dataclasses.replace(config, **{k: v for k, v in levels[level].items() if getattr(config, k) is None})


def require_range(name: str, bounds: Any) -> None:
    """Raises ConfigError unless `bounds` is [low, high]."""
    if bounds is None or len(bounds) != 2 or not bounds[0] <= bounds[1]:
        raise ConfigError(f"{name} must be [low, high], found {bounds}")


def pose_feature(name: str, *things: str, extra: tuple[tuple[str, str], ...] = ()) -> Feature:
    """A feature of the poses of `things`, 7 numbers each, then `extra` (name, unit)."""
    names = tuple(f"{thing}_{axis}" for thing in things for axis in POSE)
    units = POSE_UNITS * len(things)
    size = len(names) + len(extra)
    quaternions = tuple(7 * i + 3 for i in range(len(things)))
    return Feature(
        name, (size,), names=names + tuple(n for n, _ in extra), units=units + tuple(u for _, u in extra), quaternions=quaternions
    )


class ArmTask:
    """Defaults of a task; sim.base.Task says what each part is. Vectorised over B, and it asks only `Physics`."""

    name: ClassVar[str]
    instruction: ClassVar[str]
    scene: ClassVar[Path]
    features: ClassVar[tuple[Feature, ...]]
    cameras: ClassVar[tuple[str, ...]] = ("front", "wrist")
    film_camera: ClassVar[str] = "film"
    mounts: ClassVar[tuple[Mount, ...]] = ()  # one arm at the origin, if none is named
    milestones: ClassVar[tuple[str, ...]] = ()  # the steps by which one comes to success, in plain words and in order

    def edit(self, world: mujoco.MjSpec) -> None:
        """Set what the config changes in the scene, before it is compiled."""

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        """Place the objects of the given rows, one generator per row."""
        raise NotImplementedError

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """Ground truth of the simulator, (B, D) float32 per feature."""
        raise NotImplementedError

    def success(self, physics: Physics) -> np.ndarray:
        """(B,) bool, at this instant."""
        raise NotImplementedError

    def reached(self, physics: Physics) -> np.ndarray:
        """(B, M) bool: which milestones hold at this instant, one column each; the last is as good as success. An evaluation notes when
        each was first reached, so that a task tells approaching from grasping and grasping from placing.
        """
        return np.zeros((physics.num_envs, len(self.milestones)), bool)

    def reward(self, physics: Physics) -> np.ndarray:
        """(B,) in [0, 1], dense: 1 only where the task is done."""
        return self.success(physics).astype(float)

    @staticmethod
    def poses(physics: Physics, *bodies: str) -> np.ndarray:
        """(B, 7 per body): positions and quaternions with w >= 0."""
        parts = []
        for body in bodies:
            position, quat = physics.body(body)
            parts += [position, np.where(quat[:, :1] < 0, -quat, quat)]
        return np.concatenate(parts, 1)

    @staticmethod
    def lay(physics: Physics, body: str, xy: np.ndarray, z: float | np.ndarray, yaw: float | np.ndarray, rows: np.ndarray) -> None:
        """Put a body at (R, 2) [m], height z [m], turned by yaw [rad] about the vertical."""
        count = len(rows)
        position = np.concatenate([xy, np.broadcast_to(np.asarray(z, float).reshape(-1, 1), (count, 1))], 1)
        physics.set_body(body, position, quat_about_z(np.broadcast_to(yaw, (count,))), rows)
