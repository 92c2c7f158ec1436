"""How sure a number is: intervals of a success rate, of a mean, of a median."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from data.results import Figure


def _check_counts(successes: int, n: int, level: float) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials; wanted 0 <= successes <= n and n >= 1")
    check_level(level)


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; wanted a fraction between 0 and 1, such as 0.95")


def normal_quantile(level: float) -> float:
    """z of a two-sided interval; 1.96 at 0.95."""
    return float(stats.norm.ppf(0.5 + level / 2))


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927, JASA 22; recommended by Brown, Cai, DasGupta 2001, Stat. Sci. 16).

    Coverage is `level` on average; it may be lower for single true rates. Raises ValueError for impossible counts.
    """
    _check_counts(successes, n, level)
    z, p = normal_quantile(level), successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the formula is exact, its rounding is not.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return low, high


def success_rate(name: str, successes: int, n: int) -> Figure:
    """A rate with its 95 % Wilson interval. Raises ValueError for impossible counts."""
    return Figure(name, successes / n if n else math.nan, "", n, *wilson(successes, n))


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper, Pearson 1934, Biometrika 26): coverage is at least `level` for every true rate.

    Raises ValueError for impossible counts.
    """
    _check_counts(successes, n, level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(stats.beta.isf(tail, successes + 1, n - successes))
    return low, high


def mean_interval(values: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high) by the bias-corrected accelerated bootstrap (Efron 1987, JASA 82), for returns and scores of any shape.

    Deterministic in `seed`. One value, or values that are all equal, carry no spread: (mean, mean, mean).
    Raises ValueError if there is no value or one is not finite.
    """
    check_level(level)
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


def median_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """(median, low, high) by order statistics: the interval lies between two of the values and holds the true median with a chance of at
    least `level`, whatever their law (Thompson 1936, Ann. Math. Stat. 7; David, Nagaraja 2003, Order Statistics, section 7.1).

    The k-th smallest of n values exceeds the median with the chance of fewer than k heads in n tosses of a coin. Fewer than 6 values
    cannot prove 95 %: their interval is then all there is, the smallest to the largest.
    Raises ValueError if there is no value or one is not finite.
    """
    check_level(level)
    array = np.sort(np.asarray(values, float).ravel())
    if not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{len(array)} values, {int((~np.isfinite(array)).sum())} of them not finite; wanted at least one, all finite")
    # The most values that can be cut off at each end while the chance of the median being there stays within (1 - level) / 2.
    tails = stats.binom.cdf(np.arange(len(array)), len(array), 0.5)
    cut = max(0, int((tails <= (1 - level) / 2).sum()) - 1)
    return float(np.median(array)), float(array[cut]), float(array[len(array) - 1 - cut])
