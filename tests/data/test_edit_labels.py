"""Relabelling and compacting change what is said and where it lies, but no value and no frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.editing.compact import compact
from data.editing.delete import delete
from data.editing.relabel import Labels, relabel
from data.editing.trim import trim
from data.errors import DatasetError
from data.lerobot import layout
from data.record import Recorder
from data.repair import repair
from data.spec import Feature, PolicySpec
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, TOP, make_arrays, make_images, record
from tests.data.soundness import LENGTHS, assert_holds, assert_sound, contents, sliced


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return record(tmp_path / "demo", LENGTHS)


def test_relabelling_changes_no_value(root):
    before = contents(root)
    relabel(root, Labels(tasks={1: "push"}, episode_tasks={3: "stack"}, units={"action": ["deg", "deg", "1"]}, robot_type="arm"))
    dataset = assert_holds(root, [("push", *before[0][1:]), ("push", *before[1][1:]), before[2], ("stack", *before[3][1:])])
    assert dataset.tasks == ("push", "stack")
    assert dataset.column_units["action"] == ("deg", "deg", "1")
    assert dataset.robot_type == "arm"


def test_renaming_and_dropping_features(root):
    before = contents(root)
    wrist = "observation.images.wrist"
    relabel(root, Labels(rename={TOP: wrist, "stage": "phase"}, drop=["next.reward"], names={"action": []}))
    dataset = Dataset.open(root)
    assert_sound(root)
    assert dataset.camera_keys == (wrist,)
    assert not {"next.reward", "stage", TOP} & set(dataset.features)
    assert "action" not in dataset.column_names
    for i, (_, columns, frames) in enumerate(before):
        np.testing.assert_array_equal(dataset.episode(i)["phase"], columns["stage"])
        np.testing.assert_array_equal(dataset.frames(wrist, i), frames)
    relabel(root, Labels(drop=[wrist]))
    assert_sound(root)
    assert Dataset.open(root).camera_keys == ()
    assert not list(root.glob("videos/**/*.mp4"))


def test_labels_that_say_nothing_new_write_no_data_again(root):
    before = [p.stat().st_ino for p in sorted(root.glob("data/*/*.parquet"))]
    relabel(root, Labels(units={"observation.state": ["mm", "mm"]}))
    assert [p.stat().st_ino for p in sorted(root.glob("data/*/*.parquet"))] == before


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (Labels(), "nothing to relabel"),
        (Labels(tasks={"pusch": "x"}), "did you mean 'push'"),
        (Labels(tasks={2: "x"}), "no task number 2; it has 0 to 1"),
        (Labels(rename={"stage": "action"}), "'action' is taken"),
        (Labels(rename={"index": "i"}), "every dataset has"),
        (Labels(drop=["nothing"]), "no feature 'nothing'"),
        (Labels(units={"action": ["m"]}), "give one per element"),
        (Labels(episode_tasks={0: " "}), "say in words"),
        (Labels(rename={"stage": "a/b"}), "has a '/' in it"),
    ],
)
def test_impossible_labels_are_refused(root, labels, said):
    with pytest.raises(DatasetError, match=said):
        relabel(root, labels)


def test_the_recorded_spec_follows_its_features(tmp_path):
    spec = {
        "task": "push", "robot": "dummy", "rate_hz": 10.0, "n_obs_steps": 1, "horizon": 1, "n_action_steps": 1,
        "observations": [{"name": f.name, "shape": f.shape, "dtype": f.dtype, "names": f.names, "units": f.units} for f in FEATURES[:2]],
        "action": {"kind": "joint", "names": ["a", "b", "c"], "units": ["rad", "rad", "1"], "quaternions": []},
    }  # fmt: skip
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", provenance={"spec": json.dumps(spec)}) as recorder:
        recorder.add_episode(make_arrays(4, 0), "push")
    relabel(tmp_path / "d", Labels(tasks={"push": "shove"}, rename={"observation.force": "observation.grip"}, robot_type="arm"))
    told = PolicySpec.from_json(Dataset.open(tmp_path / "d").provenance["spec"])
    assert (told.task, told.robot, told.observations[1].name) == ("shove", "arm", "observation.grip")


def test_compacting_joins_files_without_changing_a_frame(root):
    before = contents(root)
    compact(root)
    dataset = assert_holds(root, before)
    assert [len(list(root.glob(pattern))) for pattern in ("data/*/*", "videos/*/*/*", "meta/episodes/*/*")] == [1, 1, 1]
    assert pq.read_metadata(next(root.glob("data/*/*"))).num_row_groups == 4
    assert dataset.content_hash == Dataset.open(root).content_hash
    files = {p: p.stat().st_ino for p in [*root.glob("data/*/*"), *root.glob("videos/*/*/*")]}
    compact(root)  # nothing left to join
    assert {p: p.stat().st_ino for p in [*root.glob("data/*/*"), *root.glob("videos/*/*/*")]} == files


def test_compacted_files_keep_to_their_size(root):
    before = contents(root)
    one = (root / "videos" / TOP / "chunk-000/file-000.mp4").stat().st_size / (1 << 20)
    compact(root, video_mb=2.5 * one)
    assert 1 < len(list(root.glob("videos/*/*/*"))) < 4
    assert_holds(root, before)


def test_recording_goes_on_after_an_edit(root):
    before = contents(root)
    delete(root, [0])
    compact(root)
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        assert recorder.committed == 3
        recorder.add_episode(make_arrays(6, 8), "stack", {"top": make_images(6, 8)})
    found = contents(root)
    assert_holds(root, [*before[1:], found[-1]])
    assert found[-1][0] == "stack"
    np.testing.assert_array_equal(found[-1][1]["action"], make_arrays(6, 8)["action"])
    trim(root, {3: (1, 4)})
    assert_holds(root, [*before[1:], sliced(found[-1], 1, 4)])


def test_lossless_pictures_texts_and_matrices_are_carried_along(tmp_path):
    features = (Feature("observation.keypoints", (3, 2)), Feature("note", (1,), "string"))
    root, rng = tmp_path / "d", np.random.default_rng(0)
    points = [rng.normal(size=(n, 3, 2)).astype(np.float32) for n in LENGTHS]
    with Recorder(root, 10, features, "dummy", CAMERAS, codec="png") as recorder:
        for i, n in enumerate(LENGTHS):
            arrays = {"observation.keypoints": points[i], "note": np.array([f"{i} {t}" for t in range(n)], object)}
            recorder.add_episode(arrays, "push", {"top": make_images(n, i)})
    delete(root, [1])
    trim(root, {2: (3, 8)})
    wanted = [(0, slice(0, 7)), (2, slice(0, 5)), (3, slice(3, 8))]
    for step in ("edited", "compacted", "repaired"):
        dataset = Dataset.open(root)
        for at, (i, cut) in enumerate(wanted):
            np.testing.assert_array_equal(dataset.episode(at)["observation.keypoints"], points[i][cut], err_msg=step)
            np.testing.assert_array_equal(dataset.frames(TOP, at), make_images(LENGTHS[i], i)[cut])
        tables = [pq.read_table(path) for path in sorted(root.glob("data/*/*.parquet"))]
        assert [text for table in tables for text in table["note"].to_pylist()] == [
            f"{i} {t}" for i, cut in wanted for t in range(cut.start, cut.stop)
        ]
        assert len(tables) == (3 if step == "edited" else 1)
        if step == "edited":
            compact(root)
        else:
            (root / layout.STATS).unlink()
            assert repair(root).episodes == 3
