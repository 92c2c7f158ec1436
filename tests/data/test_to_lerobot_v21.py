"""The folder is laid out as the real v2.1 recordings are; videos that hold one episode are copied bit for bit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DatasetError
from data.export import export
from data.lerobot import layout
from data.store import Dataset
from tests.data.conftest import FEATURES, LENGTHS, TASKS, TOP, make_arrays, make_images
from tests.data.in_memory import rich

G1 = Path(os.environ.get("WALDO_DATASETS", "")) / "g1_bottle_lerobot_v21"


def written(dataset, folder, **options):
    return export(dataset, "lerobot_v21", folder / "v21", progress=False, options=options)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_value_is_there_one_file_per_episode(root, tmp_path):
    path = written(Dataset.open(root), tmp_path).path
    start = 0
    for i, length in enumerate(LENGTHS):
        table = pq.read_table(path / f"data/chunk-000/episode_{i:06d}.parquet")
        assert table.num_rows == length
        for feature in FEATURES:
            values = np.array(table[feature.name].to_pylist(), feature.dtype)
            np.testing.assert_array_equal(values, make_arrays(length, i)[feature.name].reshape(values.shape))
        assert table["index"].to_pylist() == list(range(start, start + length))
        assert table["frame_index"].to_pylist() == list(range(length))
        assert set(table["episode_index"].to_pylist()) == {i} and set(table["task_index"].to_pylist()) == {("push", "lift").index(TASKS[i])}
        np.testing.assert_array_equal(table["timestamp"].to_numpy(), (np.arange(length) / 10).astype(np.float32))
        start += length
    assert lines(path / "meta/tasks.jsonl") == [{"task_index": 0, "task": "push"}, {"task_index": 1, "task": "lift"}]
    assert lines(path / "meta/episodes.jsonl") == [
        {"episode_index": i, "tasks": [task], "length": length} for i, (task, length) in enumerate(zip(TASKS, LENGTHS, strict=True))
    ]


def test_info_says_what_v21_says(root, tmp_path):
    info = json.loads((written(Dataset.open(root), tmp_path).path / layout.INFO).read_text())
    assert info["codebase_version"] == "v2.1" and info["total_videos"] == 3 and info["total_chunks"] == 1
    assert info["total_episodes"] == 3 and info["total_frames"] == 24 and info["total_tasks"] == 2 and info["fps"] == 10
    assert info["splits"] == {"train": "0:3"} and info["robot_type"] == "dummy"
    assert info["data_path"] == "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    assert info["video_path"] == "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    assert info["features"]["action"]["units"] == ["rad", "rad", "1"]


def test_statistics_are_those_of_numpy(root, tmp_path):
    rows = lines(written(Dataset.open(root), tmp_path).path / "meta/episodes_stats.jsonl")
    for i, length in enumerate(LENGTHS):
        stats, action = rows[i]["stats"], make_arrays(length, i)["action"].astype(np.float64)
        assert rows[i]["episode_index"] == i and set(stats["action"]) == {"min", "max", "mean", "std", "count"}
        np.testing.assert_allclose(stats["action"]["mean"], action.mean(0), rtol=1e-6)
        np.testing.assert_allclose(stats["action"]["std"], action.std(0), rtol=1e-6)
        assert stats["action"]["count"] == [length] and stats["frame_index"]["max"] == [length - 1]
        assert np.shape(stats[TOP]["mean"]) == (3, 1, 1) and 0 < stats[TOP]["mean"][0][0][0] < 1


def test_videos_of_one_episode_are_copied_bit_for_bit(root, tmp_path):
    done = written(Dataset.open(root, episodes=[0, 2]), tmp_path)
    for new, old in ((0, 0), (1, 2)):
        copy = done.path / f"videos/chunk-000/{TOP}/episode_{new:06d}.mp4"
        assert copy.read_bytes() == (root / f"videos/{TOP}/chunk-000/file-{old:03d}.mp4").read_bytes()
    assert not any("pixel" in sentence for sentence in done.lost)
    there = Dataset.open(done.path)
    np.testing.assert_array_equal(there.frames(TOP, 1), Dataset.open(root).frames(TOP, 2))


def test_a_video_of_several_episodes_is_encoded_anew_and_that_is_said(root, tmp_path):
    """Two episodes that say they are in one file, as lerobot writes them."""
    path = root / "meta/episodes/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    for name, value in ((f"videos/{TOP}/file_index", pa.array([0])), (f"videos/{TOP}/from_timestamp", pa.array([0.2]))):
        table = table.set_column(table.column_names.index(name), name, value)
    pq.write_table(table, path)
    dataset = Dataset.open(root, episodes=[0])
    done = written(dataset, tmp_path)
    assert "1 of 1 videos were encoded anew as h264, which is lossy" in " ".join(done.lost)
    frames = Dataset.open(done.path).frames(TOP, 0)
    assert np.abs(frames.astype(int) - make_images(LENGTHS[0], 0)).mean() < 6


def test_a_resampled_recording_gets_new_videos(root, tmp_path):
    dataset = Dataset.open(root, fps=5, cameras=[TOP])
    done = written(dataset, tmp_path)
    there = Dataset.open(done.path)
    assert there.fps == 5 and there.lengths.tolist() == dataset.lengths.tolist()
    assert np.abs(there.frames(TOP, 1).astype(int) - dataset.frames(TOP, 1)).mean() < 4


def test_stills_stay_stills(tmp_path):
    path = written(rich(tmp_path / "demo"), tmp_path).path
    info = json.loads((path / layout.INFO).read_text())
    assert info["features"][TOP]["dtype"] == "image" and info["total_videos"] == 0 and info["video_path"] is None
    table = pq.read_table(path / "data/chunk-000/episode_000001.parquet")
    kinds = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert kinds[TOP] == {"_type": "Image"} and kinds["stage"] == {"dtype": "int64", "_type": "Value"}
    content = np.frombuffer(table[TOP][4]["bytes"].as_py(), np.uint8)
    np.testing.assert_array_equal(cv2.cvtColor(cv2.imdecode(content, 1), cv2.COLOR_BGR2RGB), make_images(12, 1)[4])
    np.testing.assert_array_equal(Dataset.open(path).frames(TOP, 1), make_images(12, 1))


def test_matrices_are_nested_lists(tmp_path):
    points = np.random.default_rng(0).normal(size=(24, 4, 2)).astype(np.float32)
    features = {"action": {"dtype": "float32", "shape": [3], "names": None}, "points": {"dtype": "float32", "shape": [4, 2], "names": None}}
    dataset = rich(tmp_path / "demo", features=features, more=lambda i: {"points": points[: LENGTHS[i]]})
    path = written(dataset, tmp_path).path
    table = pq.read_table(path / "data/chunk-000/episode_000001.parquet")
    np.testing.assert_array_equal(np.array(table["points"].to_pylist(), np.float32), points[:12])
    np.testing.assert_array_equal(Dataset.open(path).episode(1)["points"], points[:12])


def test_odd_sides_are_refused_where_a_video_has_to_be_made(tmp_path):
    odd = {"dtype": "video", "shape": [31, 48, 3], "names": None}
    features = {"action": {"dtype": "float32", "shape": [3], "names": None}, TOP: odd}
    with pytest.raises(DatasetError, match=r"is 31x48 \(height x width\): h264 needs even sides; .*codec=png"):
        written(rich(tmp_path / "demo", features=features), tmp_path)


def test_png_makes_pictures_of_videos(root, tmp_path):
    dataset = Dataset.open(root)
    done = written(dataset, tmp_path, codec="png")
    assert done.lost == () and not (done.path / "videos").exists()
    there = Dataset.open(done.path)
    assert there.features[TOP]["dtype"] == "image"
    np.testing.assert_array_equal(there.frames(TOP, 1), dataset.frames(TOP, 1))


@pytest.mark.needs_g1
@pytest.mark.skipif(not (G1 / layout.INFO).exists(), reason="the Unitree G1 recording is not there")
def test_the_real_recording_comes_out_as_it_went_in(tmp_path):
    """Every key of info.json, every line of meta, every type and value of the parquet files, every byte of the videos."""
    path = written(Dataset.open(G1, episodes=range(20, 22)), tmp_path).path
    mine, theirs = (json.loads((root / layout.INFO).read_text()) for root in (path, G1))
    assert list(mine) == list(theirs)
    counted = {"total_episodes": 2, "total_videos": 2, "splits": {"train": "0:2"}, "total_frames": mine["total_frames"]}
    for entry in theirs["features"].values():
        entry["names"] = list(layout.element_names(entry)) or None  # a list in a list there
    assert mine == theirs | counted | {"features": mine["features"]}
    assert set(mine["features"]) == set(theirs["features"])
    for name, entry in theirs["features"].items():
        for key in set(entry) - ({"names"} if entry["dtype"] == "video" else set()):
            assert mine["features"][name][key] == entry[key], (name, key)
    for i, number in enumerate((20, 21)):
        new, old = (root / f"data/chunk-000/episode_{n:06d}.parquet" for root, n in ((path, i), (G1, number)))
        ours, real = pq.read_table(new), pq.read_table(old)
        assert ours.schema.remove_metadata() == real.schema.remove_metadata()
        assert json.loads(ours.schema.metadata[b"huggingface"]) == json.loads(real.schema.metadata[b"huggingface"])
        for name in set(ours.column_names) - {"index", "episode_index"}:
            assert ours[name].equals(real[name]), name
        video = "videos/chunk-000/observation.images.cam_high/episode_{:06d}.mp4"
        assert (path / video.format(i)).read_bytes() == (G1 / video.format(number)).read_bytes()
    ours, real = lines(path / "meta/episodes_stats.jsonl"), lines(G1 / "meta/episodes_stats.jsonl")[20:22]
    assert lines(path / "meta/tasks.jsonl") == lines(G1 / "meta/tasks.jsonl")
    for mine, theirs in zip(ours, real, strict=True):
        assert set(mine["stats"]) == set(theirs["stats"])
        for name in set(mine["stats"]) - {"index", "episode_index"}:
            assert set(mine["stats"][name]) == set(theirs["stats"][name])
            for kind in ("min", "max", "mean", "std"):
                a, b = np.array(mine["stats"][name][kind]), np.array(theirs["stats"][name][kind])
                assert a.shape == b.shape and a.dtype == b.dtype
                loose = name.startswith("observation.images")  # other frames and pixels are looked at
                np.testing.assert_allclose(a, b, atol=0.05 if loose else 1e-4, err_msg=f"{name} {kind}")
