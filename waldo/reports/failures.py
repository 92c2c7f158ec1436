"""The parts of an evaluation's report on its failures: what happens, when, where they end, and where they began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.beginnings import Beginnings, Divide, places
from data.charts.regions import COUNTED, DOTS, grid_of, regions
from data.clips import stills
from data.errors import DatasetError
from data.evaluation import Evaluation
from data.failures import Failure, divided
from data.report import Report
from data.statistics import wilson

GROUPS = 8  # rows of the table and strips of pictures
STRIPS = 2  # episodes shown of each group
SEEDS = 6  # named in the table
AROUND = (-2.0, -1.0, 0.0, 1.0)  # [s] pictures before and after the moment of failure; the last one is the end
SURE, PERHAPS = (
    0.01,
    0.05,
)  # a difference between places that chance alone makes less often than this is named, at the top or where it belongs


def failures_section(report: Report, evaluation: Evaluation, failures: Sequence[Failure], trouble: list[str]) -> None:
    """A table of the groups with the seeds to look at, and pictures around the moment of failure."""
    if not failures:
        return
    n, failed = len(evaluation.rows), sum(len(failure.seeds) for failure in failures)
    report.section("How and when episodes fail")
    groups = [part for failure in failures for part in divided(evaluation, failure, trouble)]
    rows = [
        [
            _words(group),
            len(group.seeds),
            share(len(group.seeds), n),
            f"{np.median(list(group.moments.values())):.1f} s",
            ", ".join(map(str, group.seeds[:SEEDS])) + (" …" if len(group.seeds) > SEEDS else ""),
        ]
        for group in groups[:GROUPS]
    ]
    if len(groups) > GROUPS:
        rest = sum(len(group.seeds) for group in groups[GROUPS:])
        rows.append([f"{len(groups) - GROUPS} other ways", rest, share(rest, n), "", ""])
    caption = f"The {failed:,} failures by how far they came" if failed > 1 else "The failure, by how far it came"
    caption += ", and by how their last observations differ." if any(group.ends for group in groups) else "."
    report.table(["what they do", "episodes", "of all, 95 %", "when", "seeds to look at"], rows, caption + _when(evaluation))
    _strips(report, evaluation, groups[:GROUPS], trouble)


def beginnings_section(report: Report, evaluation: Evaluation, start: Beginnings | None, cut: Divide | None) -> None:
    """Maps of where things were at the start, by success, and the one coordinate that decides most."""
    found = places(start) if start is not None and len(start.success) > 1 else []
    if start is None or not found:
        return
    report.section("Where episodes begin", _verdict(start, cut))
    maps = [(regions(place.points, start.success, *place.axes), place.name or "start") for place in found]
    several = start.success.sum() < len(start.success)
    caption = "Each episode at the place where it began: a dot succeeded, a cross failed. " if len(start.success) <= DOTS else ""
    if several:
        counted = " (failures/episodes)" if grid_of(len(start.success)) <= COUNTED else ""
        caption += f"The redder a cell, the larger the share that failed{counted}; cells of few episodes are pale. "
    caption += "No element has a name; the two that vary most are drawn. " if any("[" in name for name in found[0].axes) else ""
    if len(start.success) < len(evaluation.rows):
        caption += f"{len(start.success):,} of {len(evaluation.rows):,} episodes, evenly spread over the seeds."
    report.plots(maps, caption.strip())


def _verdict(start: Beginnings, cut: Divide | None) -> str:
    if cut is None:
        return (
            "All succeed: no place decides."
            if start.success.all()
            else "No episode succeeds from anywhere."
            if not start.success.any()
            else ""
        )
    if not cut.p <= PERHAPS:
        return f"No single coordinate tells failures from successes by more than chance (the best of {cut.tried} divisions has p = {cut.p:.2g})."
    (worse, n_worse), (better, n_better) = cut.worse, cut.better
    found = f"{100 * worse / n_worse:.0f} % succeed ({worse:,} of {n_worse:,}); elsewhere {100 * better / n_better:.0f} % ({better:,} of {n_better:,})."
    return (
        (f"**Where `{cut.name}` is {cut.where}, {found}**" if cut.p <= SURE else f"Perhaps: where `{cut.name}` is {cut.where}, {found}")
        + f" Chance alone makes such a difference with p = {cut.p:.2g} (Fisher's exact test, corrected for the {cut.tried} divisions that "
        "were tried)."
    )


def share(count: int, n: int) -> str:
    """`13 % [8, 21]`: with its 95 % interval."""
    low, high = wilson(count, n)
    digits = 1 if n >= 1000 else 0
    return f"{100 * count / n:.{digits}f} % [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def _words(group: Failure) -> str:
    return group.kind + (f": at the end {group.ends}" if group.ends and group.ends != "not looked at" else "")


def _when(evaluation: Evaluation) -> str:
    if not evaluation.manifest.milestones:
        return ""
    return " “When” is the moment at which the next step was due: as long after the last one as other episodes took for it (medians)."


def _strips(report: Report, evaluation: Evaluation, groups: Sequence[Failure], trouble: list[str]) -> None:
    films = evaluation.videos()
    filmed = [(group, [seed for seed in group.seeds if seed in films]) for group in groups]
    if not any(seeds for _, seeds in filmed):
        if films:
            report.text("No failure is among the films: only the first seeds are filmed (`videos=`).")
        return
    report.subsection(
        "The moment of failure",
        "From two seconds before to one second after it, and the end of the episode; the whole episode where that is its end.",
    )
    lengths = {int(row["seed"]): row["length"] / evaluation.manifest.rate_hz for row in evaluation.rows}
    for group, seeds in filmed:
        for place, seed in enumerate(seeds[:STRIPS]):
            moment = group.moments[seed]
            end = lengths[seed]
            late = moment + AROUND[-1] > end  # then the whole episode says more than its last second
            times = list(np.linspace(end / 5, end, 5)) if late else [max(0.0, moment + t) for t in AROUND] + [end]
            try:
                frames = stills(films[seed], times)
            except DatasetError as error:
                trouble.append(str(error))
                continue
            mark = int(np.argmin([abs(at - moment) for at, _ in frames]))
            told = [(frame, f"{at:.1f} s" + (", the end" if i == len(frames) - 1 else "")) for i, (at, frame) in enumerate(frames)]
            report.strip(f"{_words(group)} (seed {seed})" if place == 0 else f"seed {seed}", told, mark)
    bare = sum(not seeds for _, seeds in filmed)
    if bare:
        report.text(f"Of {bare} of {len(filmed)} groups there is no film: only the first seeds are filmed (`videos=`).")
