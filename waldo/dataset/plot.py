"""Draw what is in a recording: distributions, lengths, returns, covered workspace, use of ranges, TQ and SACo.

One page, report.html, that opens offline, and each plot as a PNG. No frame of a camera is decoded.

TQ (trajectory quality) is the mean return between that of a minimal policy, 0, and of the best online policy, 1; SACo
(state-action coverage) is the number of unique state-action pairs by that of a reference (Schweighofer et al., arXiv
2111.04714). Both need numbers from outside. Without them they are measured within the recording, and marked as relative.

examples:
  waldo data plot datasets/pick_place
  waldo data plot datasets/pick_place minimal=0 online=1
  waldo data plot pusht/pusht_cchi_v7_replay.zarr.zip fps=10
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig

from data import quality
from data.charts import svg
from data.checks import runs
from data.results import Figure
from data.statistics import mean_interval, wilson
from data.store import Dataset
from data.viewing import charts
from waldo import provenance
from waldo.dataset.opening import look_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

    from data.report import Report

AXES = ((0, 1), (0, 2), (1, 2))  # xy, xz, yz
MAPS = 9  # heat maps on one page


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    from data.report import Report

    source, rate_is_known = look_at(cfg.path, cfg.fps)
    dataset = Dataset(source, cameras=[])
    dataset.validate()
    figures, remarks = _measures(dataset, cfg, rate_is_known)
    seconds = f", {dataset.num_frames / dataset.fps:,.0f} s at {dataset.fps:g} Hz" if rate_is_known else ""
    subtitle = f"{dataset.num_episodes:,} episodes, {dataset.num_frames:,} frames{seconds}; {dataset.format}"
    report = Report(f"What is in {dataset.root.name}", subtitle, provenance.collect())
    tiles = [figure for figure in figures if figure.name in ("plot/success", "plot/return", "plot/tq", "plot/saco")]
    report.headline(tiles, [figure.name.removeprefix("plot/") for figure in tiles])
    pages = _Pages(report, out if cfg.png else None)
    gained, success = quality.returns(dataset), quality.successes(dataset)
    report.section("Episodes")
    rate = dataset.fps if rate_is_known else 0.0
    pages.add("episodes", lambda palette: charts.episodes(dataset.lengths, rate, gained, success, palette))
    _workspace(dataset, report, pages)
    vectors = _vectors(dataset)
    for name in vectors:
        values = dataset.table([name])[name].reshape(dataset.num_frames, -1)
        titles = _titles(dataset, name, values.shape[1])
        report.section(name, "How often each value occurs, from the smallest to the largest.")
        pages.add(name, lambda palette, v=values, t=titles: charts.histograms(v, t, palette))  # type: ignore[misc]
        if name.startswith("action"):
            told = "The middle half of all values (dark) and the middle 98 % (light) within the whole range. In brackets: the share of "
            report.subsection("Use of the range", told + "frames that are exactly at that end, as actions are that were cut at a limit.")
            pages.add(f"{name}.range", lambda palette, v=values, t=titles: charts.range_use(v, t, palette))  # type: ignore[misc]
    report.section("Measures", "\n\n".join(remarks))
    report.figures(figures, labels=[figure.name.removeprefix("plot/") for figure in figures])
    print(report.write(out / "report.html"))
    for figure in figures:
        print(f"  {figure}")
    return figures


class _Pages:
    """Each plot goes onto the page, and into a PNG where `folder` is given."""

    def __init__(self, report: Report, folder: Path | None) -> None:
        self._report, self._folder = report, folder

    def add(self, name: str, draw: Callable[[charts.Palette], Plot], caption: str = "") -> None:
        self._report.plot(svg(draw(charts.PAGE)), caption)
        if self._folder is not None:
            charts.write_png(draw(charts.WHITE), self._folder / f"{name.replace('/', '_')}.png")


def _vectors(dataset: Dataset) -> list[str]:
    kinds = {name: np.dtype(dataset.features[name]["dtype"]).kind for name in dataset.column_keys}
    return [name for name, kind in kinds.items() if kind == "f" and (name == "action" or name.startswith(("observation.", "action.")))]


def _titles(dataset: Dataset, name: str, width: int) -> list[str]:
    """`joint1 [rad]` of each element."""
    names, units = dataset.column_names.get(name, ()), dataset.column_units.get(name, ())
    labels = list(names) if len(names) == width else [f"[{i}]" for i in range(width)]
    if len(units) != width:
        return labels
    return [f"{label} [{unit}]" if unit not in ("", "1") else label for label, unit in zip(labels, units)]


def _workspace(dataset: Dataset, report: Report, pages: _Pages) -> None:
    maps, notes = [], []
    for place in quality.places(dataset):
        points = quality.positions(dataset, place)
        unit = f" [{place.unit}]" if place.unit else ""
        names = [f"{place.feature if name.startswith('[') else ''}{name}{unit}" for name in place.names]
        for i, j in AXES:
            if j < points.shape[1] and min(np.ptp(points[:, i]), np.ptp(points[:, j])) > 0:
                maps.append((points[:, [i, j]], names[i], names[j]))
        if place.guessed:
            notes.append("No name says which elements are a position; these two move most.")
    if maps:
        report.section(
            "Workspace", "Where positions were; the darker, the longer (logarithm of the frames in each cell). " + " ".join(notes)
        )
        pages.add("workspace", lambda palette: charts.heat_maps(maps[:MAPS], palette))


def _measures(dataset: Dataset, cfg: DictConfig, rate_is_known: bool) -> tuple[list[Figure], list[str]]:
    """Everything that is one number, and what has to be said about it."""
    episodes = dataset.num_episodes
    figures = [Figure("plot/episodes", episodes), Figure("plot/frames", dataset.num_frames)]
    remarks: list[str] = []
    success, gained = quality.successes(dataset), quality.returns(dataset)
    if success is not None:
        low, high = wilson(int(success.sum()), episodes)
        figures.append(Figure("plot/success", float(success.mean()), n=episodes, low=low, high=high))
    if gained is not None:
        mean, low, high = mean_interval(gained)
        figures.append(Figure("plot/return", mean, n=episodes, low=low, high=high))
        if np.ptp(gained) > 0 or (cfg.minimal is not None and cfg.online is not None):
            tq = quality.trajectory_quality(gained, cfg.minimal, cfg.online)
            figures.append(Figure("plot/tq", tq.value, n=episodes))
            if tq.relative:
                remarks.append(
                    "**TQ is relative**: where minimal= or online= were not given, the smallest and largest return of this recording stand "
                    "for them. It must not be compared with the TQ of another recording."
                )
        else:
            remarks.append(f"All returns are {gained[0]:g}: TQ needs minimal= and online=.")
    else:
        remarks.append("No rewards were recorded: there is no return and no TQ.")
    figures += _coverage(dataset, cfg, remarks)
    for place in quality.places(dataset):
        points, name = quality.positions(dataset, place), f"{place.feature}[{runs(place.elements)}]"
        paths = quality.path_lengths(points, dataset.episode_ends)
        if not paths.any():
            continue  # it is at another place in every episode, and stays there
        figures.append(Figure(f"plot/path/{name}", float(np.median(paths)), place.unit, n=episodes))
        figures.append(Figure(f"plot/occupied/{name}", quality.occupied(points[:, :2])))
        if rate_is_known:
            smooth = quality.smoothness(points, dataset.episode_ends, dataset.fps)
            smooth = smooth[np.isfinite(smooth)]
            if len(smooth):
                figures.append(Figure(f"plot/smoothness/{name}", float(np.median(smooth)), n=len(smooth)))
    remarks.append(
        "`path` is the median length of an episode's path, `occupied` the share of a 32 x 32 grid over its bounding box that was visited, "
        "`smoothness` the median spectral arc length of its speed: one smooth stroke has -1.4, tremor and stops make it smaller."
    )
    return figures, remarks


def _coverage(dataset: Dataset, cfg: DictConfig, remarks: list[str]) -> list[Figure]:
    vectors = _vectors(dataset)
    if not any(name.startswith("action") for name in vectors) or all(name.startswith("action") for name in vectors):
        remarks.append("There are no observations and actions in numbers: SACo is left out.")
        return []
    pairs = quality.state_action_pairs(dataset, list(cfg.coverage))
    reference = None
    if cfg.reference:
        other = Dataset(look_at(cfg.reference, cfg.fps)[0], cameras=[])
        reference = quality.state_action_pairs(other, list(cfg.coverage) or _vectors(dataset))
    saco = quality.coverage(pairs, reference, cfg.edges)
    if saco.relative:
        remarks.append(
            f"**SACo is relative**: without reference=, unique state-action pairs (cells of {cfg.edges} edges in each of {pairs.shape[1]} "
            "dimensions) are compared with all pairs of this recording. In many dimensions nearly every frame is unique; coverage= chooses."
        )
    return [Figure("plot/saco", saco.value, n=len(pairs))]
