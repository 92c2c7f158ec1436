"""Pick a cube from a random pose and put it into a bin at a random place, round a wall that stands between the two.

The wall makes the data bimodal: one can pass in front of it or behind it, and the mean of both ways runs into it.

        x (away from the base)        z up, base of the arm at the origin
        |   cube    wall    bin
        +---------------------> y
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.spec import Feature
from sim.base import Physics
from sim.experts import Demonstrator, Plan, square_yaw
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, require_range

if TYPE_CHECKING:
    import mujoco

WALL_X, WALL_HALF = 0.5, 0.06  # [m] centre and half width along x; it stands at y = 0, higher than a cube is carried
BIN_INNER = 0.061  # [m] half width inside the walls
BIN_RIM = 0.05  # [m] height of the walls
AT, LIFT = 0.03, 0.03  # [m] a tool at the cube is so near its middle; a lifted cube is so far above where it lay
LEVELS = {
    "easy": {"cube_x": [0.47, 0.53], "cube_y": [-0.3, -0.24], "cube_yaw": 0.0, "bin_x": [0.47, 0.53], "bin_y": [0.25, 0.29]},
    "medium": {"cube_x": [0.42, 0.58], "cube_y": [-0.34, -0.21], "cube_yaw": np.pi / 4, "bin_x": [0.42, 0.58], "bin_y": [0.21, 0.33]},
    "hard": {"cube_x": [0.38, 0.62], "cube_y": [-0.36, -0.17], "cube_yaw": np.pi / 4, "bin_x": [0.38, 0.62], "bin_y": [0.18, 0.35]},
}


@dataclass
class PickPlaceConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    cube_half: float = 0.02  # half edge of the cube [m]
    cube_x: list[float] | None = None  # range of its place [m]
    cube_y: list[float] | None = None
    cube_yaw: float | None = None  # it is turned by up to this [rad]; 45 degrees are all poses of an unmarked cube
    bin_x: list[float] | None = None  # range of the bin's place [m]
    bin_y: list[float] | None = None


class PickPlace(ArmTask):
    Config = PickPlaceConfig
    name = "pick_place"
    instruction = "Put the cube into the bin."
    scene = Path(__file__).with_suffix(".xml")
    milestones = ("at the cube", "cube lifted", "cube over the bin", "cube in the bin")
    features = (
        Feature(
            "observation.environment_state",
            (10,),
            names=("cube_x", "cube_y", "cube_z", "cube_qw", "cube_qx", "cube_qy", "cube_qz", "bin_x", "bin_y", "bin_z"),
            units=("m", "m", "m", "1", "1", "1", "1", "m", "m", "m"),
            quaternions=(3,),
        ),
    )

    def __init__(self, config: PickPlaceConfig) -> None:
        self.config = config = at_level(config, LEVELS)
        for name in ("cube_x", "cube_y", "bin_x", "bin_y"):
            require_range(f"env.task.{name}", getattr(config, name))
        if not 0.01 <= config.cube_half <= 0.035:
            raise ConfigError(f"cube_half={config.cube_half} does not fit the gripper; allowed: 0.01 to 0.035 [m]")

    def edit(self, world: mujoco.MjSpec) -> None:
        world.geom("cube").size = [self.config.cube_half] * 3

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        c = self.config
        ranges = (c.cube_x, c.cube_y, (-c.cube_yaw, c.cube_yaw), c.bin_x, c.bin_y)
        draws = np.array([[r.uniform(low, high) for low, high in ranges] for r in rngs])
        self.lay(physics, "cube", draws[:, :2], c.cube_half, draws[:, 2], rows)
        self.lay(physics, "bin", draws[:, 3:], 0.0, 0.0, rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """(B, 10): the cube's pose, the bin's place."""
        return {
            "observation.environment_state": np.concatenate([self.poses(physics, "cube"), physics.body("bin")[0]], 1).astype(np.float32)
        }

    def success(self, physics: Physics) -> np.ndarray:
        """The cube lies inside the bin and the gripper has let go of it."""
        cube, bin_ = physics.body("cube")[0], physics.body("bin")[0]
        inside = (np.abs(cube[:, :2] - bin_[:, :2]) < BIN_INNER).all(1) & (cube[:, 2] < BIN_RIM)
        return inside & (physics.widths()[:, 0] > 2 * self.config.cube_half + 0.008)

    def reached(self, physics: Physics) -> np.ndarray:
        cube, bin_ = physics.body("cube")[0], physics.body("bin")[0]
        at = np.linalg.norm(physics.tool()[0] - cube, axis=1) < AT
        lifted = cube[:, 2] > self.config.cube_half + LIFT
        over = (np.abs(cube[:, :2] - bin_[:, :2]) < BIN_INNER).all(1)
        return np.stack([at, lifted, over, self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """A third each for coming to the cube, for holding it high, and for bringing it over the bin."""
        cube, bin_ = physics.body("cube")[0], physics.body("bin")[0]
        near = tolerance(np.linalg.norm(physics.tool()[0] - cube, axis=1), high=0.01, margin=0.3, shape="long_tail")
        lifted = tolerance(cube[:, 2], low=0.1, high=1.0, margin=0.1, shape="linear")
        over = tolerance(np.linalg.norm(cube[:, :2] - bin_[:, :2], axis=1), high=0.03, margin=0.4)
        inside = (np.abs(cube[:, :2] - bin_[:, :2]) < BIN_INNER).all(1)
        return np.where(self.success(physics), 1.0, (near + np.maximum(lifted, inside) + over) / 3 * 0.95)


class PickPlaceExpert(Demonstrator):
    """Grasps the cube, carries it round the wall on one side or the other, and lets go of it over the bin."""

    faults = ("miss", "drop", "beside", "wall")

    @property
    def cube(self) -> np.ndarray:
        return self.obs["observation.environment_state"][:3]

    @property
    def bin(self) -> np.ndarray:
        return self.obs["observation.environment_state"][7:10]

    def plan(self) -> Plan:
        r = self.rng
        yield from self.hesitate()
        yield from self._grasp(miss=self.fault == "miss")
        if self.cube[2] < 0.05:  # it was not lifted: most look again, some do not notice
            if self.fault == "miss" and r.random() < 0.5:
                yield from self._carry()
                return
            yield from self._grasp(miss=False)
        yield from self._carry()

    def _grasp(self, miss: bool) -> Plan:
        r, hand = self.rng, self.hand
        yaw = square_yaw(self.obs["observation.environment_state"][3:7])
        hand.width = self.open
        hover = self.cube + [0, 0, r.uniform(0.09, 0.13)]
        first = r.normal(0, 0.02, 2) if r.random() < self.style.correct else r.normal(0, 0.004, 2)
        above = self.cube + [*first, r.uniform(0.2, 0.26)]  # over the wall's corner, then down
        if hand.position[2] > above[2]:
            yield from hand.sweep([above, hover + [*first, 0]], yaw)
        yield from hand.move(hover + [*r.normal(0, 0.004, 2), 0], yaw)
        offset = np.array([*r.normal(0, self.style.aim, 2), r.normal(0, 0.002)])
        if miss:
            offset[:2] = 0.05 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        goal = self.cube.copy()
        goal[2] = max(goal[2], 0.018)
        yield from hand.move(goal + offset, yaw, slower=0.6)
        hand.width = 0.0
        yield from hand.wait(r.uniform(0.7, 0.9))
        lift = hand.position + [0, 0, r.uniform(0.12, 0.17)]
        yield from hand.move(lift, 0.0, slower=0.9)

    def _carry(self) -> Plan:
        r, hand = self.rng, self.hand
        side = 1.0 if r.random() < 0.5 else -1.0
        clear = 0.0 if self.fault == "wall" else r.uniform(0.16, 0.18)
        height = hand.position[2]
        above = self.bin + [*r.normal(0, 0.006, 2), r.uniform(0.13, 0.16)]
        if self.fault == "beside":
            above[:2] += 0.13 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        x = WALL_X + side * clear
        legs = [np.array([x, -0.15, height]), np.array([x, 0.12, height]), above]
        carried = hand.sweep(legs, 0.0)
        drop_at = r.integers(8, 22) if self.fault == "drop" else -2
        for i, _ in enumerate(carried):
            if i == drop_at + 1:
                hand.width = self.open
            yield
        yield from hand.move(np.array([above[0], above[1], r.uniform(0.055, 0.075)]), 0.0, slower=0.8)
        hand.width = self.open
        yield from hand.wait(r.uniform(0.7, 0.85))
        yield from hand.move(hand.position + [0, 0, r.uniform(0.06, 0.1)])
        yield from hand.wait(0.4)
