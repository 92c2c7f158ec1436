"""Success: bars of several policies, and its growth over the time of an episode, each with its interval."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from data.charts.page import INK, SERIES, SOFT, axes, legend, svg
from data.results import Figure


def success_bars(figures: Sequence[Figure], labels: Sequence[str] | None = None) -> str:
    """One bar per rate, with its 95 % interval."""
    names = list(labels) if labels is not None else [figure.name.removeprefix("success/") for figure in figures]
    plot, ax = axes(8.4, 2.9)
    values = np.array([figure.value for figure in figures], dtype=float)
    ax.bar(range(len(values)), values, width=0.56, color=SERIES[0], alpha=0.85)
    for i, figure in enumerate(figures):
        low, high = figure.low, figure.high
        if low is not None and high is not None:
            ax.plot([i, i], [low, high], color=INK, linewidth=1.4)
            ax.plot([i - 0.06, i + 0.06, np.nan, i - 0.06, i + 0.06], [low, low, np.nan, high, high], color=INK, linewidth=1.4)
        top = max(figure.value, high or 0.0)
        ax.text(i, top + 0.025, f"{100 * figure.value:.0f} %", ha="center", va="bottom", fontsize=10, color=INK)
    wrapped = [textwrap.fill(name, max(10, 80 // max(1, len(names)))) for name in names]
    counts = [f"{name}\nn = {figure.n}" if figure.n is not None else name for name, figure in zip(wrapped, figures, strict=True)]
    ax.set_xticks(range(len(values)), counts)
    ax.tick_params(axis="x", colors=INK, pad=6)
    ax.set_ylim(0, 1.12)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlim(-0.6, max(len(values), 3) - 0.4)
    return svg(plot)


def success_over_time(
    times: np.ndarray,
    share: np.ndarray,
    band: tuple[np.ndarray, np.ndarray],
    limit: float,
    steps: Mapping[str, np.ndarray] | None = None,
) -> str:
    """The share of episodes that have succeeded by each time, with its interval, and the time limit.

    times, share, band   (T,) [s], (T,) and two of (T,), all of them constant up to the next time
    steps                shares (T,) of what comes before success, drawn thin
    """
    plot, ax = axes(8.4, 3.1)
    ax.fill_between(times, *band, step="post", color=SERIES[0], alpha=0.18, linewidth=0)
    for (name, values), color in zip((steps or {}).items(), SERIES[1:] + SERIES[1:]):
        ax.step(times, values, where="post", color=color, linewidth=1.1, label=name)
    ax.step(times, share, where="post", color=SERIES[0], linewidth=2.2, label="success")
    ax.plot([limit, limit], [0, 1.02], color=SOFT, linewidth=1.1, linestyle=(0, (3, 2)))
    ax.annotate("time limit", (limit, 1.02), (-4, -1), textcoords="offset points", color=SOFT, fontsize=9, ha="right", va="bottom")
    ax.set_ylim(0, 1.1)
    ax.set_xlim(0, limit * 1.01)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlabel("time since the start of the episode [s]")
    if steps:
        legend(ax, outside=True)
    return svg(plot)
