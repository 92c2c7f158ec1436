"""The page of `waldo generalise`: policies by conditions as a table of colours, and success against randomisation and distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.evaluation import Manifest
from data.report import Report
from sim.variation.randomize import LEVELS
from waldo.generalise_cells import ENGINE, LEVEL, NOMINAL, RANDOMISATION, Cell, Condition, Distances, bins, separation
from waldo.reports.generalise_charts import along, heat


def write_report(
    out: Path, place: Manifest, cells: Sequence[Cell], distances: Distances | None, origin: Mapping[str, Any], commits: Sequence[str]
) -> Path:
    """Write `out/generalise.html` and return its path. place: of the nominal condition; commits: of the code that played."""
    policies = list(dict.fromkeys(cell.policy for cell in cells))
    conditions = [cell.condition for cell in cells if cell.policy == policies[0]]
    n = len(cells[0].success)
    report = Report("How far the policies carry", f"{place.task}, {n} episodes of each policy in each condition, the same seeds", origin)
    report.finding(" ".join(_sentence([cell for cell in cells if cell.policy == policy]) for policy in policies))
    nominal = [cell for cell in cells if cell.condition.name == NOMINAL]
    report.headline([cell.figure for cell in nominal], [f"{cell.policy}, nominal" for cell in nominal])
    report.section("Every policy in every condition", _nominal_text(place))
    report.plot(
        _heat(cells, policies, conditions, NOMINAL),
        "Success rate and its 95 % interval (Wilson). A star: different from the same policy in the nominal condition by more than chance.",
    )
    groups = {condition.group for condition in conditions}
    if ENGINE in groups:
        _engines(report, place, cells, policies, conditions)
    if RANDOMISATION in groups:
        _randomisation(report, cells, policies)
    if distances is not None:
        _distance(report, cells, policies, distances)
    if len(conditions) > 1:
        _changes(report, cells)
    report.section("What this is not", _limits(n, commits))
    return report.write(out / "generalise.html")


def significant(cell: Cell) -> bool:
    """Whether it differs from the nominal condition by more than chance, at 0.05 over the whole table."""
    return cell.p is not None and cell.p < 0.05


def _sentence(cells: Sequence[Cell]) -> str:
    """What one policy keeps and loses."""
    policy, nominal = cells[0].policy, cells[0].figure.value
    lost = sorted(
        (cell for cell in cells if significant(cell) and cell.change and cell.change.value < 0), key=lambda cell: cell.figure.value
    )
    if not cells[1:]:
        return f"**{policy}** succeeds in {nominal:.0%}."
    if not lost:
        return f"**{policy}** succeeds in {nominal:.0%}, and in no condition significantly less."
    named = [f"{cell.figure.value:.0%} {_where(cell.condition)}" for cell in lost]
    said = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    kept = len(cells) - 1 - len(lost)
    rest = "" if not kept else f"; {kept} of {len(cells) - 1} conditions cost it nothing that could be measured"
    return f"**{policy}** falls from {nominal:.0%} to {said}{rest}."


def _where(condition: Condition) -> str:
    return {
        RANDOMISATION: f"under {condition.label} randomisation",
        ENGINE: f"in {condition.label}",
        LEVEL: f"at level {condition.label}",
    }[condition.group]


def _nominal_text(place: Manifest) -> str:
    told = [f"{key} {value}" for key, value in (("engine", place.environment.get("engine")), ("level", _level(place))) if value]
    given = f" ({', '.join(told)})" if told else ""
    return f"Nominal is the environment as it was given{given}, with nothing randomised."


def _level(place: Manifest) -> str:
    task = place.environment.get("task")
    return str(task.get("level", "")) if isinstance(task, Mapping) else ""


def _heat(cells: Sequence[Cell], policies: Sequence[str], conditions: Sequence[Condition], nominal: str, group: str = "") -> str:
    """nominal: what the first column is called, and group: what it is counted among."""
    chosen = {condition.name for condition in conditions}
    rows = [[cell for cell in cells if cell.policy == policy and cell.condition.name in chosen] for policy in policies]
    marks = np.array([[significant(cell) for cell in row] for row in rows])
    labels = [nominal, *(condition.label for condition in conditions[1:])]
    groups = [group, *(condition.group for condition in conditions[1:])]
    return heat([[cell.figure for cell in row] for row in rows], policies, labels, groups, marks)


def _engines(report: Report, place: Manifest, cells: Sequence[Cell], policies: Sequence[str], conditions: Sequence[Condition]) -> None:
    report.section(
        "From one physics engine to the other",
        "The same world, arm and control law, stepped by engines that solve contact in different ways. Who trained in one and keeps its "
        "success in the other does not live off the peculiarities of a simulator; it is the nearest there is to another reality.",
    )
    kept = [condition for condition in conditions if condition.group in (NOMINAL, ENGINE)]
    report.plot(_heat(cells, policies, kept, str(place.environment.get("engine", NOMINAL)), ENGINE), "Success rate by engine.")


def _randomisation(report: Report, cells: Sequence[Cell], policies: Sequence[str]) -> None:
    report.section(
        "Against randomisation",
        "Masses, friction, damping, servo gains, delays, sensor noise and looks vary from episode to episode; at level 1 over their whole "
        "ranges, at 0 not at all. `env.randomize.groups` chooses what varies.",
    )
    lines = {
        policy: sorted(
            (
                (_strength(cell.condition), cell.figure)
                for cell in cells
                if cell.policy == policy and cell.condition.group in (NOMINAL, RANDOMISATION)
            ),
            key=lambda point: point[0],
        )
        for policy in policies
    }
    names = {value: f"{name}\n{value:g}" for name, value in LEVELS.items()}
    ticks = {x: names.get(x, f"{x:g}") for x, _ in lines[policies[0]]}
    report.plot(along(lines, "level of env.randomize", ticks), "Points with 95 % intervals.")


def _strength(condition: Condition) -> float:
    return 0.0 if condition.group == NOMINAL else LEVELS[condition.label] if condition.label in LEVELS else float(condition.label)


def _distance(report: Report, cells: Sequence[Cell], policies: Sequence[str], distances: Distances) -> None:
    n, where = distances.values.size, "the nominal condition"
    where += " and the other levels of the task" if len(distances.conditions) > 1 else ""
    out = float((distances.values > distances.near).mean())
    report.section(
        "Against the distance from what was learned",
        f"How far the first observation of an episode is from the nearest of {len(distances.usual)} demonstrations "
        f"({', '.join(f'`{name}`' for name in distances.features)}), in their standard deviations: {n} episodes of {where}. "
        f"19 of 20 demonstrations have another one within {distances.near:.2g}; {out:.0%} of the episodes began farther out than that.",
    )
    lines = {policy: bins(distances, cells, policy) for policy in policies}
    limit = (distances.near, "19 of 20 demonstrations")
    report.plot(
        along(lines, "distance of the start from the nearest demonstration [standard deviations]", limit=limit),
        "Equally many episodes in each point, drawn at their median, with 95 % intervals.",
    )
    rows: list[list[Any]] = []
    for policy in policies:
        found = separation(distances, cells, policy)
        near, far = lines[policy][0][1], lines[policy][-1][1]
        tells = ["", ""] if found is None else [f"{found[0]:.2f}", _p(found[1])]
        rows.append([policy, f"{near.value:.0%}", f"{far.value:.0%}", *tells])
    report.table(
        ["policy", "success, nearest starts", "success, farthest starts", "a failure began farther out than a success", "p"],
        rows,
        "0.50 is a coin: distance tells nothing. p by Mann and Whitney's test.",
    )


def _changes(report: Report, cells: Sequence[Cell]) -> None:
    report.section("Every change", "Against the same policy in the nominal condition, seed by seed.")
    rows: list[list[Any]] = []
    nominal: dict[str, np.ndarray] = {}
    for cell in cells:
        if cell.change is None or cell.p is None:
            nominal[cell.policy] = cell.success
            continue
        before, change = nominal[cell.policy], cell.change
        between = f"{100 * change.low:+.0f} to {100 * change.high:+.0f}"
        lost, won = int((before & ~cell.success).sum()), int((cell.success & ~before).sum())
        rows.append(
            [cell.policy, _where(cell.condition), f"{cell.figure.value:.0%}", f"{100 * change.value:+.0f}", between, lost, won, _p(cell.p)]
        )
    report.table(
        ["policy", "condition", "success", "change [points]", "95 % interval", "seeds lost", "seeds won", "p"],
        rows,
        "Newcombe's interval of a paired difference; exact McNemar test, corrected by Holm for the number of rows.",
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _limits(n: int, commits: Sequence[str]) -> str:
    text = (
        f"{n} episodes tell differences of about {100 * 1.96 * (0.5 / n) ** 0.5:.0f} points. Each policy is one training run: another seed of the "
        "same method may carry farther or less far. A level of a task may change more than starts, such as clearances and tolerances: "
        "what is harder for everyone is not a fault of generalisation, and what the scripted expert reaches there is the measure "
        "(`waldo evaluate policy=expert`). Both engines and every randomisation are simulation; neither is an arm."
    )
    if len(commits) > 1:
        text += f"\n\nThe cells were played by different versions of the code: {', '.join(commits)}."
    return text
