"""What stands between a policy and the simulation in a varied episode: sensors with noise, actions that arrive late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.noise import fold, normal
from data.rotations import multiply
from data.spec import Feature
from sim.base import Obs

_NOISE = 0x6E6F6973  # sub-stream of the seed; the constant error is its step -1


class Noise:
    """Adds to vectors, by the unit of each element, a constant error of the episode and an error of the step.

    It is a function of (seed, step): looking twice shows the same, and neighbours do not matter.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = [f for f in features if not f.is_image]
        self._size = sum(f.shape[0] for f in self._features)
        self._seeds = np.zeros(0, np.uint64)

    def begin(self, seeds: np.ndarray, noise: Sequence[Mapping[str, float]]) -> None:
        """One seed and one set of standard deviations per row."""
        self._seeds = fold(np.asarray(seeds).astype(np.uint64), _NOISE)
        units = [unit for f in self._features for unit in _units(f)]
        self._std = np.array([[row.get(unit, 0.0) for unit in units] for row in noise])
        self._bias = normal(fold(self._seeds, 0), (self._size,))

    def add(self, obs: Obs, step: np.ndarray) -> Obs:
        """The observations at step (B,) of each row."""
        fresh = np.zeros((len(step), self._size))
        for at in np.unique(step):
            rows = np.flatnonzero(step == at)
            fresh[rows] = normal(fold(self._seeds[rows], int(at) + 1), (self._size,))
        error = self._std * (self._bias + fresh)
        noisy, start = dict(obs), 0
        for feature in self._features:
            share = error[:, start : start + feature.shape[0]]
            noisy[feature.name] = _disturbed(obs[feature.name], share, feature)
            start += feature.shape[0]
        return noisy


def _units(feature: Feature) -> list[str]:
    """What scales each element's error: three of the four numbers of an orientation are angles."""
    units = list(feature.units)
    for at in feature.quaternions:
        units[at : at + 4] = ["rad", "rad", "rad", ""]
    return units


def _disturbed(values: np.ndarray, error: np.ndarray, feature: Feature) -> np.ndarray:
    added = error.copy()
    for at in feature.quaternions:
        added[:, at : at + 4] = 0.0
    out = values + added
    for at in feature.quaternions:
        turn = np.concatenate([np.ones((len(values), 1)), error[:, at : at + 3] / 2], 1)
        out[:, at : at + 4] = multiply(turn / np.linalg.norm(turn, axis=1, keepdims=True), values[:, at : at + 4].astype(float))
    return out.astype(values.dtype)


class Delay:
    """Keeps what was ordered for every physics step, and hands it out some physics steps later.

    ordered     a a a a b b b b c c c c        4 physics steps per control step, 6 of delay
    followed    . . . . . . a a a a b b        before the first order, the arm holds where it stands
    """

    def __init__(self, num_envs: int, longest: int) -> None:
        self._longest = longest
        self._steps = np.zeros(num_envs, int)
        self._kept: dict[str, np.ndarray] = {}

    def begin(self, steps: np.ndarray, rest: Mapping[str, np.ndarray]) -> None:
        """steps (B,): delay of each row [physics steps]; rest (B, n): what holds before the first order."""
        self._steps = np.array(steps)
        self._kept = {name: np.repeat(values[:, None], self._longest, 1) for name, values in rest.items()}

    def pass_on(self, name: str, ordered: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """ordered (R, S, n) of this control step -> what is followed during it, (R, S, n)."""
        line = np.concatenate([self._kept[name][rows], ordered], 1)
        self._kept[name][rows] = line[:, line.shape[1] - self._longest :]
        at = self._longest - self._steps[rows, None] + np.arange(ordered.shape[1])
        return np.take_along_axis(line, at[..., None], 1)
