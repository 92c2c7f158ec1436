"""Splitting and merging: every episode once, as it was, and nothing that does not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.editing.merge import merge
from data.editing.relabel import Labels, relabel
from data.editing.split import Rule, split
from data.errors import DatasetError
from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, TOP, make_arrays, make_images, record
from tests.data.soundness import LENGTHS, assert_holds, contents


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return record(tmp_path / "demo", LENGTHS)


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
