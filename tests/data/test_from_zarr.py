"""Replay buffers become datasets, exactly; the real Push-T demonstrations too, where they are."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

from data.errors import DatasetError
from data.from_zarr import PUSHT_FIELDS, PUSHT_FILES, Field, import_pusht, import_zarr
from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import make_images

ENDS = [7, 19, 24]
FIELDS = (
    Field(Feature("observation.state", (2,), names=("x", "y"), units=("px", "px")), "state", (0, 1)),
    Field(Feature("observation.environment_state", (1,), names=("angle",), units=("rad",)), "state", (2,)),
    Field(Feature("action", (2,)), "action"),
    Field(Feature("observation.images.top", (32, 48, 3), "uint8"), "img"),
)


def write_buffer(store, prefix: str = "", **changes) -> dict[str, np.ndarray]:
    """A replay buffer of three episodes in Zarr format 2, its storage chunks out of step with the episodes."""
    rng = np.random.default_rng(0)
    arrays = {
        "state": rng.normal(size=(24, 3)).astype(np.float32),
        "action": rng.normal(size=(24, 2)).astype(np.float32),
        "img": np.concatenate([make_images(n, i) for i, n in enumerate(np.diff(ENDS, prepend=0))]).astype(np.float32),
    } | changes
    root = zarr.open_group(store, path=prefix, mode="w", zarr_format=2)
    for name, values in arrays.items():
        root.create_array(f"data/{name}", data=values, chunks=(5, *values.shape[1:]))
    root.create_array("meta/episode_ends", data=np.array(ENDS))
    return arrays


def convert(source: Path, root: Path, **options) -> Dataset:
    return import_zarr(source, root, FIELDS, 10, "pusht", "push", progress=False, **options)


@pytest.mark.parametrize("kind", ["folder", "zip", "zip with a folder inside"])
def test_every_value_arrives(tmp_path, kind):
    source = tmp_path / ("a.zarr" if kind == "folder" else "a.zarr.zip")
    if kind == "folder":
        arrays = write_buffer(source)
    else:
        with ZipStore(source, mode="w") as store:
            arrays = write_buffer(store, "deep/a.zarr" if "inside" in kind else "")
    dataset = convert(source, tmp_path / "d")
    table = dataset.table(["observation.state", "observation.environment_state", "action"])
    np.testing.assert_array_equal(table["observation.state"], arrays["state"][:, :2])
    np.testing.assert_array_equal(table["observation.environment_state"], arrays["state"][:, 2:])
    np.testing.assert_array_equal(table["action"], arrays["action"])
    assert dataset.episode_ends.tolist() == ENDS and dataset.tasks == ("push",)
    assert np.abs(dataset.images("observation.images.top") - arrays["img"]).mean() < 4


def test_a_finished_import_is_reused(tmp_path, monkeypatch):
    write_buffer(tmp_path / "a.zarr")
    first = convert(tmp_path / "a.zarr", tmp_path / "d")
    monkeypatch.setattr("data.from_zarr.Recorder", None)  # would fail if it were needed
    assert convert(tmp_path / "a.zarr", tmp_path / "d").content_hash == first.content_hash


def test_imports_at_the_same_time_wait_for_each_other(tmp_path):
    write_buffer(tmp_path / "a.zarr")
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: convert(tmp_path / "a.zarr", tmp_path / "d"), range(3)))
    assert [d.num_episodes for d in found] == [3, 3, 3] and len({d.content_hash for d in found}) == 1


def test_an_interrupted_import_goes_on_where_it_stopped(tmp_path, monkeypatch):
    write_buffer(tmp_path / "a.zarr")
    whole = convert(tmp_path / "a.zarr", tmp_path / "whole")
    added = []
    add = Recorder.add_episode

    def interrupted(self, *args):
        if len(added) == 1:
            raise KeyboardInterrupt
        added.append(add(self, *args))
        return added[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "add_episode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(tmp_path / "a.zarr", tmp_path / "d")
    assert Dataset.open(tmp_path / "d").num_episodes == 1
    assert convert(tmp_path / "a.zarr", tmp_path / "d").content_hash == whole.content_hash


def test_another_source_does_not_mix_in(tmp_path):
    write_buffer(tmp_path / "a.zarr")
    write_buffer(tmp_path / "b.zarr", action=np.zeros((24, 2), np.float32))
    convert(tmp_path / "a.zarr", tmp_path / "d")
    with pytest.raises(DatasetError, match=r"holds another dataset \(from a.zarr\); choose another folder, or overwrite=True"):
        convert(tmp_path / "b.zarr", tmp_path / "d")
    with pytest.raises(DatasetError, match="from this source, imported with other fields"):
        import_zarr(tmp_path / "a.zarr", tmp_path / "d", FIELDS[:3], 10, "pusht", "push", progress=False)
    assert not convert(tmp_path / "b.zarr", tmp_path / "d", overwrite=True).table(["action"])["action"].any()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"action": np.zeros((20, 2), np.float32)}, "data/action has 20 rows, the episodes have 24; it is incomplete"),
        ({"action": np.zeros((24, 3), np.float32)}, r"data/action has frames of shape \(3,\); action wants \(2,\)"),
        ({"action": np.full((24, 2), np.nan, np.float32)}, "every value must be finite"),
        ({"img": np.full((24, 32, 48, 3), 300, np.float32)}, "data/img has values from 300 to 300; pixels must be 0..255"),
    ],
)
def test_damaged_buffers(tmp_path, changes, told):
    write_buffer(tmp_path / "a.zarr", **changes)
    with pytest.raises(DatasetError, match=told):
        convert(tmp_path / "a.zarr", tmp_path / "d")


def test_sources_that_are_no_buffer(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        convert(tmp_path / "none", tmp_path / "d")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DatasetError, match=r"cut.zip cannot be opened as Zarr"):
        convert(tmp_path / "cut.zip", tmp_path / "d")
    zarr.open_group(tmp_path / "plain.zarr", mode="w", zarr_format=2)
    with pytest.raises(DatasetError, match="has no meta/episode_ends"):
        convert(tmp_path / "plain.zarr", tmp_path / "d")
    with pytest.raises(DatasetError, match=r"no Push-T demonstrations: looked for .*zarr.zip and .*https://diffusion-policy"):
        import_pusht(tmp_path / "empty", tmp_path / "d")


def pusht_source() -> Path | None:
    folder = Path(os.environ.get("WALDO_DATASETS", "datasets")) / "pusht"
    return next((folder / name for name in PUSHT_FILES if (folder / name).exists()), None)


needs_pusht = pytest.mark.skipif(pusht_source() is None, reason="no Push-T demonstrations under $WALDO_DATASETS/pusht")


def assert_equals_source(dataset: Dataset, source: Path) -> zarr.Group:
    group = zarr.open_group(ZipStore(source, mode="r") if source.is_file() else source, mode="r")
    table = dataset.table(["observation.state", "observation.environment_state", "action"])
    both = np.concatenate([table["observation.state"], table["observation.environment_state"]], 1)
    np.testing.assert_array_equal(both, group["data/state"][:])
    np.testing.assert_array_equal(table["action"], group["data/action"][:])
    np.testing.assert_array_equal(dataset.episode_ends, group["meta/episode_ends"][:])
    assert (dataset.num_episodes, dataset.num_frames, dataset.fps, dataset.robot_type) == (206, 25650, 10, "pusht")
    return group


@needs_pusht
@pytest.mark.needs_pusht
def test_the_push_t_demonstrations_without_their_camera(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # 1,600 of them take longer than all else
    columns = [field for field in PUSHT_FIELDS if not field.feature.is_image]
    dataset = import_zarr(pusht_source(), tmp_path / "pusht", columns, 10, "pusht", "push", progress=False)
    assert_equals_source(dataset, pusht_source())


@needs_pusht
@pytest.mark.needs_pusht
@pytest.mark.slow
def test_the_push_t_demonstrations(tmp_path):
    dataset = import_pusht(None, tmp_path / "pusht", progress=False)
    group = assert_equals_source(dataset, pusht_source())
    assert dataset.column_units["observation.environment_state"] == ("px", "px", "rad")
    images = dataset.images("observation.images.top")
    assert images.shape == (25650, 96, 96, 3)
    for start in range(0, 25650, 5000):
        assert np.abs(images[start : start + 50] - group["data/img"][start : start + 50]).mean() < 1.5
