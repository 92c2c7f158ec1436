"""`waldo data export` and `waldo data convert`, as they are typed."""

from __future__ import annotations

import h5py
import pytest

from data.store import Dataset
from tests.data.conftest import TOP
from waldo.cli import main


@pytest.fixture
def go(root, tmp_path, monkeypatch, capsys):
    """Runs words; returns (exit status, what was printed, what was complained about)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = main(["data", *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_an_export_says_where_it_is_and_what_it_lost(go, tmp_path):
    status, out, _ = go("export", "demo", "format=robomimic", "target=out", "valid=0.34", "episodes=[0,1,2]")
    assert status == 0 and "wrote out.hdf5" in out
    assert "What it does not hold as the recording does:\n  The frame rate, units and element names" in out
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert sorted(file["mask"]) == ["train", "valid"]


def test_a_conversion_is_made_once(go, tmp_path):
    status, out, _ = go("convert", "demo", "dataset=sets/mine", "codec=png", "cameras=[observation.images.top]")
    assert status == 0 and "wrote sets/mine" in out and "does not hold" not in out
    again = go("convert", "demo", "dataset=sets/mine", "codec=png", "cameras=[observation.images.top]")
    assert again[0] == 0 and "sets/mine is that conversion already" in again[1]
    other = go("convert", "demo", "dataset=sets/mine", "codec=h264")
    assert other[0] == 2 and "sets/mine exists; choose another name, or overwrite=true" in other[2]
    assert go("convert", "demo", "dataset=sets/mine", "codec=h264", "overwrite=true", "episodes=[2]")[0] == 0
    there = Dataset.open(tmp_path / "sets/mine")
    assert there.lengths.tolist() == [5] and there.features[TOP]["dtype"] == "video"


def test_names_units_and_rate_can_be_changed_on_the_way(go, tmp_path):
    mapping = "mapping={observation.pose: {source: observation.state, names: [u, v], units: [mm, mm]}}"
    assert go("convert", "demo", "dataset=sets/mine", "cameras=[]", mapping, "resample=5")[0] == 0
    there = Dataset.open(tmp_path / "sets/mine")
    assert there.fps == 5 and there.column_units["observation.pose"] == ("mm", "mm") and there.camera_keys == ()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("export", "demo", "format=robomimc", "target=x"), "did you mean 'robomimic'?"),
        (("export", "demo", "format=zarr", "target=x", "codec=png"), "format=zarr has no option 'codec'"),
        (("export", "demo", "format=zarr", "target=demo/x"), "is the dataset that is read, or lies within it"),
        (("export", "demo", "format=zarr", "target=x", "episodes=1"), "episodes=1: wanted a list, [a,b]"),
        (("export", "demo", "format=zarr", "target=x", "episodes=[7]"), "wanted increasing numbers from 0 to 2"),
        (("convert", "demo", "dataset=x", "codec=h265"), "codec 'h265' is unknown; allowed: h264, av1, png"),
        (("convert", "demo", "dataset=x", "fps=20"), "was recorded at 10 Hz, but fps=20 was given"),
        (("convert", "nothing", "dataset=x"), "no dataset 'nothing'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(go, tmp_path, words, complaint):
    status, _, error = go(*words)
    assert status == 2 and complaint in error and error.count("\n") == 1
    assert not (tmp_path / "x").exists()
