"""Stand a long block that lies on the table upright in a tray, its red top up.

The wrist can tip the block up only if its top lies towards the arm or to a side. A top that points away from the arm has to be
turned round first: pick up, turn, put down, and grasp anew.

      lying: heading = the way the top points        standing in the tray
        [ band        top ]  ->                            top
                                                          |   |
                                                        | |   | |  rim
                                                        +-------+
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.rotations import multiply, quat_about_z, rotate
from sim.base import Physics
from sim.experts import Demonstrator, Plan
from sim.grips import pitched, tilt
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, pose_feature, require_range

if TYPE_CHECKING:
    import mujoco

HALF, LONG = 0.018, 0.07  # [m] half width and half length of the block
FLOOR, RIM, WALL = 0.006, 0.025, 0.006  # [m] height of the tray's floor and rim, half thickness of its walls
AT, LIFT = 0.05, 0.02  # [m] a tool at the block is so near where it is grasped; a lifted block is so far above the table
GRIP = 0.03  # [m] where it is grasped, from its middle towards its top
LYING = np.array([np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0])  # the block's top points along x
UP = np.array([0.0, 0.0, 1.0])
LEVELS = {
    "easy": {"x": [0.46, 0.52], "y": [-0.24, -0.16], "heading": 0.8, "tray_x": [0.43, 0.47], "tray_y": [0.14, 0.2], "clearance": 0.008},
    "medium": {"x": [0.44, 0.54], "y": [-0.3, -0.12], "heading": np.pi, "tray_x": [0.38, 0.46], "tray_y": [0.08, 0.24], "clearance": 0.006},
    "hard": {"x": [0.43, 0.56], "y": [-0.34, -0.11], "heading": np.pi, "tray_x": [0.37, 0.47], "tray_y": [0.07, 0.28], "clearance": 0.003},
}


@dataclass
class ReorientConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    x: list[float] | None = None  # range of the block's middle [m]
    y: list[float] | None = None
    heading: float | None = None  # the top points towards the arm, turned by up to this [rad]; pi is anywhere
    tray_x: list[float] | None = None  # range of the tray's middle [m]; it is turned anyhow
    tray_y: list[float] | None = None
    clearance: float | None = None  # between block and rim, on every side [m]


class Reorient(ArmTask):
    Config = ReorientConfig
    name = "reorient"
    instruction = "Stand the block upright in the tray, the red end up."
    scene = Path(__file__).with_suffix(".xml")
    milestones = ("at the block", "block lifted", "block upright", "block upright over the tray", "block standing in the tray")
    features = (pose_feature("observation.environment_state", "block", "tray"),)

    def __init__(self, config: ReorientConfig) -> None:
        self.config = config = at_level(config, LEVELS)
        for name in ("x", "y", "tray_x", "tray_y"):
            require_range(f"env.task.{name}", getattr(config, name))
        heading, self.clearance = float(config.heading or 0.0), float(config.clearance or 0.0)
        if not 0 <= heading <= np.pi:
            raise ConfigError(f"env.task.heading={heading}; allowed: 0 to pi [rad]")
        if not 0.001 <= self.clearance <= 0.02:
            raise ConfigError(f"env.task.clearance={self.clearance}; allowed: 0.001 to 0.02 [m]")
        turned = [np.pi - heading, np.pi + heading]
        self._ranges = np.array([config.x, config.y, turned, config.tray_x, config.tray_y, [-np.pi / 4, np.pi / 4]], float)  # (6, 2)

    def edit(self, world: mujoco.MjSpec) -> None:
        inner = HALF + self.clearance
        world.geom("tray_floor").size = [inner + WALL, inner + WALL, FLOOR / 2]
        for name, place in (("x1", [inner + WALL, 0]), ("x2", [-inner - WALL, 0]), ("y1", [0, inner + WALL]), ("y2", [0, -inner - WALL])):
            wall = world.geom(f"tray_{name}")
            wall.pos = [*place, RIM / 2]
            wall.size = [WALL, inner + 2 * WALL, RIM / 2] if place[0] else [inner + 2 * WALL, WALL, RIM / 2]

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        draws = np.stack([r.uniform(*self._ranges.T) for r in rngs])
        place = np.concatenate([draws[:, :2], np.full((len(rows), 1), HALF)], 1)
        physics.set_body("block", place, multiply(quat_about_z(draws[:, 2]), LYING), rows)
        self.lay(physics, "tray", draws[:, 3:5], 0.0, draws[:, 5], rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        return {"observation.environment_state": self.poses(physics, "block", "tray").astype(np.float32)}

    def success(self, physics: Physics) -> np.ndarray:
        """The block stands in the tray, its top up, and the gripper has let go of it."""
        (block, quat), tray = physics.body("block"), physics.body("tray")[0]
        upright = rotate(quat, UP)[:, 2] > np.cos(np.radians(10))
        inside = np.linalg.norm(block[:, :2] - tray[:, :2], axis=1) < 0.03
        down = np.abs(block[:, 2] - FLOOR - LONG) < 0.008
        return upright & inside & down & (physics.widths()[:, 0] > 2 * HALF + 0.008)

    def reached(self, physics: Physics) -> np.ndarray:
        (block, quat), tray = physics.body("block"), physics.body("tray")[0]
        up = rotate(quat, UP)
        at = np.linalg.norm(physics.tool()[0] - block - GRIP * up, axis=1) < AT
        lowest = block[:, 2] - LONG * np.abs(up[:, 2]) - HALF * np.sqrt(np.clip(1 - up[:, 2] ** 2, 0, 1))
        upright = up[:, 2] > np.cos(np.radians(20))
        over = np.linalg.norm(block[:, :2] - tray[:, :2], axis=1) < 0.03
        return np.stack([at, lowest > LIFT, upright, upright & over, self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """A quarter for coming to the block, a half for bringing its top up, a quarter for bringing it to the tray."""
        (block, quat), tray = physics.body("block"), physics.body("tray")[0]
        up = rotate(quat, UP)
        near = tolerance(np.linalg.norm(physics.tool()[0] - block - GRIP * up, axis=1), high=0.01, margin=0.3, shape="long_tail")
        upright = np.clip(up[:, 2], 0.0, 1.0)
        over = tolerance(np.linalg.norm(block[:, :2] - tray[:, :2], axis=1), high=0.03, margin=0.4)
        return np.where(self.success(physics), 1.0, (near + 2 * upright + over) / 4 * 0.95)


class ReorientExpert(Demonstrator):
    """Turns the block round if need be, grasps it below its top, tips it up on the way to the tray, and lets it in."""

    faults = ("miss", "drop", "tilted", "beside")

    @property
    def block(self) -> np.ndarray:
        return self.obs["observation.environment_state"][:3].astype(float)

    @property
    def top(self) -> np.ndarray:
        """The way the block's top points (3,)."""
        return rotate(self.obs["observation.environment_state"][3:7].astype(float), UP)

    @property
    def heading(self) -> float:
        """Of the top [rad] from the way towards the arm, in (-pi, pi]."""
        top = self.top
        return float(np.arctan2(-top[1], -top[0]))

    @property
    def tray(self) -> np.ndarray:
        return self.obs["observation.environment_state"][7:10].astype(float)

    @property
    def tray_yaw(self) -> float:
        quat = self.obs["observation.environment_state"][10:14]
        return 2 * float(np.arctan2(quat[3], quat[0]))

    def plan(self) -> Plan:
        yield from self.hesitate()
        for attempt in range(3):
            fault = self.fault if attempt == 0 else "none"
            if not -1.7 < self.heading < 1.9:
                yield from self._turn()
            pitch = yield from self._grasp(fault == "miss")
            if self.block[2] > 0.06:
                yield from self._stand(pitch, fault)
            if self.top[2] > 0.9 or self.fault in ("miss", "tilted", "beside"):
                break  # it stands; or it is not noticed that it does not

    def _grasp_at(self, goal: np.ndarray, yaw: float, pitch: float, hover: float) -> Plan:
        r, hand = self.rng, self.hand
        hand.width = self.open
        above = goal + [*r.normal(0, 0.004, 2), hover]
        yield from tilt(hand, hand.move(above, yaw), pitched(pitch), seconds=0.9)
        yield from hand.move(goal, slower=0.6)
        hand.width = 0.0
        yield from hand.wait(r.uniform(0.5, 0.65))

    def _turn(self) -> Plan:
        """Turn the block round on the table, so that its top points to a side."""
        r, hand = self.rng, self.hand
        away = float(np.arctan2(self.top[1], self.top[0]))  # within 1.5 rad of straight away from the arm
        goal = self.block + [*r.normal(0, self.style.aim, 2), 0.004]
        yield from self._grasp_at(goal, away, 0.0, r.uniform(0.09, 0.12))
        yield from hand.move(hand.position + [0, 0, r.uniform(0.025, 0.04)])
        yield from hand.move(hand.position, -r.uniform(1.65, 1.85))
        yield from hand.move(np.array([*hand.position[:2], goal[2] + 0.001]), slower=0.6)
        hand.width = self.open
        yield from hand.wait(r.uniform(0.4, 0.5))
        yield from hand.move(hand.position + [0, 0, r.uniform(0.06, 0.08)], r.uniform(-0.3, 0.3))

    def _grasp(self, miss: bool) -> Generator[None, None, float]:
        r = self.rng
        pitch = r.uniform(0.45, 0.55)
        aim = np.array([*r.normal(0, self.style.aim, 2), 0.003])
        if miss:
            aim[:2] = 0.07 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        yield from self._grasp_at(
            self.block + (GRIP + r.uniform(-0.006, 0.004)) * self.top + aim, self.heading, pitch, r.uniform(0.09, 0.12)
        )
        yield from self.hand.move(self.hand.position + [0, 0, r.uniform(0.13, 0.16)], slower=0.9)
        return pitch

    def _stand(self, pitch: float, fault: str) -> Plan:
        """Tip the block up on the way to the tray, look, and let it down."""
        r, hand = self.rng, self.hand
        around = float(np.arctan2(self.tray[1], self.tray[0]))
        yaw = self.tray_yaw + np.pi / 2 * round((around - self.tray_yaw) / (np.pi / 2))
        held = float(np.linalg.norm(hand.position - self.block))
        bottom = r.uniform(0.04, 0.055)
        above = self.tray + [0, 0, bottom + LONG + held]
        if fault == "beside":
            above[:2] += 0.09 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        end = pitched(pitch - np.pi / 2 + (0.5 if fault == "tilted" else 0.0))
        drop = int(r.integers(5, 18)) if fault == "drop" else -1
        for i, _ in enumerate(tilt(hand, hand.move(above, yaw, slower=0.9), end, seconds=1.6)):
            if i == drop:
                hand.width = self.open
            yield
        yield from hand.wait(0.2)
        yield from self._insert(centred=fault not in ("beside", "tilted", "drop"))
        hand.width = self.open
        yield from hand.wait(r.uniform(0.6, 0.7))
        back = rotate(multiply(quat_about_z(np.array(hand.yaw)), hand.grip), -UP)
        yield from hand.move(hand.position + back * r.uniform(0.07, 0.1), slower=0.8)
        yield from hand.wait(0.4)

    def _insert(self, centred: bool) -> Plan:
        """Let it down into the tray; if it sits on the rim, lift it and look again."""
        r, hand = self.rng, self.hand
        for attempt in range(3):
            if centred:
                yield from self._centre(r.uniform(0.4, 0.6))
            depth = self.block[2] - LONG - FLOOR
            yield from hand.move(hand.position - [0, 0, depth - 0.002], slower=0.5)
            yield from hand.wait(0.2)
            if not centred or self.top[2] < 0.9 or self.block[2] < FLOOR + LONG + 0.008:
                break
            if attempt < 2:
                yield from hand.move(hand.position + [0, 0, 0.035])

    def _centre(self, seconds: float) -> Plan:
        """Bring the block's lower end over the middle of the tray, as it is seen."""
        for _ in range(round(seconds * self.rate)):
            off = (self.tray - self.block + LONG * self.top) * [1, 1, 0]
            self.hand.position = self.hand.position + 0.2 * np.clip(off, -0.02, 0.02)
            yield
