"""Reading `meta/` into an `Index`: LeRobotDataset v3.0, and v2.1 as many older recordings are.

Every malformed thing is its own DatasetError with the file and the way to mend it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.index import RECORD_AGAIN, RESTORE, Index, Video, open_parquet

INFO_KEYS: dict[str, type | tuple[type, ...]] = {
    "fps": (int, float),
    "features": dict,
    "total_episodes": int,
    "total_frames": int,
    "total_tasks": int,
    "data_path": str,
}


def read_index(root: Path) -> Index:
    """Raises DatasetError if info.json, tasks or episodes are missing, damaged or disagree."""
    info = read_info(root)
    index = _read_v30(root, info) if info["codebase_version"] == layout.VERSION else _read_v21(root, info)
    if int(index.lengths.sum()) != info["total_frames"] or (index.lengths < 1).any():
        raise DatasetError(
            f"{root / layout.INFO} counts {info['total_frames']} frames, but its {len(index.lengths)} episodes have "
            f"{int(index.lengths.sum())}; `waldo data repair` counts again"
        )
    return index


def read_info(root: Path) -> dict[str, Any]:
    """info.json with the keys and types that everything else relies on."""
    path = root / layout.INFO
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder")
    if not path.exists():
        held = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing: no episode was committed"
        raise DatasetError(f"{root} holds no LeRobot dataset: {layout.INFO} is missing; found {held}")
    info = layout.read_json(path, RESTORE)
    version = info.get("codebase_version")
    if version not in (layout.VERSION, *layout.OLDER):
        raise DatasetError(
            f"{path}: codebase_version is {version!r}; allowed: {', '.join((layout.VERSION, *layout.OLDER))}. "
            "Older recordings are converted by lerobot's own scripts"
        )
    for key, kind in INFO_KEYS.items():
        if not isinstance(info.get(key), kind) or isinstance(info.get(key), bool):
            raise DatasetError(f"{path}: {key!r} is {info.get(key)!r}; {RESTORE}")
    for name, feature in info["features"].items():
        if not isinstance(feature, dict) or "dtype" not in feature or "shape" not in feature:
            raise DatasetError(f"{path}: the feature {name!r} lacks a dtype or shape; found {feature!r}")
        feature["names"] = list(layout.element_names(feature)) or None
    if info["fps"] <= 0:
        raise DatasetError(f"{path}: fps is {info['fps']}; it must be positive")
    if info["total_episodes"] < 1:
        raise DatasetError(f"{root} holds no episodes yet; {RECORD_AGAIN}")
    return info


def _video_keys(info: Mapping[str, Any]) -> list[str]:
    return [key for key, feature in info["features"].items() if feature["dtype"] == "video"]


def _rows_in_files(paths: list[Path], lengths: np.ndarray) -> tuple[np.ndarray, dict[Path, int]]:
    """Per episode its first row in its file, when the files hold episodes in order; per file its number of rows."""
    row, rows = np.zeros(len(paths), np.int64), dict.fromkeys(paths, 0)
    for i, (path, length) in enumerate(zip(paths, lengths, strict=True)):
        row[i] = rows[path]
        rows[path] += int(length)
    return row, rows


def _require_all(numbers: set[int], count: int, root: Path, where: str) -> None:
    missing = sorted(set(range(count)) - numbers)
    if missing:
        raise DatasetError(
            f"{root / layout.INFO} counts {count} episodes, but {where} describes {len(numbers)}; the first missing "
            f"one is {missing[0]}. Restore its file, or let `waldo data repair` count what is there"
        )


def _read_v30(root: Path, info: Mapping[str, Any]) -> Index:
    rows, files = _read_episodes(root, info, 0, set())
    return _placed(root, info, rows, (root / layout.INFO, root / layout.TASKS, *files))


def read_new_episodes(index: Index) -> Index | None:
    """`index` and the episodes that were appended since it was made; None if they cannot simply follow the old ones."""
    root, info = index.root, read_info(index.root)
    old = len(index.lengths)
    rows, files = _read_episodes(root, info, old, set(index.meta_files))
    new = _placed(root, info, rows, tuple(files))
    if set(new.data) & set(index.data) or list(new.videos) != list(index.videos):
        return None
    lengths = np.concatenate([index.lengths, new.lengths])
    if int(lengths.sum()) != info["total_frames"]:
        return None
    return dataclasses.replace(
        index,
        info=info,
        number=np.arange(len(lengths)),
        first=np.cumsum(lengths) - lengths,
        lengths=lengths,
        row=np.concatenate([index.row, new.row]),
        tasks=new.tasks,
        of=index.of + new.of,
        data=index.data + new.data,
        file_rows={**index.file_rows, **new.file_rows},
        videos={
            key: Video(video.paths + new.videos[key].paths, np.concatenate([video.start_s, new.videos[key].start_s]))
            for key, video in index.videos.items()
        },
        meta_files=index.meta_files + new.meta_files,
    )


def _placed(root: Path, info: Mapping[str, Any], episodes: list[dict[str, Any]], meta_files: tuple[Path, ...]) -> Index:
    """The index of these rows of meta/episodes, which follow each other."""
    for told in episodes:
        missing = [key for key in ("length", "data/chunk_index", "data/file_index") if told[key] is None]
        if missing:
            raise DatasetError(f"{root / layout.EPISODES}: episode {told['episode_index']} has no {', '.join(missing)}; {RECORD_AGAIN}")
    lengths = np.array([row["length"] for row in episodes], np.int64)
    data = [root / info["data_path"].format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]) for row in episodes]
    videos = {}
    for key in _video_keys(info):
        at = f"videos/{key}/"
        if any(row.get(at + part) is None for row in episodes for part in ("chunk_index", "file_index", "from_timestamp")):
            raise DatasetError(f"{root / layout.EPISODES} does not say where the videos of {key!r} are; {RECORD_AGAIN}")
        paths = tuple(
            root / info["video_path"].format(video_key=key, chunk_index=row[at + "chunk_index"], file_index=row[at + "file_index"])
            for row in episodes
        )
        videos[key] = Video(paths, np.array([row[at + "from_timestamp"] for row in episodes], np.float64))
    row, file_rows = _rows_in_files(data, lengths)
    return Index(
        root=root,
        info=info,
        number=np.arange(len(lengths)),
        first=np.cumsum(lengths) - lengths,
        lengths=lengths,
        row=row,
        tasks=_read_tasks(root, int(info["total_tasks"])),
        of=tuple(tuple(row["tasks"] or ()) for row in episodes),
        data=tuple(data),
        file_rows=file_rows,
        videos=videos,
        meta_files=meta_files,
    )


def _read_episodes(root: Path, info: Mapping[str, Any], first: int, known: set[Path]) -> tuple[list[dict[str, Any]], list[Path]]:
    """The rows of the committed episodes from `first` on, without their statistics, and the files that they came from."""
    count = int(info["total_episodes"])
    rows: dict[int, dict[str, Any]] = {}
    used = []
    for path in sorted((root / layout.EPISODES).glob("*/*.parquet")):
        if path in known:
            continue
        with open_parquet(path) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
            needed = {"episode_index", "tasks", "length", "data/chunk_index", "data/file_index"} - set(names)
            if needed:
                raise DatasetError(f"{path} has no column {', '.join(sorted(needed))}; {RECORD_AGAIN}")
            found = [row for row in file.read(names, use_threads=False).to_pylist() if first <= row["episode_index"] < count]
        used += [path] * bool(found)
        rows |= {row["episode_index"]: row for row in found}
        if len(rows) == count - first:
            break  # what follows was written by a recorder that was killed before its commit
    _require_all(set(range(first)) | set(rows), count, root, layout.EPISODES)
    return [rows[i] for i in range(first, count)], used


def _read_tasks(root: Path, count: int) -> tuple[str, ...]:
    """Task strings by task_index. pandas keeps them in a column of its own name (`__index_level_0__`)."""
    path = root / layout.TASKS
    with open_parquet(
        path, "restore it, or let `waldo data repair` make it from the episodes: it maps task_index to the task's text"
    ) as file:
        table = file.read(use_threads=False)
    texts = [field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    if "task_index" not in table.column_names or len(texts) != 1:
        raise DatasetError(f"{path} has the columns {table.column_names}; wanted task_index and one text column")
    by_index = dict(zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True))
    return _in_order(by_index, count, path)


def _in_order(by_index: Mapping[int, str], count: int, path: Path) -> tuple[str, ...]:
    if not set(range(count)) <= set(by_index):
        raise DatasetError(f"{path} lists {len(by_index)} tasks, info.json counts {count}; restore it")
    return tuple(by_index[i] for i in range(count))


def _read_v21(root: Path, info: Mapping[str, Any]) -> Index:
    """One data file and one video per camera per episode; JSON lines for episodes and tasks."""
    count, per_chunk = int(info["total_episodes"]), int(info.get("chunks_size", layout.CHUNK))
    episodes = {row["episode_index"]: row for row in _json_lines(root / "meta/episodes.jsonl", ("episode_index", "length"))}
    _require_all(set(episodes), count, root, "meta/episodes.jsonl")
    tasks = {row["task_index"]: row["task"] for row in _json_lines(root / "meta/tasks.jsonl", ("task_index", "task"))}
    lengths = np.array([episodes[i]["length"] for i in range(count)], np.int64)

    def path(pattern: str, i: int, key: str = "") -> Path:
        return root / info[pattern].format(episode_chunk=i // per_chunk, episode_index=i, video_key=key)

    data = [path("data_path", i) for i in range(count)]
    return Index(
        root=root,
        info=info,
        number=np.arange(count),
        first=np.cumsum(lengths) - lengths,
        lengths=lengths,
        row=np.zeros(count, np.int64),
        tasks=_in_order(tasks, int(info["total_tasks"]), root / "meta/tasks.jsonl"),
        of=tuple(tuple(episodes[i].get("tasks") or ()) for i in range(count)),
        data=tuple(data),
        file_rows={file: int(length) for file, length in zip(data, lengths, strict=True)},
        videos={key: Video(tuple(path("video_path", i, key) for i in range(count)), np.zeros(count)) for key in _video_keys(info)},
        meta_files=(root / layout.INFO, root / "meta/tasks.jsonl", root / "meta/episodes.jsonl"),
    )


def _json_lines(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """The objects of a .jsonl file, each with these keys; raises DatasetError with the line that is not."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); {RESTORE}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            missing = [key for key in keys if key not in row]
        except (ValueError, TypeError) as error:
            raise DatasetError(f"{path}, line {number}, is not a JSON object ({error}); {RESTORE}") from error
        if missing:
            raise DatasetError(f"{path}, line {number}, has no {', '.join(missing)}; {RESTORE}")
        rows.append(row)
    return rows
