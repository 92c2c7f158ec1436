"""Logs of our own exporter come back as they left; others are refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.writer import Writer

from data.errors import DatasetError
from data.export import export
from data.source import Given
from data.store import Dataset
from tests.data.conftest import LENGTHS, TOP, make_arrays, make_images
from tests.data.side_by_side import assert_reads_side_by_side


@pytest.fixture
def logs(root: Path, tmp_path: Path) -> Path:
    return export(Dataset.open(root), "mcap", tmp_path / "logs", progress=False, options={"codec": "png"}).path


def write(path: Path, counts: dict[str, int], metadata: dict[str, str] | None) -> Path:
    """A log with so many messages of each topic, {"value": t}, 10 per second."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        if metadata is not None:
            writer.add_metadata("waldo", metadata)
        schema = writer.register_schema("any", "jsonschema", b"{}")
        for topic, count in counts.items():
            channel = writer.register_channel(topic, "json", schema)
            for t in range(count):
                writer.add_message(channel, t * 100_000_000, json.dumps({"value": t}).encode(), t * 100_000_000, t)
        writer.finish()
    return path


def told(**features: list[int]) -> dict[str, str]:
    about = {name.replace("_", "."): {"dtype": "int64", "shape": shape, "names": None} for name, shape in features.items()}
    return {"fps": "10", "robot_type": "dummy", "task": "push", "features": json.dumps(about)}


def test_an_export_of_ours_comes_back_whole(root, logs):
    source, again = Dataset.open(root), Dataset.open(logs)
    assert set(again.features) == set(source.features)
    assert (again.fps, again.robot_type, again.tasks) == (source.fps, source.robot_type, source.tasks)
    assert [again.episode_tasks(i) for i in range(3)] == [("push",), ("lift",), ("push",)]
    assert (again.column_names, again.column_units) == (source.column_names, source.column_units)
    for name, column in source.table(source.column_keys).items():
        np.testing.assert_array_equal(again.table([name])[name], column, err_msg=name)
        assert again.table([name])[name].dtype == column.dtype
    np.testing.assert_array_equal(again.images(TOP), source.images(TOP))
    small = [cv2.resize(image, (24, 16), interpolation=cv2.INTER_AREA) for image in source.frames(TOP, 1)]
    np.testing.assert_array_equal(again.frames(TOP, 1, (16, 24)), small)
    assert again.provenance["content_hash"] == source.content_hash


def test_one_log_is_one_episode(logs):
    dataset = Dataset.open(logs / "episode_000001.mcap", cameras=[], given=Given(task="lift it"))
    np.testing.assert_array_equal(dataset.table(["action"])["action"], make_arrays(LENGTHS[1], 1)["action"])
    assert dataset.tasks == ("lift it",)


def test_times_are_those_of_the_messages(tmp_path):
    path = write(tmp_path / "a.mcap", {"/action": 4}, told(action=[1]))
    table = Dataset.open(path).table(["timestamp", "action"])
    np.testing.assert_array_equal(table["timestamp"], np.float32([0, 0.1, 0.2, 0.3]))
    assert table["action"].tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("counts", "metadata", "message"),
    [
        ({"/scan": 3, "/tf": 9}, None, r"a.mcap is a log of another program \(topics /scan, /tf\): its topics come at rates of their own"),
        ({"/action": 3}, {"fps": "10"}, "metadata record waldo lacks fps or features"),
        ({"/action": 3}, {"fps": "10", "features": '{"action": 3}'}, "metadata record waldo lacks fps or features"),
        ({"/action": 0}, told(action=[1]), "a.mcap holds no frame"),
        ({"/action": 3, "/stage": 2}, told(action=[1], stage=[1]), "a.mcap has 2 messages of /stage and 3 of others"),
        ({"/action": 3}, told(action=[1], stage=[1]), "a.mcap has 0 messages of /stage and 3 of others"),
    ],
)
def test_logs_that_cannot_be_read(tmp_path, counts, metadata, message):
    with pytest.raises(DatasetError, match=message):
        Dataset.open(write(tmp_path / "a.mcap", counts, metadata))


def test_a_value_of_another_shape(tmp_path):
    dataset = Dataset.open(write(tmp_path / "a.mcap", {"/action": 3}, told(action=[2])))
    with pytest.raises(DatasetError, match=r"a.mcap \(\d+ bytes\) is damaged or cut off \(cannot reshape"):
        dataset.table(["action"])


def test_episodes_of_different_recordings(tmp_path):
    write(tmp_path / "episode_000000.mcap", {"/action": 3}, told(action=[1]))
    write(tmp_path / "episode_000001.mcap", {"/action": 3}, told(action=[1]) | {"fps": "20"})
    with pytest.raises(DatasetError, match="episode_000001.mcap has another fps than episode_000000.mcap"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-200],
        lambda content: content[:300],
        lambda content: b"",
        lambda content: content[: len(content) // 2] + bytes(9) + content[len(content) // 2 + 9 :],
    ],
)
def test_a_damaged_log_is_named(logs, damage):
    path = logs / "episode_000001.mcap"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"episode_000001.mcap .*(damaged or cut off|its end is missing)"):
        Dataset.open(logs).table(["action"])


def reads_right(dataset: Dataset) -> bool:
    frames = all(np.abs(dataset.frames(TOP, i).astype(int) - make_images(n, i)).mean() < 4 for i, n in enumerate(LENGTHS))
    columns = dataset._source.columns(["action"], np.arange(3))["action"]
    return frames and np.array_equal(columns, np.concatenate([make_arrays(n, i)["action"] for i, n in enumerate(LENGTHS)]))


def test_forked_processes_and_threads_read_at_the_same_time(logs):
    dataset = Dataset.open(logs)
    assert_reads_side_by_side(lambda: reads_right(dataset))
