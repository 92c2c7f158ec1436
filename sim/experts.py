"""Scripted demonstrators with human-like variety: pauses, corrections, and some who are sloppy, slow or fail.

A demonstrator is a generator: it is told what is seen and yields what it does, one action per control step. What it does is
commanded poses; its hands tremble (an Ornstein-Uhlenbeck process) and it does not know that it will fail. The scripts of the
tasks are in sim/tasks, beside what they demonstrate.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.errors import ConfigError, did_you_mean
from data.rotations import matrix_from_quat, multiply, quat_about_z
from real.base import RobotSpec

Plan = Generator[None, None, None]  # one yield per control step: the hands were moved
DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # the tool's z axis points at the table


@dataclass(frozen=True)
class Style:
    """How a person moves."""

    speed: float = 0.32  # mean speed of a long move [m/s]
    tremor: float = 0.0015  # standard deviation of the hand [m]
    aim: float = 0.003  # standard deviation of where it grasps [m]
    pause: float = 0.12  # probability of a pause between two moves
    correct: float = 0.2  # probability of missing first and correcting
    fault: float = 0.0  # share of the episodes in which a mistake is made


STYLES: dict[str, Style] = {
    "clean": Style(),
    "sloppy": Style(speed=0.26, tremor=0.004, aim=0.007, pause=0.3, correct=0.4, fault=2 / 3),
    "noisy": Style(tremor=0.008, aim=0.005),
    "slow": Style(speed=0.16, pause=0.5, correct=0.3),
    "wrong": Style(fault=0.5),
}


def square_yaw(quat: np.ndarray) -> float:
    """The turn about z of a cube with quaternion (4,), in (-pi/4, pi/4]: a cube looks the same every 90 degrees."""
    matrix = matrix_from_quat(quat)
    flat = matrix[:, np.argmin(np.abs(matrix[2]))]  # an axis of the cube that lies in the table's plane
    return float((np.arctan2(flat[1], flat[0]) + np.pi / 4) % (np.pi / 2) - np.pi / 4)


class Hand:
    """Where one gripper is told to be. Its moves are plans; `position`, `yaw`, `width` may be set between two steps.

    grip: the tool's orientation at yaw 0 (4,), pointing down if nothing else is said.
    """

    def __init__(self, rng: np.random.Generator, style: Style, speed: float, rate_hz: float, width: float) -> None:
        self.rng, self.style, self.speed, self.rate = rng, style, speed, rate_hz
        self.position, self.yaw, self.width, self.grip = np.zeros(3), 0.0, width, DOWN
        self._tremble = np.zeros(3)

    def action(self) -> np.ndarray:
        """(8,) float32: pose and width as commanded now."""
        self._tremble += -0.3 * self._tremble + self.rng.normal(0, self.style.tremor * 0.7, 3)
        quat = multiply(quat_about_z(np.array(self.yaw)), self.grip)
        return np.concatenate([self.position + self._tremble, quat, [self.width]]).astype(np.float32)

    def wait(self, seconds: float) -> Plan:
        for _ in range(max(1, round(seconds * self.rate))):
            yield

    def move(self, target: np.ndarray, yaw: float | None = None, slower: float = 1.0) -> Plan:
        """A minimum-jerk move (Flash and Hogan 1985) to a point (3,) [m], sometimes after a pause."""
        yield from self._pause()
        start, start_yaw = self.position.copy(), self.yaw
        yaw = start_yaw if yaw is None else yaw
        duration = max(float(np.linalg.norm(target - start)) / (self.speed * slower), abs(yaw - start_yaw) / 1.8, 0.25)
        steps = int(np.ceil(duration * self.rate))
        for i in range(1, steps + 1):
            s = i / steps
            share = s**3 * (10 - 15 * s + 6 * s**2)
            self.position, self.yaw = start + share * (target - start), start_yaw + share * (yaw - start_yaw)
            yield

    def sweep(self, points: list[np.ndarray], yaw: float) -> Plan:
        """A smooth move through via points without stopping at them: a Catmull-Rom path at an even, eased pace."""
        yield from self._pause()
        path = np.array([self.position, *points])
        padded = np.concatenate([2 * path[:1] - path[1:2], path, 2 * path[-1:] - path[-2:-1]])
        length = np.linalg.norm(np.diff(path, axis=0), axis=1)
        steps = int(np.ceil(max(length.sum() / self.speed, 0.4) * self.rate))
        knots, start_yaw = np.concatenate([[0], np.cumsum(length)]) / length.sum(), self.yaw
        for i in range(1, steps + 1):
            s = i / steps
            share = s * s * (3 - 2 * s)
            j = min(int(np.searchsorted(knots, share, side="right")) - 1, len(length) - 1)
            u = (share - knots[j]) / (knots[j + 1] - knots[j])
            a, b, c, d = padded[j : j + 4]
            self.position = 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)
            self.yaw = start_yaw + share * (yaw - start_yaw)
            yield

    def _pause(self) -> Plan:
        if self.rng.random() < self.style.pause:
            yield from self.wait(self.rng.uniform(0.15, 0.6))


class Demonstrator:
    """One demonstration of one task. `obs` is what is seen now, one row; it is updated before every step of the plan.

    fault: what will go wrong, one of `faults`, or "none". A subclass writes `plan`; it moves `hand` (or `hands`, one per arm).
    """

    faults: ClassVar[tuple[str, ...]] = ()

    def __init__(self, rng: np.random.Generator, style: str, task: Any, robot: RobotSpec, rate_hz: float, arms: int = 1) -> None:
        """Raises ConfigError for a style that does not exist."""
        if style not in STYLES:
            raise ConfigError(f"there is no style {style!r} of demonstrating; {did_you_mean(style, STYLES)}")
        self.rng, self.style, self.task, self.robot, self.rate = rng, STYLES[style], task, robot, rate_hz
        self.fault = "none"
        if self.style.fault and self.faults:
            right = round(len(self.faults) * (1 - self.style.fault) / self.style.fault)
            self.fault = str(rng.choice((*["none"] * right, *self.faults)))
        speed = self.style.speed * rng.uniform(0.85, 1.2)
        self.open = robot.gripper_max_width  # [m]
        self.hands = [Hand(rng, self.style, speed, rate_hz, self.open) for _ in range(arms)]
        self.obs: Mapping[str, np.ndarray] = {}

    @property
    def hand(self) -> Hand:
        return self.hands[0]

    def plan(self) -> Plan:
        """The whole demonstration. It ends when the demonstrator believes to be done, or gives up."""
        raise NotImplementedError

    def script(self) -> Generator[np.ndarray, None, None]:
        """Actions (8 per arm,) float32: poses and widths of all hands."""
        state = self.obs["observation.state"]
        for i, hand in enumerate(self.hands):
            hand.position = state[8 * i : 8 * i + 3].astype(float)
        for _ in self.plan():
            yield np.concatenate([hand.action() for hand in self.hands])

    def hesitate(self) -> Plan:
        """Some do not begin at once."""
        if self.rng.random() < self.style.pause:
            yield from self.hand.wait(self.rng.uniform(0.1, 0.4))

    @staticmethod
    def together(*plans: Plan) -> Plan:
        """Several hands at once; who is done first waits for the others."""
        running = list(plans)
        while running:
            running = [plan for plan in running if next(plan, plan) is None]
            if running:
                yield
