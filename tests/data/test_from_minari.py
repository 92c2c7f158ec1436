"""Folders written with h5py as Minari 0.5.4 writes them, read as a dataset."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from data.errors import DatasetError
from data.export import export
from data.source import Given
from data.store import Dataset
from tests.data.conftest import TOP, make_arrays, make_images
from tests.data.side_by_side import assert_reads_side_by_side

LENGTHS = (7, 12, 5)
GIVEN = Given(fps=20)
RGB = "observation.images.rgb"


def box(shape: tuple[int, ...], dtype: str = "float32", low: float = -1, high: float = 1) -> dict:
    limits = {"low": np.full(shape, low).tolist(), "high": np.full(shape, high).tolist()}
    return {"type": "Box", "dtype": dtype, "shape": list(shape), **limits}


PICTURE = box((32, 48, 3), "uint8", 0, 255)
DICT = {
    "type": "Dict",
    "subspaces": {
        "pos": box((2,)),
        "rgb": PICTURE,
        "hand": {"type": "Tuple", "subspaces": [box((1,)), {"type": "Discrete", "dtype": "int64", "start": 0, "n": 9}]},
        "code": box((7, 7, 3), "uint8", 0, 255),
        "mission": {"type": "Text", "max_length": 9, "min_length": 1, "charset": "ab"},
    },
}


def longer(values: np.ndarray) -> np.ndarray:
    """With an observation after the last action."""
    return np.concatenate([values, values[-1:] + values.dtype.type(1)])


def jpeg(image: np.ndarray) -> np.ndarray:
    """Written without OpenCV, whose habit of exchanging red and blue is what the test is about."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt, stream.color_range = image.shape[1], image.shape[0], "yuvj444p", ColorRange.JPEG
        stream.options = {"qmin": "1", "qmax": "2"}
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj444p", dst_color_range=ColorRange.JPEG)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return np.frombuffer(buffer.getvalue(), np.uint8)


def write_group(group: h5py.Group, name: str, values: list[np.ndarray] | np.ndarray) -> None:
    if isinstance(values, list):
        group.create_dataset(name, (len(values),), h5py.vlen_dtype(np.uint8))
        for t, row in enumerate(values):
            group[name][t] = row
    else:
        group[name] = values


def write(root: Path, kind: str = "dict", **metadata) -> Path:
    """kind: dict (raw pictures), jpeg (a Dict with compressed ones), box (a vector, discrete actions), or picture (compressed)."""
    (root / "data").mkdir(parents=True)
    with h5py.File(root / "data/main_data.hdf5", "w", track_order=True) as file:
        for i, length in enumerate(LENGTHS):
            arrays, episode = make_arrays(length, i), file.create_group(f"episode_{i}")
            episode.attrs["id"], episode.attrs["seed"], episode.attrs["total_steps"] = i, 100 + i, length
            episode.attrs["options/level"] = 0.5
            pictures = np.concatenate([make_images(length, i), make_images(1, 9)])
            if kind == "box":
                episode["observations"] = longer(arrays["observation.state"])
            elif kind == "picture":
                write_group(episode, "observations", [jpeg(image) for image in pictures])
            else:
                below = episode.create_group("observations")
                below["pos"], below["code"] = longer(arrays["observation.state"]), np.zeros((length + 1, 7, 7, 3), np.uint8)
                below["mission"] = [f"go {t}" for t in range(length + 1)]
                below["hand/_index_0"], below["hand/_index_1"] = longer(arrays["observation.force"]), np.arange(length + 1)
                write_group(below, "rgb", [jpeg(image) for image in pictures] if kind == "jpeg" else pictures)
            episode["actions"] = np.arange(length) % 3 if kind == "box" else arrays["action"]
            episode["rewards"] = arrays["next.reward"].astype(np.float64)
            episode["terminations"] = arrays["next.terminated"] & (i != 1)
            episode["truncations"] = arrays["next.terminated"] & (i == 1)
            episode["infos/qpos"] = longer(arrays["action"])
    space = {"box": box((2,)), "picture": PICTURE}.get(kind, DICT)
    about = {"total_episodes": 3, "total_steps": 24, "data_format": "hdf5", "dataset_id": "D4RL/door/human-v2", "minari_version": "0.5.4"}
    about |= {"observation_space": json.dumps(space), "env_spec": json.dumps({"id": "AdroitHandDoor-v1", "kwargs": {}})}
    (root / "data/metadata.json").write_text(json.dumps(about | metadata))
    return root


def expected(name: str) -> np.ndarray:
    return np.concatenate([make_arrays(length, i)[name] for i, length in enumerate(LENGTHS)])


