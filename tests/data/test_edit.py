"""Edits against the same done with numpy on the originals: columns and frames are equal, bit for bit, and everything counts up."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.editing.compact import compact
from data.editing.delete import delete
from data.editing.merge import merge
from data.editing.opening import Place
from data.editing.relabel import Labels, relabel
from data.editing.split import Rule, split
from data.editing.trim import Idle, trim
from data.errors import DatasetError
from data.lerobot import layout
from data.record import Recorder
from data.spec import Feature, PolicySpec
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, TOP, make_arrays, make_images, record

LENGTHS = (7, 12, 5, 9)  # tasks: push, lift, push, push
STORED = tuple(f.name for f in FEATURES)


def contents(root: Path) -> list[tuple[str, dict[str, np.ndarray], np.ndarray]]:
    """(task, columns, frames) per episode."""
    dataset = Dataset.open(root)
    return [
        (dataset.episode(i).task, {n: np.array(dataset.episode(i)[n]) for n in STORED}, dataset.frames(TOP, i)) for i in range(len(dataset))
    ]


def assert_holds(root: Path, expected: list[tuple[str, dict[str, np.ndarray], np.ndarray]]) -> Dataset:
    """The dataset has these episodes and is sound: what lerobot and the recorder rely on is checked file by file."""
    dataset = Dataset.open(root)
    found = contents(root)
    assert [task for task, _, _ in found] == [task for task, _, _ in expected]
    for (_, columns, frames), (_, wanted, pictures) in zip(found, expected, strict=True):
        for name in STORED:
            np.testing.assert_array_equal(columns[name], wanted[name], err_msg=name)
        np.testing.assert_array_equal(frames, pictures)
    assert_sound(root)
    return dataset


def assert_sound(root: Path) -> None:
    info = json.loads((root / layout.INFO).read_text())
    rows = [row for p in sorted(root.glob("meta/episodes/*/*.parquet")) for row in pq.read_table(p).to_pylist()]
    files = sorted(root.glob("data/*/*.parquet"))  # lerobot reads all of them, in this order
    tables = [pq.read_table(path) for path in files]
    column = {name: np.concatenate([t[name].to_numpy() for t in tables]) for name in layout.DEFAULT_FEATURES}
    lengths = np.array([row["length"] for row in rows])
    ends = np.cumsum(lengths)
    frames = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    np.testing.assert_array_equal(column["index"], np.arange(ends[-1]))
    np.testing.assert_array_equal(column["episode_index"], np.repeat(np.arange(len(rows)), lengths))
    np.testing.assert_array_equal(column["frame_index"], frames)
    np.testing.assert_allclose(column["timestamp"], frames / info["fps"], atol=1e-6)
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == list(zip(ends - lengths, ends, strict=True))
    assert (info["total_episodes"], info["total_frames"]) == (len(rows), ends[-1])
    texts = pq.read_table(root / layout.TASKS).to_pydict()
    assert texts["task_index"] == list(range(info["total_tasks"]))
    for row, end, length in zip(rows, ends, lengths, strict=True):
        assert {texts["__index_level_0__"][k] for k in column["task_index"][end - length : end]} == set(row["tasks"])
        path = layout.DATA_PATH.format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
        assert row["episode_index"] in pq.read_table(root / path)["episode_index"].to_pylist()
    pointed = {
        root / layout.VIDEO_PATH.format(video_key=key, chunk_index=r[f"videos/{key}/chunk_index"], file_index=r[f"videos/{key}/file_index"])
        for key, f in info["features"].items()
        if f["dtype"] == "video"
        for r in rows
    }
    assert pointed == set(root.glob("videos/*/*/*.mp4"))
    assert_stats(root, info, rows, tables)
    assert not [
        p
        for p in [*root.parent.iterdir(), *root.rglob("*")]
        if p.name.endswith((".tmp", ".building", ".replaced")) or p.name == ".waldo-edit"
    ]


def assert_stats(root: Path, info: dict, rows: list[dict], tables: list) -> None:
    """Of every column and episode, and of all together."""
    stats = json.loads((root / layout.STATS).read_text())
    at = 0
    for row in rows:
        for name, feature in info["features"].items():
            if feature["dtype"] != "video":
                values = np.concatenate([np.array(t[name].to_pylist()) for t in tables])[at : at + row["length"]]
                np.testing.assert_allclose(np.ravel(row[f"stats/{name}/min"]), np.atleast_1d(values.min(0)), err_msg=name)
                np.testing.assert_allclose(np.ravel(row[f"stats/{name}/q50"]), np.atleast_1d(np.median(values, 0)), rtol=1e-6)
            assert len(row[f"stats/{name}/mean"]) == (3 if feature["dtype"] == "video" else feature["shape"][-1])
        at += row["length"]
    for name, feature in info["features"].items():
        if feature["dtype"] != "video":
            values = np.concatenate([np.array(t[name].to_pylist(), float).reshape(len(t), -1) for t in tables])
            np.testing.assert_allclose(stats[name]["std"], values.std(0), rtol=1e-5, atol=1e-6, err_msg=name)
            assert stats[name]["count"] == [len(values)]


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
    delete(root, [0], Place(tmp_path / "apart", link=False))
    assert not {p.stat().st_ino for p in root.rglob("*")} & {p.stat().st_ino for p in (tmp_path / "apart").rglob("*")}


def test_trimming_is_slicing(root):
    before = contents(root)
    trim(root, {0: (2, 5), 1: (None, -3), 3: (4, None)})
    expected = [_sliced(before[0], 2, 5), _sliced(before[1], 0, 9), before[2], _sliced(before[3], 4, 9)]
    dataset = assert_holds(root, expected)
    assert dataset.lengths.tolist() == [3, 9, 5, 5]
    trim(root, {0: (1, 2)})  # of what was trimmed before
    assert_holds(root, [_sliced(before[0], 3, 4), *expected[1:]])
    compact(root)
    assert_holds(root, [_sliced(before[0], 3, 4), *expected[1:]])


def _sliced(episode, start, stop):
    task, columns, frames = episode
    return task, {name: values[start:stop] for name, values in columns.items()}, frames[start:stop]


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


def test_splitting_by_fractions_deals_every_episode_once_and_the_same_for_the_same_seed(root, tmp_path):
    before = contents(root)
    split(root, Rule(fractions={"train": 0.75, "valid": 0.25}, seed=3), tmp_path / "parts")
    order = np.random.default_rng(3).permutation(4)
    assert_holds(tmp_path / "parts/train", [before[i] for i in sorted(order[:3])])
    assert_holds(tmp_path / "parts/valid", [before[i] for i in sorted(order[3:])])
    parts = split(root, Rule(fractions={"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, seed=None), tmp_path / "thirds")
    assert sorted(piece.episode for plan in parts.values() for piece in plan.pieces) == [0, 1, 2, 3]


def test_splitting_by_counts_and_lists(root, tmp_path):
    before = contents(root)
    split(root, Rule(counts={"few": 1, "more": 2}, seed=None), tmp_path / "counts")
    assert_holds(tmp_path / "counts/few", before[:1])
    assert_holds(tmp_path / "counts/more", before[1:3])
    split(root, Rule(episodes={"odd": [3, 1]}), tmp_path / "lists")
    assert_holds(tmp_path / "lists/odd", [before[1], before[3]])


def test_splitting_by_task_and_success(root, tmp_path):
    before = contents(root)
    split(root, Rule(by="task"), tmp_path / "tasks")
    assert Dataset.open(tmp_path / "tasks/lift").tasks == ("lift",)
    assert_holds(tmp_path / "tasks/push", [before[i] for i in (0, 2, 3)])
    with pytest.raises(DatasetError, match="has no column 'next.success'"):
        split(root, Rule(by="success"), tmp_path / "success")
    relabel(root, Labels(rename={"next.terminated": "next.success"}))
    assert list(split(root, Rule(by="success"), tmp_path / "success")) == ["success"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(), "in one way"),
        (Rule(fractions={"a": 0.8, "b": 0.3}), "together at most 1"),
        (Rule(fractions={"a": 0.01}), "'a' would have no episode"),
        (Rule(counts={"a": 5}), "at most the 4 episodes"),
        (Rule(episodes={"a": [0], "b": [0]}), "episode 0 would be in two parts"),
        (Rule(by="colour"), "allowed: success, task"),
        (Rule(counts={"../a": 1}), "cannot be the name"),
    ],
)
def test_impossible_splits_are_refused(root, tmp_path, rule, said):
    with pytest.raises(DatasetError, match=said):
        split(root, rule, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_merging_unites_episodes_tasks_and_provenance(root, tmp_path):
    other = tmp_path / "other"
    with Recorder(other, 10, FEATURES, "dummy", CAMERAS, provenance={"seed": 7}) as recorder:
        for i in (5, 6):
            recorder.add_episode(make_arrays(6, i), ("lift", "stack")[i - 5], {"top": make_images(6, i)})
    merge([root, other], tmp_path / "both")
    dataset = assert_holds(tmp_path / "both", contents(root) + contents(other))
    assert dataset.tasks == ("push", "lift", "stack")
    assert [part["episodes"] for part in dataset.provenance["merged"]] == [[0, 4], [4, 6]]
    assert dataset.provenance["merged"][1]["provenance"] == {"seed": 7}
    merge([other, tmp_path / "both"], tmp_path / "again", link=False)
    assert_holds(tmp_path / "again", contents(other) + contents(tmp_path / "both"))


def test_what_differs_is_not_merged_and_every_difference_is_named(root, tmp_path):
    features = (Feature("observation.state", (2,), names=("x", "y"), units=("mm", "m")), *FEATURES[2:], Feature("extra", (1,)))
    with Recorder(tmp_path / "other", 20, features, "arm") as recorder:
        recorder.add_episode({n: v for n, v in make_arrays(4, 0).items() if n != "observation.force"} | {"extra": np.zeros(4)}, "push")
    with pytest.raises(DatasetError) as refused:
        merge([root, tmp_path / "other"], tmp_path / "both")
    for said in (
        "fps: 10.0 and 20.0",
        "'dummy' and 'arm'",
        "only demo has 'observation.force'",
        "only other has 'extra'",
        "only demo has '" + TOP,
    ):
        assert said in str(refused.value)
    assert "observation.state units: ['m', 'm'] and ['mm', 'm']" in str(refused.value)
    assert not (tmp_path / "both").exists()
    with pytest.raises(DatasetError, match="named twice"):
        merge([root, root], tmp_path / "both")


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
    assert_holds(root, [*before[1:], _sliced(found[-1], 1, 4)])


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
