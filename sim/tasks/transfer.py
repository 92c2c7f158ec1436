"""Two arms that face each other across the table: the right one picks up a bar and hands it to the left one in the air.

       right arm      bar           left arm         x points out of the page, at the camera `front`
        o=====v       ====   <       v=====o         y to the right, z up
       y = -0.55    -0.2 .. -0.1          0.55       poses of both tools are in the world's frame

Names of the left arm begin with `left_`, those of the right one with `right_`; in states and actions the left comes first.
The arms do not collide with each other, nor does an arm with itself (contype 1, conaffinity 2): a policy that crosses them
is not stopped. The bar collides with both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.rotations import rotate
from sim.base import Physics
from sim.experts import Demonstrator, Plan
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, pose_feature, require_range
from sim.world import Mount

if TYPE_CHECKING:
    import mujoco

LEFT, RIGHT = 0, 1  # which arm in `Transfer.mounts`
BAR_HALF = 0.015  # [m] half width of its square section
AT, LIFT = 0.03, 0.02  # [m] a tool at the bar is so near its axis; a lifted bar is so high over the table
HEIGHT = 0.1  # [m] the bar has to be so high over the table
AWAY = 0.1  # [m] the right tool has to be so far from the bar
CAMERAS = {  # further back than for one arm: position [m], right and up of the picture
    "front": ([1.8, 0.0, 0.9], [0, 1, 0, -0.43, 0, 0.9]),
    "film": ([1.55, -0.72, 0.85], [0.514, 0.857, 0, -0.303, 0.181, 0.934]),
}
LEVELS = {
    "easy": {"half_length": 0.11, "bar_x": [0.33, 0.37], "bar_y": [-0.17, -0.13], "bar_yaw": 0.15},
    "medium": {"half_length": 0.1, "bar_x": [0.27, 0.43], "bar_y": [-0.2, -0.1], "bar_yaw": 0.6},
    "hard": {"half_length": 0.085, "bar_x": [0.22, 0.48], "bar_y": [-0.22, -0.08], "bar_yaw": 1.2},
}


@dataclass
class TransferConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    half_length: float | None = None  # of the bar [m]
    bar_x: list[float] | None = None  # range of its place [m]
    bar_y: list[float] | None = None
    bar_yaw: float | None = None  # it is turned by up to this from pointing from one arm to the other [rad]


class Transfer(ArmTask):
    Config = TransferConfig
    name = "transfer"
    instruction = "Pick up the bar with the right arm and hand it over to the left arm."
    scene = Path(__file__).with_suffix(".xml")
    milestones = ("right hand at the bar", "bar lifted", "left hand at the bar", "bar in the left hand", "right hand away")
    features = (pose_feature("observation.environment_state", "bar"),)
    cameras = ("front", "left_wrist", "right_wrist")
    mounts = (Mount("left", (0.35, 0.55, 0.0), -np.pi / 2), Mount("right", (0.35, -0.55, 0.0), np.pi / 2))

    def __init__(self, config: TransferConfig) -> None:
        config = at_level(config, LEVELS)
        for name in ("bar_x", "bar_y"):
            require_range(f"env.task.{name}", getattr(config, name))
        assert config.bar_x and config.bar_y and config.half_length is not None and config.bar_yaw is not None  # by now, from the level
        if not 0.08 <= config.half_length <= 0.15:
            raise ConfigError(f"env.task.half_length={config.half_length}: two grippers need 0.08 to 0.15 [m]")
        if not 0 <= config.bar_yaw <= np.pi / 2:
            raise ConfigError(f"env.task.bar_yaw={config.bar_yaw}; allowed: 0 to pi/2 [rad]")
        self.config, self.half_length = config, config.half_length
        self._ranges = (config.bar_x, config.bar_y, (-config.bar_yaw, config.bar_yaw))

    def edit(self, world: mujoco.MjSpec) -> None:
        world.geom("bar").size = [BAR_HALF, self.half_length, BAR_HALF]
        for name, (position, axes) in CAMERAS.items():
            camera = world.camera(name)
            camera.pos, camera.alt.xyaxes = position, axes

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        draws = np.array([[r.uniform(low, high) for low, high in self._ranges] for r in rngs])
        self.lay(physics, "bar", draws[:, :2], BAR_HALF, draws[:, 2], rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """(B, 7): the bar's pose; its length points along its y axis."""
        return {"observation.environment_state": self.poses(physics, "bar").astype(np.float32)}

    def distance(self, physics: Physics, arm: int) -> np.ndarray:
        """(B,) [m] from an arm's tool to the nearest point of the bar's axis."""
        position, quat = physics.body("bar")
        axis = rotate(quat, np.array([0.0, 1.0, 0.0]))
        apart = physics.tool(arm)[0] - position
        along = np.clip((apart * axis).sum(1), -self.half_length, self.half_length)
        return np.asarray(np.linalg.norm(apart - along[:, None] * axis, axis=1))

    def in_hand(self, physics: Physics, arm: int) -> np.ndarray:
        """(B,) bool: the bar is between the fingers of an arm, and they are as far apart as it is thick."""
        return (self.distance(physics, arm) < 0.015) & (np.abs(physics.widths()[:, arm] - 2 * BAR_HALF) < 0.006)

    def success(self, physics: Physics) -> np.ndarray:
        """The left gripper holds the bar above the table, the right one is open and away from it."""
        free = (physics.widths()[:, RIGHT] > 2 * BAR_HALF + 0.015) & (self.distance(physics, RIGHT) > AWAY)
        return self.in_hand(physics, LEFT) & free & (self.lowest(physics) > HEIGHT)

    def lowest(self, physics: Physics) -> np.ndarray:
        """(B,) [m]: height of the lower end of the bar's axis."""
        position, quat = physics.body("bar")
        return np.asarray(position[:, 2] - np.abs(rotate(quat, np.array([0.0, 1.0, 0.0]))[:, 2]) * self.half_length)

    def reached(self, physics: Physics) -> np.ndarray:
        lifted = self.lowest(physics) > LIFT
        right, left = self.distance(physics, RIGHT) < AT, self.distance(physics, LEFT) < AT
        return np.stack([right, lifted, lifted & left, lifted & self.in_hand(physics, LEFT), self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """A fifth each: the right tool at the bar, the bar lifted, the left tool at it, it is in the left hand, the right one off."""
        height = tolerance(physics.body("bar")[0][:, 2], low=0.15, high=10.0, margin=0.15, shape="linear")
        given = self.in_hand(physics, LEFT) & (height > 0.5)
        right, left = self.distance(physics, RIGHT), self.distance(physics, LEFT)
        taken = np.maximum(tolerance(right, high=0.015, margin=0.3, shape="long_tail"), given)
        met = tolerance(left, high=0.015, margin=0.4, shape="long_tail")
        off = given * tolerance(right, low=AWAY, high=10.0, margin=AWAY, shape="linear")
        return np.where(self.success(physics), 1.0, (taken + height + met + given + off) / 5 * 0.95)


class TransferExpert(Demonstrator):
    """The right hand lifts the bar by its near end to where they meet, the left one takes the far end, the right one lets go."""

    faults = ("miss", "drop", "early", "beside")

    @property
    def bar(self) -> np.ndarray:
        return self.obs["observation.environment_state"][:3].astype(float)

    @property
    def along(self) -> np.ndarray:
        """(3,) unit vector from the right end of the bar to its left end."""
        axis = rotate(self.obs["observation.environment_state"][3:7].astype(float), np.array([0.0, 1.0, 0.0]))
        return np.asarray(axis if axis[1] > 0 else -axis)

    @property
    def turn(self) -> float:
        """Of the bar about z, 0 where it points from one arm to the other [rad]."""
        return float(np.arctan2(-self.along[0], self.along[1]))

    def end(self, arm: int) -> np.ndarray:
        """(3,) [m] where the hand of an arm takes the bar."""
        return self.bar + (0.65 if arm == LEFT else -0.65) * self.task.half_length * self.along

    def width(self, arm: int) -> float:
        """How far the gripper of an arm is open [m]."""
        return float(self.obs["observation.state"][8 * arm + 7])

    def plan(self) -> Plan:
        for hand, mount in zip(self.hands, self.task.mounts):
            hand.yaw = mount.yaw
        left, right = self.hands
        yield from self.hesitate()
        early = self.rng.random() < 0.5  # the left hand gets ready at once, or only when the bar comes
        fetch = self._fetch()
        yield from self.together(fetch, self._ready()) if early else fetch
        if self.bar[2] < HEIGHT / 2 and self.fault != "miss":
            yield from self._fetch()
        yield from self.together(self._offer(), self._ready())
        if self.fault == "early":
            right.width = self.open
        yield from self._take()
        if self.width(LEFT) < BAR_HALF and self.fault != "beside":
            yield from self._take()
        yield from right.wait(self.rng.uniform(0.1, 0.3))
        right.width = self.open
        yield from right.wait(self.rng.uniform(0.5, 0.7))
        back = right.position + [0, self.rng.uniform(-0.12, -0.06), self.rng.uniform(0.12, 0.16)]
        keep = left.position + [self.rng.normal(0, 0.01), self.rng.uniform(0.0, 0.05), self.rng.uniform(0.0, 0.03)]
        yield from self.together(right.move(back), left.move(keep, slower=0.5))
        yield from left.wait(0.6)

    def _fetch(self) -> Plan:
        """The right hand picks the bar up."""
        r, hand = self.rng, self.hands[RIGHT]
        yaw = self.task.mounts[RIGHT].yaw + self.turn
        hand.width = self.open
        first = r.normal(0, 0.015, 2) if r.random() < self.style.correct else r.normal(0, 0.003, 2)
        yield from hand.move(self.end(RIGHT) + [*first, r.uniform(0.08, 0.12)], yaw)
        offset = r.normal(0, self.style.aim, 2)
        if self.fault == "miss":
            offset = 0.05 * np.array([1.0 if r.random() < 0.5 else -1.0, 0.0])
        goal = self.end(RIGHT)
        goal[2] = max(goal[2], 0.018)
        yield from hand.move(goal + [*offset, 0.0], yaw, slower=0.6)
        hand.width = 0.0
        yield from hand.wait(r.uniform(0.7, 0.9))
        yield from hand.move(hand.position + [0, 0, r.uniform(0.1, 0.13)], slower=0.9)

    def _offer(self) -> Plan:
        """The right hand brings the bar to the middle of the table, pointing at the left arm."""
        r, hand = self.rng, self.hands[RIGHT]
        yaw = self.task.mounts[RIGHT].yaw + r.normal(0, 0.1)
        place = np.array([r.uniform(0.3, 0.4), r.uniform(-0.03, 0.03), r.uniform(0.24, 0.32)])
        place[1] -= 0.65 * self.task.half_length
        drop_at = r.integers(4, 12) if self.fault == "drop" else -1
        for i, _ in enumerate(hand.move(place, yaw, slower=0.9)):
            if i == drop_at:
                hand.width = self.open
            yield

    def _ready(self) -> Plan:
        r, hand = self.rng, self.hands[LEFT]
        place = np.array([r.uniform(0.3, 0.4), r.uniform(0.12, 0.2), r.uniform(0.4, 0.46)])
        if np.linalg.norm(hand.position - place) > 0.12:
            yield from hand.move(place)

    def _take(self) -> Plan:
        """The left hand comes from above and closes, while the right one holds still."""
        r, hand = self.rng, self.hands[LEFT]
        hand.width = self.open
        yaw = self.task.mounts[LEFT].yaw + self.turn
        yield from hand.move(self.end(LEFT) + [*r.normal(0, 0.006, 2), r.uniform(0.07, 0.1)], yaw)
        offset = np.array([*r.normal(0, self.style.aim, 2), r.normal(0, 0.002)])
        if self.fault == "beside":
            offset[:2] = 0.065 if r.random() < 0.5 else -0.065, 0.0
        yield from hand.move(self.end(LEFT) + offset, self.task.mounts[LEFT].yaw + self.turn, slower=0.6)
        hand.width = 0.0
        yield from hand.wait(r.uniform(0.7, 0.9))
