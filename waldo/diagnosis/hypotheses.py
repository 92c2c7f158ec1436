"""Which change of the recorded actions makes the environment do what was recorded: none, some frames' delay, or another speed."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from data.checks import GRIPPER
from policies.diagnosis import sign_test
from waldo.diagnosis import Trial, replay

# What a replay is off because its episode began elsewhere, in frames' worth of motion: 0.03 for an arm, 0.01 for Push-T's agent. A
# delay of one frame makes 1, twice the speed 0.5. Below a quarter nothing has to be explained.
OFF = 0.25
# The explanation leaves less than half of it, in at least nine of ten episodes, and no more than a third of a frame.
LEFT = 0.5
NEAR = 0.35
MOST = 0.9
LAGS = (-3, -2, -1, 1, 2, 3)
RATIOS = (1 / 3, 0.5, 2 / 3, 0.8, 1.25, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Hypothesis:
    """kind: "lag" (frames by which the environment answers later than the recording) or "ratio" (recorded frames per control step).

    asis, errors   median distance of replay and recording as they are and with this change [frames of motion]; wins of n episodes
    """

    kind: str
    value: float
    asis: float
    errors: float
    wins: int
    n: int

    @property
    def holds(self) -> bool:
        return self.errors < min(NEAR, LEFT * self.asis) and self.wins >= MOST * self.n and self.n > 0

    @property
    def odds(self) -> float:
        """A coin for each episode, and how much of the distance is explained."""
        return sign_test(self.wins, self.n) * max(1.0, float(np.log2(self.asis / max(self.errors, 1e-6))))


def free(found: replay.Replay) -> replay.Replay:
    """Without grippers: what they hold stops them, and that is another thing in every episode."""
    for partner in found.partners:
        if any(word in partner.name.lower() for word in GRIPPER) and len(found.partners) > 1:
            found = replay.without(found, partner.element)
    return found


@functools.lru_cache(maxsize=2)
def distance(trial: Trial) -> float:
    """Median over the episodes, as they were recorded; NaN where nothing could be compared."""
    if trial.asis is None:
        return float("nan")
    errors = free(trial.asis).errors()
    return float(np.nanmedian(errors)) if np.isfinite(errors).any() else float("nan")


@functools.lru_cache(maxsize=2)
def best(trial: Trial) -> Hypothesis | None:
    """The change that explains most, if it explains enough."""
    if not distance(trial) > OFF or trial.asis is None:
        return None
    asis = free(trial.asis)
    none = asis.errors()
    tried = [_hypothesis("lag", lag, none, asis.errors(lag)) for lag in LAGS]
    for ratio in RATIOS:
        tried.append(_hypothesis("ratio", ratio, none, _relative(asis, free(trial.play(ratio)))))
        if ratio < 1:
            tried.append(_hypothesis("ratio", ratio, none, _relative(asis, free(trial.play(ratio, held=True)))))
    good = [h for h in tried if h.holds]
    return min(good, key=lambda h: h.errors) if good else None


def _relative(asis: replay.Replay, other: replay.Replay) -> np.ndarray:
    """Errors of another replay in the units of the first: at the end of a stretched one less was recorded, and its pace is another."""
    return other.errors() * float(np.median(other.pace() / asis.pace()))


def _hypothesis(kind: str, value: float, none: np.ndarray, errors: np.ndarray) -> Hypothesis:
    known = np.isfinite(none) & np.isfinite(errors)
    n = int(known.sum())
    middle = float(np.median(errors[known])) if n else float("inf")
    before = float(np.median(none[known])) if n else 0.0
    return Hypothesis(kind, value, before, middle, int((errors[known] < none[known]).sum()), n)
