"""Pull a square peg out of its holder and insert it into a hole a few millimetres wider than it, in a block at a random pose.

The peg looks the same every 90 degrees, so that it can be turned to the hole one way round or the other.

         | |  peg, 12 cm
      ___| |___
     |   |_|   |  block, 6 cm high; the hole goes through it
     |   : :   |  the task is done when the tip is `depth` below its top
    ============  table, z = 0
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.rotations import rotate
from sim.base import Physics
from sim.experts import Demonstrator, Plan, square_yaw
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, pose_feature, require_range

if TYPE_CHECKING:
    import mujoco

PEG_HALF, PEG_LENGTH = 0.015, 0.12  # [m] half width of its square section; it stands on one end
BLOCK_HALF, BLOCK_TOP = 0.05, 0.06  # [m] half width of the block outside; its height
APART = 0.14  # [m] between the middles of the holder and the block at least
DEPTH = 0.04  # [m] how deep the tip has to be
AT, PULLED, OVER = 0.05, 0.03, 0.02  # [m] tool to the middle of the peg; height of a tip that is out; tip to the axis of the hole
MOUTH = 0.005  # [m] a tip that is in the hole, and not on its rim, is so deep
LEVELS = {
    "easy": {"clearance": 0.004, "x": [0.46, 0.54], "peg_y": [-0.24, -0.16], "block_y": [0.12, 0.2], "peg_yaw": 0.2, "block_yaw": 0.2},
    "medium": {
        "clearance": 0.002,
        "x": [0.42, 0.58],
        "peg_y": [-0.28, -0.12],
        "block_y": [0.1, 0.26],
        "peg_yaw": np.pi / 4,
        "block_yaw": np.pi / 4,
    },
    "hard": {
        "clearance": 0.001,
        "x": [0.4, 0.62],
        "peg_y": [-0.32, -0.1],
        "block_y": [0.08, 0.3],
        "peg_yaw": np.pi / 4,
        "block_yaw": np.pi / 4,
    },
}


@dataclass
class PegInsertionConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    clearance: float | None = None  # gap between the peg and every side of the hole, when it is centred [m]
    x: list[float] | None = None  # range of the places of the peg and of the block [m]
    peg_y: list[float] | None = None
    block_y: list[float] | None = None
    peg_yaw: float | None = None  # they are turned by up to this [rad]; 45 degrees are all poses
    block_yaw: float | None = None


class PegInsertion(ArmTask):
    Config = PegInsertionConfig
    name = "peg_insertion"
    instruction = "Insert the peg into the hole of the block."
    scene = Path(__file__).with_suffix(".xml")
    milestones = ("at the peg", "peg pulled out", "peg over the hole", "peg in the hole", "peg deep in the hole")
    features = (pose_feature("observation.environment_state", "peg", "block"),)

    def __init__(self, config: PegInsertionConfig) -> None:
        config = at_level(config, LEVELS)
        for name in ("x", "peg_y", "block_y"):
            require_range(f"env.task.{name}", getattr(config, name))
        clearance, peg_yaw, block_yaw = config.clearance, config.peg_yaw, config.block_yaw
        assert config.peg_y and config.block_y and config.x  # whatever was left out came from the level
        assert clearance is not None and peg_yaw is not None and block_yaw is not None
        if not 0.0005 <= clearance <= 0.01:
            raise ConfigError(f"env.task.clearance={clearance}; allowed: 0.0005 to 0.01 [m]")
        if not config.peg_y[1] + APART <= config.block_y[0]:
            raise ConfigError(
                f"env.task.block_y={config.block_y} must begin {APART} m past peg_y={config.peg_y}: the holder and the block overlap"
            )
        for name, yaw in (("peg_yaw", peg_yaw), ("block_yaw", block_yaw)):
            if not 0 <= yaw <= np.pi:
                raise ConfigError(f"env.task.{name}={yaw}; allowed: 0 to pi [rad]")
        self.config, self.hole = config, PEG_HALF + clearance
        self._ranges = (config.x, config.peg_y, (-peg_yaw, peg_yaw), config.x, config.block_y, (-block_yaw, block_yaw))

    def edit(self, world: mujoco.MjSpec) -> None:
        middle, thick = (BLOCK_HALF + self.hole) / 2, (BLOCK_HALF - self.hole) / 2
        for name, side in (("1", 1.0), ("2", -1.0)):
            x, y = world.geom(f"block_x{name}"), world.geom(f"block_y{name}")
            x.pos, x.size = [side * middle, 0, BLOCK_TOP / 2], [thick, BLOCK_HALF, BLOCK_TOP / 2]
            y.pos, y.size = [0, side * middle, BLOCK_TOP / 2], [self.hole, thick, BLOCK_TOP / 2]

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        draws = np.array([[r.uniform(low, high) for low, high in self._ranges] for r in rngs])
        self.lay(physics, "peg", draws[:, :2], PEG_LENGTH / 2, draws[:, 2], rows)
        self.lay(physics, "holder", draws[:, :2], 0.0, draws[:, 2], rows)
        self.lay(physics, "block", draws[:, 3:5], 0.0, draws[:, 5], rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """(B, 14): poses of the peg's middle and of the block's foot."""
        return {"observation.environment_state": self.poses(physics, "peg", "block").astype(np.float32)}

    def tip(self, physics: Physics) -> np.ndarray:
        """(B, 3) [m] in the block's frame: the end of the peg that is further down."""
        (position, quat), (foot, turn) = physics.body("peg"), physics.body("block")
        return rotate(turn * [1, -1, -1, -1], lower_end(position, quat) - foot)

    def success(self, physics: Physics) -> np.ndarray:
        """The peg's tip is in the hole and deep enough."""
        tip = self.tip(physics)
        return (np.abs(tip[:, :2]) < self.hole).all(1) & (tip[:, 2] < BLOCK_TOP - DEPTH)

    def reached(self, physics: Physics) -> np.ndarray:
        tip = self.tip(physics)
        at = np.linalg.norm(physics.tool()[0] - physics.body("peg")[0], axis=1) < AT
        over = np.linalg.norm(tip[:, :2], axis=1) < OVER
        within = (np.abs(tip[:, :2]) < self.hole).all(1) & (tip[:, 2] < BLOCK_TOP - MOUTH)
        return np.stack([at, tip[:, 2] > PULLED, over, within, self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """A quarter each for coming to the peg, for lifting its tip, for bringing that over the hole, and for going in."""
        peg, tip = physics.body("peg")[0], self.tip(physics)
        near = tolerance(np.linalg.norm(physics.tool()[0] - peg, axis=1), high=0.04, margin=0.3, shape="long_tail")
        aside = np.linalg.norm(tip[:, :2], axis=1)
        within = (np.abs(tip[:, :2]) < self.hole).all(1) & (tip[:, 2] < BLOCK_TOP)
        lifted = tolerance(tip[:, 2], low=0.08, high=1.0, margin=0.08, shape="linear")
        over = tolerance(aside, high=0.002, margin=0.3, shape="long_tail")
        deep = np.where(within, np.clip((BLOCK_TOP - tip[:, 2]) / DEPTH, 0, 1), 0.0)
        return np.where(self.success(physics), 1.0, (near + np.maximum(lifted, within) + over + deep) / 4 * 0.95)


def lower_end(position: np.ndarray, quat: np.ndarray) -> np.ndarray:
    """(..., 3), (..., 4) of the peg's middle -> (..., 3) [m]."""
    axis = rotate(quat, np.array([0.0, 0.0, 1.0]))
    return position - np.where(axis[..., 2:] < 0, -1.0, 1.0) * axis * PEG_LENGTH / 2


class PegInsertionExpert(Demonstrator):
    """Pulls the peg out, brings its tip over the hole, presses lightly and searches in a spiral until it goes in."""

    faults = ("miss", "drop", "twisted", "beside")
    TOUCH, PRESS = 0.005, 0.008  # [m] how far below where it is the hand is sent, outside and inside: that limits the force
    LEAN = 0.12  # [rad] of the peg in the fingers, at which it stops pressing
    PATIENCE = 2.0  # [s] of searching before it lifts the peg and looks again

    @property
    def peg(self) -> np.ndarray:
        return self.obs["observation.environment_state"][:7].astype(float)

    @property
    def block(self) -> np.ndarray:
        return self.obs["observation.environment_state"][7:14].astype(float)

    @property
    def tip(self) -> np.ndarray:
        return lower_end(self.peg[:3], self.peg[3:])

    @property
    def tool(self) -> np.ndarray:
        return self.obs["observation.state"][:3].astype(float)

    @property
    def held(self) -> bool:
        return bool(np.linalg.norm(self.tool - self.peg[:3]) < PEG_LENGTH / 2 + 0.01) and self.tip[2] > 0.02

    def plan(self) -> Plan:
        r = self.rng
        yield from self.hesitate()
        yield from self._grasp(miss=self.fault == "miss")
        for _ in range(2):
            if self.held or (self.fault == "miss" and r.random() < 0.5):
                break
            yield from self._grasp(miss=False)
        aim = np.append(r.normal(0, 0.3 * self.style.aim, 2), 0.0)
        if self.fault == "beside":
            aim[:2] = 0.025 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        yield from self._bring()
        for _ in range(3):
            yield from self._align(aim)
            yield from self._insert(aim)
            if self.tip[2] < BLOCK_TOP - DEPTH or self.fault in ("beside", "twisted"):
                break
            aim *= 0.3
            yield from self.hand.move(np.append(self.hand.position[:2], self.tool[2] + 0.03))
        yield from self.hand.wait(0.3)
        self.hand.width = self.open
        yield from self.hand.wait(r.uniform(0.6, 0.8))
        yield from self.hand.move(self.hand.position + [0, 0, r.uniform(0.08, 0.12)])

    def _grasp(self, miss: bool) -> Plan:
        r, hand = self.rng, self.hand
        yaw = square_yaw(self.peg[3:])
        hand.width = self.open
        top = self.peg[:3] + [0, 0, r.uniform(0.025, 0.035)]
        first = r.normal(0, 0.015, 2) if r.random() < self.style.correct else r.normal(0, 0.003, 2)
        yield from hand.move(top + [*first, r.uniform(0.08, 0.11)], yaw)
        offset = np.array([*r.normal(0, self.style.aim, 2), r.normal(0, 0.002)])
        if miss:
            offset[:2] = 0.065 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        yield from hand.move(top + offset, yaw, slower=0.6)
        hand.width = 0.0
        yield from hand.wait(r.uniform(0.7, 0.9))
        yield from hand.move(hand.position + [0, 0, r.uniform(0.1, 0.13)], slower=0.8)

    def _turn(self) -> float:
        """How far the hand still has to turn, so that the peg fits the hole [rad]."""
        return (square_yaw(self.block[3:]) - square_yaw(self.peg[3:]) + np.pi / 4) % (np.pi / 2) - np.pi / 4

    def _bring(self) -> Plan:
        """To a hand's breadth over the hole, turned to it one way round or, sometimes, the other."""
        r, hand = self.rng, self.hand
        turn = 0.0 if self.fault == "twisted" else self._turn()
        other = turn - np.sign(turn) * np.pi / 2
        if self.fault == "twisted":
            turn = self._turn() + np.pi / 4
        elif abs(hand.yaw + other) < 1.2 and r.random() < 0.3:
            turn = other
        over = self.block[:3] + [*r.normal(0, 0.01, 2), hand.position[2] + r.uniform(-0.01, 0.02)]
        middle = (hand.position + over) / 2 + [r.normal(0, 0.03), r.normal(0, 0.02), r.uniform(0.01, 0.05)]
        carried = hand.sweep([middle, over], hand.yaw + turn)
        drop_at = r.integers(8, 22) if self.fault == "drop" else -2
        for i, _ in enumerate(carried):
            if i == drop_at + 1:
                hand.width = self.open
            yield

    def _align(self, aim: np.ndarray) -> Plan:
        """Watches the tip and moves the hand until that rests over the hole, just above the block."""
        hand, rested = self.hand, 0
        height = BLOCK_TOP + self.rng.uniform(0.008, 0.015)
        for _ in range(round(2.5 * self.rate)):
            error = self.block[:3] + aim + [0, 0, height] - self.tip
            turn = 0.0 if self.fault == "twisted" else self._turn()
            hand.position = hand.position + np.clip(0.25 * error, -0.012, 0.012)
            hand.yaw += float(np.clip(0.2 * turn, -0.05, 0.05))
            yield
            rested = rested + 1 if np.abs(error[:2]).max() < 0.003 and abs(error[2]) < 0.01 and abs(turn) < 0.04 else 0
            if rested == 3:
                return

    def _insert(self, aim: np.ndarray) -> Plan:
        """Down, pressing lightly; where it does not go in, in a growing spiral round where the hole should be."""
        hand, angle, radius, stuck = self.hand, self.rng.uniform(0, 2 * np.pi), 0.0, 0
        centre = hand.position[:2].copy()
        for _ in range(round(6 * self.rate)):
            tip, hole = self.tip, self.block[:3]
            inside = tip[2] < BLOCK_TOP - 0.004
            if tip[2] < 0.008 or np.linalg.norm(tip[:2] - hole[:2]) > 0.05:
                return
            press, pace = (self.PRESS, 0.0035) if inside else (self.TOUCH, 0.0025)
            if inside:  # the upper end goes over the hole too: that sets a tilted peg upright
                centre += 0.1 * (hole[:2] - (2 * self.peg[:2] - tip[:2]))
                radius *= 0.8
            else:
                centre += 0.1 * (hole[:2] + aim[:2] - tip[:2])
                if self.tool[2] - hand.position[2] > 0.9 * press:
                    stuck += 1
                    angle += 0.7
                    radius = min(radius + 0.00015, 0.004)
                leans = np.linalg.norm((self.peg[:2] - tip[:2]) / (PEG_LENGTH / 2)) > self.LEAN
                if stuck > self.PATIENCE * self.rate or (stuck > 5 and leans):
                    return
            hand.position[:2] = centre + radius * np.array([np.cos(angle), np.sin(angle)])
            hand.position[2] = max(hand.position[2] - pace, self.tool[2] - press)
            if self.fault != "twisted":
                hand.yaw += float(np.clip(0.1 * self._turn(), -0.02, 0.02))
            yield
