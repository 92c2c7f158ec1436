"""Conversion keeps every value and its description, goes on after an interruption, and says what it cannot keep."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.errors import DatasetError
from data.export import export
from data.spec import ActionSpec, Feature, PolicySpec
from data.store import Dataset
from data.to_lerobot import is_done
from tests.data.conftest import FEATURES, LENGTHS, TASKS, TOP, make_arrays, make_images, record
from tests.data.in_memory import rich

ACTION = {"dtype": "float32", "shape": [3], "names": None}


def written(dataset, folder, codec="h264", **options):
    return export(dataset, "lerobot", folder / "out", progress=False, options={"codec": codec}, **options)


def test_every_value_name_and_unit_arrives(tmp_path):
    done = written(rich(tmp_path / "demo"), tmp_path)
    info = json.loads((done.path / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10 and info["robot_type"] == "dummy"
    for feature in FEATURES:
        entry = info["features"][feature.name]
        assert tuple(entry["names"] or ()) == feature.names and tuple(entry.get("units", ())) == feature.units
    for i, length in enumerate(LENGTHS):
        table = pq.read_table(done.path / f"data/chunk-000/file-{i:03d}.parquet")
        for feature in FEATURES:
            values = np.array(table[feature.name].to_pylist(), feature.dtype)
            np.testing.assert_array_equal(values, make_arrays(length, i)[feature.name].reshape(values.shape))
    there = Dataset.open(done.path)
    assert [there.episode(i).task for i in range(3)] == list(TASKS)
    assert np.abs(there.frames(TOP, 1).astype(int) - make_images(12, 1)).mean() < 4
    assert "h264 is lossy" in " ".join(done.lost) and "after the last action" in " ".join(done.lost)


def test_png_is_lossless(tmp_path):
    done = written(rich(tmp_path / "demo", rich=False), tmp_path, "png")
    there = Dataset.open(done.path)
    for i, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(there.frames(TOP, i), make_images(length, i))
    assert done.lost == ()


def test_angles_and_quaternions_are_kept(tmp_path):
    pose = {"dtype": "float32", "shape": [5], "names": list("wxyzh"), "units": ["1"] * 4 + ["rad"], "quaternions": [0], "angles": [4]}
    dataset = rich(
        tmp_path / "demo", features={"action": ACTION, "pose": pose}, more=lambda i: {"pose": np.ones((LENGTHS[i], 5), np.float32)}
    )
    assert Dataset.open(written(dataset, tmp_path).path).features["pose"] == pose


def test_odd_sides_need_png(tmp_path):
    odd = {"dtype": "image", "shape": [31, 47, 3], "names": None}
    frames = np.random.default_rng(0).integers(0, 256, (12, 31, 47, 3)).astype(np.uint8)

    def dataset():
        opened = rich(tmp_path / "demo", features={"action": ACTION, TOP: odd})
        opened.frames = lambda key, i, size=None: frames[: LENGTHS[i]]
        return opened

    with pytest.raises(DatasetError, match=r"is 31x47 \(height x width\): h264 needs even sides; codec=png keeps every size, without loss"):
        written(dataset(), tmp_path)
    np.testing.assert_array_equal(Dataset.open(written(dataset(), tmp_path, "png").path).frames(TOP, 1), frames)


def test_provenance_tells_the_source(tmp_path):
    dataset = rich(tmp_path / "demo")
    told = Dataset.open(written(dataset, tmp_path).path).provenance
    assert told["imported_from"] == "demo" and told["format"] == "memory" and told["content_hash"] == dataset.content_hash
    assert told["source"] == {"maker": "a test"} and told["codec"] == "h264" and "spec" not in told


def test_the_view_of_a_policy_travels_less_what_was_left_out(tmp_path):
    observed = tuple(f for f in FEATURES if f.name.startswith("observation.")) + (Feature(TOP, (32, 48, 3), "uint8"),)
    spec = PolicySpec("push", "dummy", observed, ActionSpec("joint", ("a", "b", "c"), ("rad", "rad", "1")), 10.0)

    def carried(name, given=spec, **options):
        dataset = rich(tmp_path / "demo", provenance={"spec": given.to_json()}, **options)
        told = Dataset.open(export(dataset, "lerobot", tmp_path / name, progress=False).path).provenance
        return PolicySpec.from_json(told["spec"]) if "spec" in told else None

    assert carried("all") == spec
    assert carried("blind", without=[TOP]) == dataclasses.replace(spec, observations=observed[:2])
    assert carried("slow", fps=5) == dataclasses.replace(spec, rate_hz=5.0)
    assert carried("other", dataclasses.replace(spec, action=ActionSpec("joint", ("a", "b", "c"), ("m", "m", "m")))) is None


def test_a_recording_without_a_task_wants_one(tmp_path):
    with pytest.raises(DatasetError, match=r'does not say what episode 0 shows; give it in words as task="..."'):
        written(rich(tmp_path / "demo", tasks=(), task_of=((), (), ())), tmp_path)
    assert list(tmp_path.iterdir()) == [] or [p.name for p in tmp_path.iterdir()] == [".out.tmp"]


def test_what_is_lost_is_said(tmp_path):
    late = {"dtype": "float32", "shape": [1], "names": None}
    features = {
        "action": {"dtype": "float32", "shape": [3], "names": ["a", "b"]},
        "timestamp": late,
        "task_index": {"dtype": "int64", "shape": [1], "names": None},
        "note": {"dtype": "string", "shape": [1], "names": None},
        "observation.image": {"dtype": "image", "shape": [32, 48, 3], "names": None},
    }
    more = lambda i: {"timestamp": (np.arange(LENGTHS[i]) * 0.13).astype(np.float32), "task_index": np.arange(LENGTHS[i]) // 3 % 2}  # noqa: E731
    done = written(rich(tmp_path / "demo", features=features, more=more), tmp_path)
    said = " ".join(done.lost)
    for part in (
        "The element names of action: 2 of them for the shape (3,).",
        "differ from frame_index / fps by up to 0.33 s",
        "Changes of the task within an episode",
        "The text columns note",
        "observation.image is called observation.images.image",
        "states, model_file",
    ):
        assert part in said
    assert Dataset.open(done.path).camera_keys == ("observation.images.image",)


HALF = """
import os, signal, sys
from pathlib import Path
from data.export import export
from data.spec import ActionSpec, Feature, PolicySpec
from data.store import Dataset
from data.record import Recorder
add, calls = Recorder.add_episode, []
def dying(self, *args):
    calls.append(0)
    if len(calls) == 3:
        self.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return add(self, *args)
