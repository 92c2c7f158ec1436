"""The recorder's other half, on its own thread: commits an episode when told to, when its cameras have encoded what they took."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.durable import FULL, TEMPORARY, Staging, lock_folder, make_folder, temporary_of, unlock_folder
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.camera import PENDING_BYTES, Camera, Sink
from data.lerobot.catalog import open_index, refresh
from data.lerobot.feature_stats import Stats, aggregate, column_stats
from data.lerobot.index import Index
from data.lerobot.mailbox import Mailbox, Save
from data.lerobot.stills import StillWriter
from data.lerobot.stored_stats import stats_of_rows, stored_stats
from data.lerobot.tables import write_frames, write_row
from data.lerobot.video import FAILURES, VideoWriter, count_frames


@dataclass(frozen=True)
class Target:
    """What a recorder was opened with. features: as in info.json; wait: for a recorder that writes to the same folder."""

    root: Path
    fps: float
    features: Mapping[str, Mapping[str, Any]]
    robot_type: str
    codec: str
    provenance: Mapping[str, Any]
    overwrite: bool = False
    wait: bool = False


class Writer:
    """Owns the folder (one writer at a time), its cameras and the totals. Only `episodes` may be read from another thread."""

    def __init__(self, target: Target, mailbox: Mailbox) -> None:
        self._target = target
        self._staging = Staging()
        self.cameras: dict[str, Camera] = {}
        self.episodes = self._already = 0
        if target.root.exists() and not target.root.is_dir():
            raise DatasetError(f"{target.root} is a file; a dataset is a folder")
        make_folder(target.root)
        self._lock = lock_folder(target.root, target.wait)
        try:
            _prepare(target.root, target.overwrite)  # behind the lock: what lies there may be another recorder's work
            self._open(mailbox)
        except BaseException:
            self.release()
            raise

    def _open(self, mailbox: Mailbox) -> None:
        root, features = self._target.root, self._target.features
        cameras = [name for name, feature in features.items() if feature["dtype"] in ("video", "image")]
        self._info = layout.new_info(features, self._target.fps, self._target.robot_type)
        self._stats: dict[str, Stats] = {}
        self._tasks: dict[str, int] = {}
        self._places = dict.fromkeys(("data", "meta", *cameras), (0, 0))
        if (root / layout.INFO).exists():
            self._resume(*open_index(root))
        self._already = self.episodes
        share = PENDING_BYTES // max(1, len(cameras))
        for name in cameras:
            self.cameras[name] = self._camera(name, share, mailbox)

    def _camera(self, key: str, share: int, mailbox: Mailbox) -> Camera:
        root, fps, codec = self._target.root, self._target.fps, self._target.codec
        height, width = self._target.features[key]["shape"][:2]

        def video(path: Path) -> Sink:
            return VideoWriter(path, height, width, fps, codec)

        def stills(path: Path) -> Sink:
            return StillWriter(path, height, width)

        def video_path(place: tuple[int, int]) -> Path:
            return root / layout.VIDEO_PATH.format(video_key=key, chunk_index=place[0], file_index=place[1])

        def stills_path(place: tuple[int, int]) -> Path:
            return root / (layout.DATA_PATH.format(chunk_index=place[0], file_index=place[1]) + f".{key}")

        if codec == layout.STILLS:
            return Camera(key, (height, width), self._places["data"], stills_path, stills, share, mailbox, self.explain)
        return Camera(key, (height, width), self._places[key], video_path, video, share, mailbox, self.explain)

    def _resume(self, index: Index, checked: bool) -> None:
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
        if not checked:
            index.check_files()
        self._info = dict(info)
        self._tasks = {task: i for i, task in enumerate(index.tasks)}
        self.episodes = len(index.lengths)
        described = [path for path in index.meta_files if path.is_relative_to(target.root / layout.EPISODES)]
        self._places = {"data": _after(index.data_files), "meta": _after(described)}
        self._places |= {key: _after(index.video_files(key)) for key in index.videos}
        self._stats = stored_stats(target.root, info) or stats_of_rows(described, info)
        self._sweep({*described, *index.data_files, *(p for key in index.videos for p in index.video_files(key))})

    def _sweep(self, kept: set[Path]) -> None:
        """Remove what a killed recorder left beyond the commit point: lerobot reads every file it finds."""
        root = self._target.root
        for pattern in (f"{layout.EPISODES}/*/*.parquet", "data/*/*.parquet", "videos/*/*/*.mp4"):
            for path in root.glob(pattern):
                if path not in kept:
                    path.unlink()

    def commit(self, episode: Save) -> None:
        """Stage everything, then rename everything, info.json last."""
        root, number, count, fps = self._target.root, self.episodes, episode.count, self._target.fps
        first = int(self._info["total_frames"])
        tasks = self._tasks if episode.task in self._tasks else {**self._tasks, episode.task: len(self._tasks)}
        columns = dict(episode.columns) | {
            "timestamp": (np.arange(count) / fps).astype(np.float32)[:, None],
            "frame_index": np.arange(count)[:, None],
            "episode_index": np.full((count, 1), number),
            "index": np.arange(first, first + count)[:, None],
            "task_index": np.full((count, 1), tasks[episode.task]),
        }
        stage = self._staging
        stats = {name: column_stats(values) for name, values in columns.items() if values.dtype != object}
        row: dict[str, Any] = {"episode_index": number, "tasks": [episode.task], "length": count}
        row |= dict(zip(("data/chunk_index", "data/file_index"), self._places["data"], strict=True))
        row |= {"dataset_from_index": first, "dataset_to_index": first + count}
        taken = {key: end.taken.result() for key, end in episode.taken.items()}
        pictures = {key: (temporary_of(t.path), t.sizes) for key, t in taken.items() if self._target.codec == layout.STILLS}
        for key, took in taken.items():
            stats[key] = took.stats
            found = len(took.sizes) if key in pictures else count_frames(stage.reserve(took.path))
            if not found == took.frames == count:
                raise DatasetError(f"{key} came out with {found} of {count} frames")
            if key not in pictures:
                row |= dict(zip((f"videos/{key}/chunk_index", f"videos/{key}/file_index"), took.place, strict=True))
                row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": count / fps}
        row |= {f"stats/{name}/{k}": v for name, s in stats.items() for k, v in s.items()}
        row |= dict(zip(("meta/episodes/chunk_index", "meta/episodes/file_index"), self._places["meta"], strict=True))
        total = aggregate(self._stats, stats)
        info = self._info | {
            "total_episodes": number + 1,
            "total_frames": first + count,
            "total_tasks": len(tasks),
            "splits": {"train": f"0:{number + 1}"},
        }

        with stage.open(self._path(layout.DATA_PATH, "data")) as file:
            write_frames(file, columns, pictures)
        with stage.open(self._path(layout.EPISODES_PATH, "meta")) as file:
            write_row(file, row)
        if len(tasks) > len(self._tasks):
            stage.write(root / layout.TASKS, _parquet(_tasks_table(list(tasks))))
        stage.write(root / layout.STATS, layout.dump_json(total))
        if self._target.provenance and number == 0:
            stage.write(root / layout.PROVENANCE, layout.dump_json(self._target.provenance))
        stage.write(root / layout.INFO, layout.dump_json(info))
        stage.commit(last=root / layout.INFO)

        self._info, self._stats, self._tasks = info, total, tasks
        self._places |= {name: layout.next_file(*self._places[name]) for name in ("data", "meta")}
        self.episodes = number + 1

    def _path(self, pattern: str, name: str) -> Path:
        chunk, file = self._places[name]
        return self._target.root / pattern.format(video_key=name, chunk_index=chunk, file_index=file)

    def abort(self) -> None:
        """Drop the episode that is being committed."""
        self._staging.abort()

    def forget(self, episode: Save) -> None:
        """Remove what is left of what the cameras took, when the episode is committed or lost."""
        for end in episode.taken.values():
            end.settle()

    def release(self) -> None:
        """Drop what is unfinished and let go of the folder."""
        for camera in self.cameras.values():
            camera.stop()
        if self._lock >= 0:
            self._staging.abort()
            if self.episodes > self._already:
                refresh(self._target.root)  # the next one to open a large dataset need not look at every file
            unlock_folder(self._lock)
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


def _prepare(root: Path, overwrite: bool) -> None:
    """Only what is ours is written to or deleted."""
    foreign = sorted(p.name for p in root.iterdir() if p.name not in layout.FOLDERS)
    is_dataset = (root / layout.INFO).exists()
    if foreign and not is_dataset:
        raise DatasetError(f"{root} holds other things ({', '.join(foreign[:5])}) and no dataset; choose a new folder")
    if overwrite or not is_dataset:
        # info.json first: interrupted half-way, this is no longer a dataset rather than a broken one.
        (root / layout.INFO).unlink(missing_ok=True)
        for name in layout.FOLDERS:
            shutil.rmtree(root / name, ignore_errors=True)
    for name in layout.FOLDERS:
        if name != layout.CACHE:  # a reader may be building one
            for left in (root / name).glob(f"**/*{TEMPORARY}"):
                left.unlink(missing_ok=True)


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
