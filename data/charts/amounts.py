"""Histograms: of how long something took, against the time allowed, and of how often something happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.charts.page import INK, SERIES, axes, legend, svg


def latency_histogram(milliseconds: Sequence[float] | np.ndarray, limit: float | None = None, label: str = "latency") -> str:
    """How long something took, with p50 and p99 marked; the axis is logarithmic where the values span a decade. limit: the time allowed [ms].

    Raises ValueError if no value is positive and finite.
    """
    values = np.asarray(milliseconds, dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    if values.size == 0:
        raise ValueError("no positive finite latency to draw")
    low, high = values.min(), max(values.max(), limit or 0.0)
    log = high > 10 * low
    edges = np.geomspace(low * 0.9, high * 1.15, 60) if log else np.linspace(low * 0.98, max(high, low * 1.2) * 1.04, 60)
    plot, ax = axes(8.4, 2.7)
    ax.hist(values, bins=edges, color=SERIES[0], alpha=0.8)
    top = ax.get_ylim()[1] * 1.22
    marks = [(float(np.quantile(values, q)), f"p{100 * q:g}", INK) for q in (0.5, 0.99)]
    marks += [(limit, "limit", SERIES[5])] if limit is not None else []
    for i, (at, name, color) in enumerate(sorted(marks)):
        height = top * (0.98 - 0.11 * (i % 2))  # neighbours do not write over each other
        ax.plot([at, at], [0, height], color=color, linewidth=1.1, linestyle=(0, (3, 2)))
        ax.annotate(f"{name} {at:.3g} ms", (at, height), (4, -1), textcoords="offset points", color=color, fontsize=9, va="top")
    ax.set_ylim(0, top)
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(lambda value, _: "")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel(f"{label} [ms], {values.size:,} measurements")
    return svg(plot)


def amounts(values: np.ndarray, success: np.ndarray, label: str, unit: str = "") -> str:
    """How many episodes had how much of something, with the median marked; failures stand on successes.

    values   (n,) finite, n > 0
    success  (n,) bool
    """
    array = np.asarray(values, float)
    low, high = float(array.min()), float(array.max())
    room = 0.5 if high == low else 0.0
    bins = int(np.clip(2 * np.sqrt(array.size), 6, 40))
    whole = bool((array == array.round()).all()) and high - low <= 40
    edges = np.arange(low - 0.5, high + 1) if whole else np.linspace(low - room, high + room, bins + 1)
    plot, ax = axes(8.4, 2.7)
    kept = [
        (part, color, name)
        for part, color, name in ((array[success], SERIES[2], "success"), (array[~success], SERIES[5], "failure"))
        if len(part)
    ]
    parts, colors, names = zip(*kept)
    ax.hist(list(parts), bins=edges, stacked=True, color=list(colors), label=list(names), alpha=0.8)
    top, middle = ax.get_ylim()[1] * 1.15, float(np.median(array))
    ax.plot([middle, middle], [0, top], color=INK, linewidth=1.1, linestyle=(0, (3, 2)))
    ax.annotate(
        f"median {middle:.3g}{' ' + unit if unit else ''}",
        (middle, top),
        (4, -1),
        textcoords="offset points",
        color=INK,
        fontsize=9,
        va="top",
    )
    ax.set_ylim(0, top)
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel(label)
    ax.set_ylabel("episodes")
    legend(ax, outside=True)
    return svg(plot)
