"""Put the red cube on the green one, let go of it and take the hand away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from sim.base import Physics
from sim.experts import Demonstrator, Plan, square_yaw
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, pose_feature, require_range

if TYPE_CHECKING:
    import mujoco

AT = 0.03  # [m] a tool at the red cube is so near its middle
SEAT = 0.005  # [m] a cube that lies on something flat is at its height within this
AWAY = 0.06  # [m] the tool is so far from the cube that it let go of
RESTING = 0.03  # [m/s] a cube that lies still is slower
LEVELS = {
    "easy": {"cube_x": [0.45, 0.55], "cube_y": [-0.16, 0.16], "cube_yaw": 0.0, "apart": 0.14, "cube_half": 0.023},
    "medium": {"cube_x": [0.4, 0.6], "cube_y": [-0.25, 0.25], "cube_yaw": np.pi / 4, "apart": 0.11, "cube_half": 0.02},
    "hard": {"cube_x": [0.36, 0.62], "cube_y": [-0.36, 0.36], "cube_yaw": np.pi / 4, "apart": 0.09, "cube_half": 0.016},
}


@dataclass
class StackConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    cube_half: float | None = None  # half edge of both cubes [m]
    cube_x: list[float] | None = None  # range of their places [m]
    cube_y: list[float] | None = None
    cube_yaw: float | None = None  # they are turned by up to this [rad]; 45 degrees are all poses of an unmarked cube
    apart: float | None = None  # least distance between their centres [m]


class Stack(ArmTask):
    Config = StackConfig
    name = "stack"
    instruction = "Put the red cube on the green cube."
    scene = Path(__file__).with_suffix(".xml")
    milestones = ("at the red cube", "red cube lifted", "red cube over the green one", "red cube on the green one", "hand away")
    features = (pose_feature("observation.environment_state", "red", "green"),)

    def __init__(self, config: StackConfig) -> None:
        self.config = config = at_level(config, LEVELS)
        for name in ("cube_x", "cube_y"):
            require_range(f"env.task.{name}", getattr(config, name))
        self.half, self.apart, self.yaw = config.cube_half or 0.0, config.apart or 0.0, config.cube_yaw or 0.0
        if not 0.012 <= self.half <= 0.03:
            raise ConfigError(f"env.task.cube_half={self.half} does not fit the gripper; allowed: 0.012 to 0.03 [m]")
        (x_low, x_high), (y_low, y_high) = self._area = np.array([config.cube_x, config.cube_y], float)
        most = 0.5 * float(np.hypot(x_high - x_low, y_high - y_low))  # from here on almost every pair of places is refused
        least = 2 * np.sqrt(2) * self.half
        if not least <= self.apart <= most:
            raise ConfigError(f"env.task.apart={self.apart}: allowed for these cubes and ranges are {least:.3f} to {most:.3f} [m]")

    def edit(self, world: mujoco.MjSpec) -> None:
        for cube in ("red", "green"):
            world.geom(cube).size = [self.half] * 3

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        places = np.array([self._places(r) for r in rngs])
        for i, cube in enumerate(("red", "green")):
            self.lay(physics, cube, places[:, i, :2], self.half, places[:, i, 2], rows)

    def _places(self, rng: np.random.Generator) -> np.ndarray:
        """(2, 3): x, y, yaw of two cubes that are not too near each other."""
        low, high = np.append(self._area[:, 0], -self.yaw), np.append(self._area[:, 1], self.yaw)
        while True:
            two = rng.uniform(low, high, (2, 3))
            if np.linalg.norm(two[0, :2] - two[1, :2]) >= self.apart:
                return two

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """(B, 14): the poses of both cubes."""
        return {"observation.environment_state": self.poses(physics, "red", "green").astype(np.float32)}

    def _stacked(self, physics: Physics) -> np.ndarray:
        """(B,) the red cube is where it lies on the green one, and the green one lies on the table."""
        red, green = physics.body("red")[0], physics.body("green")[0]
        over = np.linalg.norm(red[:, :2] - green[:, :2], axis=1) < self.half
        seated = np.abs(red[:, 2] - green[:, 2] - 2 * self.half) < SEAT
        return over & seated & (np.abs(green[:, 2] - self.half) < SEAT)

    def success(self, physics: Physics) -> np.ndarray:
        """The red cube rests on the green one, the gripper is open and away."""
        away = np.linalg.norm(physics.tool()[0] - physics.body("red")[0], axis=1) > AWAY
        rests = np.linalg.norm(physics.velocity("red")[:, :3], axis=1) < RESTING
        return self._stacked(physics) & rests & away & (physics.widths()[:, 0] > 2 * self.half + 0.008)

    def reached(self, physics: Physics) -> np.ndarray:
        red, green = physics.body("red")[0], physics.body("green")[0]
        at = np.linalg.norm(physics.tool()[0] - red, axis=1) < AT
        lifted = red[:, 2] > 2 * self.half
        over = lifted & (np.linalg.norm(red[:, :2] - green[:, :2], axis=1) < self.half)
        return np.stack([at, lifted, over, self._stacked(physics), self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """A quarter each for coming to the red cube, for lifting it, for bringing it over the green one and for setting it down."""
        red, green = physics.body("red")[0], physics.body("green")[0]
        stacked = self._stacked(physics)
        near = tolerance(np.linalg.norm(physics.tool()[0] - red, axis=1), high=0.01, margin=0.3, shape="long_tail")
        lifted = tolerance(red[:, 2], low=3 * self.half - SEAT, high=1.0, margin=2 * self.half, shape="linear")
        over = tolerance(np.linalg.norm(red[:, :2] - green[:, :2], axis=1), high=0.01, margin=0.3)
        parts = np.maximum(near, stacked) + lifted + over * (0.5 + 0.5 * lifted) + stacked
        return np.where(self.success(physics), 1.0, parts / 4 * 0.95)


class StackExpert(Demonstrator):
    """Grasps the red cube, carries it over the green one, sets it down and goes away; looks, and tries again twice."""

    faults = ("miss", "drop", "beside", "ram")

    @property
    def red(self) -> np.ndarray:
        return self.obs["observation.environment_state"][:7].astype(float)

    @property
    def green(self) -> np.ndarray:
        return self.obs["observation.environment_state"][7:14].astype(float)

    @property
    def held(self) -> bool:
        """Between the fingers, as far as one can see."""
        return bool(np.linalg.norm(self.red[:3] - self.obs["observation.state"][:3]) < 0.04)

    def plan(self) -> Plan:
        yield from self.hesitate()
        for _ in range(3):
            yield from self._grasp(miss=self.fault == "miss")
            if self.held or self.fault != "none":
                yield from self._carry()
            if self.fault != "none" or self._done():
                break
        yield from self.hand.wait(0.5)

    def _done(self) -> bool:
        over = np.linalg.norm(self.red[:2] - self.green[:2]) < self.task.half
        return bool(over and self.red[2] > 2.5 * self.task.half)

    def _grasp(self, miss: bool) -> Plan:
        r, hand = self.rng, self.hand
        hand.width = self.open
        yaw = self._clear_yaw()
        hover = self.red[:3] + [0, 0, r.uniform(0.07, 0.1)]
        first = r.normal(0, 0.02, 2) if r.random() < self.style.correct else r.normal(0, 0.004, 2)
        yield from hand.sweep([hover + [*first, r.uniform(0.04, 0.07)], hover + [*r.normal(0, 0.004, 2), 0]], yaw)
        offset = np.array([*r.normal(0, self.style.aim, 2), r.normal(0, 0.002)])
        if miss:
            offset[:2] = 0.05 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        goal = self.red[:3] + offset
        goal[2] = max(goal[2], 0.016)
        yield from hand.move(goal, yaw, slower=0.6)
        hand.width = 0.0
        yield from hand.wait(r.uniform(0.6, 0.8))
        if self.fault != "ram":
            yield from hand.move(hand.position + [0, 0, r.uniform(0.09, 0.13)], slower=0.9)

    def _clear_yaw(self) -> float:
        """Along the red cube's sides. Where the green one is near, the fingers open along the side that does not touch it."""
        yaw = square_yaw(self.red[3:7])
        way = self.green[:2] - self.red[:2]
        along_y = abs(way @ [-np.sin(yaw), np.cos(yaw)])
        along_x = abs(way @ [np.cos(yaw), np.sin(yaw)])
        if np.linalg.norm(way) < 0.13 and along_y > along_x:
            return yaw - np.pi / 2 if yaw > 0 else yaw + np.pi / 2
        return yaw

    def _carry(self) -> Plan:
        r, hand, half = self.rng, self.hand, self.task.half
        turn = square_yaw(self.green[3:7]) - square_yaw(self.red[3:7])
        turn = (turn + np.pi / 4) % (np.pi / 2) - np.pi / 4  # the shortest way to lay side on side
        yaw = hand.yaw + turn if abs(hand.yaw + turn) < 1.9 else hand.yaw
        above = self.green[:3] + [*r.normal(0, 0.006, 2), r.uniform(0.1, 0.13)]
        middle = 0.5 * (hand.position + above) + [*r.normal(0, 0.02, 2), r.uniform(0.01, 0.03)]
        if self.fault == "ram":
            above[2] = hand.position[2]
            middle = 0.5 * (hand.position + above)
        carried = hand.sweep([middle, above], yaw)
        drop_at = r.integers(6, 12) if self.fault == "drop" else -2
        for i, _ in enumerate(carried):
            if i == drop_at + 1:
                hand.width = self.open
            yield
        place = self.green[:3] + [0, 0, 2 * half + r.uniform(0.002, 0.005)]
        place += hand.position - self.red[:3] if self.held else 0.0  # where it is in the hand
        place[:2] += r.normal(0, self.style.aim, 2)
        if self.fault == "beside":
            place[:2] += r.uniform(1.2, 1.8) * half * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        yield from hand.move(place, yaw, slower=0.5)
        hand.width = self.open
        yield from hand.wait(r.uniform(0.45, 0.6))
        yield from hand.move(hand.position + [0, 0, r.uniform(0.08, 0.12)], slower=0.7)
        yield from hand.wait(0.35)
