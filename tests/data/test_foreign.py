"""Datasets as other programs lay them out: several episodes per file, v2.1, images in the data file; and parts of a dataset."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DatasetError
from data.lerobot.video import VideoWriter
from data.record import Recorder
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, LENGTHS, TOP, make_arrays, make_images


def merge(root: Path) -> None:
    """One data file, one meta/episodes file and one video for all episodes, as lerobot writes."""
    data = sorted(root.glob("data/*/*.parquet"))
    pq.write_table(pa.concat_tables([pq.read_table(path) for path in data]), data[0])
    episodes = sorted(root.glob("meta/episodes/*/*.parquet"))
    table = pa.concat_tables([pq.read_table(path) for path in episodes])
    ends = np.cumsum(LENGTHS) / 10
    for name, values in {
        "data/file_index": [0, 0, 0],
        f"videos/{TOP}/file_index": [0, 0, 0],
        f"videos/{TOP}/from_timestamp": [0.0, *ends[:-1]],
        f"videos/{TOP}/to_timestamp": list(ends),
    }.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, episodes[0])
    videos = sorted(root.glob("videos/*/*/*.mp4"))
    for path in [*data[1:], *episodes[1:], *videos]:
        path.unlink()
    video = VideoWriter(videos[0], *CAMERAS["top"], 10, "h264")
    for i, length in enumerate(LENGTHS):
        video.write(make_images(length, i))
    video.close()


def to_v21(root: Path) -> None:
    """LeRobotDataset v2.1: JSON lines, other names."""
    info = json.loads((root / "meta/info.json").read_text())
    info |= {
        "codebase_version": "v2.1",
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    info["features"]["action"]["names"] = [["a", "b", "c"]]
    (root / "meta/info.json").write_text(json.dumps(info))
    lines = [{"episode_index": i, "tasks": [["push", "lift"][i % 2]], "length": n} for i, n in enumerate(LENGTHS)]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tasks = [{"task_index": 0, "task": "push"}, {"task_index": 1, "task": "lift"}]
    (root / "meta/tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in tasks))
    (root / f"videos/chunk-000/{TOP}").mkdir(parents=True)
    for i in range(3):
        (root / f"data/chunk-000/file-00{i}.parquet").rename(root / f"data/chunk-000/episode_00000{i}.parquet")
        (root / f"videos/{TOP}/chunk-000/file-00{i}.mp4").rename(root / f"videos/chunk-000/{TOP}/episode_00000{i}.mp4")
    (root / "meta/tasks.parquet").unlink()


def to_stills(root: Path) -> None:
    """The frames as PNG inside the data files."""
    info = json.loads((root / "meta/info.json").read_text())
    info["features"][TOP]["dtype"] = "image"
    (root / "meta/info.json").write_text(json.dumps(info))
    for i, length in enumerate(LENGTHS):
        path = root / f"data/chunk-000/file-00{i}.parquet"
        column = pa.array([{"bytes": png(image), "path": None} for image in make_images(length, i)])
        pq.write_table(pq.read_table(path).append_column(TOP, column), path)


def png(image: np.ndarray) -> bytes:
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = image.shape[1], image.shape[0], "rgb24", 1
    packets = [*codec.encode(av.VideoFrame.from_ndarray(image, format="rgb24")), *codec.encode(None)]
    sink = io.BytesIO()
    for packet in packets:
        sink.write(bytes(packet))
    return sink.getvalue()


@pytest.mark.parametrize(("change", "error"), [(merge, 4), (to_v21, 4), (to_stills, 0)])
def test_other_layouts_read_the_same(root, holds, change, error):
    change(root)
    dataset = holds(root, 3)
    expected = np.concatenate([make_images(n, i) for i, n in enumerate(LENGTHS)])
    assert np.abs(dataset.images(TOP).astype(int) - expected).mean() <= error
    assert dataset.tasks == ("push", "lift") and dataset.episode(1).task == "lift"
    assert dataset.column_names["action"] == ("a", "b", "c") and dataset.features["action"]["names"] == ["a", "b", "c"]


@pytest.mark.parametrize("change", [lambda root: None, merge, to_v21, to_stills])
def test_a_selection_of_episodes(root, change):
    change(root)
    dataset = Dataset.open(root, episodes=[0, 2])
    assert dataset.num_episodes == 2 and dataset.episode_ends.tolist() == [7, 12]
    np.testing.assert_array_equal(
        dataset.table(["action"])["action"], np.concatenate([make_arrays(7, 0)["action"], make_arrays(5, 2)["action"]])
    )
    assert dataset.table(["index"])["index"].tolist() == [*range(7), *range(19, 24)]
    images = dataset.images(TOP)
    assert np.abs(images[7:].astype(int) - make_images(5, 2)).mean() < 4
    whole = Dataset.open(root)
    assert whole.content_hash != dataset.content_hash
    assert whole.images(TOP).shape[0] == 24 and len(list(root.glob(".cache/*.npy"))) == 2  # neither cache replaces the other
    with pytest.raises(DatasetError, match=r"episodes \[2, 0\]; wanted increasing numbers from 0 to 2"):
        Dataset.open(root, episodes=[2, 0])


def test_numbers_can_be_read_where_videos_are_missing(root, holds):
    for path in root.glob("videos/*/*/*-002.mp4"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"file-002.mp4 is missing; .* or leave this camera or these episodes out"):
        Dataset.open(root)
    assert Dataset.open(root, cameras=()).num_episodes == 3
    assert Dataset.open(root, cameras=()).camera_keys == ()
    assert Dataset.open(root, episodes=[0, 1]).images(TOP).shape[0] == 19
    with pytest.raises(DatasetError, match="no camera 'top'; allowed: observation.images.top"):
        Dataset.open(root, cameras=("top",))


def test_appending_to_merged_files_goes_on_behind_them(root, holds):
    merge(root)
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        assert recorder.add_episode(make_arrays(6, 3), "push", {"top": make_images(6, 3)}) == 3
    dataset = holds(root, 4)
    assert len(list(root.glob("data/*/*.parquet"))) == 2
    assert dataset.stats["action"]["count"].tolist() == [30]
    assert np.abs(dataset.images(TOP)[24:].astype(int) - make_images(6, 3)).mean() < 4


def test_v21_is_not_appended_to(root):
    to_v21(root)
    with pytest.raises(DatasetError, match=r"is LeRobotDataset v2.1: it can be read, not appended to"):
        Recorder(root, 10, FEATURES, "dummy", CAMERAS)


@pytest.mark.parametrize(
    ("line", "told"),
    [("{", "episodes.jsonl, line 4, is not a JSON object"), ('{"length": 4}', "episodes.jsonl, line 4, has no episode_index")],
)
def test_malformed_v21(root, line, told):
    to_v21(root)
    with (root / "meta/episodes.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(DatasetError, match=told):
        Dataset.open(root)


G1 = Path(os.environ.get("WALDO_DATASETS", "datasets")) / "g1_bottle_lerobot_v21"


@pytest.mark.needs_g1
@pytest.mark.skipif(not (G1 / "meta/info.json").exists(), reason="no Unitree G1 recording under $WALDO_DATASETS/g1_bottle_lerobot_v21")
def test_a_real_recording_of_a_unitree_g1(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DatasetError, match=r"episode_000000.mp4 is missing"):  # only ten videos were downloaded
        Dataset.open(G1)
    numbers = Dataset.open("g1_bottle_lerobot_v21", cameras=())
    assert (numbers.num_episodes, numbers.num_frames, numbers.fps) == (100, 35965, 30)
    assert numbers.table(["action"])["action"].shape == (35965, 26)
    assert numbers.column_names["action"][0] == "kLeftShoulderPitch"
    one = Dataset.open(G1, episodes=[21])
    images = one.images("observation.images.cam_high", (60, 80))
    assert images.shape == (one.num_frames, 60, 80, 3)
    assert images.std() > 20  # a picture, and not a grey area


@pytest.mark.needs_g1
@pytest.mark.skipif(not (G1 / "meta/info.json").exists(), reason="no Unitree G1 recording under $WALDO_DATASETS/g1_bottle_lerobot_v21")
def test_every_value_of_the_g1_recording_equals_its_source():
    dataset = Dataset.open(G1, cameras=())
    names = list(dataset.column_keys)
    table = dataset.table(names)
    assert {"observation.state", "action", "timestamp", "index"} <= set(names)
    for i, stop in enumerate(dataset.episode_ends.tolist()):
        source = pq.read_table(G1 / f"data/chunk-000/episode_{i:06d}.parquet")
        start = stop - source.num_rows
        for name in names:
            stored = np.array(source[name].to_pylist(), table[name].dtype)
            np.testing.assert_array_equal(
                table[name][start:stop], stored.reshape(table[name][start:stop].shape), err_msg=f"{name} of episode {i}"
            )
    film = Dataset.open(G1, episodes=[23]).frames("observation.images.cam_high", 0)
    with av.open(str(G1 / "videos/chunk-000/observation.images.cam_high/episode_000023.mp4")) as container:
        for t, frame in enumerate(container.decode(video=0)):
            if t % 25 == 0:
                np.testing.assert_array_equal(film[t], frame.to_ndarray(format="rgb24"), err_msg=f"frame {t}")
    assert t + 1 == len(film)
