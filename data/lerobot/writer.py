"""The recorder's other half, on its own thread: encode frames as they come, commit an episode when told to."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.durable import FULL, Staging, lock_folder, make_folder
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.feature_stats import ImageStats, Stats, aggregate, column_stats
from data.lerobot.index import Index, open_parquet
from data.lerobot.mailbox import Discard, Frames, Save
from data.lerobot.metadata import read_index
from data.lerobot.video import FAILURES, VideoWriter, count_frames


@dataclass(frozen=True)
class Target:
    """What a recorder was opened with. features: as in info.json."""

    root: Path
    fps: float
    features: Mapping[str, Mapping[str, Any]]
    robot_type: str
    codec: str
    provenance: Mapping[str, Any]


class Writer:
    """Owns the folder (one writer at a time) and the totals. Only `episodes` may be read from another thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        make_folder(target.root)
        self._lock = lock_folder(target.root)
        try:
            self._open()
        except BaseException:
            self.release()
            raise

    def _open(self) -> None:
        root, features = self._target.root, self._target.features
        self._info = layout.new_info(features, self._target.fps, self._target.robot_type)
        self._stats: dict[str, Stats] = {}
        self._tasks: list[str] = []
        self._places = dict.fromkeys(("data", "meta", *(n for n, f in features.items() if f["dtype"] == "video")), (0, 0))
        self._videos: dict[str, VideoWriter] = {}
        self._image_stats: dict[str, ImageStats] = {}
        self._staging = Staging()
        self.episodes = 0
        if (root / layout.INFO).exists():
            self._resume(read_index(root))

    def _resume(self, index: Index) -> None:
        target, info = self._target, index.info
        if info["codebase_version"] != layout.VERSION:
            raise DatasetError(f"{target.root} is LeRobotDataset {info['codebase_version']}: it can be read, not appended to")
        found = layout.difference(target.features, info["features"])
        for what, now, before in (("fps", target.fps, info["fps"]), ("robot_type", target.robot_type, info.get("robot_type"))):
            found += [f"{what}: now {now!r}, on disk {before!r}"] * (now != before)
        if found:
            raise DatasetError(
                f"{target.root} holds a dataset that does not fit what is recorded now: {'; '.join(found)}. "
                "Choose another folder, or overwrite=True to delete it"
            )
        index.check_files()
        self._info = dict(info)
        self._tasks = list(index.tasks)
        self.episodes = len(index.lengths)
        described = [path for path in index.meta_files if path.is_relative_to(target.root / layout.EPISODES)]
        self._places = {"data": _after(index.data_files), "meta": _after(described)}
        self._places |= {key: _after(index.video_files(key)) for key in index.videos}
        for path in described:
            self._add_stats(path)
        self._sweep({*described, *index.data_files, *(p for key in index.videos for p in index.video_files(key))})

    def _add_stats(self, path: Path) -> None:
        """The truth about committed episodes is in their rows: stats.json may be one episode ahead after a kill."""
        with open_parquet(path, "restore it from a copy of the dataset") as file:
            names = [n for n in file.schema_arrow.names if n.startswith("stats/")]
            rows = file.read([*names, "episode_index"], use_threads=False).to_pylist()
        for row in rows:
            if row["episode_index"] < self.episodes:
                stats: dict[str, Stats] = {}
                for name in names:
                    _, feature, statistic = name.split("/")
                    if row[name] is not None:
                        stats.setdefault(feature, {})[statistic] = np.asarray(row[name])
                self._stats = aggregate(self._stats, stats)

    def _sweep(self, kept: set[Path]) -> None:
        """Remove what a killed recorder left beyond the commit point: lerobot reads every file it finds."""
        root = self._target.root
        for pattern in (f"{layout.EPISODES}/*/*.parquet", "data/*/*.parquet", "videos/*/*/*.mp4"):
            for path in root.glob(pattern):
                if path not in kept:
                    path.unlink()

    def take(self, item: Frames | Save | Discard) -> None:
        match item:
            case Frames(key, images):
                self._encode(key, images)
            case Save():
                self._commit(item)
            case Discard():
                self.abort()

    def _encode(self, key: str, images: np.ndarray) -> None:
        if key not in self._videos:
            chunk, file = self._places[key]
            path = self._target.root / layout.VIDEO_PATH.format(video_key=key, chunk_index=chunk, file_index=file)
            height, width = self._target.features[key]["shape"][:2]
            writer = VideoWriter(self._staging.reserve(path), height, width, self._target.fps, self._target.codec)
            self._videos[key], self._image_stats[key] = writer, ImageStats()
        self._videos[key].write(images)
        self._image_stats[key].add(images)

    def _commit(self, episode: Save) -> None:
        """Stage everything, then rename everything, info.json last."""
        root, number, count = self._target.root, self.episodes, episode.count
        first = int(self._info["total_frames"])
        tasks = self._tasks if episode.task in self._tasks else [*self._tasks, episode.task]
        columns = episode.columns | {
            "timestamp": (np.arange(count) / self._target.fps).astype(np.float32)[:, None],
            "frame_index": np.arange(count)[:, None],
            "episode_index": np.full((count, 1), number),
            "index": np.arange(first, first + count)[:, None],
            "task_index": np.full((count, 1), tasks.index(episode.task)),
        }
        row: dict[str, Any] = {"episode_index": number, "tasks": [episode.task], "length": count}
        row |= dict(zip(("data/chunk_index", "data/file_index"), self._places["data"], strict=True))
        row |= {"dataset_from_index": first, "dataset_to_index": first + count}
        for key, video in self._videos.items():
            video.close()
            temporary = self._staging.reserve(self._path(layout.VIDEO_PATH, key))
            if (found := count_frames(temporary)) != count or video.frames != count:
                raise DatasetError(f"the video of {key} came out with {found} of {count} frames")
            row |= dict(zip((f"videos/{key}/chunk_index", f"videos/{key}/file_index"), self._places[key], strict=True))
            row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": count / self._target.fps}
        stats = {name: column_stats(values) for name, values in columns.items()}
        stats |= {key: seen.stats() for key, seen in self._image_stats.items()}
        row |= {f"stats/{name}/{k}": v.tolist() for name, s in stats.items() for k, v in s.items()}
        row |= dict(zip(("meta/episodes/chunk_index", "meta/episodes/file_index"), self._places["meta"], strict=True))
        total = aggregate(self._stats, stats)
        info = self._info | {
            "total_episodes": number + 1,
            "total_frames": first + count,
            "total_tasks": len(tasks),
            "splits": {"train": f"0:{number + 1}"},
        }

        stage = self._staging
        stage.write(self._path(layout.DATA_PATH, "data"), _parquet(_table(columns)))
        stage.write(self._path(layout.EPISODES_PATH, "meta"), _parquet(pa.table({k: [v] for k, v in row.items()})))
        if len(tasks) > len(self._tasks):
            stage.write(root / layout.TASKS, _parquet(_tasks_table(tasks)))
        stage.write(root / layout.STATS, layout.dump_json(total))
        if self._target.provenance and number == 0:
            stage.write(root / layout.PROVENANCE, layout.dump_json(self._target.provenance))
        stage.write(root / layout.INFO, layout.dump_json(info))
        stage.commit(last=root / layout.INFO)

        self._info, self._stats, self._tasks = info, total, tasks
        self._places = {name: layout.next_file(*place) for name, place in self._places.items()}
        self._videos, self._image_stats = {}, {}
        self.episodes = number + 1

    def _path(self, pattern: str, name: str) -> Path:
        chunk, file = self._places[name]
        return self._target.root / pattern.format(video_key=name, chunk_index=chunk, file_index=file)

    def abort(self) -> None:
        """Drop the episode that is being written."""
        for video in self._videos.values():
            video.abort()
        self._videos, self._image_stats = {}, {}
        self._staging.abort()

    def release(self) -> None:
        """Drop what is unfinished and let go of the folder."""
        if self._lock >= 0:
            if hasattr(self, "_staging"):
                self.abort()
            os.close(self._lock)
            self._lock = -1

    def explain(self, error: BaseException) -> DatasetError:
        """What the caller is told about a failure of this thread."""
        safe = f"{self.episodes} episodes are safe in {self._target.root}; episode {self.episodes} is lost"
        code = error.errno if isinstance(error, OSError) else getattr(error, "errno", None)
        if code in FULL:
            told = DatasetError(f"the disk is full ({os.strerror(code)}): {safe}. Make room and open the recorder again to go on")
        elif isinstance(error, (*FAILURES, pa.ArrowException, DatasetError)):
            told = DatasetError(f"episode {self.episodes} could not be written ({error}): {safe}")
        else:
            told = DatasetError(f"the writer stopped ({type(error).__name__}: {error}): {safe}")
        told.__cause__ = error
        return told


