"""Furniture with one part to open by its handle: what a drawer and a door have in common.

The furniture is a heavy free body that stands on the table by its weight, at another place and turned in every episode; its part
hangs on a joint with friction, and begins a little open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from data.errors import ConfigError
from data.rotations import rotate
from sim.base import Physics
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, require_range

if TYPE_CHECKING:
    import mujoco

# Cameras that see the front of the furniture, which the room's see from behind: position, x and y axes.
CAMERAS = {
    "front": ([0.05, -0.8, 0.62], [0.862, -0.507, 0.0, 0.248, 0.421, 0.873]),
    "film": ([0.0, -1.05, 0.85], [0.928, -0.371, 0.0, 0.18, 0.451, 0.874]),
}


@dataclass
class FurnitureConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    x: list[float] | None = None  # range of the furniture's middle [m]
    y: list[float] | None = None
    yaw: float | None = None  # it is turned by up to this [rad]
    ajar: float | None = None  # its part begins open by up to this [m] of a drawer, [rad] of a door
    opening: float | None = None  # what counts as open [m] or [rad]
    friction: float | None = None  # of the joint [N] or [N m]


class Furniture(ArmTask):
    """A subclass names its bodies and its bounds."""

    Config = FurnitureConfig
    levels: ClassVar[Mapping[str, Mapping[str, Any]]]
    body: ClassVar[str]  # the free body
    part: ClassVar[str]  # its part, a body and a joint of one name
    held: ClassVar[np.ndarray]  # (3,) [m] where the handle is held, in the part's frame
    widest: ClassVar[float]  # what may count as open, at most [m] or [rad]
    stiffest: ClassVar[float]  # friction, at most [N] or [N m]
    units: ClassVar[tuple[str, str]]  # of opening and friction
    near: ClassVar[float] = 0.05  # [m] a tool at the handle is not farther from where it is held

    def __init__(self, config: FurnitureConfig) -> None:
        self.config = config = at_level(config, self.levels)
        for name in ("x", "y"):
            require_range(f"env.task.{name}", getattr(config, name))
        yaw, ajar, self.opening, self.friction = (float(v or 0.0) for v in (config.yaw, config.ajar, config.opening, config.friction))
        self.ajar = ajar
        if not 0 <= yaw <= 0.6:
            raise ConfigError(f"env.task.yaw={yaw}; allowed: 0 to 0.6 [rad], or the arm does not come to the handle")
        if not 0 <= ajar < self.opening <= self.widest:
            wanted = f"0 <= ajar < opening <= {self.widest:g} [{self.units[0]}]"
            raise ConfigError(f"env.task.ajar={ajar}, opening={self.opening}; wanted {wanted}")
        if not 0 <= self.friction <= self.stiffest:
            raise ConfigError(f"env.task.friction={self.friction}; allowed: 0 to {self.stiffest:g} [{self.units[1]}]")
        self._ranges = np.array([config.x, config.y, [-yaw, yaw], [0.0, ajar]], float)  # (4, 2)

    def edit(self, world: mujoco.MjSpec) -> None:
        world.joint(self.part).frictionloss = self.friction
        for name, (position, axes) in CAMERAS.items():
            world.camera(name).pos = position
            world.camera(name).alt.xyaxes = axes

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        draws = np.stack([r.uniform(*self._ranges.T) for r in rngs])
        self.lay(physics, self.body, draws[:, :2], 0.0, draws[:, 2], rows)
        physics.set_joint(self.part, draws[:, 3], rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """(B, 12): the furniture's pose, the handle's place, how far it is open, how far it has to be."""
        opening = physics.joint(self.part)[:, None]
        goal = np.full_like(opening, self.opening)
        state = np.concatenate([self.poses(physics, self.body), self.handle(physics), opening, goal], 1)
        return {"observation.environment_state": state.astype(np.float32)}

    def handle(self, physics: Physics) -> np.ndarray:
        """(B, 3) [m]: where the handle is held."""
        position, quat = physics.body(self.part)
        return position + rotate(quat, self.held)

    def success(self, physics: Physics) -> np.ndarray:
        """It is open as far as is asked."""
        return physics.joint(self.part) >= self.opening

    def reached(self, physics: Physics) -> np.ndarray:
        """At the handle; moved by a tenth, and by half, of the way from the widest start; open."""
        at = np.linalg.norm(physics.tool()[0] - self.handle(physics), axis=1) < self.near
        way = (physics.joint(self.part) - self.ajar) / (self.opening - self.ajar)
        return np.stack([at, way > 0.1, way > 0.5, self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """A third for coming to the handle, the rest for opening."""
        far = np.linalg.norm(physics.tool()[0] - self.handle(physics), axis=1)
        near = tolerance(far, high=0.03, margin=0.3, shape="long_tail")
        opened = np.clip(physics.joint(self.part) / self.opening, 0.0, 1.0)
        return np.where(self.success(physics), 1.0, (near + 2 * opened) / 3 * 0.95)
