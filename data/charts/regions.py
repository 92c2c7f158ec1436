"""Where something was when an episode began, and how often the episodes that began there failed."""

from __future__ import annotations

import numpy as np

from data.charts.page import INK, LINE, SERIES, axes, svg

PER_CELL = 6  # episodes of a cell, on average
MOST_CELLS = 14  # along each side
COUNTED = 6  # cells along each side up to which each says how many failed
DEEPEST = 0.35  # failing share that is given full colour if no cell has a larger one
DOTS = 1500  # episodes up to which each has its mark; beyond, the cells say it
FADED_BY = 3  # a cell of so many episodes has half its colour


def grid_of(n: int) -> int:
    """Cells along each side of a map of n episodes."""
    return int(np.clip(np.sqrt(n / PER_CELL), 1, MOST_CELLS))


def regions(points: np.ndarray, success: np.ndarray, across: str, up: str) -> str:
    """A map of failures: the redder a cell, the larger the share of its episodes that failed; cells of few episodes are pale.

    points    (n, 2), finite
    success   (n,) bool
    across, up   the labels of the axes
    """
    low, high = points.min(0).astype(float), points.max(0).astype(float)
    span = np.where(high > low, high - low, 1.0)
    low, high = low - 0.02 * span, high + 0.02 * span
    cells = grid_of(len(points))
    x, y = (np.linspace(low[i], high[i], cells + 1) for i in (0, 1))
    n, failed = (np.histogram2d(part[:, 0], part[:, 1], bins=[x, y])[0] for part in (points, points[~success]))
    height = float(np.clip(4.3 * (high - low)[1] / (high - low)[0], 2.4, 4.6))
    plot, ax = axes(4.9, height)
    ax.grid(False)
    shade = failed / (n + FADED_BY)
    shade /= max(DEEPEST, float(shade.max()))
    for i, j in np.argwhere(n > 0):
        if failed[i, j]:
            ax.fill_between(x[i : i + 2], y[j], y[j + 1], color=SERIES[5], alpha=0.7 * shade[i, j], linewidth=0)
        if cells <= COUNTED:
            trust = n[i, j] / (n[i, j] + FADED_BY)
            text = f"{int(failed[i, j])}/{int(n[i, j])}"
            ax.annotate(
                text, (x[i], y[j + 1]), (3, -3), textcoords="offset points", va="top", fontsize=8, color=INK, alpha=0.4 + 0.6 * trust
            )
    ax.plot(np.tile([low[0], high[0], np.nan], cells + 1), np.repeat(y, 3), color=LINE, linewidth=0.8)
    ax.plot(np.repeat(x, 3), np.tile([low[1], high[1], np.nan], cells + 1), color=LINE, linewidth=0.8)
    if len(points) <= DOTS:
        size = 3.0 if len(points) <= 300 else 2.0
        ax.plot(*points[success].T, "o", color=SERIES[2], markersize=size, markeredgewidth=0, alpha=0.8)
        ax.plot(*points[~success].T, "x", color=INK, markersize=1.6 * size, markeredgewidth=1.2)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    slender = (high - low)[1] / (high - low)[0]
    ax.set_aspect("equal" if 0.33 < slender < 3 else "auto")
    ax.locator_params(axis="y", nbins=5)
    ax.locator_params(axis="x", nbins=2 if 1.5 < slender < 3 else 5)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    return svg(plot)
