"""Push a T that lies on the table onto its outline: Push-T (Chi et al. 2023, arXiv 2303.04137) for an arm with a closed gripper.

The T can be pushed from many sides and in many orders, so the data is multimodal at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from data.errors import ConfigError
from sim.base import Physics
from sim.experts import Demonstrator, Plan, square_yaw
from sim.pushing import Pushes, compose, cost, errors, library
from sim.rewards import tolerance
from sim.task import ArmTask, at_level, pose_feature, require_range

BOXES = ((0.0, 0.0257142857, 0.06, 0.015), (0.0, -0.0342857143, 0.015, 0.045))  # of push.xml: the bar and the stem [m]
LYING = 0.012  # [m] height of the T's centre on the table
APART = 0.06  # [m] it starts at least so far from its target
TOUCH = 0.1  # [m] a tool that pushes the T is not farther from its centre
RESTING, TURNING = 0.02, 0.3  # [m/s], [rad/s] a T that only slides across its target is faster
LEVELS = {
    "easy": {
        "block_x": [0.45, 0.55],
        "block_y": [-0.14, 0.14],
        "turn": 0.5,
        "target_x": [0.5, 0.5],
        "target_y": [0.0, 0.0],
        "target_yaw": 0.0,
        "tolerance": 0.035,
        "tolerance_yaw": 0.3,
    },
    "medium": {
        "block_x": [0.4, 0.6],
        "block_y": [-0.2, 0.2],
        "turn": np.pi / 2,
        "target_x": [0.46, 0.54],
        "target_y": [-0.06, 0.06],
        "target_yaw": 0.8,
        "tolerance": 0.025,
        "tolerance_yaw": 0.21,
    },
    "hard": {
        "block_x": [0.38, 0.62],
        "block_y": [-0.25, 0.25],
        "turn": np.pi,
        "target_x": [0.42, 0.58],
        "target_y": [-0.12, 0.12],
        "target_yaw": np.pi,
        "tolerance": 0.015,
        "tolerance_yaw": 0.12,
    },
}


def planar(position: np.ndarray, quat: np.ndarray) -> np.ndarray:
    """(..., 3) and (..., 4) -> (..., 3): x, y [m] and the turn about the vertical [rad]."""
    w, x, y, z = np.moveaxis(np.asarray(quat, float), -1, 0)
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return np.concatenate([np.asarray(position, float)[..., :2], yaw[..., None]], -1)


@dataclass
class PushConfig:
    level: str = "medium"  # easy, medium or hard: sets what is left out below
    block_x: list[float] | None = None  # range of the T's place at the start [m]
    block_y: list[float] | None = None
    turn: float | None = None  # at the start it is turned from its target by up to this [rad]
    target_x: list[float] | None = None  # range of the target's place [m]
    target_y: list[float] | None = None
    target_yaw: float | None = None  # the target is turned by up to this [rad]
    tolerance: float | None = None  # how near to its target the T must come [m]
    tolerance_yaw: float | None = None  # and how little it may be turned from it [rad]


class Push(ArmTask):
    Config = PushConfig
    name = "push"
    instruction = "Push the T onto its outline."
    scene = Path(__file__).with_suffix(".xml")
    milestones = ("at the T", "T in its place", "T in its place and turned", "T at rest on its outline")
    features = (pose_feature("observation.environment_state", "block", "target"),)

    def __init__(self, config: PushConfig) -> None:
        self.config = config = at_level(config, LEVELS)
        for name in ("block_x", "block_y", "target_x", "target_y"):
            require_range(f"env.task.{name}", getattr(config, name))
        self.tolerances = config.tolerance or 0.0, config.tolerance_yaw or 0.0
        for name, value, most in zip(("tolerance", "tolerance_yaw"), self.tolerances, (0.1, np.pi), strict=True):
            if not 0 < value <= most:
                raise ConfigError(f"env.task.{name}={value}; allowed: more than 0, up to {most:.3g}")
        self._block, self._target = np.array([[config.block_x, config.block_y], [config.target_x, config.target_y]], float)
        farthest = np.maximum(self._block[:, 1] - self._target[:, 0], self._target[:, 1] - self._block[:, 0])
        if np.linalg.norm(farthest) < 1.5 * APART:
            raise ConfigError(f"the ranges of env.task.block_x, block_y, target_x and target_y leave no two places {APART} m apart")

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        start, goal = np.array([self._poses(r) for r in rngs]).swapaxes(0, 1)
        self.lay(physics, "block", start[:, :2], LYING, start[:, 2], rows)
        self.lay(physics, "target", goal[:, :2], 0.0005, goal[:, 2], rows)

    def _poses(self, rng: np.random.Generator) -> np.ndarray:
        """(2, 3): x, y, yaw of the T and of its target."""
        turn, yaw = self.config.turn or 0.0, self.config.target_yaw or 0.0
        while True:
            start, goal = rng.uniform(*self._block.T), rng.uniform(*self._target.T)
            if np.linalg.norm(start - goal) >= APART:
                goal = np.append(goal, rng.uniform(-yaw, yaw))
                return np.stack([np.append(start, goal[2] + rng.uniform(-turn, turn)), goal])

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """(B, 14): the poses of the T and of its target."""
        return {"observation.environment_state": self.poses(physics, "block", "target").astype(np.float32)}

    def success(self, physics: Physics) -> np.ndarray:
        """The T lies on its outline, at rest."""
        position, quat = physics.body("block")
        distance, angle = errors(planar(position, quat), planar(*physics.body("target")))
        speed = physics.velocity("block")
        rests = (np.linalg.norm(speed[:, :3], axis=1) < RESTING) & (np.linalg.norm(speed[:, 3:], axis=1) < TURNING)
        flat = np.abs(position[:, 2] - LYING) < 0.004
        return rests & flat & (distance < self.tolerances[0]) & (angle < self.tolerances[1])

    def reached(self, physics: Physics) -> np.ndarray:
        block = physics.body("block")
        distance, angle = errors(planar(*block), planar(*physics.body("target")))
        placed, turned = distance < self.tolerances[0], angle < self.tolerances[1]
        at = np.linalg.norm(physics.tool()[0] - block[0], axis=1) < TOUCH
        return np.stack([at, placed, placed & turned, self.success(physics)], 1)

    def reward(self, physics: Physics) -> np.ndarray:
        """For coming to the T a fifth, for its place and for its turn two fifths each."""
        block = physics.body("block")
        distance, angle = errors(planar(*block), planar(*physics.body("target")))
        near = tolerance(np.linalg.norm(physics.tool()[0] - block[0], axis=1), high=0.06, margin=0.3, shape="long_tail")
        placed = tolerance(distance, high=0.2 * self.tolerances[0], margin=0.25)
        turned = tolerance(angle, high=0.2 * self.tolerances[1], margin=np.pi / 2)
        return np.where(self.success(physics), 1.0, (near + 2 * placed + 2 * turned) / 5 * 0.95)


PUSHER = 0.012  # [m] half width of the closed fingers
RADIUS = 0.053  # [m] of the T's limit surface, fitted to pushes in both engines
CLEARANCE = 0.02  # [m] the fingers come down so far from the T
LOW, HIGH = 0.022, 0.08  # [m] height of the tool that pushes, and that passes over the T
TOOL, ROOM = (0.3, 0.72), (0.38, 0.62)  # [m] from the base: where the tool reaches, and where it reaches round the T
PER_PUSH, PER_METRE = 0.35, 5.0  # [tolerances] what a push must be worth to be made


@cache
def pushes() -> Pushes:
    """What one can do to the T."""
    return library(BOXES, PUSHER, RADIUS, CLEARANCE)


class PushExpert(Demonstrator):
    """Pushes the T where it goes nearest to its outline, two pushes ahead, looks again, and so on until it lies there."""

    faults = ("askew", "short", "over")
    _amiss = np.zeros(3)  # where it wants the T to be, seen from the target

    @property
    def block(self) -> np.ndarray:
        """(3,)"""
        seen = self.obs["observation.environment_state"]
        return planar(seen[:3], seen[3:7])

    @property
    def goal(self) -> np.ndarray:
        """(3,)"""
        seen = self.obs["observation.environment_state"]
        return compose(planar(seen[7:10], seen[10:14]), self._amiss)

    def plan(self) -> Plan:
        r, hand = self.rng, self.hand
        if self.fault == "askew":
            self._amiss = np.array([0.0, 0.0, r.choice([-1, 1]) * r.uniform(0.45, 0.8)])
        if self.fault == "short":
            self._amiss = np.array([*(r.uniform(0.045, 0.07) * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])), 0.0])
        yield from self.hesitate()
        hand.width = 0.0
        for _ in range(2 if self.fault == "over" else 20):
            if cost(self.block, self.goal, self.task.tolerances) < 0.7:
                break
            price = self._price()
            if not np.isfinite(price).any():  # the T is out of reach
                break
            noise = r.normal(0, 0.1, len(price))
            yield from self._push(pushes().choose(self.block, self.goal, self.task.tolerances, price, noise))
        yield from hand.wait(0.6)

    def _price(self) -> np.ndarray:
        """(N,) of every push, infinite where the arm does not reach its two ends, or later not round the T."""
        known, block = pushes(), self.block
        flat = np.zeros((len(known.length), 1))
        way = known.direction
        possible = np.ones(len(way), bool)
        for place in (known.start - CLEARANCE * way, known.start + known.length[:, None] * way):
            x, y, _ = compose(block, np.concatenate([place, flat], 1)).T
            possible &= (np.hypot(x, y) > TOOL[0]) & (np.hypot(x, y) < TOOL[1]) & (x > 0.15)
        now, then = np.hypot(*block[:2]), np.hypot(*compose(block, known.effect).T[:2])
        possible &= ((then > ROOM[0]) & (then < ROOM[1])) | (np.abs(then - np.mean(ROOM)) < np.abs(now - np.mean(ROOM)))
        return np.where(possible, PER_PUSH + PER_METRE * known.length, np.inf)

    def _push(self, which: int) -> Plan:
        known, block, hand, r = pushes(), self.block, self.hand, self.rng
        low = HIGH - 0.03 if self.fault == "over" else LOW
        start = compose(block, np.append(known.start[which] - CLEARANCE * known.direction[which], 0.0))
        way = np.append(compose(np.array([0, 0, block[2]]), np.append(known.direction[which], 0.0))[:2], 0.0)
        down = np.append(start[:2] + np.clip(r.normal(0, self.style.aim, 2), -0.01, 0.01), low)
        yaw = square_yaw(self.obs["observation.environment_state"][3:7])
        up = [hand.position + [0, 0, HIGH - hand.position[2]]] if hand.position[2] < HIGH else []
        yield from hand.sweep([*up, down + [0, 0, HIGH - low + r.uniform(0, 0.02)]], yaw)
        yield from hand.move(down)
        for _ in hand.move(down + (CLEARANCE + known.length[which]) * way, slower=r.uniform(0.4, 0.55)):
            if cost(self.block, self.goal, self.task.tolerances) < 0.3:
                break
            yield
        yield from hand.wait(0.15)
        yield from hand.move(hand.position - 0.015 * way)
