"""Replay buffers are read as they are, exactly; the real Push-T demonstrations too, where they are."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from omegaconf import OmegaConf
from zarr.storage import ZipStore

from data.errors import DatasetError
from data.source import Given
from data.store import Dataset
from tests.data.conftest import make_images
from tests.data.side_by_side import assert_reads_side_by_side
from waldo.manual import CONFIGS

ENDS = [7, 19, 24]
GIVEN = Given(fps=10, task="push")


def write_buffer(store, prefix: str = "", zarr_format: int = 2, **changes) -> dict[str, np.ndarray]:
    """A replay buffer of three episodes, its storage chunks out of step with the episodes."""
    rng = np.random.default_rng(0)
    arrays = {
        "state": rng.normal(size=(24, 3)).astype(np.float32),
        "action": rng.normal(size=(24, 2)).astype(np.float32),
        "reward": rng.normal(size=24),
        "img": np.concatenate([make_images(n, i) for i, n in enumerate(np.diff(ENDS, prepend=0))]).astype(np.float32),
    } | changes
    root = zarr.open_group(store, path=prefix, mode="w", zarr_format=zarr_format)
    for name, values in arrays.items():
        root.create_array(f"data/{name}", data=values, chunks=(5, *values.shape[1:]))
    root.create_array("meta/episode_ends", data=np.array(ENDS))
    return arrays


@pytest.mark.parametrize("kind", ["folder", "folder of format 3", "zip", "zip with a folder inside"])
def test_every_value_is_there(tmp_path, kind):
    source = tmp_path / ("a.zarr" if kind.startswith("folder") else "a.zarr.zip")
    if kind.startswith("folder"):
        arrays = write_buffer(source, zarr_format=3 if "3" in kind else 2)
    else:
        with ZipStore(source, mode="w") as store:
            arrays = write_buffer(store, "deep/a.zarr" if "inside" in kind else "")
    dataset = Dataset.open(source, given=GIVEN)
    table = dataset.table(["observation.state", "action", "next.reward"])
    for name, array in (("observation.state", "state"), ("action", "action"), ("next.reward", "reward")):
        np.testing.assert_array_equal(table[name], arrays[array])
        assert table[name].dtype == arrays[array].dtype
    assert dataset.episode_ends.tolist() == ENDS and dataset.tasks == ("push",) and dataset.fps == 10
    np.testing.assert_array_equal(dataset.images("observation.images.img"), arrays["img"])
    np.testing.assert_array_equal(dataset.frames("observation.images.img", 1), arrays["img"][7:19])


def test_chosen_episodes_and_the_columns_that_are_counted(tmp_path):
    arrays = write_buffer(tmp_path / "a.zarr")
    dataset = Dataset.open(tmp_path / "a.zarr", episodes=[0, 2], given=GIVEN)
    kept = np.r_[0:7, 19:24]
    np.testing.assert_array_equal(dataset.table(["action"])["action"], arrays["action"][kept])
    np.testing.assert_array_equal(dataset.images("observation.images.img"), arrays["img"][kept])
    table = dataset.table(["index", "episode_index", "frame_index", "timestamp"])
    assert table["index"].tolist() == kept.tolist() and table["episode_index"].tolist() == [0] * 7 + [2] * 5
    assert table["frame_index"].tolist() == [*range(7), *range(5)]
    np.testing.assert_allclose(table["timestamp"], np.array([*range(7), *range(5)]) / 10)
    assert dataset.episode(1).task == "push" and dataset.episode(1).index == 1 and len(dataset.episode(1)) == 5


def test_what_a_buffer_says_of_itself_is_believed(tmp_path):
    write_buffer(tmp_path / "a.zarr", task_index=np.repeat([1, 0, 1], [7, 12, 5]))
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    features = {"state": {"dtype": "float32", "shape": [3], "names": ["x", "y", "z"], "units": ["m", "m", "m"]}}
    group.attrs["waldo"] = {"fps": 20, "robot_type": "arm", "tasks": ["push", "lift"], "features": features}
    dataset = Dataset.open(tmp_path / "a.zarr")
    assert (dataset.fps, dataset.robot_type, dataset.tasks) == (20, "arm", ("push", "lift"))
    assert dataset.column_units["state"] == ("m", "m", "m") and [dataset.episode(i).task for i in range(3)] == ["lift", "push", "lift"]
    with pytest.raises(DatasetError, match="was recorded at 20 Hz, but fps=10 was given"):
        Dataset.open(tmp_path / "a.zarr", given=Given(fps=10))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"action": np.zeros((20, 2), np.float32)}, "data/action has 20 rows, the episodes have 24; it is incomplete"),
        ({"action": np.full((24, 2), np.nan, np.float32)}, "action is .nan, nan. in frame 0 of episode 0; every value must be finite"),
        ({"img": np.full((24, 32, 48, 3), 300, np.float32)}, "data/img has values from 300 to 300; pixels must be 0..255"),
    ],
)
def test_damaged_buffers(tmp_path, changes, told):
    write_buffer(tmp_path / "a.zarr", **changes)
    with pytest.raises(DatasetError, match=told):
        dataset = Dataset.open(tmp_path / "a.zarr", given=GIVEN)
        dataset.table(["action"])
        dataset.images("observation.images.img")


def test_what_is_no_buffer_and_what_does_not_say_its_rate(tmp_path):
    with pytest.raises(DatasetError, match="no dataset"):
        Dataset.open(tmp_path / "none.zarr")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DatasetError, match=r"cut.zip is no recording that waldo can read: it is a file of 8 bytes; known: .*Zarr"):
        Dataset.open(tmp_path / "cut.zip")
    zarr.open_group(tmp_path / "plain.zarr", mode="w", zarr_format=2)
    with pytest.raises(DatasetError, match="is no recording that waldo can read"):
        Dataset.open(tmp_path / "plain.zarr")
    write_buffer(tmp_path / "a.zarr")
    with pytest.raises(DatasetError, match="does not say its frame rate; give it as fps"):
        Dataset.open(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_forked_processes_and_threads_read_at_the_same_time(tmp_path, kind):
    source = tmp_path / ("a.zarr" if kind == "folder" else "a.zarr.zip")
    with ZipStore(source, mode="w") if kind == "zip" else contextlib.nullcontext(source) as store:
        arrays = write_buffer(store)
    dataset = Dataset.open(source, given=GIVEN)

    def reads_right() -> bool:
        frames = np.concatenate([dataset.frames("observation.images.img", i) for i in range(3)])
        columns = Dataset.open(source, given=GIVEN).table(["action"])["action"]
        return np.array_equal(frames, arrays["img"]) and np.array_equal(columns, arrays["action"])

    assert_reads_side_by_side(reads_right)


PUSHT = Path(os.environ.get("WALDO_DATASETS", "datasets")) / "pusht/pusht_cchi_v7_replay.zarr.zip"


@pytest.mark.skipif(not PUSHT.exists(), reason="no Push-T demonstrations under $WALDO_DATASETS/pusht")
@pytest.mark.needs_pusht
def test_the_push_t_demonstrations_through_their_mapping():
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / "data/pusht_human.yaml"))
    given = Given(config["fps"], config["task"], config["robot_type"])
    dataset = Dataset.open(config["path"], given=given, mapping=config["mapping"])
    group = zarr.open_group(ZipStore(PUSHT, mode="r"), mode="r")
    table = dataset.table(["observation.state", "observation.environment_state", "action", "observation.keypoint"])
    np.testing.assert_array_equal(np.hstack([table["observation.state"], table["observation.environment_state"]]), group["data/state"][:])
    np.testing.assert_array_equal(table["action"], group["data/action"][:])
    np.testing.assert_array_equal(table["observation.keypoint"], group["data/keypoint"][:])
    np.testing.assert_array_equal(dataset.episode_ends, group["meta/episode_ends"][:])
    assert (dataset.num_episodes, dataset.num_frames, dataset.fps, dataset.robot_type) == (206, 25650, 10, "pusht")
    assert dataset.column_units["observation.environment_state"] == ("px", "px", "rad")
    assert dataset.features["observation.environment_state"]["angles"] == [2]
    start, stop = int(dataset.episode_ends[99]), int(dataset.episode_ends[100])
    np.testing.assert_array_equal(dataset.frames("observation.images.top", 100), np.rint(group["data/img"][start:stop]).astype(np.uint8))
