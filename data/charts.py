"""Plots as SVG text that takes its colours from the page: learning curves, success bars, latency histogram, contact sheet.

matplotlib draws; its colours are placeholders that become CSS variables, so that one picture is right on a light page,
on a dark page and on paper. Text stays text.
"""

from __future__ import annotations

import io
import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data.results import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

INK, SOFT, LINE, PAPER = "#0a0001", "#0a0002", "#0a0003", "#0a0004"
SERIES = tuple(f"#0a000{i}" for i in "56789a")
_VARIABLES = {INK: "--ink", SOFT: "--soft", LINE: "--line", PAPER: "--paper", "#000000": "--ink", "#ffffff": "--paper"} | {
    color: f"--series-{i}" for i, color in enumerate(SERIES, start=1)
}
_serial = itertools.count(1)


def svg(plot: Plot) -> str:
    """Any matplotlib figure as inline SVG: black and white follow the page, other colours stay. Closes nothing."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "waldo"}):
        plot.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.04)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    prefix = f"c{next(_serial)}-"  # several plots share one page, and matplotlib repeats its ids
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r"url\(#", f"url(#{prefix}", text)
    text = re.sub(r'href="#', f'href="#{prefix}', text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    text = re.sub(r"font: ((?:\w+ )?[\d.]+px) [^;\"]*", r"font: \1 var(--sans)", text)
    # A path without a fill of its own is black in SVG, which a dark page hides.
    return text.replace("<svg ", '<svg role="img" style="fill: var(--ink)" ', 1)


def axes(width: float = 8.4, height: float = 3.0) -> tuple[Plot, Any]:
    """A figure and its one pair of axes [inch], in the report's style; made without pyplot, so that nothing global changes."""
    from matplotlib.figure import Figure as Plot

    plot = Plot(figsize=(width, height))
    ax = plot.add_subplot()
    ax.set_facecolor("none")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(LINE)
    ax.tick_params(which="both", colors=SOFT, length=0, labelsize=9)
    ax.grid(axis="y", color=LINE, linewidth=0.8)
    ax.set_axisbelow(True)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=SOFT, fontsize=9)
    return plot, ax


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
        _legend(ax)
    else:
        ax.set_ylabel(names[0])
    ax.margins(x=0.01)
    return svg(plot)


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


def contact_sheet(clips: Sequence[np.ndarray], columns: int = 8, gap: int = 2) -> np.ndarray:
    """One row per clip, `columns` frames evenly spread over it: uint8 (H, W, 3).

    clips: each uint8 (T, h, w, 3), all of one size. Raises ValueError if they are not.
    """
    shapes = {clip.shape[1:] for clip in clips}
    if len(shapes) != 1 or any(clip.dtype != np.uint8 or len(clip) == 0 for clip in clips):
        raise ValueError(f"a contact sheet needs uint8 clips of one size, none empty; found {sorted(shapes)}")
    height, width, depth = shapes.pop()
    sheet = np.full((len(clips) * (height + gap) - gap, columns * (width + gap) - gap, depth), 255, dtype=np.uint8)
    for row, clip in enumerate(clips):
        for column, frame in enumerate(np.linspace(0, len(clip) - 1, columns).round().astype(int)):
            y, x = row * (height + gap), column * (width + gap)
            sheet[y : y + height, x : x + width] = clip[frame]
    return sheet


def _smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Moving average over the values so far: nothing from the future shows in a curve."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _legend(ax: Any) -> None:
    legend = ax.legend(frameon=False, fontsize=9, loc="best")
    for text in legend.get_texts():
        text.set_color(INK)
