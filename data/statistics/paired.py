"""Two policies on the same seeds: do they differ, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from data.statistics.intervals import check_level, wilson


def paired_results(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
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
    first, second = paired_results(a, b)
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
    check_level(level)
    first, second = paired_results(a, b)
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