Recorder.add_episode = dying
export(Dataset.open(sys.argv[1]), "lerobot", Path(sys.argv[2]), progress=False, options={"codec": sys.argv[3]})
"""


def die_half_way(source: Path, target: Path, codec: str = "h264") -> Path:
    """Two of three episodes were committed; returns the folder that the conversion left."""
    command = [sys.executable, "-c", HALF, str(source), str(target), codec]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    return target.with_name(f".{target.name}.tmp") / target.name


def test_a_conversion_that_was_killed_goes_on_where_it_stopped(tmp_path):
    source, target = record(tmp_path / "demo"), tmp_path / "out"
    left = die_half_way(source, target)
    assert not target.exists()
    before = {path.name: path.stat().st_mtime_ns for path in left.glob("data/*/*.parquet")}
    assert len(before) == 2
    dataset = Dataset.open(source)
    done = written(dataset, tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in done.path.glob("data/*/*.parquet")}
    assert len(after) == 3 and before.items() <= after.items()  # the same files: nothing was written twice
    there = Dataset.open(done.path)
    for i in range(3):
        np.testing.assert_array_equal(there.episode(i)["action"], dataset.episode(i)["action"])
        assert len(there.frames(TOP, i)) == LENGTHS[i]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "out"]


@pytest.mark.parametrize("change", ["codec", "source"])
def test_what_another_conversion_left_is_not_gone_on_with(tmp_path, change):
    source, target = record(tmp_path / "demo"), tmp_path / "out"
    left = die_half_way(source, target, "av1" if change == "codec" else "h264")
    before = {path.stat().st_mtime_ns for path in left.glob("data/*/*.parquet")}
    dataset = Dataset.open(source, episodes=[0, 1, 2] if change == "codec" else [1, 2])
    there = written(dataset, tmp_path).path
    assert not before & {path.stat().st_mtime_ns for path in there.glob("data/*/*.parquet")}  # all are new
    assert Dataset.open(there).lengths.tolist() == dataset.lengths.tolist()
    assert json.loads((there / "meta/info.json").read_text())["features"][TOP]["info"]["video.codec"] == "h264"


def test_a_finished_conversion_is_recognised(tmp_path):
    dataset = rich(tmp_path / "demo")
    assert not is_done(dataset, tmp_path / "out", "h264")
    path = written(dataset, tmp_path).path
    assert is_done(dataset, path, "h264") and not is_done(dataset, path, "av1")
    assert not is_done(rich(tmp_path / "demo", tasks=("a", "b")), path, "h264")
