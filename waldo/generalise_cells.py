"""What `waldo generalise` counts: policies in conditions, against the nominal one and against the distance of a start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.results import Figure
from data.statistics import Difference, mcnemar_exact, paired_difference, success_rate
from data.statistics.aggregate import holm

NOMINAL = "nominal"
RANDOMISATION, ENGINE, LEVEL = "randomisation", "engine", "task level"
PER_BIN, MOST_BINS = 15, 6  # episodes of a bin at least; bins at most


@dataclass(frozen=True)
class Condition:
    """One column of the table. options: what differs from the nominal environment."""

    name: str  # of its folder
    group: str  # what is varied: NOMINAL, RANDOMISATION, ENGINE or LEVEL
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One policy in one condition. change: from the nominal one, on the same seeds; p: of no change, exact McNemar, Holm over all cells."""

    policy: str
    condition: Condition
    success: np.ndarray  # (n,) bool, by seed
    change: Difference | None = None
    p: float | None = None

    @property
    def figure(self) -> Figure:
        return _rate(f"success/{self.policy}/{self.condition.name}", self.success)


@dataclass(frozen=True)
class Distances:
    """How far the starts in some conditions are from the demonstrations: values (C, n) by condition and seed; usual (k,), of the
    demonstrations among themselves; features: the observations that were compared."""

    conditions: tuple[str, ...]
    values: np.ndarray
    usual: np.ndarray
    features: tuple[str, ...]

    @property
    def near(self) -> float:
        """19 of 20 demonstrations have another one that is nearer than this."""
        return float(np.quantile(self.usual, 0.95))

    def success(self, cells: Sequence[Cell], policy: str) -> np.ndarray:
        """(C, n) bool of a policy."""
        found = {cell.condition.name: cell.success for cell in cells if cell.policy == policy}
        return np.stack([found[name] for name in self.conditions])


def compared(success: Mapping[tuple[str, str], np.ndarray], policies: Sequence[str], conditions: Sequence[Condition]) -> list[Cell]:
    """success: (policy, name of a condition) -> (n,) bool on the same seeds. By policy, and in each by condition, the nominal one first."""
    pairs = [(policy, condition) for policy in policies for condition in conditions[1:]]
    adjusted = holm([mcnemar_exact(success[policy, c.name], success[policy, NOMINAL])[0] for policy, c in pairs])
    p = {(policy, c.name): float(value) for (policy, c), value in zip(pairs, adjusted, strict=True)}
    cells = []
    for policy in policies:
        nominal = success[policy, NOMINAL]
        cells.append(Cell(policy, conditions[0], nominal))
        for condition in conditions[1:]:
            found = success[policy, condition.name]
            cells.append(Cell(policy, condition, found, paired_difference(found, nominal), p[policy, condition.name]))
    return cells


def bins(distances: Distances, cells: Sequence[Cell], policy: str) -> list[tuple[float, Figure]]:
    """(median distance, success rate) of equally many episodes each, from the nearest starts to the farthest."""
    values, success = distances.values.ravel(), distances.success(cells, policy).ravel()
    order = np.argsort(values, kind="stable")
    parts = np.array_split(order, int(np.clip(len(order) // PER_BIN, 1, MOST_BINS)))
    return [
        (float(np.median(values[part])), _rate(f"success/{policy}/distance_{number}", success[part]))
        for number, part in enumerate(parts, 1)
    ]


def separation(distances: Distances, cells: Sequence[Cell], policy: str) -> tuple[float, float] | None:
    """(chance that a failure started farther out than a success, p-value of its being a half: Mann and Whitney 1947, Ann. Math. Stat.
    18:50); None where all succeed or all fail.
    """
    from scipy.stats import mannwhitneyu

    values, success = distances.values.ravel(), distances.success(cells, policy).ravel()
    if success.all() or not success.any():
        return None
    found = mannwhitneyu(values[~success], values[success])
    return float(found.statistic) / (int(success.sum()) * int((~success).sum())), float(found.pvalue)


def figures_of(cells: Sequence[Cell], distances: Distances | None) -> list[Figure]:
    figures = [cell.figure for cell in cells]
    for cell in cells:
        if cell.change is not None and cell.p is not None:
            name, change = f"{cell.policy}/{cell.condition.name}", cell.change
            figures += [Figure(f"change/{name}", change.value, "", change.n, change.low, change.high), Figure(f"p/{name}", cell.p)]
    for policy in dict.fromkeys(cell.policy for cell in cells) if distances is not None else ():
        assert distances is not None
        figures += [rate for _, rate in bins(distances, cells, policy)]
        if (found := separation(distances, cells, policy)) is not None:
            figures += [Figure(f"farther/{policy}", found[0], "", distances.values.size), Figure(f"p_farther/{policy}", found[1])]
    return figures


def _rate(name: str, success: np.ndarray) -> Figure:
    return success_rate(name, int(success.sum()), len(success))
