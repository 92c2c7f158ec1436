"""What a run produced, in files that machines read: `Figure`, `summary.json`, and `EpisodeLog`, one row per episode.

Everything here survives a crash at any moment: a summary is replaced in one step, and an episode log loses at most
the row that was being written.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from data.durable import replacing
from data.errors import DatasetError

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Figure:
    """One number that a run produced.

    name       where it belongs, with slashes: `success/flow`, `latency/p99`
    value      rates are fractions in [0, 1]
    unit       `ms`, `1/s`, ...; empty for rates and counts
    n          how many measurements or episodes stand behind it
    low, high  the 95 % interval
    """

    name: str
    value: float
    unit: str = ""
    n: int | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        text = f"{self.name} = {self.value:.4g}{' ' + self.unit if self.unit else ''}"
        if self.low is not None and self.high is not None:
            text += f" [{self.low:.4g}, {self.high:.4g}]"
        return text + (f" (n={self.n})" if self.n is not None else "")


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step: a reader sees the old file or the new one, never half of one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_summary(out: Path, command: str, provenance: Mapping[str, Any], figures: Sequence[Figure]) -> Path:
    """Write `out/summary.json` and return its path. A value that is not finite becomes null: JSON has no NaN.

    Raises ValueError if two figures have the same name, because one would hide the other.
    """
    names = [figure.name for figure in figures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"figures named twice: {', '.join(twice)}")
    content = {"command": command, "provenance": dict(provenance), "figures": [_plain(figure) for figure in figures]}
    write_atomic(out / SUMMARY, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return out / SUMMARY


def read_summary(out: Path) -> tuple[str, dict[str, Any], list[Figure]]:
    """(command, provenance, figures) of a finished run. A value that was null is NaN again.

    Raises DatasetError if there is no summary, or if it is not one.
    """
    path = out / SUMMARY
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        figures = [Figure(**{**f, "value": math.nan if f["value"] is None else f["value"]}) for f in raw["figures"]]
        return raw["command"], raw["provenance"], figures
    except FileNotFoundError as error:
        raise DatasetError(f"{out} holds no {SUMMARY}: the run did not finish, or this is not an output folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is not a summary: {error}") from error


def _plain(figure: Figure) -> dict[str, Any]:
    row = dataclasses.asdict(figure)
    for key in ("value", "low", "high"):
        if row[key] is not None:
            number = float(row[key])  # numpy scalars are not JSON
            row[key] = number if math.isfinite(number) else None
    row["n"] = None if figure.n is None else int(figure.n)
    return row


class EpisodeLog:
    """One JSON row per episode, appended and synced to the disk before the next episode starts.

    A run that was interrupted opens the same file again, asks `done_seeds()`, and goes on. A last line that was cut
    off by a crash is dropped on opening; a damaged line before the last one is an error, because rows were lost.

        with EpisodeLog(out / "episodes.jsonl") as log:
            for seed in seeds:
                if seed not in log.done_seeds():
                    log.append({"seed": seed, "success": True, "length": 80})
    """

    def __init__(self, path: Path) -> None:
        """Raises DatasetError if the file holds something else than episode rows."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._rows, whole = _read_rows(self.path)
            if whole is not None:
                self._file.truncate(whole)
        except BlockingIOError as error:
            self._file.close()
            raise DatasetError(f"{self.path} is being written by another process; wait until it has ended") from error
        except DatasetError:
            self._file.close()
            raise
        self._seeds = {int(row["seed"]) for row in self._rows}

    def append(self, row: Mapping[str, Any]) -> None:
        """Raises ValueError if the row has no `seed`, or a seed that is already there."""
        if "seed" not in row:
            raise ValueError(f"an episode row needs a seed; found: {', '.join(row)}")
        plain = {key: _scalar(value) for key, value in row.items()}
        if plain["seed"] in self._seeds:
            raise ValueError(f"seed {plain['seed']} is already in {self.path}")
        self._file.write((json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._seeds.add(int(plain["seed"]))
        self._rows.append(plain)

    def done_seeds(self) -> frozenset[int]:
        return frozenset(self._seeds)

    def rows(self) -> list[dict[str, Any]]:
        """All rows, ordered by seed: the order in which episodes finished says nothing."""
        return sorted((dict(row) for row in self._rows), key=lambda row: int(row["seed"]))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> EpisodeLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an episode log, in the order in which they finished. Raises DatasetError if it is damaged."""
    return _read_rows(path)[0]


def _read_rows(path: Path) -> tuple[list[dict[str, Any]], int | None]:
    """The rows, and the length in bytes to keep if the last line was cut (None if it was not)."""
    if not path.exists():
        return [], None
    lines = path.read_bytes().splitlines(keepends=True)
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            int(row["seed"])
            if not line.endswith(b"\n"):
                raise ValueError("no newline")
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and not line.endswith(b"\n"):
                return rows, sum(len(kept) for kept in lines[:-1])
            raise DatasetError(f"{path}, line {number} is not an episode row: {error}") from error
        rows.append(row)
    return rows, None


def _scalar(value: Any) -> Any:
    """A Python value for a numpy one; null for a float that is not finite, which JSON cannot hold."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
