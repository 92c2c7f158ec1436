"""How sure a success rate is: intervals for proportions, paired tests for two policies on the same seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def _check_counts(successes: int, n: int, level: float) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials; wanted 0 <= successes <= n and n >= 1")
    _check_level(level)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; wanted a fraction between 0 and 1, such as 0.95")


def _normal_quantile(level: float) -> float:
    """z of a two-sided interval; 1.96 at 0.95."""
    return float(stats.norm.ppf(0.5 + level / 2))


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927, JASA 22; recommended by Brown, Cai, DasGupta 2001, Stat. Sci. 16).

    Coverage is `level` on average; it may be lower for single true rates. Raises ValueError for impossible counts.
    """
    _check_counts(successes, n, level)
    z, p = _normal_quantile(level), successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the formula is exact, its rounding is not.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return low, high


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper, Pearson 1934, Biometrika 26): coverage is at least `level` for every true rate.

    Raises ValueError for impossible counts.
    """
    _check_counts(successes, n, level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(stats.beta.isf(tail, successes + 1, n - successes))
    return low, high


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two (n,) boolean arrays over the same seeds."""
    first, second = np.asarray(a), np.asarray(b)
    for array in (first, second):
        if array.ndim != 1 or not np.isin(array, (0, 1)).all():
            raise ValueError(f"wanted one success (0 or 1) per seed, found an array of shape {array.shape} and dtype {array.dtype}")
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} results; wanted the same seeds for both, at least one")
    return first.astype(bool), second.astype(bool)


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> tuple[float, int, int]:
    """Do two policies differ on the same seeds? (p_value, n_only_a, n_only_b), two-sided exact (McNemar 1947, Psychometrika 12).

    Only seeds on which one succeeds and the other fails carry information: under the null hypothesis each is a coin flip.
    a, b   (n,) booleans, entry i of both from the same seed. Raises ValueError otherwise.
    """
    first, second = _paired(a, b)
    only_a, only_b = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_a + only_b
    p = 1.0 if not discordant else min(1.0, 2 * float(stats.binom.cdf(min(only_a, only_b), discordant, 0.5)))
    return p, only_a, only_b


@dataclass(frozen=True)
class Difference:
    """Rate of a minus rate of b, with its interval."""

    value: float
    low: float
    high: float
    n: int


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Difference:
    """Difference of two success rates on the same seeds, with Newcombe's score interval for paired proportions
    (Newcombe 1998, Stat. Med. 17:2635, method 10): Wilson limits of both rates joined by their correlation.

    a, b   (n,) booleans, entry i of both from the same seed. Raises ValueError otherwise.
    """
    _check_level(level)
    first, second = _paired(a, b)
    n = len(first)
    both, only_a = int((first & second).sum()), int((first & ~second).sum())
    only_b, neither = int((second & ~first).sum()), int((~first & ~second).sum())
    p, q = (both + only_a) / n, (both + only_b) / n
    low_p, high_p = wilson(both + only_a, n, level)
    low_q, high_q = wilson(both + only_b, n, level)

    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    covariance = float(both * neither - only_a * only_b)
    if covariance > 0:  # continuity-corrected only where it is positive, as in the paper
        covariance = max(covariance - n / 2, 0.0)
    phi = 0.0 if margins == 0 else covariance / math.sqrt(margins)

    down_p, up_p, down_q, up_q = p - low_p, high_p - p, q - low_q, high_q - q
    below = math.sqrt(max(0.0, down_p**2 - 2 * phi * down_p * up_q + up_q**2))
    above = math.sqrt(max(0.0, up_p**2 - 2 * phi * up_p * down_q + down_q**2))
    return Difference(p - q, max(-1.0, p - q - below), min(1.0, p - q + above), n)


def mean_interval(values: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high) by the bias-corrected accelerated bootstrap (Efron 1987, JASA 82), for returns and scores of any shape.

    Deterministic in `seed`. One value, or values that are all equal, carry no spread: (mean, mean, mean).
    Raises ValueError if there is no value or one is not finite.
    """
    _check_level(level)
    array = np.asarray(values, float).ravel()
    if not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{len(array)} values, {int((~np.isfinite(array)).sum())} of them not finite; wanted at least one, all finite")
    mean = float(array.mean())
    if np.ptp(array) == 0:
        return mean, mean, mean
    rng = np.random.default_rng(seed)
    n = len(array)
    # In pieces of ~32 MB, so that 100,000 values do not take gigabytes.
    step = max(1, 4_000_000 // n)
    means = np.concatenate([array[rng.integers(0, n, (min(step, resamples - i), n))].mean(1) for i in range(0, resamples, step)])
    bias = stats.norm.ppf(np.clip(((means < mean).sum() + 0.5 * (means == mean).sum()) / resamples, 1e-9, 1 - 1e-9))
    jackknife = (array.sum() - array) / (n - 1)
    apart = jackknife.mean() - jackknife
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    z = bias + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(means, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    return mean, float(low), float(high)
