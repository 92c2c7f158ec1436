"""Files written with h5py to robomimic's documented layout, read as a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from data.errors import DatasetError
from data.export import export
from data.source import Given
from data.store import Dataset
from tests.data.conftest import TOP, make_arrays, make_images
from tests.data.side_by_side import assert_reads_side_by_side

LENGTHS = {0: 7, 2: 12, 10: 5}  # demo number -> frames: not consecutive, and 10 sorts before 2 as a string
ENV = {"env_name": "Lift", "type": 1, "env_kwargs": {"robots": ["Panda"], "control_freq": 20}}
VIEW = "observation.images.agentview_image"


def write(path: Path, env: dict | None = ENV, **options) -> Path:
    """Three episodes with the seeds 0, 2, 10."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(LENGTHS.values())
        if env is not None:
            data.attrs["env_args"] = json.dumps(env)
        for number, length in LENGTHS.items():
            arrays, demo = make_arrays(length, number), data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = length
            demo.attrs["model_file"] = f"<mujoco model='{number}'/>"
            demo["actions"] = arrays["action"].astype(np.float64)
            demo["rewards"] = arrays["next.reward"]
            demo["dones"] = arrays["next.terminated"].astype(np.int64)
            demo["states"] = np.full((length, 4), number, np.float64)
            demo["obs/robot0_eef_pos"] = arrays["observation.state"]
            demo["obs/grip"] = arrays["observation.force"][:, 0]
            demo["obs/table/joints"] = arrays["stage"]
            demo["next_obs/robot0_eef_pos"] = arrays["observation.state"] + 1
            demo["next_obs/grip"] = arrays["observation.force"][:, 0] + 1
            demo.create_dataset("obs/agentview_image", data=make_images(length, number), compression="gzip", **options)
            demo["obs/agentview_depth"] = np.zeros((length, 32, 48, 1), np.float32)
            demo["action_dict/pos"] = arrays["action"][:, :1]
        file["mask/train"] = np.array([b"demo_10", b"demo_0"])
        file["mask/valid"] = np.array([b"demo_2", b"demo_77"])
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "lift.hdf5")


def expected(name: str, seeds: tuple[int, ...] = tuple(LENGTHS)) -> np.ndarray:
    return np.concatenate([make_arrays(LENGTHS[seed], seed)[name] for seed in seeds])


def test_every_value_arrives_under_lerobots_name(path):
    dataset = Dataset.open(path)
    assert (dataset.format, dataset.fps, dataset.robot_type, dataset.tasks) == ("robomimic HDF5", 20, "Panda", ("Lift",))
    assert dataset.lengths.tolist() == [7, 12, 5]
    table = dataset.table(dataset.column_keys)
    np.testing.assert_array_equal(table["observation.robot0_eef_pos"], expected("observation.state"))
    np.testing.assert_array_equal(table["observation.grip"], expected("observation.force"))
    np.testing.assert_array_equal(table["observation.table.joints"][:, 0], expected("stage"))
    np.testing.assert_array_equal(table["action"], expected("action").astype(np.float64))
    np.testing.assert_array_equal(table["next.reward"], expected("next.reward"))
    np.testing.assert_array_equal(table["next.terminated"], expected("next.terminated"))
    assert {name: table[name].dtype.name for name in ("action", "observation.grip", "next.reward", "next.terminated")} == {
        "action": "float64",
        "observation.grip": "float32",
        "next.reward": "float32",
        "next.terminated": "bool",
    }
    assert dataset.provenance["env_args"] == ENV and dataset.provenance["ignored"] == ["action_dict", "obs/agentview_depth"]


def test_an_episode_has_what_followed_it_and_its_simulator(path):
    episode = Dataset.open(path).episode(2)
    arrays = make_arrays(5, 10)
    np.testing.assert_array_equal(episode["action"], arrays["action"].astype(np.float64))
    np.testing.assert_array_equal(episode.final["observation.robot0_eef_pos"], arrays["observation.state"][-1] + 1)
    np.testing.assert_array_equal(episode.final["observation.grip"], arrays["observation.force"][-1] + 1)
    assert sorted(episode.final) == ["observation.grip", "observation.robot0_eef_pos"]
    np.testing.assert_array_equal(episode.extras["states"], np.full((5, 4), 10))
    assert (episode.extras["model_file"], episode.extras["num_samples"]) == ("<mujoco model='10'/>", 5)


def test_a_mask_opens_its_episodes(path):
    masks = Dataset.open(path).provenance["masks"]
    assert masks == {"train": [0, 2], "valid": [1]}  # demo_77 is not there
    np.testing.assert_array_equal(Dataset.open(path, episodes=masks["train"]).table(["action"])["action"], expected("action", (0, 10)))


