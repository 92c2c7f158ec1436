"""One number for many tasks and training runs, with its interval, and p-values when many policies are compared.

    scores = np.array([[0.9, 0.8, 0.95], [0.4, 0.6, 0.5]])       success per (task, training seed)
    stratified_bootstrap(scores, iqm)                            (value, low, high)

Source: Agarwal, Schwarzer, Castro, Courville, Bellemare 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
NeurIPS: few runs per task make medians and means of tasks noisy; the interquartile mean uses half of all runs and no outlier.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from data.statistics.intervals import check_level


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean of all runs without the best and the worst quarter, of all tasks together.

    scores   (tasks, seeds) or any other shape, comparable between tasks: success rates are. A quarter of n is rounded down.
    Raises ValueError if there is no score or one is not finite.
    """
    array = np.sort(_finite(scores).ravel())
    cut = len(array) // 4
    return float(array[cut : len(array) - cut].mean())


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Callable[[np.ndarray], float] = iqm,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """(value, low, high): percentile interval of a statistic of (tasks, seeds), training seeds drawn anew within each task.

    The tasks are the ones that are reported on, not a sample of others. With fewer than about 5 seeds per task the interval is too
    narrow, and with one it has no width. Deterministic in `seed`. Raises ValueError unless scores are (tasks, seeds) and finite.
    """
    check_level(level)
    array = _finite(scores)
    if array.ndim != 2:
        raise ValueError(f"scores of shape {array.shape}; wanted (tasks, seeds)")
    if resamples < 1:
        raise ValueError(f"{resamples} resamples; wanted at least one")
    rng = np.random.default_rng(seed)
    found = [statistic(np.take_along_axis(array, rng.integers(0, array.shape[1], array.shape), axis=1)) for _ in range(resamples)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(array)), float(low), float(high)


def holm(p_values: ArrayLike) -> np.ndarray:
    """(n,) p-values corrected for there being n of them, in the order given: calling significant what is at most alpha, the chance of a
    single wrong call among all is at most alpha, however they depend on each other (Holm 1979, Scand. J. Statist. 6:65).

    p_values   (n,) within [0, 1]; n may be 0. Raises ValueError for others.
    """
    array = np.asarray(p_values, float)
    if array.ndim != 1 or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"p-values of shape {array.shape} from {array.min():g} to {array.max():g}; wanted (n,), each within [0, 1]")
    order = np.argsort(array, kind="stable")
    adjusted = np.empty_like(array)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(array[order] * np.arange(len(array), 0, -1)))
    return adjusted


def _finite(scores: ArrayLike) -> np.ndarray:
    array = np.asarray(scores, float)
    if not array.size or not np.isfinite(array).all():
        raise ValueError(f"{array.size} scores, {int((~np.isfinite(array)).sum())} of them not finite; wanted at least one, all finite")
    return array
