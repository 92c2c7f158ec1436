"""Files written with h5py as ALOHA's recorder writes them, one per episode, read as a dataset."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from data.errors import DatasetError
from data.source import Given
from data.store import Dataset
from tests.data.conftest import make_images
from tests.data.side_by_side import assert_reads_side_by_side

LENGTHS = {0: 7, 2: 12, 10: 5}  # episode number -> frames: not consecutive, and 10 sorts before 2 as a string
GIVEN = Given(fps=50, task="open the jar")
HIGH, WRIST = "observation.images.cam_high", "observation.images.cam_left_wrist"


def arrays(number: int, width: int = 14) -> dict[str, np.ndarray]:
    rng, length = np.random.default_rng(number), LENGTHS[number]
    vectors = {name: rng.normal(size=(length, width)).astype(np.float32) for name in ("action", "qpos", "qvel", "effort")}
    return vectors | {"base": rng.normal(size=(length, 2)).astype(np.float32)}


def jpegs(number: int) -> list[np.ndarray]:
    """As ALOHA's recorder makes them: RGB pictures given to an encoder that takes them for BGR."""
    return [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].ravel() for image in make_images(LENGTHS[number], number)]


def store(images: h5py.Group, name: str, number: int, kind: str) -> None:
    packed = jpegs(number)
    if kind == "plain":
        images[name] = make_images(LENGTHS[number], number)
    elif kind == "padded":
        rows = np.zeros((len(packed), max(map(len, packed)) + 9), np.uint8)
        for row, content in zip(rows, packed, strict=True):
            row[: len(content)] = content
        images[name] = rows
    elif kind == "varying":
        images.create_dataset(name, (len(packed),), h5py.vlen_dtype(np.uint8))
        for t, content in enumerate(packed):
            images[name][t] = content
    else:
        images[name] = np.array([content.tobytes() for content in packed])  # fixed-length byte strings


def write(folder: Path, kind: str = "plain", width: int = 14) -> Path:
    folder.mkdir()
    for number in LENGTHS:
        values = arrays(number, width)
        with h5py.File(folder / f"episode_{number}.hdf5", "w") as file:
            file.attrs["sim"], file.attrs["compress"] = False, kind != "plain"
            file["action"], file["base_action"] = values["action"], values["base"]
            for name in ("qpos", "qvel", "effort"):
                file[f"observations/{name}"] = values[name]
            images = file.create_group("observations/images")
            store(images, "cam_high", number, kind)
            store(images, "cam_left_wrist", number, kind)
            images["cam_high_depth"] = np.zeros((LENGTHS[number], 32, 48), np.uint16)
            if kind == "padded":
                file["compress_len"] = np.array([[len(content) for content in jpegs(number)]] * 2)
    return folder


def expected(name: str) -> np.ndarray:
    return np.concatenate([arrays(number)[name] for number in LENGTHS])


def test_every_value_arrives_under_lerobots_name(tmp_path):
    dataset = Dataset.open(write(tmp_path / "jar"), given=GIVEN)
    assert (dataset.format, dataset.fps, dataset.robot_type, dataset.tasks) == ("ALOHA HDF5", 50, "aloha", ("open the jar",))
    assert dataset.lengths.tolist() == [7, 12, 5]
    theirs = {"observation.state": "qpos", "observation.velocity": "qvel", "observation.effort": "effort", "base_action": "base"}
    for ours, name in (theirs | {"action": "action"}).items():
        np.testing.assert_array_equal(dataset.table([ours])[ours], expected(name), err_msg=ours)
    names = dataset.column_names["action"]
    assert names == dataset.column_names["observation.state"] == dataset.column_names["observation.effort"]
    assert (names[0], names[6], names[7], names[13]) == ("left_waist", "left_gripper", "right_waist", "right_gripper")
    assert "base_action" not in dataset.column_names
    assert dataset.column_units["action"] == dataset.column_units["observation.state"] == (("rad",) * 6 + ("1",)) * 2
    assert dataset.column_units["observation.velocity"] == (("rad/s",) * 6 + ("1/s",)) * 2
    assert "observation.effort" not in dataset.column_units
    assert dataset.provenance == {"sim": False, "compress": False, "ignored": ["observations/images/cam_high_depth"]}
    assert dataset.episode(1).final == {} and dataset.episode(1).extras == {"sim": False, "compress": False}


def test_other_widths_have_no_names(tmp_path):
    assert Dataset.open(write(tmp_path / "one", width=7), given=GIVEN).column_names == {}


def test_frames_are_those_in_the_file(tmp_path):
    dataset = Dataset.open(write(tmp_path / "jar"), given=GIVEN)
    assert dataset.camera_keys == (HIGH, WRIST) and dataset.features[HIGH]["shape"] == [32, 48, 3]
    np.testing.assert_array_equal(dataset.images(HIGH), np.concatenate([make_images(n, i) for i, n in LENGTHS.items()]))
    small = [cv2.resize(image, (24, 16), interpolation=cv2.INTER_AREA) for image in make_images(12, 2)]
    np.testing.assert_array_equal(dataset.frames(HIGH, 1, (16, 24)), small)


