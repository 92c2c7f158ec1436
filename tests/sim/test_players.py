"""Chance and the scripted experts as players: what they do is a function of the seed, and their episodes are counted like a policy's."""

import numpy as np
import pytest

from data.errors import ConfigError
from data.noise import fold
from sim.demonstrate import demonstrate
from sim.evaluate import evaluate
from sim.players import Experts, ExpertsConfig, RandomConfig, RandomPolicy
from tests.sim.conftest import make_arm
from tests.sim.dummy import PointEnv

EXPERT = "sim.tasks.pick_place.PickPlaceExpert"


class Bounded(PointEnv):
    action_low, action_high = np.array([-1.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32)


def test_random_actions_fill_the_bounds_evenly_and_depend_on_the_seed_alone():
    policy = RandomPolicy(RandomConfig(), Bounded(4))
    seeds = fold(np.arange(4000), 3)
    chunk = policy.sample({}, 1, seeds)
    assert chunk.shape == (4000, 1, 1, 2) and chunk.dtype == np.float32
    actions = chunk[:, 0, 0]
    assert (actions >= [-1, 0]).all() and (actions <= [1, 0.5]).all()
    # Mean and variance of a uniform distribution, within four standard errors.
    assert (np.abs(actions.mean(0) - [0, 0.25]) < 4 * np.array([2, 0.5]) / np.sqrt(12 * 4000)).all()
    np.testing.assert_allclose(actions.var(0), [4 / 12, 0.25 / 12], rtol=0.08)
    np.testing.assert_array_equal(policy.sample({}, 1, seeds[::-1])[::-1], chunk)


def test_the_experts_are_counted_as_they_did(tmp_path):
    env, seeds = make_arm(3, expert=EXPERT), np.arange(900, 904)
    expected = list(demonstrate(env, seeds, ["wrong"] * 4))
    steps = []
    rows = evaluate(env, Experts(ExpertsConfig("wrong"), env), seeds, tmp_path, "a")
    list(Experts(ExpertsConfig(), env).episodes(env, seeds[:1], on_step=steps.append))
    env.close()
    assert [(r["seed"], r["success"], r["length"]) for r in rows] == [(d.seed, d.success, len(d.columns["action"])) for d in expected]
    assert steps and set(steps) == {1}


@pytest.mark.needs_gl
def test_an_expert_can_be_filmed(gl, tmp_path):
    env = make_arm(2, expert=EXPERT)
    evaluate(env, Experts(ExpertsConfig(), env), np.arange(40, 42), tmp_path, "a", videos=1)
    env.close()
    assert [path.suffix for path in (tmp_path / "videos").iterdir()] == [".mp4"]


def test_a_style_or_an_expert_that_does_not_exist_is_refused():
    env = make_arm(1, expert=EXPERT)
    with pytest.raises(ConfigError, match="policy.style='nosy': did you mean 'noisy'"):
        Experts(ExpertsConfig("nosy"), env)
    env.close()
    with pytest.raises(ConfigError, match="point has no scripted expert"):
        Experts(ExpertsConfig(), PointEnv(1))


class Breaking(PointEnv):
    """The row of seed 4 breaks in its third step."""

    def step(self, action, active=None):
        obs, reward, terminated, truncated, info = super().step(action, active)
        broken = {int(i): "the floor gave way" for i in np.flatnonzero((self.seeds == 4) & (self.t == 3))}
        terminated = terminated | np.isin(np.arange(self.num_envs), list(broken))
        return obs, reward, terminated, truncated, {**info, "error": broken}


class Still:
    def __init__(self, spec):
        self.spec = spec

    def sample(self, obs, num_samples, seeds, guide=None):
        return np.zeros((len(seeds), num_samples, 1, 2), np.float32)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_an_episode_in_which_the_environment_breaks_has_failed_and_is_named(tmp_path, capsys, num_envs):
    env = Breaking(num_envs)
    rows = evaluate(env, Still(env.spec), [2, 4, 6], tmp_path, "a")
    assert [row["success"] for row in rows] == [True, False, True]
    assert rows[1]["length"] == 3 and rows[1]["error"] == "the floor gave way" and "error" not in rows[0]
    assert np.isfinite(rows[1]["max_reward"])
    assert "seed 4 counts as failed: the floor gave way" in capsys.readouterr().out
