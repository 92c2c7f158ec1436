"""Deleting and trimming against the same done with numpy on the originals: columns and frames are equal, bit for bit, and all counts up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from data.editing.compact import compact
from data.editing.delete import delete
from data.editing.opening import Place
from data.editing.trim import Idle, trim
from data.errors import DatasetError
from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, TOP, record
from tests.data.soundness import LENGTHS, assert_holds, contents, sliced


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return record(tmp_path / "demo", LENGTHS)


@pytest.mark.parametrize("gone", [[0], [1], [3], [0, 2], [-1, 1], [1, 2, 3]])
def test_deleting_leaves_the_others_as_they_were(root, gone):
    before = contents(root)
    videos = {p.stat().st_ino for p in root.glob("videos/*/*/*.mp4")}
    delete(root, gone)
    kept = [i for i in range(4) if i not in {g % 4 for g in gone}]
    dataset = assert_holds(root, [before[i] for i in kept])
    assert {p.stat().st_ino for p in root.glob("videos/*/*/*.mp4")} <= videos  # not even copied
    assert dataset.tasks == (("push", "lift") if 1 in kept else ("push",))
    assert dataset.provenance["edits"] == [{"operation": "delete", "episodes": sorted(g % 4 for g in gone)}]


def test_files_before_the_first_deleted_episode_are_shared(root):
    before = [p.stat().st_ino for p in sorted(root.glob("data/*/*.parquet"))]
    delete(root, [2])
    after = [p.stat().st_ino for p in sorted(root.glob("data/*/*.parquet"))]
    assert after[:2] == before[:2]
    assert after[2] not in before


def test_deleting_from_joined_files_needs_no_encoding(root):
    compact(root)
    before, video = contents(root), next(root.glob("videos/*/*/*.mp4")).read_bytes()
    delete(root, [1])
    assert_holds(root, [before[0], before[2], before[3]])
    assert next(root.glob("videos/*/*/*.mp4")).read_bytes() == video  # with frames that nothing points at
    compact(root)
    assert_holds(root, [before[0], before[2], before[3]])
    assert len(next(root.glob("videos/*/*/*.mp4")).read_bytes()) < len(video)


def test_what_cannot_be_deleted_is_refused_and_nothing_changes(root):
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    for episodes, said in (([4], "names episode 4; .* has 0 to 3"), ([1, 1], "episode 1 twice"), ([0, 1, 2, 3], "would leave no episode")):
        with pytest.raises(DatasetError, match=said):
            delete(root, episodes)
    (root / "videos" / TOP / "chunk-000/file-001.mp4").unlink()
    with pytest.raises(DatasetError, match="file-001.mp4 is missing"):
        delete(root, [0])
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == {p: b for p, b in before.items() if p.exists()}
    delete(root, [1])  # the one whose video is missing
    assert Dataset.open(root).lengths.tolist() == [7, 5, 9]


def test_an_edit_into_a_new_folder_leaves_the_old_one(root, tmp_path):
    before = contents(root)
    (root / "README.md").write_text("mine")
    (root / "meta/modality.json").write_text("{}")
    delete(root, [0], Place(tmp_path / "less"))
    assert_holds(root, before)
    assert_holds(tmp_path / "less", before[1:])
    assert (tmp_path / "less/README.md").read_text() == "mine"
    assert (tmp_path / "less/meta/modality.json").exists()
    with pytest.raises(DatasetError, match="less is there already"):
        delete(root, [0], Place(tmp_path / "less"))
    with pytest.raises(DatasetError, match="lies within"):
        delete(root, [0], Place(root / "less"))
    delete(root, [0], Place(tmp_path / "apart", link=False))
    assert not {p.stat().st_ino for p in root.rglob("*")} & {p.stat().st_ino for p in (tmp_path / "apart").rglob("*")}


def test_trimming_is_slicing(root):
    before = contents(root)
    trim(root, {0: (2, 5), 1: (None, -3), 3: (4, None)})
    expected = [sliced(before[0], 2, 5), sliced(before[1], 0, 9), before[2], sliced(before[3], 4, 9)]
    dataset = assert_holds(root, expected)
    assert dataset.lengths.tolist() == [3, 9, 5, 5]
    trim(root, {0: (1, 2)})  # of what was trimmed before
    assert_holds(root, [sliced(before[0], 3, 4), *expected[1:]])
    compact(root)
    assert_holds(root, [sliced(before[0], 3, 4), *expected[1:]])


def test_an_episode_whose_end_was_cut_off_is_truncated(tmp_path):
    features = tuple(Feature(name, (1,), "bool") for name in ("next.terminated", "next.truncated", "next.done"))
    with Recorder(tmp_path / "d", 10, features) as recorder:
        last = np.arange(6) == 5
        for _ in range(3):
            recorder.add_episode({"next.terminated": last, "next.truncated": last & False, "next.done": last}, "push")
    trim(tmp_path / "d", {0: (0, 4), 1: (2, 6)})
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.table(["next.truncated"])["next.truncated"].tolist() == [0, 0, 0, 1] + [0] * 4 + [0] * 6
    assert dataset.table(["next.done"])["next.done"].tolist() == [0, 0, 0, 1] + [0, 0, 0, 1] + [0, 0, 0, 0, 0, 1]
    assert dataset.table(["next.terminated"])["next.terminated"].tolist() == [0] * 4 + [0, 0, 0, 1] + [0, 0, 0, 0, 0, 1]


def test_idle_ends_are_dropped(tmp_path):
    state = np.array([0, 0, 0, 0.001, 0.5, 0.5, 0.9, 0.9, 0.9], np.float32)[:, None]  # moves from frame 3 to 4 and from 5 to 6
    with Recorder(tmp_path / "d", 10, (Feature("observation.state", (1,)), Feature("action", (1,)))) as recorder:
        recorder.add_episode({"observation.state": state, "action": np.zeros((9, 1))}, "push")
        recorder.add_episode({"observation.state": np.ones((4, 1)), "action": np.zeros((4, 1))}, "never moves")
    for keep, start, stop in ((0, 3, 7), (2, 1, 9)):
        trim(tmp_path / "d", idle=Idle(0.01, keep=keep), place=Place(tmp_path / f"t{keep}"))
        dataset = Dataset.open(tmp_path / f"t{keep}")
        np.testing.assert_array_equal(dataset.episode(0)["observation.state"], state[start:stop])
        assert len(dataset.episode(1)) == 4
    with pytest.raises(DatasetError, match="no column nothing"):
        trim(tmp_path / "d", idle=Idle(0.1, ("nothing",)))


@pytest.mark.parametrize(
    ("frames", "said"),
    [({0: (3, 3)}, "leave nothing of episode 0"), ({0: (0, 99)}, "it has 7 frames"), ({9: (0, 1)}, "names episode 9"), ({}, "in one way")],
)
def test_impossible_trims_are_refused(root, frames, said):
    with pytest.raises(DatasetError, match=said):
        trim(root, frames)


def test_another_writer_is_waited_for(root):
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS), pytest.raises(DatasetError, match="another recorder is writing"):
        delete(root, [0])


def test_a_backup_is_kept_when_asked_for(root):
    before = contents(root)
    delete(root, [0], Place(backup=True))
    assert_holds(root.with_name("demo.bak"), before)
    with pytest.raises(DatasetError, match="demo.bak is there already"):
        delete(root, [0], Place(backup=True))
    assert_holds(root, before[1:])


def test_a_file_system_without_links_gets_copies(root, tmp_path, monkeypatch):
    before = contents(root)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links here")))
    delete(root, [0], Place(tmp_path / "d"))
    assert_holds(tmp_path / "d", before[1:])
