"""The pictures of `waldo generalise`: a table of success rates as colours, and success along a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.charts import INK, LINE, SERIES, SOFT, axes, svg
from data.charts.page import legend
from data.results import Figure

STRONGEST = 0.6  # opacity of 100 %, under dark text and under light
SHARES = [0, 0.25, 0.5, 0.75, 1.0]


def heat(rates: Sequence[Sequence[Figure]], rows: Sequence[str], columns: Sequence[str], groups: Sequence[str], marks: np.ndarray) -> str:
    """Rates with their intervals, the bluer the higher. groups: what columns belong together, one name per column; marks: (rows, columns) bool,
    cells that get a star.
    """
    plot, ax = axes(min(9.6, 1.3 + 1.05 * len(columns)), 0.75 + 0.52 * len(rows))
    ax.grid(False)
    ax.spines["bottom"].set_visible(False)
    for i, figures in enumerate(rates):
        for j, figure in enumerate(figures):
            ax.fill_between([j + 0.02, j + 0.98], i + 0.03, i + 0.97, color=SERIES[0], alpha=0.04 + STRONGEST * figure.value, linewidth=0)
            ax.text(
                j + 0.5,
                i + 0.37,
                f"{100 * figure.value:.0f} %{' *' if marks[i, j] else ''}",
                ha="center",
                va="center",
                fontsize=11,
                color=INK,
            )
            between = f"{100 * (figure.low or 0):.0f} – {100 * (figure.high or 0):.0f}"
            ax.text(j + 0.5, i + 0.73, between, ha="center", va="center", fontsize=8, color=INK, alpha=0.75)
    for j, (name, group) in enumerate(zip(columns, groups, strict=True)):
        ax.text(j + 0.5, -0.12, name, ha="center", va="bottom", fontsize=9, color=INK)
        if j == 0 or groups[j - 1] != group:
            end = next((k for k in range(j, len(groups)) if groups[k] != group), len(groups))
            ax.text((j + end) / 2, -0.62, group, ha="center", va="bottom", fontsize=9, color=SOFT)
            ax.plot([j + 0.06, end - 0.06], [-0.52, -0.52], color=LINE, linewidth=1.0)
    ax.set_xlim(0, len(columns))
    ax.set_ylim(len(rows), -1.0)
    ax.set_xticks([])
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
    ax.tick_params(axis="y", colors=INK, labelsize=10)
    return svg(plot)


def along(
    lines: Mapping[str, Sequence[tuple[float, Figure]]],
    label: str,
    ticks: Mapping[float, str] | None = None,
    limit: tuple[float, str] | None = None,
) -> str:
    """One line per policy through (x, rate), each rate with its interval. ticks: names of some x; limit: an x to mark, and how it is called."""
    plot, ax = axes(8.4, 3.3)
    xs = [x for line in lines.values() for x, _ in line]
    step = 0.006 * (max(xs) - min(xs) or 1.0)
    for number, (name, line) in enumerate(lines.items()):
        color, shift = SERIES[number % len(SERIES)], step * (number - (len(lines) - 1) / 2)  # neighbours do not hide each other
        x = np.array([at + shift for at, _ in line])
        ax.plot(x, [figure.value for _, figure in line], color=color, linewidth=1.8, marker="o", markersize=5, label=name)
        for at, (_, figure) in zip(x, line, strict=True):
            ax.plot([at, at], [figure.low, figure.high], color=color, linewidth=1.3, alpha=0.7)
    if limit is not None:
        ax.plot([limit[0]] * 2, [0, 1.0], color=SOFT, linewidth=1.1, linestyle=(0, (3, 2)))
        ax.annotate(limit[1], (limit[0], 1.0), (3, 2), textcoords="offset points", color=SOFT, fontsize=9, ha="left", va="bottom")
    ax.set_ylim(0, 1.1)
    ax.set_yticks(SHARES, [f"{100 * share:.0f} %" for share in SHARES])
    if ticks is not None:
        ax.set_xticks(list(ticks), list(ticks.values()))
    ax.set_xlabel(label)
    legend(ax, outside=True)
    return svg(plot)
