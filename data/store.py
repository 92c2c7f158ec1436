"""Reading a dataset: `Dataset.open("pusht")`. LeRobotDataset v3.0, as written by `data.record` or by lerobot, and v2.1."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.episode import Episode
from data.errors import DatasetError, did_you_mean
from data.images import open_images
from data.lerobot import layout
from data.lerobot.index import RECORD_AGAIN, RESTORE, Index
from data.lerobot.metadata import read_index

DATASETS = "WALDO_DATASETS"
Table = dict[str, np.ndarray]


def datasets_folder() -> Path:
    """Where datasets are looked up by name: $WALDO_DATASETS, else ./datasets."""
    return Path(os.environ.get(DATASETS) or "datasets").expanduser()


def find(path_or_name: str | os.PathLike[str]) -> Path:
    """The folder of a dataset, by path or by name under `datasets_folder()`.

    Raises DatasetError that says where it looked and what is there.
    """
    base = datasets_folder()
    given = Path(path_or_name).expanduser()
    candidates = [given] if given.is_absolute() else [given, base / given]
    for folder in candidates:
        if (folder / layout.INFO).exists():
            return folder
    for folder in candidates:
        if folder.is_dir():
            return folder  # opening it says what is wrong with it
    there = sorted(p.parent.parent.relative_to(base).as_posix() for p in base.glob(f"**/{layout.INFO}")) if base.is_dir() else []
    held = did_you_mean(str(path_or_name), there).replace("allowed", "datasets there") if there else "it holds no datasets"
    if not base.is_dir():
        held = f"{base} does not exist; set {DATASETS} to the folder of your datasets"
    raise DatasetError(f"no dataset {str(path_or_name)!r}: looked for {' and '.join(map(str, candidates))}; {held}")


class Dataset:
    """Committed episodes on disk. Nothing is read before it is asked for; columns stay in memory once read."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._columns: Table = {}

    @classmethod
    def open(
        cls, path_or_name: str | os.PathLike[str], episodes: Sequence[int] | None = None, cameras: Sequence[str] | None = None
    ) -> Dataset:
        """A dataset by path or name; `episodes` and `cameras` leave out the others, None keeps all.

        Episodes that are left out do not count: the first one that is kept is episode 0 of what is returned.
        Raises DatasetError if there is no dataset or it is malformed (see `validate`).
        """
        dataset = cls(read_index(find(path_or_name)).select(episodes, cameras))
        dataset.validate()
        return dataset

    @property
    def root(self) -> Path:
        return self._index.root

    @property
    def fps(self) -> float:
        """Frames per second [Hz]."""
        return self._index.info["fps"]

    @property
    def robot_type(self) -> str:
        return self._index.info.get("robot_type") or "unknown"

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """As in info.json: dtype, shape, names (as a flat list), and our `units`, `quaternions`, `angles`."""
        return self._index.features

    @property
    def num_episodes(self) -> int:
        return len(self._index.lengths)

    @property
    def num_frames(self) -> int:
        return int(self._index.ends[-1])

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task strings; the column `task_index` points into them."""
        return self._index.tasks

    @property
    def episode_ends(self) -> np.ndarray:
        """(E,) int64, cumulative: episode i is frames [ends[i-1], ends[i])."""
        return self._index.ends

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
        """Element units of the columns that have them; datasets of other programs have none."""
        return {n: tuple(self.features[n]["units"]) for n in self.column_keys if self.features[n].get("units")}

    @functools.cached_property
    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        """meta/stats.json; {} where there is none."""
        path = self.root / layout.STATS
        if not path.exists():
            return {}
        return {n: {k: np.asarray(v) for k, v in s.items()} for n, s in layout.read_json(path, RESTORE).items()}

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        """What the recorder was told about the origin (meta/waldo.json); {} where there is none."""
        path = self.root / layout.PROVENANCE
        return layout.read_json(path, RESTORE) if path.exists() else {}

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 (hex) of what is open: the content of meta and data files, names and sizes of videos, which episodes."""
        digest = hashlib.sha256(self._whole_hash.encode() + self._index.number.tobytes())
        for path in sorted(p for key in self._index.videos for p in self._index.video_files(key)):
            digest.update(f"{path.relative_to(self.root).as_posix()} {path.stat().st_size} ".encode())
        return digest.hexdigest()

    @functools.cached_property
    def _whole_hash(self) -> str:
        """sha256 (hex) over the committed meta and data files, of episodes that were left out, too."""
        digest = hashlib.sha256()
        for path in sorted([*self._index.meta_files, *self._index.data_files]):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DatasetError(f"{path} cannot be read ({error.strerror}); {RESTORE}") from error
            digest.update(f"{path.relative_to(self.root).as_posix()} {len(content)} ".encode())
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()

    def validate(self) -> None:
        """Cheap checks, run on open: all files are there, have their end, and their rows add up.

        Raises DatasetError naming the file and how to mend it. Values are checked when a table is read.
        """
        self._index.check_files()

    def table(self, names: Sequence[str]) -> Table:
        """Columns over all frames in the order of `index`, read-only.

        Vectors (N, D...), scalars (N,), dtype as stored; observations and actions of one element are (N, 1). The columns
        `index` and `episode_index` keep the numbers of the whole dataset where episodes were left out.
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
        if not -self.num_episodes <= i < self.num_episodes:
            raise DatasetError(f"{self.root} has no episode {i}; allowed: 0 to {self.num_episodes - 1}")
        i %= self.num_episodes
        rows = slice(int(self._index.starts[i]), int(self._index.ends[i]))
        arrays = {name: column[rows] for name, column in self.table(self.column_keys).items()}
        task = (self._index.of[i] or ("",))[0]
        return Episode(arrays, self.fps, self.column_names, self.column_units, task, i)

    def images(self, key: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """All frames of a camera, uint8 (N, H, W, 3), memory-mapped from a cache that is decoded once.

        size   (height, width) [px], resized by area averaging; None as recorded
        Raises DatasetError if there is no such camera, or a video cannot be decoded.
        """
        if key not in self.camera_keys:
            raise DatasetError(f"{self.root} has no camera {key!r}; {did_you_mean(key, self.camera_keys)}")
        return open_images(self._index, self._whole_hash, key, size)

    def __len__(self) -> int:
        return self.num_episodes

    def __repr__(self) -> str:
        columns = ", ".join(f"{n} {f['dtype']}{list(f['shape'])}" for n, f in self.features.items() if n not in layout.DEFAULT_FEATURES)
        return f"Dataset({self.root}: {self.num_episodes} episodes, {self.num_frames} frames at {self.fps:g} Hz; {columns})"

    def _read(self, names: list[str]) -> Table:
        """Columns from the files, checked. No copy but the one that joins the files."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for path, rows in self._rows().items():
            try:
                with pq.ParquetFile(path, memory_map=True) as file:
                    table = file.read(names, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(f"{path} cannot be read ({error}); {RESTORE}") from error
            for name in names:
                whole = self._to_numpy(table[name], name, path)
                parts[name] += [whole[start:stop] for start, stop in rows]
        columns = {name: np.concatenate(arrays) if len(arrays) > 1 else arrays[0] for name, arrays in parts.items()}
        for name, column in columns.items():
            self._check_values(name, column)
            column.flags.writeable = False
        return columns

    def _rows(self) -> dict[Path, list[tuple[int, int]]]:
        """Which rows of which file make up the episodes, neighbours joined."""
        index = self._index
        rows: dict[Path, list[tuple[int, int]]] = {}
        for path, start, length in zip(index.data, index.row.tolist(), index.lengths.tolist(), strict=True):
            spans = rows.setdefault(path, [])
            first = spans.pop()[0] if spans and spans[-1][1] == start else start
            spans.append((first, start + length))
        return rows

    def _to_numpy(self, column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
        shape = layout.column_shape(name, self.features[name])
        values = column.combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = values.chunk(0) if values.num_chunks else pa.array([], column.type)
        rows = len(values)
        if values.null_count:
            raise DatasetError(f"{path}: column {name!r} has {values.null_count} empty rows; every frame needs a value")
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        while pa.types.is_nested(values.type):
            values = values.flatten()
        array = values.to_numpy(zero_copy_only=False)
        if array.size != rows * int(np.prod(shape)):
            raise DatasetError(
                f"{path}: column {name!r} has {array.size / max(rows, 1):g} values per frame, info.json says "
                f"{int(np.prod(shape))}; correct the shape in {layout.INFO}, or {RECORD_AGAIN}"
            )
        return array.reshape(rows, *shape).astype(self.features[name]["dtype"], copy=False)

    def _check_values(self, name: str, column: np.ndarray) -> None:
        index = self._index
        if name == "index":
            expected = np.arange(len(column)) + np.repeat(index.first - index.starts, index.lengths)
            if not np.array_equal(column, expected):
                at = int(np.flatnonzero(column != expected)[0])
                raise DatasetError(
                    f"{self.root}: the column 'index' does not count up; it says {column[at]} instead of {expected[at]}; {RECORD_AGAIN}"
                )
        if np.issubdtype(column.dtype, np.floating) and not np.isfinite(column).all():
            at = int(np.flatnonzero(~np.isfinite(column).reshape(len(column), -1).all(1))[0])
            episode = int(np.searchsorted(index.ends, at, side="right"))
            raise DatasetError(
                f"{index.data[episode]}: {name} is {column[at].tolist()} in frame {at - int(index.starts[episode])} of episode "
                f"{index.number[episode]}; every value must be finite: correct it, or leave the episode out"
            )
