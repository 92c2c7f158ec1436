"""Learning curves: losses over the steps of a training."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.charts.page import SERIES, axes, legend, svg


def learning_curves(rows: Sequence[Mapping[str, Any]], keys: Sequence[str] | None = None, x: str = "step", log: bool = False) -> str:
    """Lines over the rows of a metrics.jsonl. keys: which columns; None takes those with `loss` in their name.

    Raises ValueError if no row has any of the keys.
    """
    names = keys if keys is not None else list(dict.fromkeys(key for row in rows for key in row if "loss" in key))
    plot, ax = axes()
    drawn = 0
    for name, color in zip(names, itertools.cycle(SERIES), strict=False):
        points = [(row[x], row[name]) for row in rows if row.get(name) is not None and row.get(x) is not None]
        points = [(a, b) for a, b in points if np.isfinite(b)]
        if not points:
            continue
        drawn += 1
        steps, values = np.asarray(points, dtype=float).T
        window = max(1, len(values) // 60)
        if window > 1:
            ax.plot(steps, values, color=color, linewidth=0.8, alpha=0.25)
            values, steps = _smoothed(values, window), steps
        ax.plot(steps, values, color=color, linewidth=1.8, label=name)
    if not drawn:
        raise ValueError(f"no row has any of {', '.join(names) or 'a loss'}")
    if log:
        ax.set_yscale("log")
    ax.set_xlabel(x)
    if drawn > 1:
        legend(ax)
    else:
        ax.set_ylabel(names[0])
    ax.margins(x=0.01)
    return svg(plot)


def _smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Moving average over the values so far: nothing from the future shows in a curve."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