def test_frames_are_those_in_the_file_whatever_its_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("data.hdf5.source.BLOCK", 4 * 32 * 48 * 3)
    pictures = np.concatenate([make_images(n, i) for i, n in LENGTHS.items()])
    for name, chunks in {"auto": True, "three": (3, 32, 48, 3), "all": (5, 32, 48, 3)}.items():
        dataset = Dataset.open(write(tmp_path / f"{name}.hdf5", chunks=chunks))
        assert dataset.features[VIEW]["shape"] == [32, 48, 3]
        np.testing.assert_array_equal(dataset.frames(VIEW, 1), make_images(12, 2))
        np.testing.assert_array_equal(dataset.images(VIEW), pictures)
        small = np.stack([cv2.resize(image, (24, 16), interpolation=cv2.INTER_AREA) for image in pictures])
        np.testing.assert_array_equal(dataset.images(VIEW, (16, 24)), small)


def test_opening_reads_no_frame_and_a_table_only_what_was_asked_for(path, monkeypatch):
    read = []
    for name in ("__getitem__", "read_direct"):
        original = getattr(h5py.Dataset, name)
        monkeypatch.setattr(h5py.Dataset, name, lambda self, *a, of=original, **k: (read.append(self.name), of(self, *a, **k))[1])
    dataset = Dataset.open(path)
    assert set(read) <= {"/mask/train", "/mask/valid"}
    read.clear()
    dataset.table(["action"])
    assert read == ["/data/demo_0/actions", "/data/demo_2/actions", "/data/demo_10/actions"]


def test_the_frame_rate_may_have_to_be_given(tmp_path):
    path = write(tmp_path / "a.hdf5", env={"env_name": "Lift", "env_kwargs": {}})
    with pytest.raises(DatasetError, match="does not say its frame rate; give it as fps"):
        Dataset.open(path)
    dataset = Dataset.open(path, given=Given(fps=15, task="lift it", robot_type="ur5"))
    assert (dataset.fps, dataset.tasks, dataset.robot_type) == (15, ("lift it",), "ur5")
    with pytest.raises(DatasetError, match="was recorded at 20 Hz, but fps=15"):
        Dataset.open(write(tmp_path / "b.hdf5"), given=Given(fps=15))
    with pytest.raises(DatasetError, match="does not say its frame rate"):
        Dataset.open(write(tmp_path / "c.hdf5", env=None))


def test_sentences_of_libero_and_robocasa_are_the_tasks(path):
    with h5py.File(path, "r+") as file:
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": ["open the drawer"]})
        file["data/demo_2"].attrs["ep_meta"] = json.dumps({"lang": "close the drawer"})
        file["data/demo_10"].attrs["ep_meta"] = "not JSON"
    dataset = Dataset.open(path)
    assert [dataset.episode_tasks(i) for i in range(3)] == [("open the drawer",), ("close the drawer",), ("open the drawer",)]
    assert dataset.table(["task_index"])["task_index"].tolist() == [0] * 7 + [1] * 12 + [0] * 5


def test_files_of_isaac_lab_have_groups_of_states_and_no_rewards(path):
    with h5py.File(path, "r+") as file:
        for number in LENGTHS:
            demo = file[f"data/demo_{number}"]
            del demo["states"], demo["rewards"], demo["dones"], demo["next_obs"]
            demo["states/articulation/robot/joint_position"] = np.ones((LENGTHS[number], 9), np.float32)
            demo["initial_state/rigid_object/cube/root_pose"] = np.ones((1, 7), np.float32)
    dataset = Dataset.open(path)
    assert not [name for name in dataset.features if name.startswith("next.")]
    episode = dataset.episode(0)
    assert episode.extras["states"]["articulation.robot.joint_position"].shape == (7, 9)
    assert episode.extras["initial_state"]["rigid_object.cube.root_pose"].shape == (1, 7)
    assert episode.final == {}


def test_an_export_of_ours_comes_back_whole(root, tmp_path):
    source = Dataset.open(root)
    again = Dataset.open(export(source, "robomimic", tmp_path / "again.hdf5", progress=False).path)
    assert set(again.features) == set(source.features)
    assert (again.fps, again.robot_type, again.tasks) == (source.fps, source.robot_type, source.tasks)
    assert (again.column_names, again.column_units) == (source.column_names, source.column_units)
    for name, column in source.table(source.column_keys).items():
        np.testing.assert_array_equal(again.table([name])[name], column, err_msg=name)
        assert again.table([name])[name].dtype == column.dtype
    np.testing.assert_array_equal(again.images(TOP), source.images(TOP))


