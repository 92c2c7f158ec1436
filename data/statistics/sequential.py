"""Tests that may be looked at after every episode and stopped at any: e-values by betting.

    verdict = non_inferiority(a, b, margin=0.15, alpha=0.001)      a, b (n,) bool, in the order of their seeds
    verdict.decision                                               "non-inferior", "worse" or "undecided"

Someone who holds that "the mean is at most m" has to offer fair bets on it. Staking the share c of what one owns pays

    1 + c (x - m) / (m - low)            per value x, for 0 < c < 1: never below 0, on average at most 1 if the mean is at most m

so what is owned after n values, starting from 1, is an e-value: whoever stops it whenever they like, the chance that it ever reaches
1 / alpha is at most alpha (Ville 1939, Etude critique de la notion de collectif). That is the whole guarantee; it holds for every n at
once and for every law of values within [low, high], as long as each value, given those before, has the mean in question: episodes on
fresh seeds do. Which c is best depends on the unknown law, so the starting capital is split over BETS fixed ones and never moved: their
mean is an e-value too, and after n values it is within a factor of about sqrt(pi n) of the best c in hindsight.

Sources: Waudby-Smith, Ramdas 2024, "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86, sections 4 and 5
(the bets, the confidence sequence); Cover 1991, "Universal Portfolios", Math. Finance 1, and Orabona, Jun 2023, "Tight concentrations and
confidence sequences from the regret of universal portfolio", IEEE Trans. Inf. Theory 70 (the mixture, with the arcsine law over c).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from data.statistics.intervals import check_level
from data.statistics.paired import paired_results

BETS = 64
MOST = 1e300  # e-values end here, so that they can be written down; a smaller e-value only says less
Decision = Literal["non-inferior", "worse", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """How far the evidence goes. All fields are those of the episode at which the verdict was reached, or of the last one.

    evidence_for      e-value for "non-inferior": against "a - b <= -margin"
    evidence_against  e-value for "worse": against "a - b >= -margin"
    difference        rate of a minus rate of b over n episodes; NaN for none. An estimate at a stop of one's own choice leans to the
                      side that was chosen; the interval does not
    low, high         confidence sequence of the difference, each end wrong with a chance of at most alpha over all n at once
    n                 episodes that were needed
    """

    decision: Decision
    evidence_for: float
    evidence_against: float
    difference: float
    low: float
    high: float
    n: int


def stakes(bets: int = BETS) -> np.ndarray:
    """(bets,) shares c in (0, 1), each with the same part of the capital: the nodes of Gauss-Chebyshev quadrature, so that for fewer than
    2 * bets values their mean is exactly the integral over the arcsine law, the universal portfolio.
    """
    return (1 - np.cos((2 * np.arange(bets) + 1) * np.pi / (2 * bets))) / 2


def evidence_above(values: ArrayLike, mean: float, low: float = -1.0, high: float = 1.0) -> float:
    """E-value against "the true mean is at most `mean`": 1 says nothing, 1 / alpha refutes it at level alpha. 1 for no values.

    values   (n,), each within [low, high]. Raises ValueError for others, and unless low < mean <= high.
    """
    array = _bounded(values, low, high)
    if not low < mean <= high:
        raise ValueError(f"mean is {mean}; wanted more than {low} and at most {high}")
    return _told(_log_evidence(array, mean, low))


def evidence_below(values: ArrayLike, mean: float, low: float = -1.0, high: float = 1.0) -> float:
    """E-value against "the true mean is at least `mean`". Otherwise as `evidence_above`; low <= mean < high."""
    array = _bounded(values, low, high)
    if not low <= mean < high:
        raise ValueError(f"mean is {mean}; wanted at least {low} and less than {high}")
    return _told(_log_evidence(-array, -mean, -high))


def evidence_path(values: ArrayLike, mean: float, low: float = -1.0, high: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(above, below), each (n,): the natural logarithms of both e-values after every value, in the order given.

    values   (n,), each within [low, high]. Raises ValueError for others, and unless low < mean < high.
    """
    array = _bounded(values, low, high)
    if not low < mean < high:
        raise ValueError(f"mean is {mean}; wanted a number between {low} and {high}")
    return _log_path(array, mean, low), _log_path(-array, -mean, -high)


