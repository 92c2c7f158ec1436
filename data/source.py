"""What a reader of one format has to offer: `Source`. `data.store.Dataset` does all the rest, the same for every format.

A format is one file `data/from_NAME.py` with

    FORMAT = "robomimic HDF5"                               its name in messages
    def recognises(path: Path) -> bool                      cheap: looks at names and first bytes, never raises
    def open_source(path: Path, given: Given) -> Source     raises DatasetError

It is found by its name; nothing is registered. Values stay as they are stored: names that mean the same as LeRobot's take
LeRobot's name (`data.mapping` renames the others), no unit or rotation is converted on a guess.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError

Table = dict[str, np.ndarray]
Size = tuple[int, int]  # height, width [px]


@dataclass(frozen=True)
class Given:
    """What the user says about a recording that does not say it itself; 0 and "" where nothing was said.

    fps    frames per second [Hz]; task   what the episodes show, in words
    """

    fps: float = 0.0
    task: str = ""
    robot_type: str = ""

    def need_fps(self, stored: float, root: Path) -> float:
        """The stored rate, else the given one. Raises DatasetError where both are silent or they contradict each other."""
        if stored and self.fps and abs(stored - self.fps) > 1e-6 * stored:
            raise DatasetError(
                f"{root} was recorded at {stored:g} Hz, but fps={self.fps:g} was given; leave fps out, or resample by a mapping"
            )
        if not (stored or self.fps):
            raise DatasetError(f"{root} does not say its frame rate; give it as fps=... (in training data.fps=...)")
        return stored or self.fps


@dataclass(frozen=True)
class Clip:
    """Frames of one camera that are decoded together: one video file, or the pictures of one episode.

    name     unique within the camera and stable: progress of a cache is kept under it
    rows     (n,) int64, increasing or not: where each decoded frame goes among the frames of the chosen episodes
    decode   size or None -> n frames, uint8 (H, W, 3) RGB, in the order of `rows`, resized by area averaging where size differs;
             raises DatasetError
    """

    name: str
    rows: np.ndarray
    decode: Callable[[Size | None], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Header:
    """What is known before any frame is read.

    root        the folder or file
    format      e.g. "LeRobotDataset v3.0"
    fps         [Hz]
    features    as in LeRobot's info.json: name -> {dtype, shape, names, and our units, quaternions, angles}; cameras have the dtype
                "video" or "image" and the shape [H, W, 3]. Of the automatic columns (index, episode_index, frame_index, timestamp,
                task_index) only those that are stored
    lengths     (E,) int64 frames of each episode, each >= 1
    tasks       task strings; task_of   per episode the positions of its tasks in `tasks`, () where it has none
    provenance  JSON-able facts about the origin, {} where there are none
    identity    what else decides the values: how the recording was mapped or resampled
    """

    root: Path
    format: str
    fps: float
    robot_type: str
    features: dict[str, dict[str, Any]]
    lengths: np.ndarray
    tasks: tuple[str, ...] = ()
    task_of: tuple[tuple[int, ...], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    identity: str = ""


class Source(ABC):
    """One recording in one format. Opening reads no frames; every method may be called from several threads and after a fork."""

    header: Header

    @abstractmethod
    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        """Stored columns over all frames of these episodes (increasing numbers), concatenated: (N, ...) each, dtype and shape as in
        `header.features` (scalars of next.* and the like are (N,), see `data.lerobot.layout.column_shape`). Raises DatasetError."""

    @abstractmethod
    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        """The frames of a camera over these episodes, cut where decoding can start anew."""

    @abstractmethod
    def files(self) -> tuple[list[Path], list[Path]]:
        """(small files whose content identifies the recording, large ones that are identified by name and size)."""

    def check(self, episodes: np.ndarray, cameras: Sequence[str]) -> None:
        """Cheap checks on opening: what these episodes and cameras need is there and complete. Raises DatasetError."""
        return

    def where(self, episode: int) -> Path:
        """The file that holds an episode's values, for messages."""
        return self.header.root

    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Statistics that were recorded with the data; {} where there are none."""
        return {}

    def final(self, episode: int) -> Table:
        """What was observed after the last action, name -> (...), without cameras; {} where the format does not keep it."""
        return {}

    def extras(self, episode: int) -> dict[str, Any]:
        """What the format keeps of an episode beside frames (simulator states and models, seeds); {} where nothing."""
        return {}


def numbered(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """The files of a recording that has one per episode, in the order of the number that is the first group of `name`; [] if none."""
    try:
        found = [(name.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError:
        return []
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def readers() -> dict[str, Any]:
    """Name -> module, of every data/from_NAME.py."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("from_*.py"))
    return {name.removeprefix("from_"): importlib.import_module(f"data.{name}") for name in names}


def open_source(path: Path, given: Given | None = None) -> Source:
    """The recording at `path`, in whatever format it is. Raises DatasetError naming the formats that are known."""
    known = readers()
    for module in known.values():
        if module.recognises(path):
            source: Source = module.open_source(path, given or Given())
            return source
    kinds = ", ".join(sorted(module.FORMAT for module in known.values()))
    held = (
        "a folder with " + (", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing in it")
        if path.is_dir()
        else f"a file of {path.stat().st_size} bytes"
    )
    raise DatasetError(f"{path} is no recording that waldo can read: it is {held}; known: {kinds}")
