"""The page of `waldo scale`: success against size on logarithmic axes, the fitted law with its band, and every figure behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from data.charts import INK, SERIES, SOFT, axes, svg
from data.report import Report
from data.results import Figure
from data.statistics import wilson

if TYPE_CHECKING:
    from waldo.scale import Curve

FARTHER = 4.0  # the line is drawn to so many times the largest size
FARTHEST = 100  # times the largest size: what lies beyond is no number to plan with
SOURCE = "https://arxiv.org/abs/2410.18647"  # Lin et al. 2024, Data Scaling Laws in Imitation Learning for Robotic Manipulation


def write_report(
    out: Path,
    cfg: DictConfig,
    curves: Sequence[Curve],
    figures: Sequence[Figure],
    provenance: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Path:
    """Write `out/scale.html` and return its path."""
    by_name = {figure.name: figure for figure in figures}
    report = Report(f"Success against the number of {cfg.x}", ", ".join(curve.task for curve in curves), provenance)
    tops = [by_name[f"success/{curve.task}/{curve.sizes[-1]}"] for curve in curves]
    report.headline(tops, [f"{curve.task}, {curve.sizes[-1]} {cfg.x}" for curve in curves])
    laws = [curve for curve in curves if curve.fit is not None]
    report.section("What more of them are worth", _means(curves, by_name))
    report.plot(
        failure_plot(curves, str(cfg.x)),
        "Points with 95 % intervals; the fitted law with its 95 % band, thinner where it goes beyond the data.",
    )
    report.section("Every figure", "Success on the same held-out seeds.")
    report.table(*_table(cfg, curves, by_name, seconds))
    if laws:
        report.section("The law", f"failure = a n⁻ᵇ, as in [Lin et al. 2024]({SOURCE}), fitted to the counts by maximum likelihood.")
        report.table(*_laws(cfg, laws))
    report.section("What was kept the same, and what this is not", _fair(cfg))
    return report.write(out / "scale.html")


def failure_plot(curves: Sequence[Curve], x: str) -> str:
    """Failure against size, both logarithmic, as SVG. A size at which nothing failed is drawn at its upper limit, with an arrow."""
    plot, ax = axes(8.4, 3.9)
    ax.set_xscale("log")
    ax.set_yscale("log")
    lowest = 0.5
    for i, curve in enumerate(curves):
        color, shift = SERIES[i % len(SERIES)], 1.03 ** (i - (len(curves) - 1) / 2)  # neighbours do not hide each other
        for size in curve.sizes:
            wins, n = curve.counts(size)
            low, high = (1 - value for value in reversed(wilson(wins, n)))
            at, failure = size * shift, 1 - wins / n
            lowest = min(lowest, low if wins < n else high / 2)
            if wins < n:
                ax.plot([at, at], [low, high], color=color, linewidth=1.4)
                ax.plot([at], [failure], color=color, marker="o", markersize=5, linestyle="none")
            else:
                ax.annotate("", (at, high / 2), (at, high), arrowprops={"arrowstyle": "->", "color": color})
        if curve.fit is not None:
            xs = np.geomspace(curve.sizes[0] / 1.2, curve.sizes[-1] * FARTHER, 120)
            line, high_band, low_band = 1 - np.array([curve.fit.predict(x) for x in xs]).T
            within = xs <= curve.sizes[-1]
            ax.fill_between(xs, low_band, high_band, color=color, alpha=0.13, linewidth=0)
            ax.plot(xs[within], line[within], color=color, linewidth=1.8)
            ax.plot(xs[~within], line[~within], color=color, linewidth=1.0, linestyle=(0, (4, 3)))
        ax.plot([], [], color=color, marker="o", markersize=5, linewidth=1.8, label=curve.task)
    ticks = sorted({size for curve in curves for size in curve.sizes})
    ticks += [round(ticks[-1] * factor) for factor in (2, FARTHER)]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    shares = [share for share in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if share >= lowest / 2]
    ax.set_yticks(shares, [f"{100 * share:g} %" for share in shares])
    ax.set_ylim(max(shares[0], lowest / 1.5), 1.15)
    ax.set_xlabel(f"number of {x}")
    ax.set_ylabel("episodes that fail", color=SOFT)
    for text in ax.legend(frameon=False, fontsize=9, loc="lower left").get_texts():
        text.set_color(INK)
    return svg(plot)


def _means(curves: Sequence[Curve], by_name: Mapping[str, Figure]) -> str:
    """One sentence per task, for who reads no further."""
    said = []
    for curve in curves:
        first, last = (by_name[f"success/{curve.task}/{size}"] for size in (curve.sizes[0], curve.sizes[-1]))
        text = f"**{curve.task}**: {first.value:.0%} with {curve.sizes[0]}, {last.value:.0%} with {curve.sizes[-1]}"
        if curve.fit is not None:
            low, high = curve.fit.b_interval
            if low > 0:
                text += f"; twice as many leave {2**-curve.fit.b:.0%} of the failures (between {2**-high:.0%} and {2**-low:.0%})"
            else:
                text += "; that more of them help is not shown by these episodes"
        said.append(text + ".")
    return "\n\n".join(said)


def _table(
    cfg: DictConfig, curves: Sequence[Curve], by_name: Mapping[str, Figure], seconds: Mapping[str, float]
) -> tuple[list[str], list[list[Any]]]:
    rows: list[list[Any]] = []
    for curve in curves:
        for size in curve.sizes:
            wins, n = curve.counts(size)
            figure = by_name[f"success/{curve.task}/{size}"]
            law = "" if curve.fit is None else f"{curve.fit.predict(size)[0]:.1%}"
            took = sum(value for name, value in seconds.items() if name.startswith(f"{curve.task}/n_{size:03d}/"))
            interval = f"{figure.low or 0:.1%} – {figure.high or 0:.1%}"
            rows.append([curve.task, size, f"{wins} of {n}", f"{figure.value:.1%}", interval, law, f"{took:.0f} s" if took else ""])
    return ["task", str(cfg.x), "successes", "success", "95 % interval", "the law says", "training and evaluation"], rows


def _laws(cfg: DictConfig, curves: Sequence[Curve]) -> tuple[list[str], list[list[Any]], str]:
    rows: list[list[Any]] = []
    for curve in curves:
        assert curve.fit is not None
        largest = curve.sizes[-1]
        promised, low, high = curve.fit.predict(2 * largest)
        needed, fewest, most = (_reachable(x, largest) for x in curve.fit.needed(cfg.aim))
        b_low, b_high = curve.fit.b_interval
        rows.append(
            [
                curve.task,
                f"{curve.fit.b:.2f}, {b_low:.2f} to {b_high:.2f}",
                f"{curve.fit.r:.2f}" if math.isfinite(curve.fit.r) else "–",
                f"{curve.fit.dispersion:.1f}",
                f"{2 * largest:,}: {promised:.0%}, {low:.0%} to {high:.0%}",
                f"{needed}, {fewest} to {most}",
            ]
        )
    columns = ["task", "exponent b", "correlation", "scatter", "promised for twice as many", f"needed for {cfg.aim:.0%}"]
    caption = (
        "95 % intervals. Correlation: of log n and log failure. Scatter: how much more the points differ from the law than their episodes "
        "explain (1: no more); the intervals are wider by that. What lies beyond the largest size is an extrapolation."
    )
    return columns, rows, caption


def _reachable(x: float, largest: int) -> str:
    return f"{x:,.0f}" if x <= FARTHEST * largest else f"over {FARTHEST * largest:,}"


def _fair(cfg: DictConfig) -> str:
    seeds = "one training seed" if len(cfg.seeds) == 1 else f"{len(cfg.seeds)} training seeds"
    text = (
        f"Every policy got {cfg.train.steps} gradient steps of {cfg.train.batch_size}, whatever the number of {cfg.x}: the same work, so that "
        f"small sets were passed over more often. Smaller sets are the first of the larger ones. All met the same {cfg.episodes} held-out "
        f"episodes, from seed {cfg.seed} on; only demonstrations that succeed were imitated. Each size was trained with {seeds}: the intervals "
        "are those of the episodes, and do not hold what another training seed or another choice of demonstrations would change.\n\n"
        "The policies read object poses that are the simulator's ground truth. A law fitted here is one of this task, expert, policy and "
        "number of steps; beyond the largest size it is an extrapolation."
    )
    if cfg.x != "demonstrations":
        text += (
            f"\n\nThe number of demonstrations was {cfg.demonstrations} throughout, spread evenly over the values of `{cfg.vary}`: "
            f"{', '.join(map(str, cfg['values'][: max(cfg.sizes)]))}. Policies were measured at "
            f"{cfg.unseen if cfg.unseen is not None else 'its usual value'}."
        )
    return text
