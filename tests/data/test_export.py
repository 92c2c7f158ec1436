"""An export is there in full or not there, and never in the way of anything else."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

from data.errors import DatasetError
from data.export import export, formats, writer
from data.source import Given
from data.store import Dataset
from tests.data.conftest import record
from tests.data.in_memory import MemorySource, rich
from waldo import manual

FORMATS = formats()
PUSHT = Path(os.environ.get("WALDO_DATASETS", "")) / "pusht/pusht_cchi_v7_replay.zarr.zip"
every_format = pytest.mark.parametrize("format", FORMATS)

KILLED_HALF_WAY = """
import os, signal, sys
from pathlib import Path
from data.export import export
from data.store import Dataset
frames, calls = Dataset.frames, []
def dying(self, key, i, size=None):
    calls.append(i)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return frames(self, key, i, size)
Dataset.frames = dying
export(Dataset.open(sys.argv[2]), sys.argv[1], Path(sys.argv[3]), progress=False)
"""


def go(dataset: Dataset, format: str, target: Path, **options):
    return export(dataset, format, target, progress=False, **options)


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_writer_keeps_the_contract():
    assert FORMATS == ["lerobot", "lerobot_v21", "mcap", "minari", "robomimic", "zarr"]
    for name in FORMATS:
        module = writer(name)
        assert isinstance(module.FORMAT, str) and isinstance(module.RESUMES, bool), name
        assert module.SUFFIX or module.MARK, f"{name}: a folder is recognised by what it holds"
        first = list(inspect.signature(module.write).parameters.values())
        assert [p.name for p in first[:3]] == ["dataset", "target", "progress"]
        assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in first[3:]), f"{name}: options go by name"


def test_the_manual_names_every_format_and_every_option():
    told = manual.page("dataset/export", [])
    for name in FORMATS:
        assert f"  {name} " in told
        for parameter in list(inspect.signature(writer(name).write).parameters)[3:]:
            assert f"  {parameter}: " in told, f"{name} takes {parameter}"


def test_what_only_one_exporter_needs_is_imported_late():
    for path in Path("data").glob("to_*.py"):
        tree = ast.parse(path.read_text())
        top = {alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        top |= {str(node.module).split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not top & {"h5py", "zarr", "mcap", "numcodecs"}, path


def test_unknown_formats_and_options_are_named_with_what_is_known(root, tmp_path):
    dataset = Dataset.open(root)
    with pytest.raises(DatasetError, match=r"no export to 'robomimc'; did you mean 'robomimic'\? allowed: lerobot, .*zarr"):
        go(dataset, "robomimc", tmp_path / "x")
    with pytest.raises(DatasetError, match=r"format=zarr has no option 'codec'; allowed: \(none\)"):
        go(dataset, "zarr", tmp_path / "x", options={"codec": "png"})


@every_format
def test_an_existing_target_stays_unless_it_may_be_overwritten(root, tmp_path, format):
    dataset, target = Dataset.open(root), tmp_path / "there"
    first = go(dataset, format, target).path
    size = sum(p.stat().st_size for p in first.rglob("*")) if first.is_dir() else first.stat().st_size
    with pytest.raises(DatasetError, match="exists; choose another name, or overwrite=true"):
        go(dataset, format, target)
    again = go(Dataset.open(root, episodes=[0]), format, target, overwrite=True).path
    assert again == first
    assert (sum(p.stat().st_size for p in first.rglob("*")) if first.is_dir() else first.stat().st_size) < size
    assert beside(tmp_path) == ["demo", first.name]


@every_format
def test_nothing_foreign_is_overwritten(root, tmp_path, format):
    dataset = Dataset.open(root)
    folder = tmp_path / ("mine" + writer(format).SUFFIX)
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match="is a folder that holds no .* and is not overwritten"):
        go(dataset, format, folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert beside(tmp_path) == ["demo", folder.name]
    if not writer(format).SUFFIX:
        (tmp_path / "notes.txt").write_text("n")
        with pytest.raises(DatasetError, match="is a file; .* is a folder"):
            go(dataset, format, tmp_path / "notes.txt", overwrite=True)


@pytest.mark.parametrize("place", [".", "inside/x", ".."])
def test_a_dataset_is_not_exported_onto_itself(root, place):
    with pytest.raises(DatasetError, match="is the dataset that is read, or lies within it"):
        go(Dataset.open(root), "lerobot", root / place, overwrite=True)
    assert Dataset.open(root).num_episodes == 3


@every_format
def test_a_failure_half_way_leaves_nothing_that_looks_finished(root, tmp_path, monkeypatch, format):
    dataset = Dataset.open(root)
    read = Dataset.frames

    def broken(self, key, i, size=None):
        if i == 1:
            raise DatasetError("the disk was pulled out")
        return read(self, key, i, size)

    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "frames", broken)
        with pytest.raises(DatasetError, match="pulled out"):
            go(dataset, format, tmp_path / "x")
    left = [name for name in beside(tmp_path) if not name.startswith(".")]
    assert left == ["demo"]
    assert beside(tmp_path) == ["demo"] or writer(format).RESUMES
    path = go(dataset, format, tmp_path / "x").path
    assert beside(tmp_path) == ["demo", path.name]


@every_format
def test_killed_half_way_nothing_looks_finished_and_the_next_export_clears_up(root, tmp_path, format):
    command = [sys.executable, "-c", KILLED_HALF_WAY, format, str(root), str(tmp_path / "x")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    left = beside(tmp_path)
    assert len(left) == 2 and left[0].startswith(".x") and left[1] == "demo"
    path = go(Dataset.open(root), format, tmp_path / "x").path
    assert beside(tmp_path) == ["demo", path.name]


def test_two_exports_of_one_target_at_once_are_refused(root, tmp_path, monkeypatch):
    dataset = Dataset.open(root)
    read = Dataset.frames

    def nested(self, key, i, size=None):
        with pytest.raises(DatasetError, match="another .* is writing"):
            go(dataset, "zarr", tmp_path / "x")
        return read(self, key, i, size)

    monkeypatch.setattr(Dataset, "frames", nested)
    go(dataset, "zarr", tmp_path / "x")


def test_killed_between_the_two_renames_of_a_folder_the_old_one_is_found_again(root, tmp_path):
    dataset, target = Dataset.open(root), tmp_path / "x"
    go(dataset, "zarr", target)
    stage = tmp_path / ".x.tmp"
    stage.mkdir()
    target.rename(stage / "replaced")
    with pytest.raises(DatasetError, match="no option"):
        go(dataset, "zarr", target, options={"a": 1})
    with pytest.raises(DatasetError):  # the old one is back before the new one is begun
        export(Dataset(Broken(root)), "zarr", target, progress=False)
    assert (target / "meta/episode_ends").exists()


class Broken(MemorySource):
    def clips(self, key, episodes):
        raise DatasetError("cannot be decoded")


@every_format
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, format):
    """A real refusal by the kernel: no file may grow beyond 40 kB, and the pictures do not compress."""

    class Noise(MemorySource):
        def clips(self, key, episodes):
            noise = np.random.default_rng(0).integers(0, 256, (12, 32, 48, 3)).astype(np.uint8)
            return [dataclasses.replace(clip, decode=lambda size: iter(noise)) for clip in super().clips(key, episodes)]

    dataset = Dataset(Noise(tmp_path / "demo"), episodes=[1])  # that of 12 frames
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(DatasetError, match=r"disk is full \(File too large\)"):
            go(dataset, format, tmp_path / "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, kept)
    assert [name for name in beside(tmp_path) if not name.startswith(".")] == []
    assert go(dataset, format, tmp_path / "x").path.exists()


@every_format
def test_a_filtered_dataset_is_exported_as_it_is_seen(tmp_path, format):
    record(tmp_path / "demo")
    dataset = Dataset.open(tmp_path / "demo", episodes=[0, 2], cameras=[])
    path = go(dataset, format, tmp_path / "x").path
    if format != "mcap":
        there = Dataset.open(path)
        assert there.lengths.tolist() == [7, 5]
        assert there.camera_keys == ()
    else:
        assert beside(path) == ["episode_000000.mcap", "episode_000001.mcap"]


@every_format
def test_what_is_lost_is_said_of_a_rich_recording(tmp_path, format):
    lost = " ".join(go(rich(tmp_path / "demo"), format, tmp_path / "x").lost)
    keeps_final = format in ("minari", "robomimic")
    assert ("after the last action of each episode" in lost) != keeps_final
    assert ("beside its frames: states, model_file" in lost) != keeps_final


@pytest.mark.needs_pusht
@pytest.mark.skipif(not PUSHT.exists(), reason="the Push-T demonstrations are not there")
@every_format
def test_the_real_demonstrations_go_through_every_format_unchanged(tmp_path, format):
    """Compared with the source as zarr reads it."""
    given = Given(fps=10, task="push the T", robot_type="pusht")
    dataset = Dataset.open(PUSHT, episodes=[0, 3, 205], given=given)
    options = {"codec": "png"} if "codec" in inspect.signature(writer(format).write).parameters else {}
    done = go(dataset, format, tmp_path / "x", options=options)
    if format == "mcap":
        return  # nothing of ours reads it
    there = Dataset.open(done.path)
    assert there.fps == 10 and there.tasks == ("push the T",) and there.robot_type == "pusht"
    with ZipStore(PUSHT, mode="r") as store:
        root = zarr.open_group(store, path="", mode="r")
        ends = root["meta/episode_ends"][:]
        for i, number in enumerate((0, 3, 205)):
            rows = slice(int(ends[number - 1]) if number else 0, int(ends[number]))
            for name, array in (("action", "action"), ("observation.state", "state"), ("observation.keypoint", "keypoint")):
                np.testing.assert_array_equal(there.episode(i)[name], root["data"][array][rows], err_msg=f"{name} of {number}")
            np.testing.assert_array_equal(there.frames("observation.images.img", i), root["data/img"][rows])


@pytest.mark.parametrize(("kind", "suffix"), [("robomimic", ".hdf5"), ("minari", "")])
@pytest.mark.parametrize("rich", [True, False])
def test_a_last_observation_that_was_only_repeated_is_not_taken_for_one(tmp_path, kind, suffix, rich):
    target = tmp_path / f"exported{suffix}"
    export(Dataset(MemorySource(tmp_path / "memory", rich=rich)), kind, target)
    assert set(Dataset.open(target).episode(0).final) == ({"observation.state", "observation.force"} if rich else set())
