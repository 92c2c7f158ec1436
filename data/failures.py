"""How the episodes of an evaluation fail, and when: groups by how far they came, and within a large group by where it ended.

The moment of a failure is when the next step towards success was due: as long after the last step that was reached as it took the
episodes that did reach the next one (median); with nobody to compare with, and after an error, the end of the episode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from data.clusters import clusters, distinctive
from data.errors import DatasetError
from data.evaluation import Evaluation

SPLIT_FROM = 8  # failures of one kind from which its ends are compared
JOINTS, STATE = "observation.joints", "observation.state"
TRACES = 400  # of one kind that are read for it, the first ones


@dataclass(frozen=True)
class Failure:
    """Episodes that fail in the same way.

    verb, rest   what they do, in the plural: `stop`, `before “cube lifted”`
    seeds        in their order
    moments      seed -> when it failed [s]
    ends         how they differ at their end from the others of their kind; empty where nothing sets them apart
    """

    verb: str
    rest: str
    seeds: tuple[int, ...]
    moments: Mapping[int, float]
    ends: str = ""

    @property
    def kind(self) -> str:
        return f"{self.verb} {self.rest}"

    def says(self, count: int | None = None) -> str:
        """`stop before ...`, or `stops before ...` of one."""
        return f"{self.verb}s {self.rest}" if (len(self.seeds) if count is None else count) == 1 else self.kind


def kinds(evaluation: Evaluation) -> list[Failure]:
    """Failures by how far they came, most frequent first; empty if none failed."""
    rate, names = evaluation.manifest.rate_hz, evaluation.manifest.milestones
    due = _due(evaluation)
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in evaluation.rows:
        if row["success"]:
            continue
        reached = row.get("milestones") or {}
        furthest = max((i for i, name in enumerate(names) if name in reached), default=-1)
        moment = float(row["length"])
        if row.get("error"):
            key = ("end", f"with an error: {_without_numbers(str(row['error']))}")
        else:
            early = row["length"] < evaluation.manifest.max_steps
            key = _stopped(names, furthest, early)
            start = reached[names[furthest]] if furthest >= 0 else 0
            if not early and np.isfinite(due[furthest + 1]):
                moment = min(moment, start + due[furthest + 1])
        found.setdefault(key, {})[int(row["seed"])] = moment / rate
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Failure(verb, rest, tuple(moments), moments) for (verb, rest), moments in ordered]


def divided(evaluation: Evaluation, failure: Failure, trouble: list[str]) -> list[Failure]:
    """One kind of failure, divided by its last observations where they fall into clear groups. trouble: see `readable`."""
    if len(failure.seeds) < SPLIT_FROM:
        return [failure]
    seeds, ends, names = last_observations(evaluation, failure.seeds[:TRACES], trouble)
    labels = clusters(ends) if len(seeds) >= SPLIT_FROM else np.zeros(len(seeds), int)
    if not labels.any():
        return [failure]
    parts = []
    for group in range(labels.max() + 1):
        chosen = labels == group
        words = [f"{names[i]} {_short(here)} (others {_short(there)})" for i, here, there in distinctive(ends, chosen)]
        own = tuple(int(seed) for seed in seeds[chosen])
        parts.append(replace(failure, seeds=own, moments={seed: failure.moments[seed] for seed in own}, ends=", ".join(words)))
    left = tuple(seed for seed in failure.seeds if seed not in set(map(int, seeds)))
    if left:
        parts.append(replace(failure, seeds=left, moments={seed: failure.moments[seed] for seed in left}, ends="not looked at"))
    return parts


def last_observations(evaluation: Evaluation, seeds: tuple[int, ...], trouble: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(seeds that have a trace, their last observation vectors side by side (n, D), the name of each column), finite values only."""
    kept: list[int] = []
    ends: list[np.ndarray] = []
    names: list[str] = []
    for seed in seeds:
        trace = readable(evaluation, seed, trouble)
        if trace is None:
            continue
        names, values = vectors(evaluation, trace, -1)
        if len(values) and np.isfinite(values).all() and (not ends or len(values) == len(ends[0])):
            kept.append(seed)
            ends.append(values)
    values = np.array(ends, float) if ends else np.zeros((0, 0))
    return np.array(kept, np.int64), _one_sign(values, names), names


def readable(evaluation: Evaluation, seed: int, trouble: list[str]) -> dict[str, np.ndarray] | None:
    """The trace of an episode; None where there is none, and where it is damaged or empty. What was damaged is added to `trouble`, once."""
    try:
        trace = evaluation.trace(seed)
    except DatasetError as error:
        if str(error) not in trouble:
            trouble.append(str(error))
        return None
    return trace if trace and all(len(values) for values in trace.values()) else None


def vectors(evaluation: Evaluation, trace: Mapping[str, np.ndarray], row: int) -> tuple[list[str], np.ndarray]:
    """(names, values (D,)) of all observation vectors in one row of a trace. An element without a name is `vector[3]`."""
    names: list[str] = []
    parts = []
    for key in observed(trace):
        values = np.asarray(trace[key][row], float).ravel()
        given = evaluation.manifest.features.get(key, ())
        short = key.removeprefix("observation.")
        names += list(given) if len(given) == len(values) else [f"{short}[{i}]" for i in range(len(values))]
        parts.append(values)
    return names, np.concatenate(parts) if parts else np.zeros(0)


def observed(trace: Mapping[str, np.ndarray]) -> list[str]:
    """The observation vectors that are looked at. Joint positions say the same as the tool's pose, in numbers that nobody can picture."""
    found = sorted(name for name in trace if name.startswith("observation."))
    return [name for name in found if name != JOINTS or STATE not in found]


def _due(evaluation: Evaluation) -> np.ndarray:
    """(M + 1,) control steps from each milestone to the next, the first from the start and the last one to success; NaN: nobody did."""
    names = evaluation.manifest.milestones
    steps: list[list[int]] = [[] for _ in range(len(names) + 1)]
    for row in evaluation.rows:
        reached = row.get("milestones") or {}
        path = [0, *(reached.get(name) for name in names), row["length"] if row["success"] else None]
        for i, (start, end) in enumerate(zip(path, path[1:])):
            if start is not None and end is not None:
                steps[i].append(max(0, end - start))
    return np.array([np.median(values) if values else np.nan for values in steps])


def _one_sign(values: np.ndarray, names: list[str]) -> np.ndarray:
    """The same with the quaternions of all rows (n, D) in one half of their sphere: q and -q are one rotation."""
    for i in range(len(names) - 3 if len(values) else 0):
        if all(name.endswith(end) for name, end in zip(names[i : i + 4], ("qw", "qx", "qy", "qz"))):
            values[:, i : i + 4] *= np.where(values[:, i : i + 4] @ values[0, i : i + 4] < 0, -1.0, 1.0)[:, None]
    return values


def _stopped(names: tuple[str, ...], furthest: int, early: bool) -> tuple[str, str]:
    if not names:
        return ("end", "before the time is up") if early else ("run", "out of time")
    if furthest + 1 == len(names):
        return "stop", f"after “{names[furthest]}”, without lasting success"
    return ("end", f"early, before “{names[furthest + 1]}”") if early else ("stop", f"before “{names[furthest + 1]}”")


def _without_numbers(text: str, most: int = 90) -> str:
    """The same fault at another step or place is the same kind."""
    line = re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", text.strip().splitlines()[0] if text.strip() else "unknown")
    return line if len(line) <= most else line[: most - 1] + "…"


def _short(value: float) -> str:
    return f"{value:.2f}" if 0.01 <= abs(value) < 100 else f"{value:.2g}"
