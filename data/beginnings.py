"""Where things were when the episodes of an evaluation began, and whether that decides success.

The first row of each trace is read. Elements named `cube_x` and `cube_y` are a place; where nothing has a name, the two elements
that vary most stand for one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.evaluation import Evaluation
from data.failures import STATE, observed, readable, vectors

MOST = 2000  # episodes whose traces are read, evenly spread over the seeds
PLACES = 4  # maps
STILL = 1e-6  # an element that varies less between episodes is the same in all
CUTS = (0.25, 0.5, 0.75)  # quantiles of an element between which episodes are compared with the rest


@dataclass(frozen=True)
class Beginnings:
    """names (D,) and values (n, D) of what was first observed in n episodes; own: which of them are the robot's; success (n,) bool."""

    names: tuple[str, ...]
    values: np.ndarray
    own: np.ndarray
    success: np.ndarray


@dataclass(frozen=True)
class Place:
    """One thing's place at the start: `cube`, its axes, and where it was, (n, 2)."""

    name: str
    axes: tuple[str, str]
    points: np.ndarray


@dataclass(frozen=True)
class Divide:
    """Where episodes succeed less: `cube_x`, `between 0.46 and 0.54`, and (successes, episodes) there and elsewhere.

    p   how likely chance alone makes as large a difference in any of the `tried` divisions (Fisher's exact test, Bonferroni)
    """

    name: str
    where: str
    worse: tuple[int, int]
    better: tuple[int, int]
    p: float
    tried: int


def beginnings(evaluation: Evaluation, trouble: list[str], most: int = MOST) -> Beginnings | None:
    """None where no traces were kept. trouble: what was damaged is left out and added to it."""
    rows = evaluation.rows
    picked = sorted(set(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)))
    names: list[str] = []
    values: list[np.ndarray] = []
    success, own = [], np.zeros(0, bool)
    for i in picked:
        trace = readable(evaluation, int(rows[i]["seed"]), trouble)
        if trace is None:
            continue
        found, first = vectors(evaluation, trace, 0)
        if values and len(first) != len(values[0]):
            continue
        if not values:
            names = found
            own = np.concatenate([np.full(trace[key][0].size, key == STATE) for key in observed(trace)] or [own])
        values.append(first)
        success.append(bool(rows[i]["success"]))
    if not values or not names:
        return None
    array = np.array(values, float)
    finite = np.isfinite(array).all(1)
    return Beginnings(tuple(names), array[finite], own, np.array(success, bool)[finite]) if finite.any() else None


def places(start: Beginnings) -> list[Place]:
    """The things whose place varies most between the episodes, at most PLACES; the robot itself only where nothing else varies."""
    spread = start.values.std(0)
    for own in (False, True):
        index = {name: i for i, name in enumerate(start.names) if bool(start.own[i]) == own and spread[i] > STILL}
        pairs = [(name[:-1], i, index[name[:-1] + "y"]) for name, i in index.items() if name.endswith("x") and name[:-1] + "y" in index]
        pairs = [pair for pair in pairs if pair[0] == "" or pair[0].endswith("_")]
        if not pairs and len(index) >= 2 and not _named(start):
            i, j = sorted(sorted(index.values(), key=lambda k: -spread[k])[:2])
            pairs = [("", i, j)]
        if pairs:
            pairs.sort(key=lambda pair: -float(spread[pair[1]] * spread[pair[2]]))
            return [Place(name.rstrip("_"), (start.names[i], start.names[j]), start.values[:, [i, j]]) for name, i, j in pairs[:PLACES]]
    return []


def divide(start: Beginnings) -> Divide | None:
    """The interval of one element that tells success from failure best, of those between its quartiles; the robot's own elements count
    only where nothing else varies. None where all succeed, all fail, or nothing varies.
    """
    from scipy.stats import fisher_exact

    if start.success.all() or not start.success.any():
        return None
    varies = start.values.std(0) > STILL
    varies &= ~start.own if (varies & ~start.own).any() else True
    tried = []
    for i in np.flatnonzero(varies):
        column = start.values[:, i]
        ends = [-np.inf, *dict.fromkeys(float(np.quantile(column, q)) for q in CUTS), np.inf]
        # All that lies between two ends, but for what begins at a cut and has no upper end: that is the rest of what ends there.
        for low, high in ((a, b) for j, a in enumerate(ends) for b in ends[j + 1 : -1]):
            inside = (column >= low) & (column < high)
            if not inside.any() or inside.all():
                continue
            here, there = ((int(start.success[side].sum()), int(side.sum())) for side in (inside, ~inside))
            p = float(fisher_exact([[here[0], here[1] - here[0]], [there[0], there[1] - there[0]]])[1])
            tried.append((p, int(i), low, high, here, there))
    if not tried:
        return None
    p, at, low, high, here, there = min(tried)
    p = min(1.0, p * len(tried))
    if here[0] * there[1] < there[0] * here[1]:
        return Divide(
            start.names[at], f"below {high:.3g}" if low == -np.inf else f"between {low:.3g} and {high:.3g}", here, there, p, len(tried)
        )
    return Divide(
        start.names[at], f"above {high:.3g}" if low == -np.inf else f"outside {low:.3g} to {high:.3g}", there, here, p, len(tried)
    )


def _named(start: Beginnings) -> bool:
    return not any("[" in name for name in start.names)
