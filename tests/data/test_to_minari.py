"""The folder is what Minari 0.5.4 writes, as h5py and json read it."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from data.errors import DatasetError
from data.export import export
from data.store import Dataset
from tests.data.conftest import FEATURES, LENGTHS, TASKS, TOP, make_arrays, make_images, record
from tests.data.in_memory import MODEL, final_of, rich, states_of

KEYS = {  # of the metadata.json of `minari.create_dataset_from_buffers`, minari 0.5.4
    "total_episodes",
    "total_steps",
    "data_format",
    "jpeg_encoding",
    "observation_space",
    "action_space",
    "dataset_id",
    "author",
    "algorithm_name",
    "description",
    "minari_version",
    "dataset_size",
}


def written(dataset, target):
    done = export(dataset, "minari", target, progress=False)
    metadata = json.loads((done.path / "data/metadata.json").read_text())
    return done, metadata, h5py.File(done.path / "data/main_data.hdf5")


def test_every_value_of_every_episode_is_there(tmp_path):
    _, _, file = written(rich(tmp_path / "demo"), tmp_path / "mine-v0")
    assert sorted(file) == ["episode_0", "episode_1", "episode_2"]
    for i, length in enumerate(LENGTHS):
        group, arrays = file[f"episode_{i}"], make_arrays(length, i)
        assert group.attrs["id"] == i and group.attrs["total_steps"] == length and group.attrs["task"] == TASKS[i]
        assert sorted(group["observations"]) == ["force", "state", "top"]
        for key in ("state", "force"):
            stored = group[f"observations/{key}"]
            np.testing.assert_array_equal(stored[:-1], arrays[f"observation.{key}"])
            np.testing.assert_array_equal(stored[-1], final_of(i)[f"observation.{key}"])
        images = make_images(length, i)
        np.testing.assert_array_equal(group["observations/top"][:], np.concatenate([images, images[-1:]]))
        np.testing.assert_array_equal(group["actions"][:], arrays["action"])
        np.testing.assert_array_equal(group["rewards"][:], arrays["next.reward"])
        np.testing.assert_array_equal(group["terminations"][:], arrays["next.terminated"])
        assert not group["truncations"][:].any() and group["truncations"].dtype == bool
        np.testing.assert_array_equal(group["infos/stage"][:], arrays["stage"])
        np.testing.assert_array_equal(group["infos/states"][:], states_of(i))
        assert group.attrs["model_file"] == MODEL


def test_metadata_has_minaris_keys_and_spaces(tmp_path):
    done, metadata, _ = written(rich(tmp_path / "demo"), tmp_path / "mine-v0")
    assert set(metadata) == KEYS | {"waldo"}
    assert metadata["total_episodes"] == 3 and metadata["total_steps"] == 24 and metadata["minari_version"] == "0.5.4"
    assert metadata["dataset_id"] == "mine-v0" and metadata["data_format"] == "hdf5" and metadata["jpeg_encoding"] is False
    action = json.loads(metadata["action_space"])
    assert action == {"type": "Box", "dtype": "float32", "shape": [3], "low": [-np.inf] * 3, "high": [np.inf] * 3}
    spaces = json.loads(metadata["observation_space"])
    assert spaces["type"] == "Dict" and list(spaces["subspaces"]) == ["force", "state", "top"]
    top = spaces["subspaces"]["top"]
    assert top["dtype"] == "uint8" and top["shape"] == [32, 48, 3] and np.shape(top["low"]) == np.shape(top["high"]) == (32, 48, 3)
    assert np.max(top["low"]) == 0 and np.min(top["high"]) == 255
    assert metadata["waldo"]["fps"] == 10 and metadata["waldo"]["features"]["action"]["names"] == ["a", "b", "c"]
    assert not any("dataset_id" in sentence for sentence in done.lost)


def test_a_single_state_is_a_box(tmp_path):
    dataset = rich(tmp_path / "demo", without=["observation.force", TOP])
    _, metadata, file = written(dataset, tmp_path / "mine-v0")
    assert json.loads(metadata["observation_space"])["type"] == "Box"
    assert file["episode_0/observations"].shape == (8, 2)


def test_a_name_without_a_version_gets_one_and_that_is_said(tmp_path):
    done, metadata, _ = written(rich(tmp_path / "demo"), tmp_path / "my push.data")
    assert metadata["dataset_id"] == "my_push_data-v0"
    assert "its dataset_id is my_push_data-v0" in " ".join(done.lost)


def test_what_had_to_be_made_up_is_said(tmp_path):
    done, _, file = written(rich(tmp_path / "demo", rich=False, without=["next.reward", "next.terminated"]), tmp_path / "mine-v0")
    group, arrays = file["episode_0"], make_arrays(7, 0)
    assert group["rewards"][:].tolist() == [0] * 7
    assert not group["terminations"][:].any()
    assert group["truncations"][:].tolist() == [False] * 6 + [True]
    np.testing.assert_array_equal(group["observations/state"][-1], arrays["observation.state"][-1])
    said = " ".join(done.lost)
    for part in (
        "no next.reward: rewards are 0",
        "they count as cut off after their last frame",
        f"observation.state, observation.force, {TOP}: the last observation is there twice",
        "frame rate, units and element names",
    ):
        assert part in said


def test_done_and_truncated_become_terminated(tmp_path):
    done, cut = np.array([0, 0, 1, 0, 0, 0, 1], bool), np.array([0, 0, 0, 0, 0, 0, 1], bool)
    kinds = (("action", "float32", [3]), ("next.done", "bool", [1]), ("next.truncated", "bool", [1]))
    features = {name: {"dtype": dtype, "shape": shape, "names": None} for name, dtype, shape in kinds}
    more = {"next.done": done, "next.truncated": cut}
    dataset = rich(tmp_path / "demo", features=features, more=lambda i: {n: np.resize(v, LENGTHS[i]) for n, v in more.items()})
    _, _, file = written(dataset, tmp_path / "mine-v0")
    assert file["episode_0/terminations"][:].tolist() == (done & ~cut).tolist()
    assert file["episode_0/truncations"][:].tolist() == cut.tolist()
    assert file["episode_0/infos/next.done"][:].tolist() == done.tolist()


def test_a_recording_without_actions_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="has no column 'action', which Minari cannot do without"):
        export(rich(tmp_path / "demo", without=["action"]), "minari", tmp_path / "mine-v0", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_our_reader_gets_everything_back(tmp_path):
    dataset = Dataset.open(record(tmp_path / "demo"))
    there = Dataset.open(export(dataset, "minari", tmp_path / "mine-v0", progress=False).path)
    assert there.lengths.tolist() == list(LENGTHS) and there.fps == 10 and there.robot_type == "dummy"
    assert there.camera_keys == (TOP,) and there.column_names == dataset.column_names and there.column_units == dataset.column_units
    for i in range(3):
        assert there.episode(i).task == TASKS[i]
        for feature in FEATURES:
            np.testing.assert_array_equal(there.episode(i)[feature.name], dataset.episode(i)[feature.name])
        np.testing.assert_array_equal(there.frames(TOP, i), dataset.frames(TOP, i))
    known = Dataset.open(export(rich(tmp_path / "r"), "minari", tmp_path / "rich-v0", progress=False).path)
    np.testing.assert_array_equal(known.episode(2).final["observation.state"], final_of(2)["observation.state"])
