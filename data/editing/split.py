"""One dataset as several, by shares, counts, episodes, task or success. The parts share the video files of the whole."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.editing.assemble import assemble, require_free
from data.editing.opening import opened, require_apart
from data.editing.origin import Origin
from data.editing.plan import Plan, edit, whole
from data.editing.swap import replacing_folder
from data.errors import DatasetError
from data.source import Given

SUCCESS = "next.success"


@dataclass(frozen=True)
class Rule:
    """How episodes are dealt out; exactly one of these.

    fractions   part -> share of the episodes, together at most 1
    counts      part -> number of episodes
    episodes    part -> their numbers
    by          "task": a part per task; "success": parts "success" and "failure"
    seed        fractions and counts draw at random, the same for the same seed; None takes them in order
    """

    fractions: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    episodes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    by: str = ""
    seed: int | None = 0


def split(path: str | os.PathLike[str], rule: Rule, into: Path, link: bool = True, given: Given | None = None) -> dict[str, Plan]:
    """A dataset per part, `into/<part>`; the folder `into` appears when all of them are complete. Within a part the order stays.

    Raises DatasetError for shares that are more than everything, a part without episodes, or an episode in two parts.
    """
    require_free(into)
    with opened(path, into, given) as origin:
        require_apart(origin, into)
        parts = deal(origin, rule)
        plans = {}
        for name, numbers in parts.items():
            made = edit(origin, whole([origin], 0, numbers), "split", {"part": name, "episodes": numbers, "of": Path(path).name})
            plans[name] = dataclasses.replace(made, link=link, splits={})
        with replacing_folder(into) as folder:
            for name, plan in plans.items():
                (folder / name).mkdir()
                assemble(plan, folder / name)
        return plans


def deal(origin: Origin, rule: Rule) -> dict[str, list[int]]:
    """Part -> its episodes in increasing order. Raises DatasetError as `split`."""
    ways = [name for name in ("fractions", "counts", "episodes", "by") if getattr(rule, name)]
    if len(ways) != 1:
        raise DatasetError(f"say in one way how to split: fractions, counts, episodes or by; found {', '.join(ways) or 'none'}")
    parts = {"fractions": _by_fractions, "counts": _by_counts, "episodes": _by_list, "by": _by_label}[ways[0]](origin, rule)
    for name, numbers in parts.items():
        if not numbers:
            raise DatasetError(f"the part {name!r} would have no episode; {origin.root} has {len(origin)}")
        if not re.fullmatch(r"[\w][\w. -]*", name):
            raise DatasetError(f"{name!r} cannot be the name of a part: letters, digits, '_', '-', '.' and spaces")
    return {name: sorted(numbers) for name, numbers in parts.items()}


def _by_fractions(origin: Origin, rule: Rule) -> dict[str, list[int]]:
    shares = np.array([float(share) for share in rule.fractions.values()])
    if not (np.isfinite(shares).all() and (shares > 0).all() and shares.sum() <= 1 + 1e-9):
        raise DatasetError(f"fractions={dict(rule.fractions)}: shares are positive and together at most 1")
    exact = shares * len(origin)
    counts = np.floor(exact + 1e-9).astype(int)
    # Largest remainders first, so that shares that add up to 1 leave no episode out.
    for i in np.argsort(counts - exact, kind="stable")[: round(float(exact.sum())) - int(counts.sum())]:
        counts[i] += 1
    return _draw(origin, dict(zip(rule.fractions, counts.tolist(), strict=True)), rule.seed)


def _by_counts(origin: Origin, rule: Rule) -> dict[str, list[int]]:
    wrong = {name: n for name, n in rule.counts.items() if isinstance(n, bool) or not isinstance(n, int) or n < 1}
    if wrong or sum(rule.counts.values()) > len(origin):
        raise DatasetError(f"counts={dict(rule.counts)}: whole numbers, together at most the {len(origin)} episodes of {origin.root}")
    return _draw(origin, rule.counts, rule.seed)


def _draw(origin: Origin, counts: Mapping[str, int], seed: int | None) -> dict[str, list[int]]:
    order = np.arange(len(origin)) if seed is None else np.random.default_rng(seed).permutation(len(origin))
    ends = np.cumsum(list(counts.values()))
    return {name: order[end - n : end].tolist() for (name, n), end in zip(counts.items(), ends.tolist(), strict=True)}


def _by_list(origin: Origin, rule: Rule) -> dict[str, list[int]]:
    parts = {name: origin.numbers(list(numbers), f"the part {name!r}") for name, numbers in rule.episodes.items()}
    seen = Counter(i for numbers in parts.values() for i in numbers)
    twice = sorted(i for i, count in seen.items() if count > 1)
    if twice:
        raise DatasetError(f"episode {', '.join(map(str, twice))} would be in two parts")
    return parts


def _by_label(origin: Origin, rule: Rule) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    if rule.by == "task":
        named: dict[str, str] = {}
        for i, tasks in enumerate(origin.index.of):
            text = " + ".join(tasks) or "no task"
            if text not in named:
                short = re.sub(r"[^\w-]+", "_", text.lower()).strip("_")[:60] or "task"
                named[text] = short if short not in named.values() else f"{short}_{len(named)}"
            parts.setdefault(named[text], []).append(i)
        return parts
    if rule.by != "success":
        raise DatasetError(f"by={rule.by!r}; allowed: success, task")
    if SUCCESS not in origin.features:
        raise DatasetError(f"{origin.root} has no column {SUCCESS!r}, so it does not say which episodes succeeded; say episodes={{...}}")
    for i in range(len(origin)):
        parts.setdefault("success" if origin.column(i, SUCCESS).any() else "failure", []).append(i)
    return parts
