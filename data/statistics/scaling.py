"""Success against the number of demonstrations, objects or environments: a power law, with intervals.

    fit = power_law([10, 20, 50, 100, 200], successes=[31, 52, 71, 85, 92], trials=[100] * 5)
    fit.predict(400)        (success, low, high)
    fit.needed(0.95)        (demonstrations, low, high)

The law is that of Lin et al. 2024, "Data Scaling Laws in Imitation Learning for Robotic Manipulation": what is missing to perfection falls
as a power, failure = a n^-b. There it is a straight line through the logarithms; here it is the maximum of the binomial likelihood of the
counts, so that points weigh by their episodes and one without a failure is a point like the others. With a floor, failure = c + a n^-b.

Intervals come from the likelihood ratio: of all laws that the counts do not refute, the extremes of what is asked (Venzon, Moolgavkar
1988, Appl. Statist. 37). They need no resampling and hold where the best law lies on the edge, as with no failure at the last point,
where a bootstrap would repeat the same zero. Training again gives another policy, so points scatter more about a law than their episodes
do; as far as they show it, the intervals are that much wider (quasi-likelihood: McCullagh, Nelder 1989, Generalized Linear Models, 4.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from data.statistics.intervals import check_level

FLAT = -25.0  # logarithm of a failure rate that is as good as none
GRID = {2: 51, 3: 25}  # points along each parameter
ZOOMS = 4
Bounds = list[tuple[float, float]]
Likelihood = Callable[[np.ndarray], np.ndarray]  # (..., parameters) -> (...)


@dataclass(frozen=True)
class Fit:
    """failure = c + a x^-b, never above 1.

    a, b, c      the most likely values; *_interval at `level`, inf where the counts set no limit. c is 0 without a floor
    r            Pearson's correlation of log x and log failure over the points that have failures, as Lin et al. report it; NaN for
                 fewer than two of them
    dispersion   how much more the points scatter than their episodes explain, 1 = no more (Pearson's chi-squared per degree of freedom);
                 NaN for as many parameters as points
    """

    a: float
    b: float
    c: float
    a_interval: tuple[float, float]
    b_interval: tuple[float, float]
    c_interval: tuple[float, float]
    r: float
    dispersion: float
    level: float
    laws: np.ndarray = field(repr=False)  # (laws, 3): log a, b, c of those that the counts do not refute

    def predict(self, x: float) -> tuple[float, float, float]:
        """(success, low, high) at x. Outside the range of the points it is an extrapolation: the law may end there."""
        if not x > 0:
            raise ValueError(f"x is {x}; wanted a positive number")
        success = 1 - _failure(self._all(), np.array([math.log(x)]))[:, 0]
        return float(success[0]), float(success.min()), float(success.max())

    def needed(self, success: float) -> tuple[float, float, float]:
        """(x, low, high) at which this success is reached; inf where it is not."""
        if not 0 < success < 1:
            raise ValueError(f"success is {success}; wanted a rate between 0 and 1, such as 0.95")
        log_a, b, c = self._all().T
        missing = 1 - success - c
        with np.errstate(all="ignore"):
            x = np.exp((log_a - np.log(np.where(missing > 0, missing, np.nan))) / b)
        x = np.where((missing > 0) & (b > 0), x, math.inf)
        return float(x[0]), float(x.min()), float(x.max())

    def _all(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.vstack([[np.log(self.a), self.b, self.c], self.laws])


def power_law(
    x: ArrayLike, successes: ArrayLike, trials: ArrayLike, floor: bool = False, level: float = 0.95, dispersion: bool = True
) -> Fit:
    """The most likely power law of failure against x, with intervals.

    x            (points,) positive, at least two different ones (three with a floor); the same x may come several times, as with
                 several training seeds, which is what shows how much they scatter
    successes    (points,) of `trials` (points,) episodes
    floor        also fit c, the failure that no number of demonstrations removes
    dispersion   widen the intervals by how much the points scatter (they then hold 97 % where there is no scatter: it is estimated from
                 few points); False takes the episodes for the only source of chance, and holds 92 % with 20 of them per point
    Raises ValueError for other shapes and counts, and if no episode failed: there is nothing that could fall.
    """
    check_level(level)
    points, failures, n = _counts(x, successes, trials, 3 if floor else 2)
    logs = np.log(points)
    ends = float(logs.min()), float(logs.max())
    size = 3 if floor else 2

    def likelihood(parameters: np.ndarray) -> np.ndarray:
        """parameters (..., 2 or 3): logarithm of the falling part at both ends, and c -> (...)"""
        rate = _failure(_law(parameters, ends), logs)
        value: np.ndarray = np.log(rate) @ failures + np.log1p(-rate) @ (n - failures)
        return value

    bounds: Bounds = [(FLAT, -1e-9), (FLAT, -1e-9), (0.0, 0.999)][:size]
    best = _climb(likelihood, bounds)
    law = _law(best[None], ends)
    rate = _failure(law, logs)[0]
    free = len(points) - size
    scatter = math.nan
    if free:
        scatter = float((((failures - n * rate) ** 2) / np.maximum(n * rate * (1 - rate), 1e-9)).sum() / free)
    allowed = float(stats.chi2.ppf(level, 1))
    if dispersion and free:
        allowed = max(allowed, scatter * float(stats.f.ppf(level, 1, free)))
    kept = _kept(likelihood, best, bounds, allowed / 2)
    laws = _law(kept, ends)

    some = failures > 0
    varied = some.sum() > 1 and np.ptp(failures[some] / n[some]) > 0 and np.ptp(logs[some]) > 0
    r = float(np.corrcoef(logs[some], np.log(failures[some] / n[some]))[0, 1]) if varied else math.nan
    both = np.vstack([law, laws])
    (low_a, low_b, low_c), (high_a, high_b, high_c) = both.min(0), both.max(0)
    if kept[:, 1].min() < FLAT + 1:  # no failure left at the last point is not refuted: neither is any steeper law
        high_a = high_b = math.inf
    if kept[:, 0].min() < FLAT + 1:
        low_a = low_b = -math.inf
    return Fit(
        a=math.exp(law[0, 0]),
        b=float(law[0, 1]),
        c=float(law[0, 2]),
        a_interval=(math.exp(low_a), float(np.exp(np.float64(high_a)))),
        b_interval=(float(low_b), float(high_b)),
        c_interval=(float(low_c), float(high_c)),
        r=r,
        dispersion=scatter,
        level=level,
        laws=laws,
    )


def _counts(x: ArrayLike, successes: ArrayLike, trials: ArrayLike, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, failures, trials, each (points,) float64."""
    points, good, n = (np.asarray(array, float) for array in (x, successes, trials))
    if not points.shape == good.shape == n.shape or points.ndim != 1:
        raise ValueError(f"x, successes and trials of shapes {points.shape}, {good.shape}, {n.shape}; wanted (points,) each")
    if not (np.isfinite(points) & (points > 0)).all() or len(np.unique(points)) < wanted:
        raise ValueError(f"x is {points.tolist()}; wanted at least {wanted} different positive numbers")
    if not ((n >= 1) & (good >= 0) & (good <= n)).all():
        raise ValueError(f"successes {good.tolist()} of trials {n.tolist()}; wanted 0 <= successes <= trials and trials >= 1")
    if (good == n).all():
        raise ValueError(f"all {int(n.sum())} episodes succeeded: there is no failure that could fall; take fewer demonstrations")
    return points, n - good, n


def _law(parameters: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """(laws, 2 or 3) -> (laws, 3): log a, b, c. Given at both ends of x, the falling part is at most 1 - c between them."""
    first, last = parameters[..., 0], parameters[..., 1]
    c = parameters[..., 2] if parameters.shape[-1] == 3 else np.zeros_like(first)
    b = (first - last) / (ends[1] - ends[0])
    return np.stack([first + b * ends[0] + np.log1p(-c), b, c], -1)


def _failure(laws: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """(..., 3) and the logarithms of (points,) x -> (..., points)."""
    log_a, b, c = (laws[..., i, None] for i in range(3))
    rate: np.ndarray = np.minimum(1.0, c + np.exp(np.minimum(log_a - b * logs, 1.0)))
    return rate


def _climb(likelihood: Likelihood, bounds: Bounds) -> np.ndarray:
    """(parameters,) of the greatest likelihood. Without a floor it has one peak; with one, each slice of c is climbed from."""
    grid = _grid(bounds)
    values = likelihood(grid)
    starts = [grid[np.unravel_index(np.argmax(values), values.shape)]]
    if len(bounds) == 3:
        starts += [grid[:, :, k].reshape(-1, 3)[np.argmax(values[:, :, k])] for k in range(0, grid.shape[2], 4)]

    def loss(parameters: np.ndarray) -> float:
        return -max(float(likelihood(parameters[None])[0]), -1e12)

    found = [optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13}) for start in starts]
    return np.asarray(min(found, key=lambda result: float(result.fun)).x)


def _kept(likelihood: Likelihood, best: np.ndarray, bounds: Bounds, allowed: float) -> np.ndarray:
    """(laws, parameters): a grid over all whose log likelihood is within `allowed` of the best, closing in on them."""
    least = float(likelihood(best[None])[0]) - allowed
    box = bounds
    for _ in range(ZOOMS):
        grid = _grid(box)
        kept = np.vstack([best[None], grid[likelihood(grid) >= least]])
        cells = [(high - low) / (GRID[len(box)] - 1) for low, high in box]
        box = [
            (max(edge[0], low - cell), min(edge[1], high + cell))
            for edge, low, high, cell in zip(bounds, kept.min(0), kept.max(0), cells, strict=True)
        ]
    return kept


def _grid(box: Bounds) -> np.ndarray:
    """(points, ..., parameters)."""
    return np.stack(np.meshgrid(*(np.linspace(low, high, GRID[len(box)]) for low, high in box), indexing="ij"), -1)
