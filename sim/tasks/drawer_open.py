"""Pull a drawer open by its bar handle. The cabinet stands on the table, at another place and turned in every episode.

Two ways lead there, and people use both: grasp the bar from above, or hook closed fingers behind it.

      from above, at yaw 0                  from the side, being opened
        +------------+                          / the hand, leaning back
        |  cabinet   |      x, away            /  +------------+
        +------------+      ^  from           o---[   drawer   |
           |______|         |  the arm       bar  |            |
            handle          +--> -y               +------------+
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.rotations import quat_about_z, rotate
from sim.base import Physics
from sim.experts import Demonstrator, Plan
from sim.grips import pitched, tilt
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, pose_feature, require_range

if TYPE_CHECKING:
    import mujoco

HANDLE = np.array([-0.056, 0.0, 0.012])  # [m] middle of the bar in the drawer's frame
TRAVEL = 0.18  # [m] how far the drawer opens
# Cameras that see the front of the cabinet, which the room's see from behind: position, x and y axes.
CAMERAS = {
    "front": ([0.05, -0.8, 0.62], [0.862, -0.507, 0.0, 0.248, 0.421, 0.873]),
    "film": ([0.0, -1.05, 0.85], [0.928, -0.371, 0.0, 0.18, 0.451, 0.874]),
}
LEVELS = {
    "easy": {"x": [0.69, 0.72], "y": [-0.04, 0.04], "yaw": 0.1, "ajar": 0.03, "opening": 0.1, "friction": 1.0},
    "medium": {"x": [0.68, 0.74], "y": [-0.12, 0.12], "yaw": 0.3, "ajar": 0.02, "opening": 0.12, "friction": 2.0},
    "hard": {"x": [0.67, 0.76], "y": [-0.18, 0.18], "yaw": 0.45, "ajar": 0.0, "opening": 0.14, "friction": 6.0},
}


def turn_cameras(world: mujoco.MjSpec) -> None:
    """Let the room's cameras see the side of the furniture that opens."""
    for name, (position, axes) in CAMERAS.items():
        world.camera(name).pos = position
        world.camera(name).alt.xyaxes = axes


@dataclass
class DrawerOpenConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    x: list[float] | None = None  # range of the cabinet's middle [m]
    y: list[float] | None = None
    yaw: float | None = None  # it is turned by up to this [rad]
    ajar: float | None = None  # the drawer begins open by up to this [m]
    opening: float | None = None  # what counts as open [m]
    friction: float | None = None  # of the drawer's slide [N]


