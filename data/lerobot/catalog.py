"""The index that makes a large dataset open at once: what was read from thousands of small files, kept in one.

    .cache/index.npz      lengths, places, tasks, and per file its size and time of change when it was last checked

It is a copy, never the truth. It is used as long as every file is as it was; when episodes were appended only the new ones are
read; when anything else changed it is made anew. Deleting it costs one slow opening.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from data.cache import cache_folders
from data.durable import replacing
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.index import Index, Video
from data.lerobot.metadata import read_index, read_info, read_new_episodes

VERSION = 1
NAME = "index.npz"
MANY = 64  # files; below that reading them is as fast, and opening a dataset should not write into it
_MAIN = ("lengths", "row")


def _places(root: Path) -> list[Path]:
    return [folder / NAME for folder in cache_folders(root)]


def open_index(root: Path) -> tuple[Index, bool]:
    """The episodes of a LeRobotDataset, and whether all of their files are known to be there and complete.

    Raises DatasetError where the episodes themselves cannot be told.
    """
    for path in _places(root):
        old = _load(root, path)
        if old is not None:
            return old, True
    index = read_index(root)
    if len(_files(index)) < MANY or index.info["codebase_version"] != layout.VERSION:
        return index, False
    try:
        index.check_files()
    except DatasetError:
        return index, False  # what is wrong may lie in episodes or cameras that nobody asks for
    _save(index)
    return index, True


def refresh(root: Path) -> None:
    """Bring the index up to date, as a recorder does when it ends: the next opening is a fast one."""
    with contextlib.suppress(OSError, DatasetError):
        open_index(root)


def _files(index: Index) -> list[Path]:
    """Every file that the index speaks for, info.json aside: it changes with every episode."""
    videos = (path for key in index.videos for path in index.video_files(key))
    meta = (path for path in index.meta_files if path.name != Path(layout.INFO).name)
    return list(dict.fromkeys([*meta, *index.data_files, *videos]))


def signatures(root: Path, names: list[str]) -> np.ndarray:
    """(F, 2) int64 of files named relative to `root`: size [bytes] and time of change [ns]; -1 for one that is not there."""
    listed: dict[str, dict[str, os.DirEntry[str]]] = {}
    found = np.full((len(names), 2), -1, np.int64)
    for i, path in enumerate(names):
        folder, _, name = path.rpartition("/")
        if folder not in listed:  # one listing per folder: there may be thousands of files
            try:
                with os.scandir(root / folder) as entries:
                    listed[folder] = {entry.name: entry for entry in entries}
            except OSError:
                listed[folder] = {}
        entry = listed[folder].get(name)
        if entry is not None:
            status = entry.stat()
            found[i] = status.st_size, status.st_mtime_ns
    return found


def _save(index: Index) -> None:
    files = _files(index)
    number = {path: i for i, path in enumerate(files)}
    position = {task: i for i, task in enumerate(index.tasks)}
    if any(task not in position for tasks in index.of for task in tasks):
        return
    arrays: dict[str, np.ndarray] = {name: getattr(index, name) for name in _MAIN}
    arrays["data"] = np.array([number[path] for path in index.data], np.int32)
    arrays["file_rows"] = np.array([[number[path], rows] for path, rows in index.file_rows.items()], np.int64)
    for i, video in enumerate(index.videos.values()):
        arrays[f"video{i}"] = np.array([number[path] for path in video.paths], np.int32)
        arrays[f"start{i}"] = video.start_s
    arrays["tasks"] = np.array([position[task] for tasks in index.of for task in tasks], np.int32)
    arrays["tasks_count"] = np.array([len(tasks) for tasks in index.of], np.int32)
    names = [path.relative_to(index.root).as_posix() for path in files]
    arrays["signatures"] = signatures(index.root, names)
    told = {
        "version": VERSION,
        "episodes": len(index.lengths),
        "features": index.info["features"],
        "files": names,
        "meta": [number[path] for path in index.meta_files if path in number],
        "videos": list(index.videos),
        "tasks": list(index.tasks),
    }
    arrays["told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    for path in _places(index.root):
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(content.getvalue())
            return
        except OSError:
            continue  # a read-only dataset: the user's cache folder is tried next, and without any it is only slow


def _load(root: Path, path: Path) -> Index | None:
    """The saved index, brought up to date if episodes were appended; None if there is none or something else changed."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        told: dict[str, Any] = json.loads(arrays.pop("told").tobytes())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    if told.get("version") != VERSION or not (root / layout.INFO).exists():
        return None
    info = read_info(root)
    now, then = signatures(root, told["files"]), arrays["signatures"]
    grown = int(info["total_episodes"]) > told["episodes"]
    same = (now == then).all(1)
    if grown and layout.TASKS in told["files"]:
        same[told["files"].index(layout.TASKS)] = True  # it is read again
    if not same.all() or info["features"] != told["features"] or int(info["total_episodes"]) < told["episodes"]:
        return None
    files = [Path(f"{root}/{name}") for name in told["files"]]
    ends = np.cumsum(arrays["tasks_count"]).tolist()
    words = [told["tasks"][k] for k in arrays["tasks"].tolist()]
    index = Index(
        root=root,
        info=info,
        number=np.arange(told["episodes"]),
        first=np.cumsum(arrays["lengths"]) - arrays["lengths"],
        lengths=arrays["lengths"],
        row=arrays["row"],
        tasks=tuple(told["tasks"]),
        of=tuple(tuple(words[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)),
        data=tuple(files[i] for i in arrays["data"].tolist()),
        file_rows={files[i]: int(rows) for i, rows in arrays["file_rows"].tolist()},
        videos={
            key: Video(tuple(files[k] for k in arrays[f"video{i}"].tolist()), arrays[f"start{i}"]) for i, key in enumerate(told["videos"])
        },
        meta_files=(root / layout.INFO, *(files[i] for i in told["meta"])),
    )
    if grown:
        more = read_new_episodes(index)
        if more is None:
            return None
        try:
            more.check_files(first=told["episodes"])
        except DatasetError:
            return None
        _save(more)
        return more
    return index if int(index.lengths.sum()) == info["total_frames"] else None
