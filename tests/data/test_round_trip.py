"""What is recorded is what is read, through files that other programs read, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.errors import DatasetError
from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, LENGTHS, TASKS, TOP, litter, make_arrays, make_images, record


def test_every_number_comes_back_exactly(root):
    dataset = Dataset.open(root)
    table = dataset.table(dataset.column_keys)
    for name in make_arrays(1, 0):
        expected = np.concatenate([make_arrays(n, i)[name] for i, n in enumerate(LENGTHS)])
        np.testing.assert_array_equal(table[name], expected)
        assert table[name].dtype == expected.dtype and not table[name].flags.writeable
    np.testing.assert_array_equal(table["index"], np.arange(24))
    np.testing.assert_array_equal(table["episode_index"], np.repeat([0, 1, 2], LENGTHS))
    np.testing.assert_array_equal(table["task_index"], np.repeat([0, 1, 0], LENGTHS))
    np.testing.assert_allclose(table["timestamp"], np.concatenate([np.arange(n) / 10 for n in LENGTHS]), atol=1e-6)


def test_what_a_dataset_says_about_itself(root):
    dataset = Dataset.open(root)
    assert (dataset.fps, dataset.robot_type, dataset.num_episodes, dataset.num_frames) == (10, "dummy", 3, 24)
    assert dataset.episode_ends.tolist() == [7, 19, 24]
    assert dataset.tasks == ("push", "lift")
    assert dataset.camera_keys == (TOP,)
    assert dataset.column_units["action"] == ("rad", "rad", "1")
    assert dataset.column_names["observation.state"] == ("x", "y")
    assert dataset.features["action"]["shape"] == [3]
    episode = dataset.episode(-1)
    assert (episode.index, episode.task, len(episode)) == (2, "push", 5)
    assert "action float32[5, 3]" in repr(episode)
    assert episode["observation.force"].shape == (5, 1) and episode["next.reward"].shape == (5,)
    with pytest.raises(ValueError, match="read-only"):
        episode["action"][0] = 0


def test_video_comes_back_within_the_loss_of_h264(root):
    dataset = Dataset.open(root)
    images = dataset.images(TOP)
    assert images.shape == (24, 32, 48, 3) and images.dtype == np.uint8 and isinstance(images, np.memmap)
    expected = np.concatenate([make_images(n, i) for i, n in enumerate(LENGTHS)])
    error = np.abs(images.astype(int) - expected)
    assert error.mean() < 4 and error[..., 1].mean() < 3
    # Frames are in their places: each is closest to itself.
    distance = np.abs(images[:, None].astype(int) - expected[None, :]).mean((2, 3, 4))
    same = np.abs(expected[:, None].astype(int) - expected[None, :]).mean((2, 3, 4)) == 0
    assert all(same[t, distance[t].argmin()] for t in range(24))


def test_images_are_decoded_once_and_resized(root, monkeypatch):
    first = Dataset.open(root).images(TOP, (16, 24))
    assert first.shape == (24, 16, 24, 3)
    halves = make_images(LENGTHS[0], 0).reshape(7, 16, 2, 24, 2, 3).mean((2, 4))
    assert np.abs(first[:7] - halves).mean() < 4

    def decode(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr("data.cache._decode", decode)
    np.testing.assert_array_equal(Dataset.open(root).images(TOP, (16, 24)), first)
    assert not litter(root)


def test_images_of_a_read_only_dataset_go_to_the_users_cache(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (root / ".cache").write_text("a file where the cache folder should be")  # works as root, whom no permission stops
    assert Dataset.open(root).images(TOP).shape == (24, 32, 48, 3)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1


def test_no_room_for_the_image_cache(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(
        DatasetError, match=r"decoded frames of observation.images.top \(0.00 GB\) cannot be kept .*No space left.*XDG_CACHE_HOME"
    ):
        Dataset.open(root).images(TOP)
    assert not litter(root)


def test_the_image_cache_follows_the_content(root):
    before = Dataset.open(root)
    before.images(TOP)
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_episode(make_arrays(4, 3), "push", {"top": make_images(4, 3)})
    after = Dataset.open(root)
    assert after.content_hash != before.content_hash
    assert after.images(TOP).shape[0] == 28
    assert len(list((root / ".cache").glob("*.npy"))) == 1  # the outdated one is gone


def test_the_hash_depends_on_content_alone(tmp_path):
    one, two = record(tmp_path / "one"), record(tmp_path / "two")
    assert Dataset.open(one).content_hash == Dataset.open(two).content_hash
    three = record(tmp_path / "three", (7, 12))
    assert Dataset.open(three).content_hash != Dataset.open(one).content_hash


def test_frame_by_frame_equals_whole_episodes(root, tmp_path):
    with Recorder(tmp_path / "frames", 10, FEATURES, "dummy", CAMERAS) as recorder:
        for i, length in enumerate(LENGTHS):
            for _ in range(2):  # a false start, discarded
                recorder.add_frame({k: v[0] for k, v in make_arrays(3, 99).items()}, {"top": make_images(1, 99)[0]})
            recorder.discard_episode()
            arrays, images = make_arrays(length, i), make_images(length, i)
            for t in range(length):
                recorder.add_frame({name: values[t] for name, values in arrays.items()}, {"top": images[t]})
            assert recorder.num_frames == length
            assert recorder.save_episode(TASKS[i]) == i
            assert recorder.committed == i + 1  # on disk, and not only promised
    assert Dataset.open(tmp_path / "frames").content_hash == Dataset.open(root).content_hash


def test_the_caller_may_reuse_its_arrays(tmp_path):
    arrays, images = make_arrays(6, 0), make_images(6, 0)
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        for t in range(6):
            frame = {name: values[t : t + 1].copy()[0] for name, values in arrays.items()}
            picture = images[t].copy()
            recorder.add_frame(frame, {TOP: picture})
            picture[:] = 0
            frame["action"][:] = np.nan
        recorder.save_episode("push")
    dataset = Dataset.open(tmp_path / "d")
    np.testing.assert_array_equal(dataset.table(["action"])["action"], arrays["action"])
    assert dataset.images(TOP).mean() > 30


def test_resuming_appends(state_root, holds):
    with Recorder(state_root, 10, FEATURES, "dummy") as recorder:
        assert recorder.committed == 3
        assert recorder.add_episode(make_arrays(9, 3), "stack") == 3
    dataset = holds(state_root, 4)
    assert dataset.tasks == ("push", "lift", "stack")
    assert dataset.table(["index"])["index"].tolist() == list(range(33))


def test_resuming_with_other_features_is_refused(state_root):
    other = (Feature("observation.state", (2,), names=("x", "z"), units=("m", "m")), *FEATURES[1:-1])
    with pytest.raises(DatasetError) as told:
        Recorder(state_root, 20, other, "dummy")
    for part in ("'observation.state' names: now ['x', 'z'], on disk ['x', 'y']", "'stage' is not recorded now", "fps: now 20, on disk 10"):
        assert part in str(told.value)
    with Recorder(state_root, 20, other, "dummy", overwrite=True) as recorder:
        assert recorder.committed == 0


def test_two_recorders_do_not_share_a_folder(state_root):
    with (
        Recorder(state_root, 10, FEATURES, "dummy"),
        pytest.raises(DatasetError, match="another recorder is writing"),
    ):
        Recorder(state_root, 10, FEATURES, "dummy")
    Recorder(state_root, 10, FEATURES, "dummy").close()


def test_only_our_own_folders_are_written_to(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(DatasetError, match=r"holds other things \(letters.txt\)"):
            Recorder(tmp_path, 10, FEATURES, overwrite=overwrite)
    assert (tmp_path / "letters.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"action": np.zeros((7, 2))}, r"action has shape \(7, 2\); wanted \(T, 3\)"),
        ({"action": np.full((7, 3), np.nan)}, r"action is \[nan, nan, nan\] in frame 0; every value must be finite"),
        ({"action": np.full((7, 3), 1e300)}, "every value must be finite"),  # inf as float32
        ({"stage": np.full(7, 0.5)}, "stage is float64; wanted int64"),
        ({"next.reward": np.zeros(6)}, "same number of frames"),
        ({"rewards": np.zeros(7)}, "unknown feature 'rewards'; did you mean 'next.reward'"),
        ({"action": None}, "no value for the feature action"),
    ],
)
def test_bad_arrays_are_refused_before_anything_is_written(state_root, holds, change, told):
    arrays = make_arrays(7, 3) | change
    arrays = {name: values for name, values in arrays.items() if values is not None}
    before = sorted(p.name for p in state_root.rglob("*"))
    with Recorder(state_root, 10, FEATURES, "dummy") as recorder, pytest.raises(DatasetError, match=told):
        recorder.add_episode(arrays, "push")
    assert sorted(p.name for p in state_root.rglob("*")) == before
    with Recorder(state_root, 10, FEATURES, "dummy") as recorder:
        recorder.add_episode(make_arrays(7, 3), "push")
    holds(state_root, 4)


def test_bad_frames_are_refused_and_the_episode_goes_on(tmp_path):
    arrays, images = make_arrays(3, 0), make_images(3, 0)
    frames = [{name: values[t] for name, values in arrays.items()} for t in range(3)]
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_frame(frames[0], {"top": images[0]})
        with pytest.raises(DatasetError, match="finite"):
            recorder.add_frame(frames[1] | {"next.reward": np.inf}, {"top": images[1]})
        with pytest.raises(DatasetError, match=r"float64\[32, 48, 3\]; wanted uint8 \(32, 48, 3\)"):
            recorder.add_frame(frames[1], {"top": images[1] / 255})
        with pytest.raises(DatasetError, match=r"no value for the camera observation.images.top"):
            recorder.add_frame(frames[1])
        with pytest.raises(DatasetError, match="1 frames are not saved"):
            recorder.add_episode(arrays, "push", {"top": images})
        recorder.add_frame(frames[1], {"top": images[1]})
        recorder.add_frame(frames[2], {"top": images[2]})
        with pytest.raises(DatasetError, match="say in words"):
            recorder.save_episode(" ")
        recorder.save_episode("push")
    assert Dataset.open(tmp_path / "d").episode_ends.tolist() == [3]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"codec": "vp9"}, "codec 'vp9' is unknown; allowed: h264, av1"),
        ({"cameras": {"top": (33, 48)}}, "33x48: yuv420p video needs even sides"),
        ({"features": (Feature("index", (1,)),)}, "cannot be called 'index'"),
        ({"features": (Feature("a", (2,), names=("x",)),)}, "1 names for 2 elements"),
        ({"features": (Feature("a", (2,), "complex64"),)}, "dtype 'complex64' cannot be stored"),
        ({"features": ()}, "at least one feature"),
    ],
)
def test_bad_options_are_refused(tmp_path, options, told):
    with pytest.raises(DatasetError, match=told):
        Recorder(tmp_path / "d", **({"fps": 10, "features": FEATURES} | options))
    assert not (tmp_path / "d").exists()


def test_matrices_and_odd_rates(tmp_path):
    values = np.arange(5 * 2 * 3, dtype=np.float64).reshape(5, 2, 3)
    with Recorder(tmp_path / "d", 12.5, [Feature("observation.grid", (2, 3), "float64")]) as recorder:
        recorder.add_episode({"observation.grid": values}, "look")
    dataset = Dataset.open(tmp_path / "d")
    np.testing.assert_array_equal(dataset.table(["observation.grid"])["observation.grid"], values)
    assert dataset.fps == 12.5
    assert dataset.stats["observation.grid"]["max"].tolist() == values.max((0, 1)).tolist()  # lerobot's rule for matrices


def test_statistics_are_those_of_all_frames(root):
    dataset = Dataset.open(root)
    action = dataset.table(["action"])["action"].astype(float)
    stats = dataset.stats["action"]
    np.testing.assert_allclose(stats["mean"], action.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats["std"], action.std(0), rtol=1e-6)
    np.testing.assert_array_equal(stats["min"], action.min(0))
    assert stats["count"].tolist() == [24]
    assert set(stats) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
    assert {"timestamp", "frame_index", "episode_index", "index", "task_index", TOP} <= set(dataset.stats)
    assert dataset.stats["index"]["max"].tolist() == [23]
    image = dataset.stats[TOP]
    assert image["mean"].shape == (3, 1, 1) and image["max"].max() == pytest.approx(200 / 255)


def test_the_files_are_those_of_lerobot_v3(root):
    """Column types and keys that lerobot 0.4.4 was seen to need for reading and for appending."""
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["splits"] == {"train": "0:3"} and info["total_tasks"] == 2
    data = pq.read_schema(root / "data/chunk-000/file-001.parquet")
    assert str(data.field("action").type) == "fixed_size_list<element: float>[3]"
    assert [str(data.field(n).type) for n in ("next.reward", "next.terminated", "index", "timestamp")] == [
        "float",
        "bool",
        "int64",
        "float",
    ]
    row = pq.read_table(root / "meta/episodes/chunk-000/file-001.parquet").to_pylist()[0]
    assert (row["dataset_from_index"], row["dataset_to_index"], row["tasks"], row["length"]) == (7, 19, ["lift"], 12)
    assert row[f"videos/{TOP}/file_index"] == 1 and row[f"videos/{TOP}/to_timestamp"] == pytest.approx(1.2)
    assert row["stats/index/min"] == [7] and isinstance(row["stats/index/min"][0], int)
    tasks = pq.read_table(root / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]


def test_a_dataset_is_found_by_name(root, tmp_path, monkeypatch):
    monkeypatch.setenv("WALDO_DATASETS", str(tmp_path))
    assert Dataset.open("demo").num_episodes == 3
    with pytest.raises(DatasetError, match=f"no dataset 'dema': looked for dema and {tmp_path}/dema; did you mean 'demo'"):
        Dataset.open("dema")
    monkeypatch.setenv("WALDO_DATASETS", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="nowhere does not exist; set WALDO_DATASETS"):
        Dataset.open("demo")


def test_unknown_names_list_the_known_ones(root):
    dataset = Dataset.open(root)
    with pytest.raises(DatasetError, match=r"no column 'actions'; did you mean 'action'"):
        dataset.table(["actions"])
    with pytest.raises(DatasetError, match=r"frames of a camera come from images\(\)"):
        dataset.table([TOP])
    with pytest.raises(DatasetError, match="no camera 'top'"):
        dataset.images("top")
    with pytest.raises(DatasetError, match="no episode 3; allowed: 0 to 2"):
        dataset.episode(3)


def test_provenance_is_kept(tmp_path):
    with Recorder(tmp_path / "d", 10, FEATURES, provenance={"seed": 3}) as recorder:
        recorder.add_episode(make_arrays(3, 0), "push")
    assert Dataset.open(Path(tmp_path / "d")).provenance == {"seed": 3}
