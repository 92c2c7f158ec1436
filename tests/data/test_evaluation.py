"""An evaluation's folder: what is read is what was written, and what is wrong with a folder is said in one sentence."""

import dataclasses
import json

import numpy as np
import pytest

from data.errors import DatasetError
from data.evaluation import MANIFEST, ROWS, SCHEMA, Manifest, is_evaluation, manifest_of, pair, read, require_same_place
from data.results import EpisodeLog

PLACE = {"engine": "mujoco", "task": {"_target_": "sim.tasks.reach.Reach", "level": "easy"}, "randomize": {}}
MANIFEST_OF = Manifest("flow", "abc", "reach", "panda", PLACE, (7, 3, 5), 20.0, 60, 8, ("near", "there"), {"observation.state": ["x", "y"]})


def written(folder, wins=(True, False, True), manifest=MANIFEST_OF, seeds=None):
    folder.mkdir(parents=True)
    manifest.write(folder)
    with EpisodeLog(folder / ROWS) as log:
        for seed, win in zip(seeds or manifest.seeds, wins):
            log.append({"seed": seed, "success": win, "total_reward": 1.5, "max_reward": 1.0, "length": 30 + seed, "wall_s": 0.1})
    return folder


def test_what_was_written_is_read_ordered_by_seed(tmp_path):
    found = read(written(tmp_path / "a"))
    assert found.manifest == MANIFEST_OF
    assert found.seeds.tolist() == [3, 5, 7]
    assert found.success.tolist() == [False, True, True]
    assert found.column("length").tolist() == [33, 35, 37]
    assert np.isnan(found.column("limited")).all()
    assert found.complete and found.trace(3) is None and found.videos() == {} and len(found.latency_ms()) == 0


def test_an_unfinished_one_is_read_only_on_demand(tmp_path):
    folder = written(tmp_path / "a", wins=(True, False))
    with pytest.raises(DatasetError, match="is not finished: 2 of 3 episodes"):
        read(folder)
    assert not read(folder, complete=False).complete


def test_episodes_that_nobody_asked_for_do_not_count(tmp_path):
    folder = written(tmp_path / "a", wins=(True,) * 4, seeds=(3, 5, 7, 9))
    assert read(folder).seeds.tolist() == [3, 5, 7]


def test_the_jobs_of_a_sweep_over_shards_are_one(tmp_path):
    for i, seeds in enumerate(((3, 7), (5,))):
        written(tmp_path / "sweep" / str(i), manifest=dataclasses.replace(MANIFEST_OF, seeds=seeds))
    np.savez_compressed(tmp_path / "trace.npz", action=np.ones((2, 1)))
    (tmp_path / "sweep/1/traces").mkdir()
    (tmp_path / "trace.npz").rename(tmp_path / "sweep/1/traces/seed_5.npz")
    found = read(tmp_path / "sweep")
    assert found.seeds.tolist() == [3, 5, 7]
    assert found.trace(5)["action"].shape == (2, 1) and found.trace(3) is None
    assert is_evaluation(tmp_path / "sweep") and not is_evaluation(tmp_path)
    manifest = dataclasses.replace(MANIFEST_OF, identity="other", seeds=(9,))
    written(tmp_path / "sweep/2", manifest=manifest)
    with pytest.raises(DatasetError, match="3 evaluations that are not of the same policy"):
        read(tmp_path / "sweep")


def broken(folder, how):
    """Damage a good folder."""
    path, rows = folder / MANIFEST, folder / ROWS
    raw = json.loads(path.read_text())
    if how == "schema":
        path.write_text(json.dumps({**raw, "schema": SCHEMA + 1}))
    elif how == "json":
        path.write_text(path.read_text()[:-30])
    elif how == "unknown":
        path.write_text(json.dumps({**raw, "colour": "red"}))
    elif how == "missing":
        path.write_text(json.dumps({key: value for key, value in raw.items() if key != "task"}))
    elif how == "seeds":
        path.write_text(json.dumps({**raw, "seeds": [3, 3]}))
    elif how == "twice":
        rows.write_text(rows.read_text() * 2)
    elif how == "column":
        rows.write_text(rows.read_text().replace('"success": true', '"success": "yes"'))
    elif how == "cut":
        rows.write_text(rows.read_text()[:-5])
    elif how == "middle":
        rows.write_text(rows.read_text().replace("{", "", 1))
    elif how == "empty":
        rows.write_text("")
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("schema", f"is of schema {SCHEMA + 1}; this version reads schema {SCHEMA}: evaluate again"),
        ("json", "cannot be read"),
        ("unknown", "it holds colour"),
        ("missing", "no manifest of an evaluation: .*task"),
        ("seeds", "names a seed twice"),
        ("twice", "holds seed 3 twice"),
        ("column", "success is 'yes'; wanted is bool"),
        ("cut", "is not finished: 2 of 3"),
        ("middle", "line 1 is not an episode row"),
        ("empty", "holds no finished episode of the 3"),
        ("gone", "is no evaluation: there is no evaluation.json in it; `waldo evaluate` makes one"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path, how, said):
    folder = written(tmp_path / "a")
    broken(folder, how)
    with pytest.raises(DatasetError, match=said):
        read(folder)


def test_a_folder_that_does_not_exist_is_no_evaluation(tmp_path):
    with pytest.raises(DatasetError, match="it does not exist"):
        manifest_of(tmp_path / "nowhere")


def test_a_damaged_trace_is_said(tmp_path):
    folder = written(tmp_path / "a")
    (folder / "traces").mkdir()
    (folder / "traces/seed_3.npz").write_bytes(b"PK\x03\x04 half of one")
    with pytest.raises(DatasetError, match=r"seed_3.npz is damaged"):
        read(folder).trace(3)


def test_two_policies_are_paired_on_the_seeds_that_both_have(tmp_path):
    a = read(written(tmp_path / "a"))
    b = read(written(tmp_path / "b", wins=(False, True), manifest=dataclasses.replace(MANIFEST_OF, policy="bc", seeds=(5, 9))))
    seeds, first, second = pair(a, b)
    assert seeds.tolist() == [5] and first.tolist() == [True] and second.tolist() == [False]
    far = read(written(tmp_path / "c", manifest=dataclasses.replace(MANIFEST_OF, seeds=(11, 12, 13))))
    with pytest.raises(DatasetError, match=r"share no seed: 3 to 7 and 11 to 13"):
        pair(a, far)


def test_every_difference_of_two_environments_is_named():
    other = dataclasses.replace(MANIFEST_OF, task="push", environment={**PLACE, "engine": "pybullet", "task": {"level": "easy"}})
    with pytest.raises(DatasetError, match=r"task 'reach' and 'push'; env.engine 'mujoco' and 'pybullet'; env.task._target_ 'sim"):
        require_same_place(MANIFEST_OF, other)
    nothing = dataclasses.replace(MANIFEST_OF, environment={key: value for key, value in PLACE.items() if key != "randomize"})
    require_same_place(MANIFEST_OF, nothing)  # an empty setting is no setting
