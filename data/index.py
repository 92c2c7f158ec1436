"""What `meta/` of a LeRobotDataset v3.0 says, read and checked: `Index.read(root)`.

Cheap checks only: no frame is read. Every malformed thing is its own DatasetError with the file and the way to mend it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data import layout
from data.errors import DatasetError

RECORD_AGAIN = "record or import it again"
INFO_KEYS: dict[str, type | tuple[type, ...]] = {
    "fps": (int, float),
    "features": dict,
    "total_episodes": int,
    "total_frames": int,
    "total_tasks": int,
    "data_path": str,
}


def open_parquet(path: Path, mend: str) -> pq.ParquetFile:
    """A parquet file whose footer is readable; raises DatasetError otherwise."""
    try:
        return pq.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; {mend}") from None
    except (pa.ArrowException, OSError) as error:
        reason = "it is empty" if path.stat().st_size == 0 else "its end is missing or damaged, as after an interrupted copy"
        raise DatasetError(f"{path} ({path.stat().st_size} bytes) is not a readable parquet file: {reason}; {mend}") from error


def check_mp4(path: Path, mend: str) -> None:
    """Walk the top-level boxes of an mp4: a cut-off file lacks `moov` or ends inside a box. Raises DatasetError."""
    try:
        size = path.stat().st_size
    except OSError:
        raise DatasetError(f"{path} is missing; {mend}") from None
    found, at = set(), 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:  # a 64-bit length follows
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:  # to the end of the file
                length = size - at
            if length < 8:
                break
            found.add(kind)
            at += length
    if at != size or not {b"moov", b"mdat"} <= found:
        raise DatasetError(f"{path} ({size} bytes) is not a complete mp4 video, as after an interrupted copy; {mend}")


@dataclass(frozen=True)
class Index:
    """The committed episodes of a dataset: what lies beyond info.json's totals is not here.

    lengths     (E,) int64 frames per episode
    tasks       the task strings, position = task_index
    of          task strings of each episode
    data        (E, 2) int64 chunk and file of each episode's rows
    videos      per camera (E, 2) int64, and the start of each episode in its video (E,) [s]
    """

    root: Path
    info: Mapping[str, Any]
    lengths: np.ndarray
    tasks: tuple[str, ...]
    of: tuple[tuple[str, ...], ...]
    data: np.ndarray
    videos: Mapping[str, tuple[np.ndarray, np.ndarray]]
    meta_files: tuple[Path, ...]

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        return self.info["features"]

    @functools.cached_property
    def ends(self) -> np.ndarray:
        """(E,) int64: the frame after the last of each episode."""
        return np.cumsum(self.lengths)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """(E,) int64: the first frame of each episode."""
        return self.ends - self.lengths

    def data_path(self, place: np.ndarray) -> Path:
        return self.root / self.info["data_path"].format(chunk_index=int(place[0]), file_index=int(place[1]))

    def video_path(self, key: str, place: np.ndarray) -> Path:
        chunk, file = int(place[0]), int(place[1])
        return self.root / self.info["video_path"].format(video_key=key, chunk_index=chunk, file_index=file)

    def data_files(self) -> list[Path]:
        """The data files in the order of the frames."""
        return list(dict.fromkeys(self.data_path(place) for place in self.data))

    def video_files(self, key: str) -> list[Path]:
        return list(dict.fromkeys(self.video_path(key, place) for place in self.videos[key][0]))

    @classmethod
    def read(cls, root: Path) -> Index:
        """Raises DatasetError if info.json, tasks or episodes are missing, damaged or disagree."""
        info = read_info(root)
        episodes, files = _read_episodes(root, info)
        count, frames = int(info["total_episodes"]), int(info["total_frames"])
        lengths = np.asarray(episodes["length"], np.int64)
        if int(lengths.sum()) != frames or (lengths < 1).any():
            raise DatasetError(
                f"{root / layout.INFO} counts {frames} frames, but the {count} episodes in {layout.EPISODES} have "
                f"{int(lengths.sum())}; set total_frames to what is there, or {RECORD_AGAIN}"
            )
        videos = {}
        for key, feature in info["features"].items():
            if feature["dtype"] != "video":
                continue
            column = f"videos/{key}/"
            if column + "file_index" not in episodes:
                raise DatasetError(f"{root / layout.EPISODES} does not say where the videos of {key!r} are; {RECORD_AGAIN}")
            places = np.stack([episodes[column + "chunk_index"], episodes[column + "file_index"]], 1).astype(np.int64)
            videos[key] = (places, np.asarray(episodes[column + "from_timestamp"], np.float64))
        return cls(
            root=root,
            info=info,
            lengths=lengths,
            tasks=_read_tasks(root, int(info["total_tasks"])),
            of=tuple(tuple(tasks or ()) for tasks in episodes["tasks"]),
            data=np.stack([episodes["data/chunk_index"], episodes["data/file_index"]], 1).astype(np.int64),
            videos=videos,
            meta_files=tuple(files),
        )

    def check_files(self) -> None:
        """Every data and video file is there and has its end, and the rows add up. Raises DatasetError."""
        columns = {n for n, f in self.features.items() if f["dtype"] != "video"}
        wanted: dict[Path, int] = {}
        for place, length in zip(self.data, self.lengths, strict=True):
            path = self.data_path(place)
            wanted[path] = wanted.get(path, 0) + int(length)
        for path, rows in wanted.items():
            mend = f"restore it from a copy of the dataset, or {RECORD_AGAIN}"
            with open_parquet(path, mend) as file:
                missing = columns - set(file.schema_arrow.names)
                if missing:
                    raise DatasetError(f"{path} has no column {', '.join(sorted(missing))}, which info.json promises; {mend}")
                if file.metadata.num_rows != rows:
                    raise DatasetError(f"{path} has {file.metadata.num_rows} rows, but its episodes have {rows} frames; {mend}")
        for key in self.videos:
            for path in self.video_files(key):
                check_mp4(path, f"restore it from a copy of the dataset, or {RECORD_AGAIN}")


def read_info(root: Path) -> dict[str, Any]:
    """info.json with the keys and types that everything else relies on."""
    path = root / layout.INFO
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder")
    if not path.exists():
        held = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing: no episode was committed"
        raise DatasetError(f"{root} holds no LeRobot dataset: {layout.INFO} is missing; found {held}")
    info = layout.read_json(path, "")
    version = info.get("codebase_version")
    if version != layout.VERSION:
        raise DatasetError(
            f"{path}: LeRobotDataset {version}; this reads {layout.VERSION}. Convert it with lerobot 0.4's "
            "`python -m lerobot.datasets.v30.convert_dataset_v21_to_v30`"
        )
    for key, kind in INFO_KEYS.items():
        if not isinstance(info.get(key), kind) or isinstance(info.get(key), bool):
            raise DatasetError(f"{path}: {key!r} is {info.get(key)!r}; restore the file or {RECORD_AGAIN}")
    for name, feature in info["features"].items():
        if not isinstance(feature, dict) or "dtype" not in feature or "shape" not in feature:
            raise DatasetError(f"{path}: the feature {name!r} lacks a dtype or shape; found {feature!r}")
    if info["fps"] <= 0:
        raise DatasetError(f"{path}: fps is {info['fps']}; it must be positive")
    if info["total_episodes"] < 1:
        raise DatasetError(f"{root} holds no episodes yet; {RECORD_AGAIN}")
    return info


def _read_episodes(root: Path, info: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[Path]]:
    """The rows of the committed episodes, without their statistics, and the files that they came from."""
    count = int(info["total_episodes"])
    paths = sorted((root / layout.EPISODES).glob("*/*.parquet"))
    rows: dict[int, dict[str, Any]] = {}
    used = []
    for path in paths:
        with open_parquet(path, f"restore it from a copy of the dataset, or {RECORD_AGAIN}") as file:
            names = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
            found = [row for row in file.read(names, use_threads=False).to_pylist() if row["episode_index"] < count]
        used += [path] * bool(found)
        rows |= {row["episode_index"]: row for row in found}
        if len(rows) == count:
            break  # what follows was written by a recorder that was killed before its commit
    missing = sorted(set(range(count)) - set(rows))
    if missing:
        raise DatasetError(
            f"{root / layout.INFO} counts {count} episodes, but {layout.EPISODES} describes {len(rows)}; the first missing "
            f"one is {missing[0]}. Restore its file, or set total_episodes and total_frames to what is there"
        )
    ordered = [rows[i] for i in range(count)]
    needed = ("tasks", "length", "data/chunk_index", "data/file_index")
    absent = [name for name in needed if name not in ordered[0]]
    if absent:
        raise DatasetError(f"{root / layout.EPISODES}: no column {', '.join(absent)}; {RECORD_AGAIN}")
    return {name: [row.get(name) for row in ordered] for name in ordered[0]}, used


def _read_tasks(root: Path, count: int) -> tuple[str, ...]:
    """Task strings by task_index. pandas keeps them in a column of its own name (`__index_level_0__`)."""
    path = root / layout.TASKS
    with open_parquet(path, "restore it: it maps task_index to the task's text") as file:
        table = file.read(use_threads=False)
    texts = [name for name in table.column_names if pa.types.is_string(table.schema.field(name).type)
             or pa.types.is_large_string(table.schema.field(name).type)]  # fmt: skip
    if "task_index" not in table.column_names or len(texts) != 1:
        raise DatasetError(f"{path} has the columns {table.column_names}; wanted task_index and one text column")
    by_index = dict(zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True))
    if not set(range(count)) <= set(by_index):
        raise DatasetError(f"{path} lists {len(by_index)} tasks, info.json counts {count}; restore it")
    return tuple(by_index[i] for i in range(count))