def _after(paths: Iterable[Path]) -> tuple[int, int]:
    """The place after the last of `chunk-000/file-000.parquet`, ..."""
    return layout.next_file(*max((int(p.parent.name.split("-")[1]), int(p.stem.split("-")[1])) for p in paths))


def _table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Fixed-size lists for vectors, flat columns for shape (1,), nested lists for matrices. columns: (T, D...)."""
    arrays = {}
    for name, values in columns.items():
        array = pa.array(np.ascontiguousarray(values).reshape(-1))
        if values.shape[1:] != (1,):
            for size in reversed(values.shape[1:]):
                array = pa.FixedSizeListArray.from_arrays(array, size)
        arrays[name] = array
    return pa.table(arrays)


def _tasks_table(tasks: list[str]) -> pa.Table:
    """As pandas writes a frame indexed by the task: its metadata makes the text the index again."""
    pandas = (
        b'{"index_columns": ["__index_level_0__"], "column_indexes": [], "columns": ['
        b'{"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64", "metadata": null}, '
        b'{"name": null, "field_name": "__index_level_0__", "pandas_type": "unicode", "numpy_type": "object", "metadata": null}], '
        b'"creator": {"library": "pyarrow"}, "pandas_version": "2.0.0"}'
    )
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "__index_level_0__": pa.array(tasks, pa.string())})
    return table.replace_schema_metadata({b"pandas": pandas})


def _parquet(table: pa.Table) -> bytes:
    """In memory first: that a disk is full is then one kind of error, at one place."""
    sink = io.BytesIO()
    # Files of one row group need no dictionaries and no column statistics; without them a row of meta is a quarter smaller.
    pq.write_table(table, sink, compression="snappy", use_dictionary=False, write_statistics=False)
    return sink.getvalue()
