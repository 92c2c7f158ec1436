"""The HDF5 file is what robomimic writes, as h5py reads it; what is not in the recording is made up in one known way, and said."""

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


def written(dataset, folder, **options):
    return export(dataset, "robomimic", folder / "out", progress=False, options=options)


@pytest.fixture
def file(tmp_path):
    with h5py.File(written(rich(tmp_path / "demo"), tmp_path).path) as opened:
        yield opened


def test_every_value_of_every_demo_is_there(file):
    assert sorted(file["data"]) == ["demo_0", "demo_1", "demo_2"] and file["data"].attrs["total"] == 24
    for i, length in enumerate(LENGTHS):
        demo, arrays = file[f"data/demo_{i}"], make_arrays(length, i)
        assert demo.attrs["num_samples"] == length
        assert json.loads(demo.attrs["ep_meta"]) == {"lang": TASKS[i]}
        assert sorted(demo["obs"]) == sorted(demo["next_obs"]) == ["force", "state", "top_image"]
        for inside, name in (("actions", "action"), ("obs/state", "observation.state"), ("obs/force", "observation.force")):
            np.testing.assert_array_equal(demo[inside][:], arrays[name])
            assert demo[inside].dtype == np.float32 and demo[inside].ndim == 2
        np.testing.assert_array_equal(demo["rewards"][:], arrays["next.reward"])
        np.testing.assert_array_equal(demo["dones"][:], arrays["next.terminated"].astype(int))
        np.testing.assert_array_equal(demo["stage"][:], arrays["stage"])
        np.testing.assert_array_equal(demo["obs/top_image"][:], make_images(length, i))
        assert demo["obs/top_image"].dtype == np.uint8


def test_next_obs_is_what_came_after_each_action(file):
    for i, length in enumerate(LENGTHS):
        demo, arrays = file[f"data/demo_{i}"], make_arrays(length, i)
        for key in ("state", "force"):
            values = demo[f"next_obs/{key}"][:]
            np.testing.assert_array_equal(values[:-1], arrays[f"observation.{key}"][1:])
            np.testing.assert_array_equal(values[-1], final_of(i)[f"observation.{key}"])
        images = make_images(length, i)
        np.testing.assert_array_equal(demo["next_obs/top_image"][:], np.concatenate([images[1:], images[-1:]]))


def test_simulator_states_and_models_are_kept(file):
    for i in range(3):
        np.testing.assert_array_equal(file[f"data/demo_{i}/states"][:], states_of(i))
        assert file[f"data/demo_{i}"].attrs["model_file"] == MODEL


def test_env_args_say_task_type_and_rate(file):
    told = json.loads(file["data"].attrs["env_args"])
    assert told == {"env_name": "push", "type": 2, "env_kwargs": {"control_freq": 10}}
    ours = json.loads(file["data"].attrs["waldo"])
    assert ours["features"]["action"]["units"] == ["rad", "rad", "1"] and ours["fps"] == 10
    assert ours["arrays"][TOP] == "obs/top_image" and ours["arrays"]["next.terminated"] == "dones"
    assert ours["final"] == ["observation.state", "observation.force"]


def test_what_had_to_be_made_up_is_said(tmp_path):
    done = written(rich(tmp_path / "demo", rich=False, without=["next.reward", "next.terminated"]), tmp_path)
    with h5py.File(done.path) as file:
        demo, arrays = file["data/demo_0"], make_arrays(7, 0)
        assert demo["rewards"][:].tolist() == [0] * 7
        assert demo["dones"][:].tolist() == [0] * 6 + [1]
        np.testing.assert_array_equal(demo["states"][:], np.concatenate([arrays["observation.state"], arrays["observation.force"]], 1))
        np.testing.assert_array_equal(demo["next_obs/state"][-1], arrays["observation.state"][-1])
    said = " ".join(done.lost)
    for part in (
        "no next.reward: rewards are 0",
        "dones marks the last frame",
        "no simulator states",
        f"observation.state, observation.force, {TOP}: next_obs repeats the last observation",
        "frame rate, units and element names",
    ):
        assert part in said


def test_dones_are_next_done_where_nothing_says_terminated(tmp_path):
    done = np.array([0, 0, 1, 0, 0, 0, 0], bool)
    features = {n: {"dtype": d, "shape": s, "names": None} for n, d, s in (("action", "float32", [3]), ("next.done", "bool", [1]))}
    dataset = rich(tmp_path / "demo", features=features, more=lambda i: {"next.done": np.resize(done, LENGTHS[i])})
    with h5py.File(written(dataset, tmp_path).path) as file:
        assert file["data/demo_0/dones"][:].tolist() == done.astype(int).tolist()
        assert json.loads(file["data"].attrs["waldo"])["arrays"]["next.done"] == "dones"


