"""The report of `waldo demo`: what came of every step, made to be read in two minutes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from data.charts import latency_histogram, learning_curves, success_bars
from data.report import Report
from data.results import Figure, read_summary
from data.statistics import mcnemar_exact, paired_difference
from waldo.reports.evaluation import clips

LABELS = {
    "untrained": "untrained network",
    "bc": "regression (BC-MLP)",
    "flow": "flow matching",
    "steered": "flow, steered by the critic",
}
TIMES = (  # arrays of run/timing.npz [s], what they are, and the limit to draw [ms]
    ("lateness", "how late a tick began", 2.0),
    ("compute", "all stages of one tick", 2.0),
    ("latency", "from an observation to its chunk", None),
)


def write_report(
    out: Path,
    chosen: str,
    chosen_on: dict[str, Figure],
    results: list[Figure],
    arm: dict[str, Figure],
    seconds: dict[str, float],
    images: bool,
) -> Path:
    """Write `out/report.html` and return its path."""
    by_name = {figure.name: figure for figure in results}
    _, provenance, _ = read_summary(out / "flow")
    report = Report("waldo: from demonstrations to a moving arm", "pick_place: a cube into a bin, round a wall", provenance)
    headline = [by_name[f"success/{name}"] for name in LABELS]
    labels = [*LABELS.values()]
    if "success/arm" in by_name:
        headline.append(by_name["success/arm"])
        labels.append("on the arm, through the control loop")
    report.headline(headline, labels)
    _path(report, out, by_name, chosen)
    _success(report, out, by_name, chosen, chosen_on)
    _curves(report, out)
    if images:
        _films(report, out)
    if arm:
        _arm(report, out, arm)
    _beside(report, by_name, chosen)
    rows = [[name, value] for name, value in seconds.items()]
    report.section("What took how long", "Every step is a command of its own; `command.txt` in its folder says which.")
    report.table(["step", "seconds"], rows)
    report.section("What this is not")
    report.text(
        "The policies above read object poses that are the simulator's ground truth; on a real arm something has to estimate them. "
        "The arm is simulated: its server answers on a wire in real time, in another process, but it is not metal. "
        "The safety stages are software: **not a safety-rated system**, and a software stop is not an emergency stop."
    )
    return report.write(out / "report.html")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a jsonl file in the order they were written."""
    return [json.loads(line) for line in folder.read_text().splitlines() if line.strip()]


def outcomes_of(folder: Path) -> np.ndarray:
    rows = sorted(rows_of(folder / "episodes.jsonl"), key=lambda row: row["seed"])
    return np.array([row["success"] for row in rows], bool)


def _path(report: Report, out: Path, by_name: dict[str, Figure], chosen: str) -> None:
    collected = {figure.name: int(figure.value) for figure in read_summary(out / "collect")[2]}
    exported = {figure.name: figure.value for figure in read_summary(out / "export")[2]}
    notes = {
        "demonstrations": f"{collected['collect/episodes']}, {collected['collect/success']} succeed",
        "dataset": f"{collected['collect/frames']:,} frames",
        "policy": f"flow {by_name['success/flow'].value:.0%}",
        "critic": "IQL, 4 networks",
        "steering": f"best of N {by_name['success/steered'].value:.0%}",
        "evaluation": f"{by_name['success/flow'].n} held-out seeds",
        "artefact": f"{exported['latency/artefact']:.1f} ms a chunk",
    }
    if "success/arm" in by_name:
        arm = by_name["success/arm"]
        notes |= {"control loop": "500 Hz, checked", "arm": f"{round(arm.value * (arm.n or 0))} of {arm.n} episodes"}
    report.path(notes, f"The way that this run took. Exported: {LABELS[chosen]}.")


def _success(report: Report, out: Path, by_name: dict[str, Figure], chosen: str, chosen_on: dict[str, Figure]) -> None:
    report.section("Success on held-out seeds", "Every policy met the same episodes, none of which was used for training or for choosing.")
    figures = [by_name[f"success/{name}"] for name in LABELS]
    report.figures(figures, labels=[*LABELS.values()])
    report.plot(success_bars(figures, [*LABELS.values()]))
    outcomes = {name: outcomes_of(out / f"evaluate_{name}") for name in LABELS}
    rows = []
    for a, b in ((chosen, "untrained"), (chosen, "bc"), ("steered", "flow")):
        if a == b:
            continue
        p, only_a, only_b = mcnemar_exact(outcomes[a], outcomes[b])
        d = paired_difference(outcomes[a], outcomes[b])
        rows.append([f"{LABELS[a]} against {LABELS[b]}", f"{d.value:+.0%} [{d.low:+.0%}, {d.high:+.0%}]", only_a, only_b, f"{p:.2g}"])
    columns = ["comparison", "difference, 95 % interval", "only the first succeeds", "only the second", "p"]
    report.table(columns, rows, "Paired on the same seeds: exact McNemar test, Newcombe's interval. p-values as they are, uncorrected.")
    selection = ", ".join(f"{LABELS[name]} {figure.value:.0%} of {figure.n}" for name, figure in chosen_on.items())
    report.text(
        f"On the seeds of the selection: {selection}. Exported: **{LABELS[chosen]}**; steering is taken only where it is better by more than chance."
    )


def _curves(report: Report, out: Path) -> None:
    report.section("Learning")
    for name, title in (("flow", "Flow matching loss"), ("bc", "Regression loss"), ("critic", "Critic")):
        rows = rows_of(out / name / "metrics.jsonl")
        keys = ["q", "v", "doubt"] if name == "critic" else ["loss"]
        report.plot(learning_curves(rows, keys, log=name != "critic"), f"{title} ({name}/metrics.jsonl)")


def _films(report: Report, out: Path) -> None:
    report.section("Films", "The first held-out episodes of each policy.")
    for name, label in LABELS.items():
        _clips(report, out / f"evaluate_{name}", label)
    _clips(report, out / "evaluate_image", "flow from images and proprioception")


def _clips(report: Report, folder: Path, label: str) -> None:
    films = clips((folder / "videos").glob("seed_*.mp4"))
    if films:
        report.subsection(label)
        report.videos(films)


def _arm(report: Report, out: Path, arm: dict[str, Figure]) -> None:
    report.section(
        "On the arm",
        "The artefact in a process of its own, the control loop at 500 Hz in another, the arm's server in a third. Every command went "
        "through all safety stages; the limits below were counted again from the log, by other code.",
    )
    report.figures(list(arm.values()))
    films = clips((out / "run" / "videos").glob("seed_*.mp4"))
    if films:
        report.videos(films, width=260)
    timing = out / "run" / "timing.npz"
    if timing.exists():
        with np.load(timing) as arrays:
            for key, label, limit in TIMES:
                milliseconds = 1e3 * np.asarray(arrays[key], float).ravel() if key in arrays.files else np.zeros(0)
                if len(milliseconds):
                    report.plot(latency_histogram(milliseconds, limit, label))


def _beside(report: Report, by_name: dict[str, Figure], chosen: str) -> None:
    rows = {
        f"success/other_cube/{chosen}": f"{LABELS[chosen]}, a cube of 5 cm instead of 4",
        "success/other_cube/bc": "regression, a cube of 5 cm",
        "success/few": "flow matching, few demonstrations",
        "success/image": "flow matching from images and proprioception, briefly trained",
    }
    there = {name: label for name, label in rows.items() if name in by_name}
    report.section("Beside it", "Conditions that nobody tuned to, on the same held-out seeds. They gate nothing.")
    report.figures([by_name[name] for name in there], labels=[*there.values()])
