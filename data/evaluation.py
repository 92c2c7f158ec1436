"""An evaluation on disk: which policy, where, on which seeds, and one row per episode.

    evaluation.json      Manifest: what was evaluated and where; written before the first episode
    episodes.jsonl       one row per finished episode (data.results.EpisodeLog)
    traces/seed_7.npz    what was observed and done in the episode, one row per control step
    videos/seed_7_failure.mp4
    latency.json         [ms] of single decisions, one robot's, on the machine that evaluated
    summary.json         the figures; there only when every seed is done

The folder of a sweep over shards (`waldo evaluate -m shard=0/2,1/2`) is one evaluation too: its jobs are its parts.

    evaluation = read(Path("outputs/eval_flow"))
    wins, losses = pair(evaluation, read(Path("outputs/eval_bc")))

A row's columns: seed, success, total_reward, max_reward, length [control steps], milestones (name -> control step at which it was first
reached), limited (control steps in which the environment did not do all that was asked), error (how the environment broke; such an
episode has failed), and wall_s, which alone may differ when the same episode is run again.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.results import read_rows, write_atomic

MANIFEST, ROWS, TRACES, VIDEOS, LATENCY = "evaluation.json", "episodes.jsonl", "traces", "videos", "latency.json"
SCHEMA = 1
WALL_CLOCK = ("wall_s",)  # columns that depend on the machine
REQUIRED: dict[str, tuple[type, ...]] = {
    "seed": (int,),
    "success": (bool,),
    "total_reward": (int, float),
    "max_reward": (int, float),
    "length": (int,),
}


@dataclass(frozen=True)
class Manifest:
    """What was evaluated, and where.

    identity      sha256 of all that decides an episode's result but its seed: weights, settings, environment, code; "" is unknown
    environment   its settings, without those that change no episode
    milestones    names of the steps towards success, in their order
    features      observation -> names of its elements
    seeds         all that were asked for, whether finished or not
    """

    policy: str
    identity: str
    task: str
    robot: str
    environment: Mapping[str, Any]
    seeds: tuple[int, ...]
    rate_hz: float
    max_steps: int
    n_action_steps: int = 1
    milestones: tuple[str, ...] = ()
    features: Mapping[str, Sequence[str]] = field(default_factory=dict)
    instruction: str = ""
    commit: str = ""

    def write(self, folder: Path) -> None:
        write_atomic(folder / MANIFEST, json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Evaluation:
    """The finished episodes of one policy in one environment, ordered by seed."""

    folder: Path
    manifest: Manifest
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    parts: tuple[Path, ...] = ()  # folders of traces and videos; () is `folder` alone

    @property
    def complete(self) -> bool:
        return len(self.rows) == len(self.manifest.seeds)

    @property
    def seeds(self) -> np.ndarray:
        """(n,) int64."""
        return np.array([row["seed"] for row in self.rows], np.int64)

    @property
    def success(self) -> np.ndarray:
        """(n,) bool."""
        return np.array([row["success"] for row in self.rows], bool)

    def column(self, name: str) -> np.ndarray:
        """(n,) float64; NaN where a row does not have it."""
        return np.array([float("nan") if row.get(name) is None else row[name] for row in self.rows], float)

    def trace(self, seed: int) -> dict[str, np.ndarray] | None:
        """One row per control step: observation vectors as the policy got them, `action`, `reward`, `limited`, and `decided`, where a
        chunk began; None if it was not kept. Raises DatasetError for a damaged file.
        """
        path = next((found for part in self._parts if (found := part / TRACES / f"seed_{seed}.npz").exists()), None)
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{path} is damaged: {error}; remove {path.parent} and evaluate again") from error

    def videos(self) -> dict[int, Path]:
        """seed -> film."""
        found = {}
        for path in sorted(path for part in self._parts for path in (part / VIDEOS).glob("seed_*.mp4")):
            if match := re.fullmatch(r"seed_(\d+)_(?:success|failure)\.mp4", path.name):
                found[int(match[1])] = path
        return found

    def latency_ms(self) -> np.ndarray:
        """(K,) of single decisions for one robot; empty where it was not measured. Raises DatasetError for a damaged file."""
        values: list[float] = []
        for path in (part / LATENCY for part in self._parts if (part / LATENCY).exists()):
            try:
                values += [float(value) for value in json.loads(path.read_text(encoding="utf-8"))]
            except (OSError, ValueError, TypeError) as error:
                raise DatasetError(f"{path} is damaged: {error}; evaluate again") from error
        return np.array(values)

    @property
    def _parts(self) -> tuple[Path, ...]:
        return self.parts or (self.folder,)


def is_evaluation(folder: Path) -> bool:
    return bool(_parts_of(folder))


def read(folder: Path, complete: bool = True) -> Evaluation:
    """The evaluation in a folder.

    Raises DatasetError if there is none, if it is of another schema or damaged, if it holds a seed twice or one that was not asked
    for, if it holds no episode, and, unless `complete` is False, if it is not finished.
    """
    parts = _parts_of(folder)
    manifest = _joined(folder, parts) if parts and parts != (folder,) else manifest_of(folder)
    rows = [row for part in parts for row in _rows(part)]
    found = [int(row["seed"]) for row in rows]
    if len(set(found)) < len(found):
        twice = next(seed for seed in sorted(found) if found.count(seed) > 1)
        raise DatasetError(
            f"{folder} holds seed {twice} twice: two evaluations were written into one file; evaluate again into another folder"
        )
    asked = set(manifest.seeds)
    kept = sorted((row for row in rows if int(row["seed"]) in asked), key=lambda row: int(row["seed"]))
    if not kept:
        raise DatasetError(f"{folder} holds no finished episode of the {len(asked)} that were asked for")
    if complete and len(kept) < len(asked):
        raise DatasetError(f"{folder} is not finished: {len(kept)} of {len(asked)} episodes; give the same command again and it goes on")
    return Evaluation(folder, manifest, tuple(kept), parts)


def pair(a: Evaluation, b: Evaluation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(seeds, success of a, success of b), each (n,), on the seeds that both have.

    Raises DatasetError unless both are of the same environment with the same settings and share a seed.
    """
    require_same_place(a.manifest, b.manifest)
    seeds, at, bt = np.intersect1d(a.seeds, b.seeds, return_indices=True)
    if not len(seeds):
        raise DatasetError(
            f"{a.folder} and {b.folder} share no seed: {a.seeds[0]} to {a.seeds[-1]} and {b.seeds[0]} to {b.seeds[-1]}; "
            "policies are compared on the same seeds"
        )
    return seeds, a.success[at], b.success[bt]