def test_every_value_arrives_under_lerobots_name(tmp_path):
    dataset = Dataset.open(write(tmp_path / "door"), given=GIVEN)
    assert (dataset.format, dataset.fps, dataset.robot_type, dataset.tasks) == ("Minari", 20, "unknown", ("AdroitHandDoor-v1",))
    assert dataset.lengths.tolist() == [7, 12, 5]
    table = dataset.table(dataset.column_keys)
    np.testing.assert_array_equal(table["observation.pos"], expected("observation.state"))
    np.testing.assert_array_equal(table["observation.hand.0"], expected("observation.force"))
    assert table["observation.hand.1"].tolist() == [[t] for length in LENGTHS for t in range(length)]
    np.testing.assert_array_equal(table["action"], expected("action"))
    np.testing.assert_array_equal(table["next.reward"], expected("next.reward").astype(np.float64))
    assert table["next.reward"].dtype == np.float64
    assert np.flatnonzero(table["next.terminated"]).tolist() == [6, 23]
    assert np.flatnonzero(table["next.truncated"]).tolist() == [18]
    assert dataset.provenance["ignored"] == ["observations/code", "observations/mission"]
    assert dataset.provenance["dataset_id"] == "D4RL/door/human-v2" and "observation_space" not in dataset.provenance


def test_an_episode_has_what_was_observed_last_and_its_infos(tmp_path):
    episode = Dataset.open(write(tmp_path / "door"), given=GIVEN).episode(1)
    arrays = make_arrays(12, 1)
    np.testing.assert_array_equal(episode.final["observation.pos"], arrays["observation.state"][-1] + 1)
    np.testing.assert_array_equal(episode.final["observation.hand.0"], arrays["observation.force"][-1] + 1)
    assert episode.final["observation.hand.1"].tolist() == [12] and len(episode.final) == 3
    assert (episode.extras["seed"], episode.extras["id"], episode.extras["options/level"]) == (101, 1, 0.5)
    np.testing.assert_array_equal(episode.extras["infos"]["qpos"], longer(arrays["action"]))


def test_a_box_is_the_state_and_discrete_actions_are_a_vector_of_one(tmp_path):
    dataset = Dataset.open(write(tmp_path / "door", "box"), given=Given(fps=20, task="open", robot_type="adroit"))
    assert (dataset.tasks, dataset.robot_type) == (("open",), "adroit")
    np.testing.assert_array_equal(dataset.table(["observation.state"])["observation.state"], expected("observation.state"))
    action = dataset.table(["action"])["action"]
    assert action.dtype == np.int64 and action.tolist() == [[t % 3] for length in LENGTHS for t in range(length)]
    np.testing.assert_array_equal(dataset.episode(0).final["observation.state"], make_arrays(7, 0)["observation.state"][-1] + 1)


def test_raw_pictures_are_those_in_the_file_without_the_last_one(tmp_path):
    dataset = Dataset.open(write(tmp_path / "door"), given=GIVEN)
    assert dataset.camera_keys == (RGB,)
    np.testing.assert_array_equal(dataset.images(RGB), np.concatenate([make_images(n, i) for i, n in enumerate(LENGTHS)]))


@pytest.mark.parametrize(("kind", "key"), [("jpeg", RGB), ("picture", "observation.images.image")])
def test_compressed_pictures_have_their_true_colours(tmp_path, kind, key):
    dataset = Dataset.open(write(tmp_path / "door", kind), given=GIVEN)
    assert dataset.features[key]["shape"] == [32, 48, 3]
    for i, length in enumerate(LENGTHS):
        assert np.abs(dataset.frames(key, i).astype(int) - make_images(length, i)).mean() < 3


def test_a_vector_of_bytes_is_no_picture(tmp_path):
    root = write(tmp_path / "ram", "box", observation_space=json.dumps(box((128,), "uint8", 0, 255)))
    for i, length in enumerate(LENGTHS):
        change(root, f"episode_{i}/observations", np.full((length + 1, 128), i, np.uint8))
    dataset = Dataset.open(root, given=GIVEN)
    assert dataset.camera_keys == () and dataset.table(["observation.state"])["observation.state"].shape == (24, 128)


@pytest.mark.parametrize("part", ["", "data", "data/main_data.hdf5"])
def test_the_path_may_be_the_folder_its_data_or_the_file(tmp_path, part):
    assert Dataset.open(write(tmp_path / "door") / part, given=GIVEN).num_frames == 24


def test_the_frame_rate_must_be_given(tmp_path):
    told = r"door does not say its frame rate; give it as fps.* it is 1 / gymnasium.make\('AdroitHandDoor-v1'\).unwrapped.dt"
    with pytest.raises(DatasetError, match=told):
        Dataset.open(write(tmp_path / "door"))


def test_the_arrow_format_is_known_and_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/metadata.json").write_text(json.dumps({"data_format": "arrow", "total_episodes": 3}))
    for path in (tmp_path, tmp_path / "data"):
        with pytest.raises(DatasetError, match="is in Minari's arrow format; only hdf5 is read: create the dataset again with data_format"):
            Dataset.open(path, given=GIVEN)


