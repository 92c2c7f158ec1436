"""Goals from hindsight: a later frame of the same episode was reached, so it may serve as what was wanted.

    t ........ t+1 ... t+k ... last          k geometric with mean 1 / (1 - gamma), cut off at the last frame
               with probability `current` the frame t itself, with `random` any frame of the data

The mixture of OGBench (Park et al. 2024, appendix on goal sampling); hindsight relabelling is Andrychowicz et al. 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.noise import fold, uniform

if TYPE_CHECKING:
    from data.windows import Anchors


@dataclass
class Hindsight:
    names: list[str] = field(default_factory=list)  # the observations whose later values are the goal
    current: float = 0.0  # probability that the goal is the frame itself
    random: float = 0.0  # probability that the goal is a random frame, of any episode
    gamma: float = 0.99  # of the geometric step into the future; 1 takes every later frame equally often

    def __post_init__(self) -> None:
        if min(self.current, self.random) < 0 or self.current + self.random > 1 or not 0 <= self.gamma <= 1:
            raise ConfigError(
                f"goals: current={self.current}, random={self.random}, gamma={self.gamma}; the first two are shares of one, gamma lies in [0, 1]"
            )

    def frames(self, rows: np.ndarray, t: np.ndarray, last: np.ndarray, anchors: Anchors, seed: int) -> np.ndarray:
        """The goal frame of each row, (B,): a function of (row, seed), whatever the batch."""
        draws = uniform(fold(rows.astype(np.uint64), seed), (3,))
        ahead = np.maximum(last - t, 0)
        if self.gamma == 1:
            steps = 1 + np.floor(draws[:, 1] * ahead).astype(np.int64)
        elif self.gamma == 0:
            steps = np.ones(len(t), np.int64)
        else:
            steps = 1 + np.floor(np.log(draws[:, 1]) / np.log(self.gamma)).astype(np.int64)  # geometric on 1, 2, ...
        goal = t + np.minimum(steps, ahead)
        anywhere, _, _ = anchors.locate((draws[:, 2] * len(anchors)).astype(np.int64))
        goal = np.where(draws[:, 0] < self.current, t, goal)
        return np.where(draws[:, 0] >= 1 - self.random, anywhere, goal)