def require_same_place(a: Manifest, b: Manifest) -> None:
    """Raises DatasetError naming every difference between two environments."""
    apart = [f"{name} {x!r} and {y!r}" for name, x, y in (("task", a.task, b.task), ("robot", a.robot, b.robot)) if x != y]
    one, other = flat_settings(a.environment), flat_settings(b.environment)
    apart += [f"env.{key} {one.get(key)!r} and {other.get(key)!r}" for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
    if apart:
        raise DatasetError(f"{a.policy} and {b.policy} were evaluated in different environments: {'; '.join(apart[:6])}")


def _parts_of(folder: Path) -> tuple[Path, ...]:
    """The folders of its manifests: itself, or the jobs of a sweep over shards; () where there is none."""
    if (folder / MANIFEST).is_file():
        return (folder,)
    jobs = [path.parent for path in folder.glob(f"*/{MANIFEST}") if path.parent.name.isdigit()]
    return tuple(sorted(jobs, key=lambda path: int(path.name)))


def _joined(folder: Path, parts: tuple[Path, ...]) -> Manifest:
    """One manifest for the shards of an evaluation. Raises DatasetError if they are not of the same."""
    manifests = [manifest_of(part) for part in parts]
    first = manifests[0]
    if not first.identity or any(manifest.identity != first.identity for manifest in manifests):
        raise DatasetError(f"{folder} holds {len(parts)} evaluations that are not of the same policy and environment: name one of them")
    return replace(first, seeds=tuple(seed for manifest in manifests for seed in manifest.seeds))


def _rows(folder: Path) -> list[dict[str, Any]]:
    log = folder / ROWS
    rows = read_rows(log) if log.exists() else []
    for number, row in enumerate(rows, 1):
        for name, kinds in REQUIRED.items():
            if not isinstance(row.get(name), kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise DatasetError(f"{log}, episode {number}: {name} is {row.get(name)!r}; wanted is {wanted}")
    return rows


def manifest_of(folder: Path) -> Manifest:
    """Raises DatasetError if there is none, or none of this schema."""
    path = folder / MANIFEST
    if not path.is_file():
        there = "it does not exist" if not folder.exists() else f"there is no {MANIFEST} in it"
        raise DatasetError(f"{folder} is no evaluation: {there}; `waldo evaluate` makes one")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        schema = raw.pop("schema", None) if isinstance(raw, dict) else None
    except ValueError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    if schema != SCHEMA:
        raise DatasetError(f"{path} is of schema {schema!r}; this version reads schema {SCHEMA}: evaluate again")
    unknown = sorted(set(raw) - {f.name for f in fields(Manifest)})
    try:
        if unknown:
            raise TypeError(f"it holds {', '.join(unknown)}")
        made = Manifest(**{**raw, "seeds": tuple(map(int, raw["seeds"])), "milestones": tuple(raw.get("milestones", ()))})
    except (TypeError, KeyError, ValueError) as error:
        raise DatasetError(f"{path} is no manifest of an evaluation: {error}") from error
    if len(set(made.seeds)) < len(made.seeds):
        raise DatasetError(f"{path} names a seed twice")
    return made


def flat_settings(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Dotted keys. Empty mappings and lists are the same as nothing."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat_settings(value, f"{path}{key}.")
        elif value not in ([], (), None, ""):
            found[f"{path}{key}"] = value
    return found
