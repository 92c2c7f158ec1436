"""Plots of what is in a recording: histograms of every dimension, lengths and returns, heat maps of the workspace, use of ranges.

Each is a matplotlib figure in the report's style. A palette chooses whether its colours are placeholders, which `data.charts.svg`
turns into those of the page, or real ones for a PNG.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.charts import INK, LINE, SERIES, SOFT
from data.durable import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

BINS = 48
WIDTH = 8.4  # inch, as all plots of a report
HEAT = (0.23, 0.51, 0.84)  # a blue that is seen on white and on black; its opacity says how much
CELLS = 48  # of a heat map, along its longer side


@dataclass(frozen=True)
class Palette:
    ink: str
    soft: str
    line: str
    series: tuple[str, ...]


PAGE = Palette(INK, SOFT, LINE, SERIES)
WHITE = Palette("#16191d", "#596069", "#dde1e6", ("#0b62c4", "#d9730d", "#12805c", "#a23b9e", "#7a6a00", "#c0392b"))


def write_png(plot: Plot, path: Path) -> None:
    """The figure on white, at 200 dots per inch, in one step."""
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=200, facecolor="white", bbox_inches="tight", pad_inches=0.1)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def histograms(values: np.ndarray, titles: Sequence[str], palette: Palette = PAGE) -> Plot:
    """A histogram of every column of (N, D) values, all with as many bins; titles: name and unit of each."""
    columns = min(4, len(titles))
    plot, panels = _panels(-(-len(titles) // columns), columns, 1.5, palette)
    for ax, title, column in zip(panels, titles, values.T):
        column = column.astype(np.float64)
        low, high = float(column.min()), float(column.max())
        ax.set_yticks([])
        _title(ax, title, palette)
        if high > low:
            counts, edges = np.histogram(column, BINS, (low, high))
            ax.stairs(counts, edges, fill=True, color=palette.series[0], alpha=0.85)
            ax.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
            ax.set_xticks([low, high], [_number(low), _number(high)])
            ends = ax.get_xticklabels()
            ends[0].set_ha("left")
            ends[1].set_ha("right")
        else:
            ax.set_xticks([])
            ax.text(0.5, 0.5, f"always {_number(low)}", ha="center", va="center", transform=ax.transAxes, color=palette.soft, fontsize=9)
    for ax in panels[len(titles) :]:
        ax.set_visible(False)
    plot.tight_layout(h_pad=1.4, w_pad=1.2)
    return plot


def episodes(lengths: np.ndarray, fps: float, gained: np.ndarray | None, success: np.ndarray | None, palette: Palette = PAGE) -> Plot:
    """Histograms of the episodes' lengths and, where there are rewards, of their returns; successes apart from failures.

    lengths   (E,) frames; fps   [Hz], 0 where it is unknown; gained   (E,) returns; success   (E,) bool
    """
    kinds = [(lengths / fps if fps else lengths.astype(np.float64), "length [s]" if fps else "length [frames]")]
    kinds += [(gained, "return")] if gained is not None else []
    plot, panels = _panels(1, len(kinds), 2.7, palette)
    for ax, (values, label) in zip(panels, kinds):
        low, high = float(values.min()), float(values.max())
        margin = max(0.5 * (high - low), 0.05 * max(abs(low), 1e-9)) if low == high else 0.0
        edges = np.linspace(low - margin, high + margin, int(np.clip(2 * np.sqrt(len(values)), 8, 40)) + 1)
        parts = [values] if success is None else [values[success], values[~success]]
        colors = [palette.series[0]] if success is None else [palette.series[2], palette.series[5]]
        names = ["episodes"] if success is None else [f"success ({int(success.sum())})", f"no success ({int((~success).sum())})"]
        ax.hist(parts, edges, stacked=True, color=colors, label=names, alpha=0.85)
        ax.set_xlabel(label)
        ax.set_ylabel("episodes")
        ax.grid(axis="y", color=palette.line, linewidth=0.8)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.margins(x=0.02)
    if success is not None:
        handles, names = panels[0].get_legend_handles_labels()
        legend = plot.legend(handles, names, frameon=False, fontsize=9, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.08))
        for text in legend.get_texts():
            text.set_color(palette.ink)
    plot.tight_layout(w_pad=2.5)
    return plot


def heat_maps(maps: Sequence[tuple[np.ndarray, str, str]], palette: Palette = PAGE) -> Plot:
    """Where (N, 2) points are, each map with the labels of its two axes, both to one scale. Opacity is the logarithm of the frames."""
    columns = 2 if len(maps) < 3 else 3  # one alone would fill the page
    plot, panels = _panels(-(-len(maps) // columns), columns, WIDTH / columns * 0.92, palette)
    for ax, (points, across, up) in zip(panels, maps):
        low, high = points.min(0), points.max(0)
        cell = max(float((high - low).max()), 1e-9) / CELLS
        shape = np.maximum(np.ceil((high - low) / cell).astype(int), 1)
        counts, x, y = np.histogram2d(
            points[:, 0], points[:, 1], shape, [(low[0], low[0] + shape[0] * cell), (low[1], low[1] + shape[1] * cell)]
        )
        pixels = np.empty((*counts.T.shape, 4))
        pixels[..., :3] = HEAT
        # The lightest occupied cell still shows: one visit is what coverage is made of.
        pixels[..., 3] = np.where(counts.T > 0, 0.18 + 0.82 * np.log1p(counts.T) / np.log1p(counts.max()), 0.0)
        ax.imshow(pixels, origin="lower", extent=(x[0], x[-1], y[0], y[-1]), interpolation="nearest", aspect="equal")
        ax.spines["left"].set(visible=True, color=palette.line)
        ax.locator_params(nbins=4)
        ax.set_xlabel(across)
        ax.set_ylabel(up)
    for ax in panels[len(maps) :]:
        ax.set_visible(False)
    plot.tight_layout(h_pad=1.5, w_pad=1.5)
    return plot


def range_use(values: np.ndarray, titles: Sequence[str], palette: Palette = PAGE) -> Plot:
    """How much of its own range each of (N, D) columns uses: the middle half, the middle 98 %; numbers at the ends are
    the smallest and largest value, in brackets the share of rows that lie exactly there."""
    plot, (ax,) = _panels(1, 1, 0.9 + 0.26 * len(titles), palette)
    low, high = values.min(0).astype(np.float64), values.max(0).astype(np.float64)
    span = np.where(high > low, high - low, 1.0)
    shares = (np.quantile(values, [0.01, 0.25, 0.5, 0.75, 0.99], axis=0) - low) / span
    rows = np.arange(len(titles))
    moving = high > low
    ax.barh(rows[moving], (shares[4] - shares[0])[moving], left=shares[0][moving], height=0.26, color=palette.series[0], alpha=0.35)
    ax.barh(rows[moving], (shares[3] - shares[1])[moving], left=shares[1][moving], height=0.56, color=palette.series[0], alpha=0.85)
    ax.plot(shares[2][moving], rows[moving], "|", color=palette.ink, markersize=9)
    for row in rows:
        if not moving[row]:
            ax.text(0.5, row, f"always {_number(float(low[row]))}", ha="center", va="center", fontsize=8, color=palette.soft)
            continue
        for at, limit, side in ((low[row], 0.0, "right"), (high[row], 1.0, "left")):
            on = float((values[:, row] == values[:, row].dtype.type(at)).mean())
            text = _number(float(at)) + (f" ({100 * on:.0f} %)" if on >= 0.01 else "")
            ax.text(limit + (0.015 if side == "left" else -0.015), row, text, ha=side, va="center", fontsize=8, color=palette.soft)
    ax.set_yticks(rows, titles)
    ax.tick_params(axis="y", colors=palette.ink, pad=78)  # room for the smallest values
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlim(-0.01, 1.01)
    ax.grid(axis="x", color=palette.line, linewidth=0.8)
    ax.set_ylim(len(titles) - 0.4, -0.6)
    ax.set_xlabel("share of the range between the smallest and the largest value")
    return plot


def _panels(rows: int, columns: int, height: float, palette: Palette) -> tuple[Plot, list[Any]]:
    """A figure with a grid of axes, each `height` inches high; made without pyplot, so that nothing global changes."""
    from matplotlib.figure import Figure as Plot

    plot = Plot(figsize=(WIDTH, rows * height))
    panels = list(np.ravel(plot.subplots(rows, columns, squeeze=False)))
    for ax in panels:
        ax.set_facecolor("none")
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.spines["bottom"].set_color(palette.line)
        ax.tick_params(which="both", colors=palette.soft, length=0, labelsize=8)
        ax.set_axisbelow(True)
        for label in (ax.xaxis.label, ax.yaxis.label):
            label.set(color=palette.soft, fontsize=9)
    return plot, panels


def _title(ax: Any, title: str, palette: Palette) -> None:
    ax.set_title(textwrap.shorten(title, 30, placeholder="…"), fontsize=9, color=palette.ink, loc="left", pad=4)


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
