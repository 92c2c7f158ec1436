"""Scripted demonstrators with human-like variety: two ways round, pauses, corrections, and some who are sloppy or fail.

A demonstrator is a generator: it is sent what it sees and yields what it does, one action per control step. What it
does is commanded poses; its hand trembles (an Ornstein-Uhlenbeck process) and it does not know that it will fail.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from data.rotations import matrix_from_quat, multiply, quat_about_z
from sim.tasks.pick_place import WALL_X

Script = Generator[np.ndarray, None, None]
_DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # the tool's z axis points at the table
OPEN, SHUT = 0.08, 0.0  # gripper width [m]


@dataclass
class Style:
    """How a person moves."""

    speed: float  # mean speed of a long move [m/s]
    tremor: float  # standard deviation of the hand [m]
    aim: float  # standard deviation of where it grasps [m]
    pause: float  # probability of a pause between two moves
    correct: float  # probability of missing first and correcting


CLEAN = Style(speed=0.32, tremor=0.0015, aim=0.003, pause=0.12, correct=0.2)
SLOPPY = Style(speed=0.26, tremor=0.004, aim=0.007, pause=0.3, correct=0.4)
FAULTS = ("none", "none", "miss", "drop", "beside", "wall")  # what goes wrong for a sloppy one, equally likely


class PickPlaceExpert:
    """One demonstration of sim.tasks.pick_place. `obs` is updated before every next()."""

    def __init__(self, rng: np.random.Generator, sloppy: bool, rate_hz: float) -> None:
        self.rng, self.rate = rng, rate_hz
        self.style = SLOPPY if sloppy else CLEAN
        self.fault = str(rng.choice(FAULTS)) if sloppy else "none"
        self.speed = self.style.speed * rng.uniform(0.85, 1.2)
        self.obs: dict[str, np.ndarray] = {}
        self._tremble = np.zeros(3)
        self.position, self.yaw, self.width = np.zeros(3), 0.0, OPEN

    # What it sees.

    @property
    def cube(self) -> np.ndarray:
        return self.obs["observation.environment_state"][:3]

    @property
    def cube_yaw(self) -> float:
        """The cube's turn about z, in (-pi/4, pi/4]: a cube looks the same every 90 degrees."""
        matrix = matrix_from_quat(self.obs["observation.environment_state"][3:7])
        flat = matrix[:, np.argmin(np.abs(matrix[2]))]  # an axis of the cube that lies in the table's plane
        return float((np.arctan2(flat[1], flat[0]) + np.pi / 4) % (np.pi / 2) - np.pi / 4)

    @property
    def bin(self) -> np.ndarray:
        return self.obs["observation.environment_state"][7:10]

    # What it does.

    def _act(self) -> np.ndarray:
        self._tremble += -0.3 * self._tremble + self.rng.normal(0, self.style.tremor * 0.7, 3)
        quat = multiply(quat_about_z(np.array(self.yaw)), _DOWN)
        return np.concatenate([self.position + self._tremble, quat, [self.width]]).astype(np.float32)

    def _wait(self, seconds: float) -> Script:
        for _ in range(max(1, round(seconds * self.rate))):
            yield self._act()

    def _move(self, target: np.ndarray, yaw: float | None = None, slower: float = 1.0) -> Script:
        """A minimum-jerk move (Flash and Hogan 1985), sometimes after a pause."""
        if self.rng.random() < self.style.pause:
            yield from self._wait(self.rng.uniform(0.15, 0.6))
        start, start_yaw = self.position.copy(), self.yaw
        yaw = start_yaw if yaw is None else yaw
        duration = max(float(np.linalg.norm(target - start)) / (self.speed * slower), abs(yaw - start_yaw) / 1.8, 0.25)
        steps = int(np.ceil(duration * self.rate))
        for i in range(1, steps + 1):
            s = i / steps
            share = s**3 * (10 - 15 * s + 6 * s**2)
            self.position, self.yaw = start + share * (target - start), start_yaw + share * (yaw - start_yaw)
            yield self._act()

    def _pass(self, points: list[np.ndarray], yaw: float) -> Script:
        """A smooth move through via points without stopping at them: a Catmull-Rom path at an even, eased pace."""
        if self.rng.random() < self.style.pause:
            yield from self._wait(self.rng.uniform(0.15, 0.6))
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
            yield self._act()

    def script(self) -> Script:
        """The whole demonstration. The generator ends when the demonstrator believes to be done, or gives up."""
        state = self.obs["observation.state"]
        self.position = state[:3].astype(float)
        r = self.rng
        if r.random() < self.style.pause:
            yield from self._wait(r.uniform(0.1, 0.4))
        yield from self._grasp(miss=self.fault == "miss")
        if self.cube[2] < 0.05:  # it was not lifted: most look again, some do not notice
            if self.fault == "miss" and r.random() < 0.5:
                yield from self._carry()
                return
            yield from self._grasp(miss=False)
        yield from self._carry()

    def _grasp(self, miss: bool) -> Script:
        r = self.rng
        yaw = self.cube_yaw
        self.width = OPEN
        hover = self.cube + [0, 0, r.uniform(0.09, 0.13)]
        first = r.normal(0, 0.02, 2) if r.random() < self.style.correct else r.normal(0, 0.004, 2)
        above = self.cube + [*first, r.uniform(0.2, 0.26)]  # over the wall's corner, then down
        if self.position[2] > above[2]:
            yield from self._pass([above, hover + [*first, 0]], yaw)
        yield from self._move(hover + [*r.normal(0, 0.004, 2), 0], yaw)
        offset = np.array([*r.normal(0, self.style.aim, 2), r.normal(0, 0.002)])
        if miss:
            offset[:2] = 0.05 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        goal = self.cube.copy()
        goal[2] = max(goal[2], 0.018)
        yield from self._move(goal + offset, yaw, slower=0.6)
        self.width = SHUT
        yield from self._wait(r.uniform(0.7, 0.9))
        lift = self.position + [0, 0, r.uniform(0.12, 0.17)]
        yield from self._move(lift, 0.0, slower=0.9)

    def _carry(self) -> Script:
        r = self.rng
        side = 1.0 if r.random() < 0.5 else -1.0
        clear = 0.0 if self.fault == "wall" else r.uniform(0.16, 0.18)
        height = self.position[2]
        above = self.bin + [*r.normal(0, 0.006, 2), r.uniform(0.13, 0.16)]
        if self.fault == "beside":
            above[:2] += 0.13 * np.array([np.cos(a := r.uniform(0, 2 * np.pi)), np.sin(a)])
        x = WALL_X + side * clear
        legs = [np.array([x, -0.15, height]), np.array([x, 0.12, height]), above]
        carried = self._pass(legs, 0.0)
        drop_at = r.integers(8, 22) if self.fault == "drop" else -1
        for i, action in enumerate(carried):
            if i == drop_at:
                self.width = OPEN
            yield action
        yield from self._move(np.array([above[0], above[1], r.uniform(0.055, 0.075)]), 0.0, slower=0.8)
        self.width = OPEN
        yield from self._wait(r.uniform(0.7, 0.85))
        yield from self._move(self.position + [0, 0, r.uniform(0.06, 0.1)])
        yield from self._wait(0.4)
