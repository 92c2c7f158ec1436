"""Weights by hand: returns, who acted, recorded quality, tasks."""

import numpy as np
import pytest

from data.config import build
from data.errors import ConfigError, DatasetError
from data.store import Dataset
from tests.data.conftest import LENGTHS, make_arrays
from tests.data.in_memory import MemorySource

RULES = "data.weights"


def rule(name, **options):
    return build({"_target_": f"{RULES}.{name}", **options})


def test_returns(state_root):
    dataset = Dataset.open(state_root)
    total = np.array([make_arrays(n, i)["next.reward"].astype(np.float64).sum() for i, n in enumerate(LENGTHS)])
    expected = np.exp((total - total.max()) / (total.max() - total.min()) / 0.5)
    np.testing.assert_allclose(rule("ReturnWeights", temperature=0.5)(dataset), np.repeat(expected, LENGTHS), rtol=1e-6)
    with pytest.raises(ConfigError, match="temperature=0.0: it must be positive"):
        rule("ReturnWeights", temperature=0)
    with pytest.raises(DatasetError, match="has no column 'reward'"):
        rule("ReturnWeights", column="reward")(dataset)


class WithActor(MemorySource):
    """Every third frame was a person's."""

    def __init__(self, root, categories=("policy", "human", "expert"), **options):
        super().__init__(root, **options)
        self.header.features["actor"] = {"dtype": "uint8", "shape": [1], "names": None, "categories": list(categories)}

    def columns(self, names, episodes):
        out = super().columns([name for name in names if name != "actor"], episodes)
        count = int(self.header.lengths[episodes].sum())
        return out | ({"actor": (np.arange(count) % 3 == 0).astype(np.uint8)} if "actor" in names else {})


def test_who_acted(tmp_path, state_root):
    weights = rule("TrustWeights", policy=0.2, human=3.0)(Dataset(WithActor(tmp_path)))
    np.testing.assert_allclose(weights, np.where(np.arange(sum(LENGTHS)) % 3 == 0, 3.0, 0.2))
    with pytest.raises(DatasetError, match="does not say who acted"):
        rule("TrustWeights")(Dataset.open(state_root))
    with pytest.raises(DatasetError, match="actor may be robot"):
        rule("TrustWeights")(Dataset(WithActor(tmp_path, ("policy", "robot"))))


def test_quality_by_column_and_by_episode(state_root):
    dataset = Dataset.open(state_root)
    by_episode = rule("QualityWeights", episodes={1: 0.25, 2: 0.0})(dataset)
    np.testing.assert_array_equal(by_episode, np.repeat([1, 0.25, 0], LENGTHS))
    np.testing.assert_array_equal(rule("QualityWeights", column="stage")(dataset), dataset.table(["stage"])["stage"])
    with pytest.raises(DatasetError, match="has no column 'quality'"):
        rule("QualityWeights")(dataset)
    with pytest.raises(DatasetError, match="has no episode 7; allowed: 0 to 2"):
        rule("QualityWeights", episodes={7: 1.0})(dataset)


def test_every_task_as_often(state_root):
    dataset = Dataset.open(state_root)
    weights, task = rule("TaskWeights")(dataset), dataset.table(["task_index"])["task_index"]
    assert weights[task == 0].sum() == pytest.approx(weights[task == 1].sum())