@pytest.mark.parametrize("kind", ["padded", "varying", "strings"])
def test_compressed_frames_have_their_true_colours(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("data.hdf5.source.BLOCK", 4000)
    dataset = Dataset.open(write(tmp_path / "jar", kind), given=GIVEN)
    assert dataset.features[WRIST]["shape"] == [32, 48, 3] and dataset.provenance["compress"] is True
    for i, (number, length) in enumerate(LENGTHS.items()):
        found, true = dataset.frames(WRIST, i).astype(int), make_images(length, number).astype(int)
        assert np.abs(found - true).mean() < 3
        assert np.abs(found - true[..., ::-1]).mean() > 6  # red and blue exchanged would be far off


def test_one_file_is_one_episode(tmp_path):
    folder = write(tmp_path / "jar")
    for path in (folder / "episode_2.hdf5", (folder / "episode_10.hdf5").rename(folder / "lunch.h5")):
        dataset = Dataset.open(path, given=Given(fps=25, robot_type="vx300s"))
        assert (len(dataset), dataset.fps, dataset.robot_type, dataset.episode_tasks(0)) == (1, 25, "vx300s", ())
    np.testing.assert_array_equal(dataset.table(["action"])["action"], arrays(10)["action"])
    assert Dataset.open(folder, given=GIVEN).lengths.tolist() == [7, 12]  # a file with another name is no episode of the folder


def test_the_frame_rate_must_be_given(tmp_path):
    with pytest.raises(DatasetError, match="jar does not say its frame rate; give it as fps.*ALOHA's recorder and ACT run at fps=50"):
        Dataset.open(write(tmp_path / "jar"))


def test_opening_reads_no_column_and_no_frame(tmp_path, monkeypatch):
    folder, read = write(tmp_path / "jar"), []
    for name in ("__getitem__", "read_direct"):
        original = getattr(h5py.Dataset, name)
        monkeypatch.setattr(h5py.Dataset, name, lambda self, *a, of=original, **k: (read.append(self.name), of(self, *a, **k))[1])
    dataset = Dataset.open(folder, given=GIVEN)
    assert read == []
    dataset.table(["observation.state"])
    assert read == ["/observations/qpos"] * 3


EPISODE = "episode_2.hdf5"


def change(folder: Path, name: str, value: object) -> None:
    with h5py.File(folder / EPISODE, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("action", None, rf"{EPISODE}: /action is missing; .* / holds base_action, observations"),
        ("action", np.zeros((0, 14), np.float32), rf"{EPISODE}: /action has no rows"),
        ("action", np.zeros((9, 14), np.float32), rf"{EPISODE}: /observations/effort has 12 rows, action has 9; restore it"),
        ("action", np.zeros((12, 16), np.float32), rf"{EPISODE}: /action has rows of shape \(16,\), the first episode's \(14,\)"),
        ("action", np.zeros((12, 14), np.float64), rf"{EPISODE}: /action is float64, wanted float32"),
        ("observations", None, rf"{EPISODE}: /observations/.* is missing, which the first episode has"),
        ("observations/qvel", np.zeros((11, 14), np.float32), rf"{EPISODE}: /observations/qvel has 11 rows"),
        ("observations/images/cam_high", None, rf"{EPISODE}: /observations/images/cam_high is missing"),
        ("observations/images/cam_high", np.zeros((12, 30, 48, 3), np.uint8), r"cam_high has frames uint8\[30, 48, 3\], wanted"),
    ],
)
def test_malformed_on_open(tmp_path, name, value, told):
    change(write(tmp_path / "jar"), name, value)
    with pytest.raises(DatasetError, match=told):
        Dataset.open(tmp_path / "jar", given=GIVEN)


def test_a_first_file_without_observations(tmp_path):
    folder = write(tmp_path / "jar")
    change(folder, "observations", None)
    with pytest.raises(DatasetError, match=f"{EPISODE} has no group observations; .* It holds action, base_action"):
        Dataset.open(folder / EPISODE, given=GIVEN)


def test_values_that_are_not_finite(tmp_path):
    change(write(tmp_path / "jar"), "action", np.full((12, 14), np.nan, np.float32))
    with pytest.raises(DatasetError, match="action is .*nan"):
        Dataset.open(tmp_path / "jar", given=GIVEN).table(["action"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda whole: whole[:-500], rf"{EPISODE} has \d+ of \d+ bytes: it was cut off"),
        (lambda whole: b"", f"{EPISODE} is empty"),
        (lambda whole: b"nothing" * 9, rf"{EPISODE} \(63 bytes\) is no HDF5 file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, told):
    path = write(tmp_path / "jar") / EPISODE
    path.write_bytes(content(path.read_bytes()))
    for opened in (path, path.parent):
        with pytest.raises(DatasetError, match=told):
            Dataset.open(opened, given=GIVEN)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (lambda content: content[: len(content) // 2], "frame 4 is cut off"),
        (lambda content: np.arange(50, dtype=np.uint8) + 7, "frame 4 is no image that OpenCV can read"),
        (
            lambda content: cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].ravel(),
            r"frame 4 has \(8, 8\) pixels, the first \(32, 48\)",
        ),
    ],
)
def test_a_damaged_frame_is_named(tmp_path, row, told):
    folder = write(tmp_path / "jar", "varying")
    with h5py.File(folder / EPISODE, "r+") as file:
        stored = file["observations/images/cam_high"]
        stored[4] = row(stored[4])
    dataset = Dataset.open(folder, given=GIVEN)
    dataset.frames(HIGH, 0)
    with pytest.raises(DatasetError, match=f"{EPISODE}: /observations/images/cam_high, {told}"):
        dataset.frames(HIGH, 1)


def reads_right(dataset: Dataset) -> bool:
    frames = all(np.abs(dataset.frames(HIGH, i) - make_images(n, k).astype(int)).mean() < 3 for i, (k, n) in enumerate(LENGTHS.items()))
    return frames and np.array_equal(dataset._source.columns(["action"], np.arange(3))["action"], expected("action"))


def test_forked_processes_and_threads_read_at_the_same_time(tmp_path):
    dataset = Dataset.open(write(tmp_path / "jar", "padded"), given=GIVEN)
    assert_reads_side_by_side(lambda: reads_right(dataset))