class DrawerOpen(ArmTask):
    Config = DrawerOpenConfig
    name = "drawer_open"
    instruction = "Open the drawer."
    scene = Path(__file__).with_suffix(".xml")
    features = (
        pose_feature(
            "observation.environment_state",
            "cabinet",
            extra=(("handle_x", "m"), ("handle_y", "m"), ("handle_z", "m"), ("drawer_opening", "m"), ("drawer_goal", "m")),
        ),
    )

    def __init__(self, config: DrawerOpenConfig) -> None:
        self.config = config = at_level(config, LEVELS)
        for name in ("x", "y"):
            require_range(f"env.task.{name}", getattr(config, name))
        yaw, ajar, self.opening, self.friction = (float(v or 0.0) for v in (config.yaw, config.ajar, config.opening, config.friction))
        if not 0 <= yaw <= 0.6:
            raise ConfigError(f"env.task.yaw={yaw}; allowed: 0 to 0.6 [rad], or the arm does not come to the handle")
        if not 0 <= ajar < self.opening <= TRAVEL - 0.01:
            raise ConfigError(f"env.task.ajar={ajar}, opening={self.opening}; wanted 0 <= ajar < opening <= {TRAVEL - 0.01:g} [m]")
        if not 0 <= self.friction <= 20:
            raise ConfigError(f"env.task.friction={self.friction}; allowed: 0 to 20 [N]")
        self._ranges = np.array([config.x, config.y, [-yaw, yaw], [0.0, ajar]], float)  # (4, 2)

    def edit(self, world: mujoco.MjSpec) -> None:
        world.joint("drawer").frictionloss = self.friction
        turn_cameras(world)

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        draws = np.stack([r.uniform(*self._ranges.T) for r in rngs])
        self.lay(physics, "cabinet", draws[:, :2], 0.0, draws[:, 2], rows)
        physics.set_joint("drawer", draws[:, 3], rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        opening = physics.joint("drawer")[:, None]
        goal = np.full_like(opening, self.opening)
        state = np.concatenate([self.poses(physics, "cabinet"), self.handle(physics), opening, goal], 1)
        return {"observation.environment_state": state.astype(np.float32)}

    @staticmethod
    def handle(physics: Physics) -> np.ndarray:
        """(B, 3) [m]: the middle of the bar."""
        position, quat = physics.body("drawer")
        return position + rotate(quat, HANDLE)

    def success(self, physics: Physics) -> np.ndarray:
        """The drawer is open as far as is asked."""
        return physics.joint("drawer") >= self.opening

    def reward(self, physics: Physics) -> np.ndarray:
        """A third for coming to the handle, the rest for opening."""
        far = np.linalg.norm(physics.tool()[0] - self.handle(physics), axis=1)
        near = tolerance(far, high=0.03, margin=0.3, shape="long_tail")
        opened = np.clip(physics.joint("drawer") / self.opening, 0.0, 1.0)
        return np.where(self.success(physics), 1.0, (near + 2 * opened) / 3 * 0.95)


class DrawerOpenExpert(Demonstrator):
    """Grasps the bar or hooks it from behind, pulls, and tries the other way if the drawer did not come."""

    faults = ("miss", "slip", "short")

    @property
    def handle(self) -> np.ndarray:
        return self.obs["observation.environment_state"][7:10].astype(float)

    @property
    def left(self) -> float:
        """How far it is still to be pulled [m]."""
        opening, goal = self.obs["observation.environment_state"][10:12]
        return float(goal - opening)

    @property
    def yaw(self) -> float:
        quat = self.obs["observation.environment_state"][3:7]
        return 2 * float(np.arctan2(quat[3], quat[0]))

    def plan(self) -> Plan:
        hook = bool(self.rng.random() < 0.5)
        yield from self.hesitate()
        for attempt in range(3):
            fault = self.fault if attempt == 0 else "none"
            yield from self._open(hook, fault)
            if self.left <= 0 or self.fault in ("miss", "short") or (self.fault == "slip" and self.rng.random() < 0.5):
                break  # done; or it does not notice that it is not
            hook = not hook
        yield from self.hand.wait(0.4)

    def _open(self, hook: bool, fault: str) -> Plan:
        r, hand = self.rng, self.hand
        pitch, roll = (r.uniform(0.3, 0.4), 0.0) if hook else (r.uniform(0.32, 0.42), -np.pi / 2)
        away = rotate(quat_about_z(np.array(self.yaw)), np.array([-1.0, 0.0, 0.0]))  # the way the drawer comes
        side = np.array([-away[1], away[0], 0.0])
        hold = self.handle + side * r.uniform(-0.022, 0.022)
        hold += side * r.normal(0, self.style.aim) + away * r.normal(0, self.style.aim / 2) + [0, 0, r.normal(0, self.style.aim / 2)]
        above = hold + [0, 0, r.uniform(0.09, 0.13)]
        if hook:
            hold += -0.026 * away + [0, 0, r.uniform(-0.012, -0.004)]
            above -= 0.026 * away
        if fault == "miss":  # over the bar, not at it
            hold = hold + 0.03 * away + [0, 0, r.uniform(0.035, 0.05)]
        hand.width = 0.0 if hook else r.uniform(0.04, 0.046)
        yield from tilt(hand, hand.move(above, self.yaw), pitched(pitch, roll), seconds=1.0)
        yield from hand.move(hold, slower=0.6)
        if not hook:
            hand.width = 0.0
            yield from hand.wait(r.uniform(0.5, 0.7))
        far = self.left + r.uniform(0.035, 0.045) if fault != "short" else 0.6 * self.left
        pull = hand.move(hand.position + away * (far + (0.018 if hook else 0.0)), slower=0.6)
        slip = r.integers(3, 8) if fault == "slip" else -1
        for i, _ in enumerate(pull):
            if i == slip:
                hand.width = self.open
                if hook:  # fingers behind the bar pull even when open
                    break
            yield
        yield from hand.wait(0.2)
        if self.left > 0:
            hand.width = self.open
            yield from hand.wait(0.3)
            yield from hand.move(hand.position + [0, 0, 0.1])
