"""What a check of a recording is given, `Recording`, and what it returns, `Finding`.

A check is one file data/checks/NAME.py. Its docstring says what it looks for, and it has

    def check(recording: Recording) -> list[Finding]

It is found by its file name; nothing is registered. `data.doctor` runs them all. Every threshold says why it is what it is.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.lerobot import layout
from data.source import Source

SEVERITIES = ("error", "warning", "note")  # error: nothing should be trained from it as it is
TOGETHER = 1 << 30  # bytes of columns that are read at once and kept; larger recordings are read column by column, again for each check
GRIPPER = ("grip", "finger", "jaw")
AXES = {("w", "x", "y", "z"), ("x", "y", "z", "w")}


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    check      the file in data/checks; severity   one of SEVERITIES
    found      what, with numbers; why   why it matters; mend   the command or the step that mends it
    feature    the column or camera; elements   which of its elements; both empty where it concerns the whole recording
    episode, frame   where it is first or worst, numbers of the whole recording; None where it is everywhere
    episodes   all episodes that have it
    """

    check: str
    severity: str
    found: str
    why: str
    mend: str
    feature: str = ""
    elements: tuple[int, ...] = ()
    episode: int | None = None
    frame: int | None = None
    episodes: tuple[int, ...] = ()


class Recording:
    """One recording as a check sees it: columns as they are stored, NaN and all, with every episode's place in them.

    source     of any format
    episodes   (E,) increasing numbers of the episodes to look at; None takes all
    cameras    camera -> the episodes whose frames can be read; None takes all cameras and all episodes
    pictures   "all", "sample" or "none": of how many episodes frames are decoded
    rate_is_known   False where nobody said the frame rate: then `fps` says nothing
    said       options that every command needs because the recording does not say them, such as fps
    """

    def __init__(
        self,
        source: Source,
        episodes: np.ndarray | None = None,
        cameras: Mapping[str, np.ndarray] | None = None,
        pictures: str = "sample",
        rate_is_known: bool = True,
        said: Mapping[str, Any] | None = None,
    ) -> None:
        header = source.header
        self.source, self.header, self.pictures, self.rate_is_known = source, header, pictures, rate_is_known
        self.said = dict(said or {})
        self.features: dict[str, dict[str, Any]] = header.features
        self.fps = float(header.fps)
        self.numbers = np.arange(len(header.lengths)) if episodes is None else episodes
        self.lengths = header.lengths[self.numbers]
        self.ends = np.cumsum(self.lengths)
        self.starts = self.ends - self.lengths
        keys = [name for name, feature in self.features.items() if feature["dtype"] in ("video", "image")]
        self.cameras = dict.fromkeys(keys, self.numbers) if cameras is None else dict(cameras)
        self.unreadable: dict[str, str] = {}  # column -> why
        self._columns: dict[str, np.ndarray] = {}
        self._whole: dict[str, bool] = {}  # column -> whether every value is finite
        self._filled: dict[str, np.ndarray] = {}

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that are numbers and can be read, the automatic ones left out."""
        skipped = ("video", "image", "string")
        names = [n for n, f in self.features.items() if f["dtype"] not in skipped and n not in layout.DEFAULT_FEATURES]
        rows = int(self.ends[-1])
        size = sum(rows * int(np.prod(self.features[n]["shape"])) * np.dtype(self.features[n]["dtype"]).itemsize for n in names)
        if size <= TOGETHER:
            try:
                self._columns = self.source.columns(names, self.numbers)
                return tuple(names)
            except DatasetError:
                pass  # one by one, to learn which it is
        for name in names:
            try:
                values = self.source.columns([name], self.numbers)[name]
            except DatasetError as error:
                self.unreadable[name] = str(error)
                continue
            if size <= TOGETHER:
                self._columns[name] = values
        return tuple(name for name in names if name not in self.unreadable)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Observations and actions that are real numbers."""
        return tuple(n for n in self.steered if np.dtype(self.features[n]["dtype"]).kind == "f")

    @property
    def steered(self) -> tuple[str, ...]:
        """Observations and actions of any type of number."""
        return tuple(n for n in self.columns if n == "action" or n.startswith(("action.", "observation.")))

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(name for name in self.vectors if name.startswith("action"))

    def raw(self, name: str) -> np.ndarray:
        """(N, D) of a column as stored, matrices laid out flat. Raises DatasetError."""
        values = self._columns[name] if name in self._columns else self.source.columns([name], self.numbers)[name]
        return values.reshape(len(values), -1)

    def column(self, name: str) -> np.ndarray:
        """(N, D) with the last good value where one is not finite, so that one NaN does not hide what else there is."""
        values = self.raw(name)
        if name not in self._whole:
            self._whole[name] = values.dtype.kind != "f" or bool(np.isfinite(values).all())
        if self._whole[name]:
            return values
        if name not in self._filled:
            values = np.array(values)
            for column in values.T:
                good = np.isfinite(column)
                last = np.maximum.accumulate(np.where(good, np.arange(len(column)), 0))
                column[:] = np.nan_to_num(column[last], posinf=0.0, neginf=0.0)
            self._filled[name] = values
        return self._filled[name]

    @functools.cached_property
    def inside(self) -> np.ndarray:
        """(N-1,) bool: whether frame t+1 belongs to the episode of frame t."""
        inside = np.ones(int(self.ends[-1]) - 1, bool)
        inside[self.ends[:-1] - 1] = False
        return inside

    def steps(self, name: str, element: int) -> np.ndarray:
        """(N-1,) float64: what one element changes from a frame to the next, angles the short way round, 0 between episodes."""
        steps = np.diff(self.column(name)[:, element].astype(np.float64))
        steps[~self.inside] = 0.0
        turn = self.turn(name, element)
        if turn:
            far = np.flatnonzero(np.abs(steps) > turn / 2)
            steps[far] -= turn * np.rint(steps[far] / turn)
        return steps

    def turn(self, name: str, element: int) -> float:
        """What a full turn is in the unit of this element; 0.0 for what is no angle."""
        units = self.units(name)
        if element in (self.features[name].get("angles") or ()):
            return 360.0 if units and units[element] == "deg" else 2 * np.pi
        return {"rad": 2 * np.pi, "deg": 360.0}.get(units[element], 0.0) if units else 0.0

    def labels(self, name: str) -> tuple[str, ...]:
        """Names of the elements; () where there are none."""
        names = layout.element_names(self.features[name])
        return names if len(names) == int(np.prod(self.features[name]["shape"])) else ()

    def units(self, name: str) -> tuple[str, ...]:
        units = tuple(self.features[name].get("units") or ())
        return units if len(units) == int(np.prod(self.features[name]["shape"])) else ()

    def quaternions(self, name: str) -> tuple[int, ...]:
        """First element of each quaternion: as declared, else four neighbours that are called qw, qx, qy, qz or the like."""
        declared = self.features[name].get("quaternions")
        if declared:
            return tuple(declared)
        labels = [label.lower() for label in self.labels(name)]
        fours = [(i, labels[i : i + 4]) for i in range(len(labels) - 3)]
        return tuple(i for i, four in fours if tuple(x[-1:] for x in four) in AXES and all("q" in x[:-1] for x in four))

    def in_quaternion(self, name: str) -> set[int]:
        return {first + k for first in self.quaternions(name) for k in range(4)}

    def grippers(self, name: str) -> tuple[int, ...]:
        """Elements that are called a gripper."""
        return tuple(i for i, label in enumerate(self.labels(name)) if any(word in label.lower() for word in GRIPPER))

    def partner(self, action: str, element: int) -> tuple[str, int] | None:
        """The observed element that this element of an action commands, as far as names tell; None where they do not."""
        labels = self.labels(action)
        for name in (n for n in self.vectors if n.startswith("observation.")):
            others = self.labels(name)
            if labels and labels[element] in others:
                return name, others.index(labels[element])
        return None

    def spans(self, values: np.ndarray) -> np.ndarray:
        """(E,): maximum minus minimum of (N,) values over each episode."""
        return np.maximum.reduceat(values, self.starts) - np.minimum.reduceat(values, self.starts)

    def place(self, row: int) -> tuple[int, int]:
        """(episode number, frame) of a row."""
        i = int(np.searchsorted(self.ends, row, side="right"))
        return int(self.numbers[i]), row - int(self.starts[i])

    def episodes_of(self, rows: np.ndarray) -> tuple[int, ...]:
        """The numbers of the episodes that these rows are in."""
        return tuple(self.numbers[np.unique(np.searchsorted(self.ends, rows, side="right"))].tolist())

    def say(self, name: str, elements: Sequence[int] = ()) -> str:
        """A column or some of its elements, in words: `action[3-6, 8] (qw, qx, qy, ..., grip)`."""
        if not elements or int(np.prod(self.features[name]["shape"])) == 1:
            return name
        labels = self.labels(name)
        more = f", {labels[elements[-1]]}" if labels and len(elements) > 3 else ""
        named = f" ({', '.join(labels[i] for i in elements[:3])}{', ...' if len(elements) > 4 else ''}{more})" if labels else ""
        return f"{name}[{runs(elements)}]{named}"

    def unit(self, name: str, element: int) -> str:
        """The unit after a number, with its space; empty where it is unknown or has none."""
        units = self.units(name)
        return f" {units[element]}" if units and units[element] not in ("", "1") else ""

    def command(self, action: str, **options: Any) -> str:
        """`waldo data ACTION PATH option=value`, as it is typed."""
        return command_line(action, self.header.root, **options)

    def edit(self, action: str, **options: Any) -> str:
        """A command that edits the native format in place, and writes a new dataset of any other."""
        if self.header.format != f"LeRobotDataset {layout.VERSION}" or action == "convert":
            options |= {"dataset": f"datasets/{self.header.root.name.partition('.')[0]}_mended"} | self.said
        return self.command(action, **options)

    def delete(self, episodes: Sequence[int]) -> str:
        """The command that leaves these episodes out."""
        return self.edit("delete", episodes=list(episodes))

    def repair(self, **options: Any) -> str:
        """The command that writes what can be computed anew; of other formats than LeRobot's nothing can."""
        return self.command("repair", **options) if self.header.format.startswith("LeRobot") else "export it again from where it came"


def command_line(action: str, root: Path, **options: Any) -> str:
    """`waldo data ACTION PATH option=value`, as it is typed."""
    place = f"./{root}" if "=" in str(root) and not root.is_absolute() else str(root)
    words = [f"{key}={_plain(value)}" for key, value in options.items()]
    # Brackets and commas are safe in a shell as they stand here, and better read without quotes.
    return " ".join(
        ["waldo data", action, shlex.quote(place), *(w if re.fullmatch(r"[\w.=/,\[\]-]+", w) else shlex.quote(w) for w in words)]
    )


def quoted(text: str) -> str:
    """Words inside of an option, as its parser wants them."""
    return '"' + text.replace('"', '\\"') + '"'


def runs(numbers: Sequence[int]) -> str:
    """`0-3, 7`: increasing numbers, neighbours joined."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


def count(n: int, what: str, total: int | None = None) -> str:
    """`1 episode`, `3 of 20 episodes`."""
    of = f" of {total}" if total is not None else ""
    return f"{n}{of} {what}{'' if (total if total is not None else n) == 1 else 's'}"
