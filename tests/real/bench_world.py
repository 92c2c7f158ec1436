"""A world without physics for tests of processes: the arm is where it is told to be, and something to look at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data.spec import Feature, PolicySpec
from real.robots.panda import SPEC
from tests.real.stub_policies import POSES, STATE

FRONT = Feature("observation.images.front", (6, 8, 3), "uint8")
MARK = Feature("observation.environment_state", (2,), names=("seed", "steps"), units=("1", "1"))


class BenchWorld:
    robot = SPEC
    timestep = 0.002
    spec = PolicySpec("bench", SPEC.name, (STATE, MARK, FRONT), POSES, 20.0)

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        self._q, self._dq, self._width = np.array(SPEC.q_home), np.zeros(SPEC.dof), SPEC.gripper_max_width
        self._seed, self._steps = seed, 0

    def step(self, q: np.ndarray, dq: np.ndarray, width: float) -> None:
        self._dq = (q - self._q) / self.timestep
        self._q, self._width = q.copy(), width
        self._steps += 1

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        return self._q, self._dq

    def width(self) -> float:
        return self._width

    def observe(self) -> Mapping[str, np.ndarray]:
        return {MARK.name: np.array([self._seed, self._steps], np.float32)}

    def success(self) -> bool:
        return False

    def state(self) -> np.ndarray:
        return self._q

    def show(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        return np.full((*size, 3), self._seed, np.uint8)