def confidence_sequence(values: ArrayLike, level: float = 0.95, low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
    """(low, high) of the true mean: every mean that neither e-value refutes at (1 - level) / 2.

    With a chance of `level` it holds the mean at every n at once. (low, high) as given for no values.
    values   (n,), each within [low, high]: 0 and 1 for a rate; -1, 0, 1 with low=-1 for a paired difference. Raises ValueError for others.
    """
    check_level(level)
    array = _bounded(values, low, high)
    threshold = math.log(2 / (1 - level))
    return _lower(array, threshold, low), -_lower(-array, threshold, -high)


def non_inferiority(a: ArrayLike, b: ArrayLike, margin: float, alpha: float) -> Verdict:
    """Is a at most `margin` worse than b? Decided at the first episode at which the evidence for either answer reaches 1 / alpha.

    The chance of ever calling a policy "non-inferior" that is worse by `margin` or more is at most alpha, and so is that of ever calling
    one "worse" that is not. A verdict stands, whatever the later episodes say. margin=0 asks which one is better.

    a, b     (n,) bool, success of the new policy and of the reference on the same seeds, in the order of the seeds; n may be 0
    margin   of success rate, 0 <= margin < 1
    Raises ValueError for others.
    """
    if not 0 <= margin < 1:
        raise ValueError(f"margin is {margin}; wanted a difference of success rates, at least 0 and less than 1, such as 0.15")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; wanted a chance of error between 0 and 1, such as 0.001")
    if not len(np.atleast_1d(a)) and not len(np.atleast_1d(b)):
        return Verdict("undecided", 1.0, 1.0, math.nan, -1.0, 1.0, 0)
    first, second = paired_results(a, b)
    values = first.astype(float) - second
    above, below = evidence_path(values, -margin)
    threshold = math.log(1 / alpha)
    decided = np.flatnonzero((above >= threshold) | (below >= threshold))
    n = int(decided[0]) + 1 if len(decided) else len(values)
    # Both cannot pass at once: an e-value above 1 needs a sample mean on its side of -margin.
    decision: Decision = "undecided" if not len(decided) else "non-inferior" if above[n - 1] >= threshold else "worse"
    seen = values[:n]
    low, high = _lower(seen, threshold, -1.0), -_lower(-seen, threshold, -1.0)
    return Verdict(decision, _told(above[n - 1]), _told(below[n - 1]), float(seen.mean()), low, high, n)


def _bounded(values: ArrayLike, low: float, high: float) -> np.ndarray:
    """(n,) float64."""
    array = np.asarray(values, float)
    if array.ndim != 1:
        raise ValueError(f"values of shape {array.shape}; wanted one per episode, (n,)")
    if not low < high:
        raise ValueError(f"low {low} and high {high}; wanted low < high")
    outside = array[~((array >= low) & (array <= high))]  # NaN is outside
    if len(outside):
        raise ValueError(f"{len(outside)} of {len(array)} values are outside [{low}, {high}], the first is {outside[0]}")
    return array


def _log_evidence(values: np.ndarray, mean: float, low: float) -> float:
    return _log_mean(*np.unique(values, return_counts=True), mean, low)  # the order of fixed bets does not matter


def _log_mean(distinct: np.ndarray, counts: np.ndarray, mean: float, low: float) -> float:
    owned = counts @ np.log1p(stakes() * ((distinct - mean) / (mean - low))[:, None])  # (bets,)
    most = owned.max()
    return float(most + np.log(np.exp(owned - most).mean()))


def _log_path(values: np.ndarray, mean: float, low: float) -> np.ndarray:
    distinct, which = np.unique(values, return_inverse=True)
    gain = np.log1p(stakes() * ((distinct - mean) / (mean - low))[:, None])
    owned = np.cumsum(gain[which], axis=0)  # (n, bets)
    most = owned.max(axis=1, keepdims=True, initial=-math.inf)
    owned -= most
    path: np.ndarray = np.log(np.exp(owned, out=owned).mean(axis=1)) + most[:, 0]
    return path


def _lower(values: np.ndarray, threshold: float, low: float) -> float:
    """The largest mean that is refuted together with all below it: the e-value falls as the mean in question rises."""
    if not len(values):
        return low
    distinct, counts = np.unique(values, return_counts=True)
    refuted, kept = low, float(values.mean())  # at the sample mean no e-value is above 1
    for _ in range(40):  # to 1e-12 of the range
        middle = (refuted + kept) / 2
        if not refuted < middle < kept:
            break
        if _log_mean(distinct, counts, middle, low) >= threshold:
            refuted = middle
        else:
            kept = middle
    return refuted


def _told(log_evidence: float) -> float:
    return min(MOST, math.exp(min(float(log_evidence), 700.0)))