def test_an_export_of_ours_comes_back_whole(root, tmp_path):
    source = Dataset.open(root)
    again = Dataset.open(export(source, "minari", tmp_path / "again-v0", progress=False).path)
    assert set(again.features) == set(source.features)
    assert (again.fps, again.robot_type, again.tasks) == (source.fps, source.robot_type, source.tasks)
    assert (again.column_names, again.column_units) == (source.column_names, source.column_units)
    for name, column in source.table(source.column_keys).items():
        np.testing.assert_array_equal(again.table([name])[name], column, err_msg=name)
        assert again.table([name])[name].dtype == column.dtype
    np.testing.assert_array_equal(again.images(TOP), source.images(TOP))


def change(root: Path, name: str, value: object) -> None:
    with h5py.File(root / "data/main_data.hdf5", "r+") as file:
        del file[name]
        if isinstance(value, dict):
            for key, values in value.items():
                file[f"{name}/{key}"] = values
        elif value is not None:
            file[name] = value


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("episode_2", None, r"main_data.hdf5 has no episode_2, but metadata.json counts 3 episodes; it holds episode_0, episode_1;"),
        ("episode_1/rewards", None, "/episode_1/rewards is missing; every episode needs"),
        ("episode_1/rewards", np.zeros(0), "/episode_1/rewards has no rows"),
        ("episode_1/rewards", np.zeros(10), "/episode_1/rewards has 10 rows, but total_steps is 12"),
        ("episode_0/actions", None, "/episode_0 has no actions; it holds infos, observations, rewards"),
        ("episode_0/actions", {"arm": np.zeros((7, 3)), "base": np.zeros(7)}, r"the actions are a Dict or Tuple space \(arm, base\)"),
        ("episode_1/actions", {"arm": np.zeros((12, 3))}, "/episode_1/actions is missing, which the first episode has"),
        ("episode_1/actions", np.zeros((12, 4), np.float32), r"/episode_1/actions has rows of shape \(4,\), the first episode's \(3,\)"),
        ("episode_1/truncations", np.zeros(11, bool), "/episode_1/truncations has 11 rows, rewards has 12; restore it"),
        ("episode_1/observations/pos", np.zeros((12, 2), np.float32), "pos has 12 rows, rewards has 12, which it should exceed by 1"),
        ("episode_1/observations/pos", np.zeros((13, 2), np.complex64), "/episode_1/observations/pos is complex64, wanted float32"),
        ("episode_1/observations/rgb", np.zeros((13, 32, 40, 3), np.uint8), r"has frames uint8\[32, 40, 3\], wanted uint8\[32, 48, 3\]"),
    ],
)
def test_malformed_on_open(tmp_path, name, value, told):
    change(write(tmp_path / "door"), name, value)
    with pytest.raises(DatasetError, match=told):
        Dataset.open(tmp_path / "door", given=GIVEN)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (None, "metadata.json is missing; Minari writes it beside main_data.hdf5"),
        ("{", "metadata.json cannot be read as JSON"),
        ('{"total_episodes": 0}', "metadata.json: total_episodes is 0; a dataset needs at least one episode"),
    ],
)
def test_malformed_metadata(tmp_path, metadata, told):
    path = write(tmp_path / "door") / "data/metadata.json"
    path.unlink() if metadata is None else path.write_text(metadata)
    with pytest.raises(DatasetError, match=told):
        Dataset.open(tmp_path / "door", given=GIVEN)


def test_an_append_that_was_interrupted_leaves_what_was_there(tmp_path):
    root = write(tmp_path / "door", total_episodes=2, total_steps=19)
    assert Dataset.open(root, given=GIVEN).num_frames == 19


def test_values_that_are_not_finite_or_no_flag(tmp_path):
    root = write(tmp_path / "door")
    change(root, "episode_1/rewards", np.full(12, np.inf))
    change(root, "episode_1/terminations", np.full(12, 2))
    dataset = Dataset.open(root, given=GIVEN)
    with pytest.raises(DatasetError, match="next.reward is .*inf"):
        dataset.table(["next.reward"])
    with pytest.raises(DatasetError, match="/episode_1/terminations holds 2; it is a flag, 0 or 1"):
        dataset.table(["next.terminated"])


def test_a_truncated_file(tmp_path):
    path = write(tmp_path / "door") / "data/main_data.hdf5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r"main_data.hdf5 has \d+ of \d+ bytes: it was cut off"):
        Dataset.open(tmp_path / "door", given=GIVEN)


def reads_right(dataset: Dataset) -> bool:
    frames = all(np.array_equal(dataset.frames(RGB, i), make_images(length, i)) for i, length in enumerate(LENGTHS))
    return frames and np.array_equal(dataset._source.columns(["action"], np.arange(3))["action"], expected("action"))


def test_forked_processes_and_threads_read_at_the_same_time(tmp_path):
    dataset = Dataset.open(write(tmp_path / "door"), given=GIVEN)
    assert_reads_side_by_side(lambda: reads_right(dataset))
