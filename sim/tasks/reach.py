"""Bring the tool to a point in the air, and hold it there.

The smallest task there is: nothing is touched, so a policy that fails here misses the action space, the normalisation or the
robot, not the contact. The marker is drawn but nothing collides with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.spec import Feature
from sim.base import Physics
from sim.experts import Demonstrator, Plan
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, require_range

if TYPE_CHECKING:
    import mujoco

NEAR = 0.1  # [m] a tool that is on its way has come so far
STILL = 0.4  # [rad/s] no joint of an arm that holds still is faster
LEVELS = {
    "easy": {"radius": [0.42, 0.52], "azimuth": [-0.4, 0.4], "height": [0.12, 0.3], "tolerance": 0.03},
    "medium": {"radius": [0.36, 0.6], "azimuth": [-0.8, 0.8], "height": [0.06, 0.36], "tolerance": 0.02},
    "hard": {"radius": [0.34, 0.62], "azimuth": [-1.2, 1.2], "height": [0.03, 0.42], "tolerance": 0.01},
}


@dataclass
class ReachConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    radius: list[float] | None = None  # range of the target's distance from the base's axis [m]
    azimuth: list[float] | None = None  # range of its direction from the base, 0 straight ahead [rad]
    height: list[float] | None = None  # range of its height over the table [m]
    tolerance: float | None = None  # how near the tool must come [m]


class Reach(ArmTask):
    Config = ReachConfig
    name = "reach"
    instruction = "Bring the tool to the red marker and hold it there."
    scene = Path(__file__).with_suffix(".xml")
    milestones = ("near the marker", "at the marker", "held still at the marker")
    features = (Feature("observation.environment_state", (3,), names=("target_x", "target_y", "target_z"), units=("m", "m", "m")),)

    def __init__(self, config: ReachConfig) -> None:
        self.config = config = at_level(config, LEVELS)
        for name in ("radius", "azimuth", "height"):
            require_range(f"env.task.{name}", getattr(config, name))
        self.tolerance = config.tolerance or 0.0
        if not 0.002 <= self.tolerance <= 0.1:
            raise ConfigError(f"env.task.tolerance={config.tolerance}; allowed: 0.002 to 0.1 [m]")

    def edit(self, world: mujoco.MjSpec) -> None:
        world.geom("marker").size[0] = self.tolerance  # the ball is what counts as there
        world.geom("core").size[0] = self.tolerance / 3

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        c = self.config
        low, high = np.array([c.radius, c.azimuth, c.height], float).T
        draws = np.array([r.uniform(low, high) for r in rngs])
        ahead = np.stack([np.cos(draws[:, 1]), np.sin(draws[:, 1])], 1)
        self.lay(physics, "target", draws[:, :1] * ahead, draws[:, 2], 0.0, rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """(B, 3): where the target is."""
        return {"observation.environment_state": physics.body("target")[0].astype(np.float32)}

    def _distance(self, physics: Physics) -> np.ndarray:
        return np.linalg.norm(physics.tool()[0] - physics.body("target")[0], axis=1)

    def success(self, physics: Physics) -> np.ndarray:
        """The tool is at the target and the arm stands still."""
        still = (np.abs(physics.joints()[1]) < STILL).all(1)
        return still & (self._distance(physics) < self.tolerance)

    def reached(self, physics: Physics) -> np.ndarray:
        far = self._distance(physics)
        return np.stack([far < NEAR, far < self.tolerance, self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """The nearer the better."""
        near = tolerance(self._distance(physics), high=self.tolerance, margin=0.4, shape="long_tail")
        return np.where(self.success(physics), 1.0, 0.95 * near)


class ReachExpert(Demonstrator):
    """Swings to the target, over a point beside the straight line, and mends what it missed by."""

    faults = ("short", "past")

    @property
    def target(self) -> np.ndarray:
        return self.obs["observation.environment_state"].astype(float)

    @property
    def tool(self) -> np.ndarray:
        return self.obs["observation.state"][:3].astype(float)

    def plan(self) -> Plan:
        r, hand = self.rng, self.hand
        yield from self.hesitate()
        way = self.target - hand.position
        bow = r.normal(0, 0.12, 3) * np.linalg.norm(way)
        middle = hand.position + r.uniform(0.35, 0.65) * way + bow
        middle[2] = max(middle[2], 0.05)
        goal = self.target + r.normal(0, self.style.aim, 3)
        if self.fault == "short":
            goal -= way * r.uniform(0.2, 0.4)
        elif r.random() < self.style.correct:
            goal += r.normal(0, 0.02, 3)
        yield from hand.sweep([middle, goal], hand.yaw)
        if self.fault == "past":
            yield from hand.sweep([goal + way * r.uniform(0.15, 0.3)], hand.yaw)
        yield from hand.wait(0.3)
        if self.fault == "none":
            for _ in range(2):
                missed = self.target - self.tool
                if np.linalg.norm(missed) > 0.004:
                    yield from hand.move(hand.position + missed)
        yield from hand.wait(1.2)