def test_without_next_obs_the_group_is_absent(tmp_path):
    with h5py.File(written(rich(tmp_path / "demo"), tmp_path, next_obs=False).path) as file:
        assert "next_obs" not in file["data/demo_0"] and "obs" in file["data/demo_0"]


def test_a_share_for_validation_becomes_masks(tmp_path):
    with h5py.File(written(rich(tmp_path / "demo"), tmp_path, valid=0.34).path) as file:
        train, valid = ([name.decode() for name in file[f"mask/{mask}"][:]] for mask in ("train", "valid"))
    assert len(valid) == 1 and sorted(train + valid) == ["demo_0", "demo_1", "demo_2"]
    with pytest.raises(DatasetError, match=r"valid=0.9 of 3 episodes leaves none for training"):
        written(rich(tmp_path / "demo"), tmp_path / "b", valid=0.9)
    with pytest.raises(DatasetError, match=r"valid=1.5 is the share .* allowed: 0 up to"):
        written(rich(tmp_path / "demo"), tmp_path / "c", valid=1.5)


def test_there_are_no_masks_unless_asked_for(file):
    assert "mask" not in file


def test_a_recording_without_actions_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="has no column 'action', which robomimic HDF5 cannot do without; found observation.state"):
        written(rich(tmp_path / "demo", without=["action"]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_our_reader_gets_everything_back(tmp_path):
    dataset = Dataset.open(record(tmp_path / "demo"))
    there = Dataset.open(written(dataset, tmp_path).path)
    assert there.lengths.tolist() == list(LENGTHS) and there.fps == 10 and there.robot_type == "dummy"
    assert there.camera_keys == (TOP,) and there.column_names == dataset.column_names and there.column_units == dataset.column_units
    for i in range(3):
        assert there.episode(i).task == TASKS[i]
        for feature in FEATURES:
            np.testing.assert_array_equal(there.episode(i)[feature.name], dataset.episode(i)[feature.name])
        np.testing.assert_array_equal(there.frames(TOP, i), dataset.frames(TOP, i))
    known = Dataset.open(export(rich(tmp_path / "r"), "robomimic", tmp_path / "rich", progress=False).path)
    np.testing.assert_array_equal(known.episode(2).final["observation.state"], final_of(2)["observation.state"])


def test_a_robomimic_file_comes_out_as_it_went_in(tmp_path):
    """Names, environment, masks, models and states of a file as robosuite's scripts make it."""
    source, rng = tmp_path / "lift.hdf5", np.random.default_rng(0)
    env = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20, "robots": ["Panda"]}}
    with h5py.File(source, "w") as file:
        file.create_group("data").attrs.update({"total": 9, "env_args": json.dumps(env)})
        for i, length in enumerate((4, 5)):
            demo = file.create_group(f"data/demo_{i}")
            demo.attrs.update({"num_samples": length, "model_file": f"<mujoco model='{i}'/>"})
            for inside, width in (("actions", 7), ("states", 32), ("obs/robot0_eef_pos", 3), ("next_obs/robot0_eef_pos", 3)):
                demo[inside] = rng.normal(size=(length, width))
            demo["obs/agentview_rgb"] = rng.integers(0, 256, (length, 64, 64, 3)).astype(np.uint8)
            demo["next_obs/agentview_rgb"] = np.concatenate([demo["obs/agentview_rgb"][1:], demo["obs/agentview_rgb"][-1:]])
            demo["rewards"], demo["dones"] = rng.normal(size=length), np.arange(length) // (length - 1)
            demo["next_obs/robot0_eef_pos"][:-1] = demo["obs/robot0_eef_pos"][1:]
        file["mask/train"], file["mask/valid"] = np.array([b"demo_1"]), np.array([b"demo_0"])
    path = written(Dataset.open(source), tmp_path).path
    with h5py.File(source) as before, h5py.File(path) as after:
        names: list[str] = []
        before.visit(names.append)
        for name in names:
            assert name in after, name
            if isinstance(before[name], h5py.Dataset):
                np.testing.assert_array_equal(after[name][()], before[name][()], err_msg=name)
                assert after[name].dtype == before[name].dtype or name.endswith("dones")
        assert json.loads(after["data"].attrs["env_args"]) == env
        for i in range(2):
            for key in before[f"data/demo_{i}"].attrs:
                assert after[f"data/demo_{i}"].attrs[key] == before[f"data/demo_{i}"].attrs[key]
    part = Dataset.open(source, episodes=[1])
    with h5py.File(export(part, "robomimic", tmp_path / "part", progress=False).path) as after:
        assert after["mask/train"][:].tolist() == [b"demo_0"] and len(after["mask/valid"]) == 0
