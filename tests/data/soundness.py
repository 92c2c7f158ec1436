"""What every edit has to leave: the episodes that it should, and files on which lerobot and the recorder can rely."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data.lerobot import layout
from data.store import Dataset
from tests.data.conftest import FEATURES, TOP

LENGTHS = (7, 12, 5, 9)  # tasks: push, lift, push, push
STORED = tuple(f.name for f in FEATURES)
Contents = tuple[str, dict[str, np.ndarray], np.ndarray]  # task, columns, frames


def contents(root: Path) -> list[Contents]:
    """What an edit must not change, per episode."""
    dataset = Dataset.open(root)
    return [
        (dataset.episode(i).task, {n: np.array(dataset.episode(i)[n]) for n in STORED}, dataset.frames(TOP, i)) for i in range(len(dataset))
    ]


def assert_holds(root: Path, expected: list[Contents]) -> Dataset:
    """The dataset has these episodes and is sound: what lerobot and the recorder rely on is checked file by file."""
    dataset = Dataset.open(root)
    found = contents(root)
    assert [task for task, _, _ in found] == [task for task, _, _ in expected]
    for (_, columns, frames), (_, wanted, pictures) in zip(found, expected, strict=True):
        for name in STORED:
            np.testing.assert_array_equal(columns[name], wanted[name], err_msg=name)
        np.testing.assert_array_equal(frames, pictures)
    assert_sound(root)
    return dataset


def assert_sound(root: Path) -> None:
    info = json.loads((root / layout.INFO).read_text())
    rows = [row for p in sorted(root.glob("meta/episodes/*/*.parquet")) for row in pq.read_table(p).to_pylist()]
    files = sorted(root.glob("data/*/*.parquet"))  # lerobot reads all of them, in this order
    tables = [pq.read_table(path) for path in files]
    column = {name: np.concatenate([t[name].to_numpy() for t in tables]) for name in layout.DEFAULT_FEATURES}
    lengths = np.array([row["length"] for row in rows])
    ends = np.cumsum(lengths)
    frames = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    np.testing.assert_array_equal(column["index"], np.arange(ends[-1]))
    np.testing.assert_array_equal(column["episode_index"], np.repeat(np.arange(len(rows)), lengths))
    np.testing.assert_array_equal(column["frame_index"], frames)
    np.testing.assert_allclose(column["timestamp"], frames / info["fps"], atol=1e-6)
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == list(zip(ends - lengths, ends, strict=True))
    assert (info["total_episodes"], info["total_frames"]) == (len(rows), ends[-1])
    texts = pq.read_table(root / layout.TASKS).to_pydict()
    assert texts["task_index"] == list(range(info["total_tasks"]))
    for row, end, length in zip(rows, ends, lengths, strict=True):
        assert {texts["__index_level_0__"][k] for k in column["task_index"][end - length : end]} == set(row["tasks"])
        path = layout.DATA_PATH.format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
        assert row["episode_index"] in pq.read_table(root / path)["episode_index"].to_pylist()
    pointed = {
        root / layout.VIDEO_PATH.format(video_key=key, chunk_index=r[f"videos/{key}/chunk_index"], file_index=r[f"videos/{key}/file_index"])
        for key, f in info["features"].items()
        if f["dtype"] == "video"
        for r in rows
    }
    assert pointed == set(root.glob("videos/*/*/*.mp4"))
    assert_stats(root, info, rows, tables)
    assert not [
        p
        for p in [*root.parent.iterdir(), *root.rglob("*")]
        if p.name.endswith((".tmp", ".building", ".replaced")) or p.name == ".waldo-edit"
    ]


def assert_stats(root: Path, info: dict[str, Any], rows: list[dict[str, Any]], tables: list[Any]) -> None:
    """Of every column and episode, and of all together."""
    stats = json.loads((root / layout.STATS).read_text())
    at = 0
    for row in rows:
        for name, feature in info["features"].items():
            if feature["dtype"] != "video":
                values = np.concatenate([np.array(t[name].to_pylist()) for t in tables])[at : at + row["length"]]
                np.testing.assert_allclose(np.ravel(row[f"stats/{name}/min"]), np.atleast_1d(values.min(0)), err_msg=name)
                np.testing.assert_allclose(np.ravel(row[f"stats/{name}/q50"]), np.atleast_1d(np.median(values, 0)), rtol=1e-6)
            assert len(row[f"stats/{name}/mean"]) == (3 if feature["dtype"] == "video" else feature["shape"][-1])
        at += row["length"]
    for name, feature in info["features"].items():
        if feature["dtype"] != "video":
            values = np.concatenate([np.array(t[name].to_pylist(), float).reshape(len(t), -1) for t in tables])
            np.testing.assert_allclose(stats[name]["std"], values.std(0), rtol=1e-5, atol=1e-6, err_msg=name)
            assert stats[name]["count"] == [len(values)]


def sliced(episode: Contents, start: int, stop: int) -> Contents:
    """Frames [start, stop) of one."""
    task, columns, frames = episode
    return task, {name: values[start:stop] for name, values in columns.items()}, frames[start:stop]
