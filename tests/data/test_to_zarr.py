"""A replay buffer holds every value, as zarr itself reads it and as our reader does."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, ZipStore

from data import to_zarr
from data.export import export
from data.source import Given
from data.store import Dataset
from tests.data.conftest import FEATURES, LENGTHS, TOP, make_arrays, make_images, record
from tests.data.in_memory import rich


def written(dataset, target, **options):
    return export(dataset, "zarr", target, progress=False, **options)


def check(group) -> None:
    """Against the arrays that were recorded."""
    assert group["meta/episode_ends"][:].tolist() == np.cumsum(LENGTHS).tolist()
    expected = [make_arrays(n, i) for i, n in enumerate(LENGTHS)]
    for feature in FEATURES:
        stored = group["data"][feature.name]
        np.testing.assert_array_equal(stored[:], np.concatenate([arrays[feature.name] for arrays in expected]))
        assert stored.dtype == np.dtype(feature.dtype)
    assert group["data/task_index"][:].tolist() == [0] * 7 + [1] * 12 + [0] * 5
    np.testing.assert_array_equal(group["data"][TOP][:], np.concatenate([make_images(n, i) for i, n in enumerate(LENGTHS)]))


@pytest.mark.parametrize("block", [to_zarr.BLOCK, 32 * 48 * 3 * 2, 100])
def test_every_value_arrives_however_the_storage_is_cut(tmp_path, monkeypatch, block):
    monkeypatch.setattr(to_zarr, "BLOCK", block)
    path = written(rich(tmp_path / "demo"), tmp_path / "buffer").path
    group = zarr.open_group(LocalStore(path), mode="r")
    check(group)
    assert group["data"][TOP].chunks[0] == max(1, min(24, block // (32 * 48 * 3)))


def test_a_target_that_ends_in_zip_is_one_file_and_holds_each_chunk_once(tmp_path, monkeypatch):
    monkeypatch.setattr(to_zarr, "BLOCK", 32 * 48 * 3 * 4)  # four pictures: out of step with the episodes
    path = written(rich(tmp_path / "demo"), tmp_path / "buffer.zarr.zip").path
    assert path.is_file()
    with ZipStore(path, mode="r") as store:
        check(zarr.open_group(store, mode="r"))
    names = zipfile.ZipFile(path).namelist()
    assert len(names) == len(set(names))
    assert sum(name.startswith(f"data/{TOP}/") and "/.z" not in name for name in names) == 6


def test_the_files_are_of_zarr_format_2_as_diffusion_policy_reads_them(tmp_path):
    path = written(rich(tmp_path / "demo"), tmp_path / "buffer").path
    described = json.loads((path / "data/action/.zarray").read_text())
    assert described["zarr_format"] == 2
    assert described["compressor"]["id"] == "blosc" and described["compressor"]["cname"] == "zstd"
    assert described["dtype"] == "<f4" and described["shape"] == [24, 3] and described["order"] == "C"


@pytest.mark.parametrize("name", ["buffer", "buffer.zarr.zip"])
def test_our_reader_gets_back_names_units_tasks_and_rate(tmp_path, name):
    dataset = Dataset.open(record(tmp_path / "demo"))
    there = Dataset.open(written(dataset, tmp_path / name).path)
    assert there.fps == 10 and there.robot_type == "dummy" and there.tasks == ("push", "lift")
    assert there.column_names == dataset.column_names and there.column_units == dataset.column_units
    for i in range(3):
        assert there.episode(i).task == dataset.episode(i).task
        for feature in FEATURES:
            np.testing.assert_array_equal(there.episode(i)[feature.name], dataset.episode(i)[feature.name])
        np.testing.assert_array_equal(there.frames(TOP, i), dataset.frames(TOP, i))
    assert there.provenance["imported_from"] == "demo"


def test_times_that_are_not_even_are_kept(tmp_path):
    features = {"timestamp": {"dtype": "float32", "shape": [1], "names": None}, "action": {"dtype": "float32", "shape": [3], "names": None}}
    dataset = rich(tmp_path / "demo", features=features, more=lambda i: {"timestamp": uneven(LENGTHS[i])})
    path = written(dataset, tmp_path / "buffer").path
    group = zarr.open_group(LocalStore(path), mode="r")
    np.testing.assert_array_equal(group["data/timestamp"][:], np.concatenate([uneven(n) for n in LENGTHS]))
    np.testing.assert_array_equal(Dataset.open(path).episode(1)["timestamp"], uneven(LENGTHS[1]))
    even = written(rich(tmp_path / "demo"), tmp_path / "even").path
    assert "timestamp" not in zarr.open_group(LocalStore(even), mode="r")["data"]


def uneven(length: int) -> np.ndarray:
    return (np.arange(length) / 10 + 0.03 * (np.arange(length) % 2)).astype(np.float32)


def test_without_its_attribute_it_is_a_plain_buffer(tmp_path):
    path = written(rich(tmp_path / "demo", without=[TOP]), tmp_path / "buffer").path
    (path / ".zattrs").unlink()
    there = Dataset.open(path, given=Given(fps=10))
    np.testing.assert_array_equal(there.episode(1)["action"], make_arrays(LENGTHS[1], 1)["action"])