def change(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value


DEMO = "data/demo_2"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("data", None, "lift.hdf5 holds mask, but no group data with data/demo_0, data/demo_1, ... as robomimic writes"),
        ("data", h5py.Empty("f"), "no group data"),
        (f"{DEMO}/actions", None, f"lift.hdf5: /{DEMO}/actions is missing; .* holds action_dict, dones, next_obs, obs, rewards, states"),
        (f"{DEMO}/actions", np.zeros((11, 3)), f"/{DEMO}/actions has 11 rows, but num_samples is 12"),
        (f"{DEMO}/actions", np.zeros((0, 3)), f"/{DEMO}/actions has no rows: an episode needs at least one frame"),
        (f"{DEMO}/actions", np.zeros((12, 2)), rf"/{DEMO}/actions has rows of shape \(2,\), the first episode's \(3,\)"),
        (f"{DEMO}/actions", np.array([[b"up"] * 3] * 12), rf"/{DEMO}/actions is \|S2, wanted float64"),
        ("data/demo_0/actions", np.array([b"up"] * 7), "/data/demo_0/actions is no array of numbers"),
        (f"{DEMO}/rewards", np.zeros(13), f"/{DEMO}/rewards has 13 rows, actions has 12; restore it"),
        (f"{DEMO}/obs/grip", None, f"/{DEMO}/obs/grip is missing, which the first episode has"),
        (f"{DEMO}/obs/grip", np.zeros(12, np.float64), f"/{DEMO}/obs/grip is float64, wanted float32"),
        (f"{DEMO}/obs/agentview_image", np.zeros((12, 32, 40, 3), np.uint8), r"has frames uint8\[32, 40, 3\], wanted uint8\[32, 48, 3\]"),
        (f"{DEMO}/obs/agentview_image", np.zeros((12, 32, 48, 3)), r"has frames float64\[32, 48, 3\], wanted uint8"),
        ("data/demo_0/obs", None, r"/data/demo_0 holds .*, but no observations \(obs/...\); robomimic's dataset_states_to_obs.py"),
    ],
)
def test_malformed_on_open(path, name, value, told):
    change(path, name, value)
    with pytest.raises(DatasetError, match=told):
        Dataset.open(path)


def test_a_camera_that_is_left_out_may_be_broken(path):
    change(path, f"{DEMO}/obs/agentview_image", None)
    assert Dataset.open(path, cameras=[]).num_episodes == 3
    assert Dataset.open(path, episodes=[0, 2]).num_episodes == 2


@pytest.mark.parametrize(
    ("name", "value", "column", "told"),
    [
        (f"{DEMO}/actions", np.full((12, 3), np.nan), "action", "action is .*nan"),
        (f"{DEMO}/dones", np.full(12, 3), "next.terminated", f"/{DEMO}/dones holds 3; it is a flag, 0 or 1"),
    ],
)
def test_malformed_values_are_found_when_they_are_read(path, name, value, column, told):
    change(path, name, value)
    dataset = Dataset.open(path)
    dataset.table(["observation.grip"])
    with pytest.raises(DatasetError, match=told):
        dataset.table([column])


def test_what_followed_must_be_finite_and_of_the_shape_of_the_rest(path):
    change(path, f"{DEMO}/next_obs/grip", np.full(12, np.inf, np.float32))
    dataset = Dataset.open(path)
    with pytest.raises(DatasetError, match=rf"/{DEMO}/next_obs/grip ends with \[inf\]; every value must be finite"):
        dataset.episode(1)
    change(path, f"{DEMO}/next_obs/grip", np.zeros((12, 2)))
    with pytest.raises(DatasetError, match=rf"/{DEMO}/next_obs/grip has the shape \(12, 2\)"):
        dataset.episode(1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda whole: whole[: len(whole) // 2], r"lift.hdf5 has \d+ of \d+ bytes: it was cut off"),
        (lambda whole: whole[:40], "lift.hdf5 .*cut off|no HDF5 file|cannot be read"),
        (lambda whole: b"", "lift.hdf5 is empty"),
        (lambda whole: b"PK\x03\x04" * 100, r"lift.hdf5 \(400 bytes\) is no HDF5 file"),
    ],
)
def test_damaged_files(path, content, told):
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(DatasetError, match=told):
        Dataset.open(path)


def test_a_file_that_vanishes_or_changes_after_opening(path):
    dataset = Dataset.open(path)
    change(path, f"{DEMO}/actions", np.zeros((3, 3)))
    with pytest.raises(DatasetError, match=f"/{DEMO}/actions has 3 rows and had 12 when the recording was opened; open it again"):
        dataset.table(["action"])
    path.unlink()
    with pytest.raises(DatasetError, match="lift.hdf5 is missing"):
        dataset.frames(VIEW, 0)


def test_without_h5py_the_message_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(DatasetError, match="lift.hdf5 is HDF5, which needs h5py: pip install h5py"):
        Dataset.open(path)


def reads_right(dataset: Dataset, times: int) -> bool:
    """Read columns and frames in both orders, anew each time."""
    for _ in range(times):
        for i, (seed, length) in enumerate(LENGTHS.items()):
            if not np.array_equal(dataset.frames(VIEW, i), make_images(length, seed)):
                return False
        columns = dataset._source.columns(["observation.robot0_eef_pos", "action"], np.arange(3))
        if not np.array_equal(columns["action"], expected("action").astype(np.float64)):
            return False
    return True


def test_forked_processes_and_threads_read_at_the_same_time(path):
    dataset = Dataset.open(path)
    assert_reads_side_by_side(lambda: reads_right(dataset, 1))
