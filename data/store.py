"""Reading a recording: `Dataset.open("pusht")`. One API for every format that `data.source` knows."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.cache import cache_folders, open_column, open_frames
from data.episode import Episode
from data.errors import DatasetError, did_you_mean
from data.fingerprint import fingerprint
from data.lerobot import layout
from data.lookup import find
from data.mapping import mapped
from data.resample import resampled
from data.source import Given, Size, Source, Table, open_source

IN_MEMORY = 256 << 20  # bytes of columns that a dataset keeps in memory; what is beyond is memory-mapped
PIECE = 500  # episodes that are read at once where memory has to stay small


class Dataset:
    """Committed episodes. Nothing is read before it is asked for; columns stay in memory once read, as long as they are small."""

    def __init__(self, source: Source, episodes: Sequence[int] | None = None, cameras: Sequence[str] | None = None) -> None:
        header = source.header
        self._source = source
        self.features = dict(header.features)
        if cameras is not None:
            known = self.camera_keys
            for key in cameras:
                if key not in known:
                    raise DatasetError(f"{header.root} has no camera {key!r}; {did_you_mean(key, known)}")
            self.features = {n: f for n, f in self.features.items() if n not in known or n in cameras}
        self.features |= {n: dict(f) for n, f in layout.DEFAULT_FEATURES.items() if n not in self.features}
        self.numbers = _selection(episodes, len(header.lengths), header.root)
        self.lengths = header.lengths[self.numbers]
        self.episode_ends = np.cumsum(self.lengths)
        self._columns: Table = {}

    @classmethod
    def open(
        cls,
        path_or_name: str | os.PathLike[str],
        episodes: Sequence[int] | None = None,
        cameras: Sequence[str] | None = None,
        given: Given | None = None,
        mapping: Mapping[str, Any] | None = None,
        fps: float = 0.0,
        sums: Sequence[str] = (),
    ) -> Dataset:
        """A recording by path or name; `episodes` and `cameras` leave out the others, None keeps all.

        given     what a format does not say itself, e.g. the frame rate of a Zarr replay buffer
        mapping   other names, elements and units, see `data.mapping`
        fps       resample to this rate [Hz], see `data.resample`; 0 leaves it. sums   columns that are changes, not targets
        Episodes that are left out do not count: the first one that is kept is episode 0 of what is returned.
        Raises DatasetError if there is none, it is malformed (see `validate`), or it does not say what it must.
        """
        source = mapped(open_source(find(path_or_name), given), mapping or {})
        dataset = cls(resampled(source, fps, sums) if fps else source, episodes, cameras)
        dataset.validate()
        return dataset

    @property
    def root(self) -> Path:
        """The folder or file."""
        return self._source.header.root

    @property
    def format(self) -> str:
        return self._source.header.format

    @property
    def fps(self) -> float:
        """Frames per second [Hz]."""
        return self._source.header.fps

    @property
    def robot_type(self) -> str:
        return self._source.header.robot_type

    @property
    def num_episodes(self) -> int:
        return len(self.lengths)

    @property
    def num_frames(self) -> int:
        return int(self.episode_ends[-1])

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task strings; the column `task_index` points into them."""
        return self._source.header.tasks

    @property
    def provenance(self) -> dict[str, Any]:
        """What is known about the origin; {} where nothing is."""
        return dict(self._source.header.provenance)

    @property
    def camera_keys(self) -> tuple[str, ...]:
        return tuple(name for name, feature in self.features.items() if feature["dtype"] in ("video", "image"))

    @property
    def column_keys(self) -> tuple[str, ...]:
        """What `table` can read: every feature that is a number."""
        return tuple(n for n, f in self.features.items() if f["dtype"] not in ("video", "image", "string"))

    @property
    def column_names(self) -> dict[str, tuple[str, ...]]:
        """Element names of the columns that have them."""
        return {n: names for n in self.column_keys if (names := layout.element_names(self.features[n]))}

    @property
    def column_units(self) -> dict[str, tuple[str, ...]]:
        """Element units of the columns that have them; recordings of other programs have none."""
        return {n: tuple(self.features[n]["units"]) for n in self.column_keys if self.features[n].get("units")}

    @functools.cached_property
    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Statistics as recorded with the data; {} where there are none."""
        return self._source.stats()

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 (hex) of what is open: the content of meta and data files, names, sizes and samples of large ones, which episodes."""
        return hashlib.sha256(self._whole_hash.encode() + self.numbers.tobytes() + self._source.header.identity.encode()).hexdigest()

    @functools.cached_property
    def _whole_hash(self) -> str:
        """The same over the whole recording, whatever was selected."""
        return fingerprint(self.root, *self._source.files())

    def validate(self) -> None:
        """Cheap checks, run on open: what is needed is there, has its end, and adds up. Values are checked when they are read.

        Raises DatasetError naming the file and how to mend it.
        """
        self._source.check(self.numbers, self.camera_keys)

    def table(self, names: Sequence[str]) -> Table:
        """Columns over all frames, read-only; memory-mapped where the dataset is large.

        Vectors (N, D...), scalars (N,), dtype as stored; observations and actions of one element are (N, 1). The columns
        `index` and `episode_index` keep the numbers of the whole recording where episodes were left out.
        Raises DatasetError for an unknown name, a NaN or an infinity.
        """
        for name in names:
            if name not in self.column_keys:
                where = "; frames of a camera come from images()" if name in self.camera_keys else ""
                raise DatasetError(f"{self.root} has no column {name!r}{where}; {did_you_mean(name, self.column_keys)}")
        absent = [name for name in dict.fromkeys([*names, "index"]) if name not in self._columns]
        if absent:
            self._columns |= self._read(absent)
        return {name: self._columns[name] for name in names}

    def episode(self, i: int) -> Episode:
        """Episode i, negative from the end. Raises DatasetError if there is no such episode."""
        i = self._number(i)
        rows = slice(int(self.episode_ends[i] - self.lengths[i]), int(self.episode_ends[i]))
        names = self.column_keys
        if all(name in self._columns for name in names) or not self._is_large:
            arrays = {name: column[rows] for name, column in self.table(names).items()}
        else:
            arrays = self._checked(names, self.numbers[i : i + 1])
        number, task = int(self.numbers[i]), self.episode_tasks(i)
        return Episode(
            arrays,
            self.fps,
            self.column_names,
            self.column_units,
            task[0] if task else "",
            i,
            self._source.final(number),
            self._source.extras(number),
        )

    def episode_tasks(self, i: int) -> tuple[str, ...]:
        """The tasks of episode i, in words."""
        header = self._source.header
        of = header.task_of
        return tuple(header.tasks[k] for k in of[int(self.numbers[self._number(i)])]) if of else header.tasks[:1]

    def images(self, key: str, size: Size | None = None) -> np.ndarray:
        """All frames of a camera, uint8 (N, H, W, 3), memory-mapped from a cache that is decoded once.

        size   (height, width) [px], resized by area averaging; None as recorded
        Raises DatasetError if there is no such camera, or a video cannot be decoded.
        """
        self._require_camera(key)
        native = self._native(key)
        chosen = size or native
        every = len(self.numbers) == len(self._source.header.lengths)
        what = self._source.header.identity.encode() + (b"" if every else self.numbers.tobytes())
        name = f"{key}-{chosen[0]}x{chosen[1]}{'-' + hashlib.sha256(what).hexdigest()[:8] if what else ''}"
        clips = functools.partial(self._source.clips, key, self.numbers)
        return open_frames(cache_folders(self.root), name, self._whole_hash, clips, self.num_frames, chosen, chosen != native)

    def frames(self, key: str, i: int, size: Size | None = None) -> np.ndarray:
        """The frames of episode i, uint8 (T, H, W, 3), decoded now and not kept. Raises DatasetError as `images`."""
        self._require_camera(key)
        i = self._number(i)
        native = self._native(key)
        frames = np.empty((int(self.lengths[i]), *(size or native), 3), np.uint8)
        for clip in self._source.clips(key, self.numbers[i : i + 1]):
            for row, image in zip(clip.rows.tolist(), clip.decode(size if size and size != native else None), strict=True):
                frames[row] = image
        return frames

    def __len__(self) -> int:
        return self.num_episodes

    def __repr__(self) -> str:
        columns = ", ".join(f"{n} {f['dtype']}{list(f['shape'])}" for n, f in self.features.items() if n not in layout.DEFAULT_FEATURES)
        return f"Dataset({self.root}: {self.num_episodes} episodes, {self.num_frames} frames at {self.fps:g} Hz; {columns})"

    def _number(self, i: int) -> int:
        if not -self.num_episodes <= i < self.num_episodes:
            raise DatasetError(f"{self.root} has no episode {i}; allowed: 0 to {self.num_episodes - 1}")
        return i % self.num_episodes

    def _require_camera(self, key: str) -> None:
        if key not in self.camera_keys:
            raise DatasetError(f"{self.root} has no camera {key!r}; {did_you_mean(key, self.camera_keys)}")

    def _native(self, key: str) -> Size:
        shape = self.features[key]["shape"]
        return int(shape[0]), int(shape[1])

    def _width(self, name: str) -> int:
        """Bytes of a column per frame."""
        return int(np.prod(layout.column_shape(name, self.features[name]))) * np.dtype(self.features[name]["dtype"]).itemsize

    @property
    def _is_large(self) -> bool:
        return self.num_frames * sum(self._width(name) for name in self.column_keys) > IN_MEMORY

    def _read(self, names: list[str]) -> Table:
        if not self._is_large:
            return self._checked(names, self.numbers)
        return {name: self._mapped(name) for name in names}

    def _mapped(self, name: str) -> np.ndarray:
        feature = self.features[name]
        shape = (self.num_frames, *layout.column_shape(name, feature))
        return open_column(
            cache_folders(self.root), f"{name}-column", self.content_hash, shape, np.dtype(feature["dtype"]), lambda: self._pieces(name)
        )

    def _pieces(self, name: str) -> Iterator[np.ndarray]:
        for start in range(0, len(self.numbers), PIECE):
            yield self._checked([name], self.numbers[start : start + PIECE])[name]

    def _checked(self, names: Sequence[str], numbers: np.ndarray) -> Table:
        """Columns of these episodes: read where they are stored, counted where they are not; every value finite."""
        stored = [name for name in names if name in self._source.header.features]
        columns = self._source.columns(stored, numbers) if stored else {}
        columns |= {name: self._counted(name, numbers) for name in names if name not in columns}
        for name, column in columns.items():
            if np.issubdtype(column.dtype, np.floating) and not np.isfinite(column).all():
                self._not_finite(name, column, numbers)
            column.flags.writeable = False
        return {name: columns[name] for name in names}

    def _counted(self, name: str, numbers: np.ndarray) -> np.ndarray:
        """An automatic column that the format does not store."""
        header = self._source.header
        lengths = header.lengths[numbers]
        frame = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        if name == "frame_index":
            return frame
        if name == "timestamp":
            return (frame / self.fps).astype(np.float32)
        if name == "index":
            return frame + np.repeat((np.cumsum(header.lengths) - header.lengths)[numbers], lengths)
        if name == "episode_index":
            return np.repeat(numbers, lengths)
        task = np.array([header.task_of[i][0] if header.task_of and header.task_of[i] else 0 for i in numbers.tolist()], np.int64)
        return np.repeat(task, lengths)

    def _not_finite(self, name: str, column: np.ndarray, numbers: np.ndarray) -> None:
        at = int(np.flatnonzero(~np.isfinite(column).reshape(len(column), -1).all(1))[0])
        ends = np.cumsum(self._source.header.lengths[numbers])
        k = int(np.searchsorted(ends, at, side="right"))
        frame = at - int(ends[k] - self._source.header.lengths[numbers[k]])
        raise DatasetError(
            f"{self._source.where(int(numbers[k]))}: {name} is {column[at].tolist()} in frame {frame} of episode {numbers[k]}; every value must be finite: "
            "correct it, or leave the episode out (Dataset.open with episodes=)"
        )


def _selection(episodes: Sequence[int] | None, count: int, root: Path) -> np.ndarray:
    """(E,) int64 episode numbers; None takes all. Raises DatasetError."""
    if episodes is None:
        return np.arange(count)
    chosen = [int(i) for i in episodes]
    if not chosen or chosen != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= count:
        raise DatasetError(f"{root}: episodes {chosen}; wanted increasing numbers from 0 to {count - 1}")
    return np.array(chosen, np.int64)
