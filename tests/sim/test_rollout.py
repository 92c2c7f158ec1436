"""Closed-loop rollouts against what the time picture in policies.base says, step by step."""

import dataclasses

import numpy as np
import pytest

from data.errors import SpecError, WaldoError
from data.noise import fold, normal
from sim.rollout import FILM_EVERY, TILE, rollout, sample_in_tiles
from tests.policies.dummy import tiny_flow
from tests.sim.conftest import make_arm
from tests.sim.dummy import POSITION, SPEC, PointEnv


def policy_spec(**options):
    return dataclasses.replace(SPEC, **{"n_obs_steps": 3, "horizon": 5, "n_action_steps": 4, **options})


class Teller:
    """Writes down what it is shown; its j-th action of the k-th chunk says (k, j) / 1000."""

    def __init__(self, **options):
        self.spec = policy_spec(**options)
        self.seen = []

    def sample(self, obs, num_samples, seeds, guide=None):
        self.seen.append({name: values.copy() for name, values in obs.items()} | {"seeds": seeds.copy()})
        chunk = np.stack([np.full(self.spec.horizon, len(self.seen) - 1), np.arange(self.spec.horizon)], -1) / 1000
        return np.broadcast_to(chunk, (len(seeds), num_samples, *chunk.shape)).astype(np.float32)


class Noisy:
    """Wanders by its own noise and by what it sees, row by row."""

    def __init__(self, **options):
        self.spec = policy_spec(**options)

    def sample(self, obs, num_samples, seeds, guide=None):
        drift = 0.1 * obs["observation.state"].mean(1)[:, None, None]
        return 0.1 * normal(seeds, (num_samples, self.spec.horizon, 2)) - drift


def test_chunks_are_executed_and_observed_as_the_picture_says():
    env, teller = PointEnv(1, max_steps=9), Teller()
    (result,) = rollout(env, teller, [3])
    # 9 steps: 4 actions of the first chunk, 4 of the second, 1 of the third; the fifth action is never executed.
    np.testing.assert_allclose(np.array(env.actions[3]) * 1000, [[k, j] for k in range(3) for j in range(4)][:9], atol=1e-4)
    clocks = [seen["observation.environment_state"][0, :, 0].tolist() for seen in teller.seen]
    assert clocks == [[0, 0, 0], [2, 3, 4], [6, 7, 8]]  # the first frame is repeated before the episode
    assert [seen["seeds"][0] for seen in teller.seen] == [fold(np.array([3], np.uint64), k)[0] for k in range(3)]
    assert (result.length, result.success) == (9, False)


def test_rewards_and_lengths_by_hand():
    env = PointEnv(3, max_steps=20)
    results = {r.seed: r for r in rollout(env, Teller(n_action_steps=1, horizon=1), [2, 3, 4])}
    for seed, length, success in ((2, 12, True), (3, 20, False), (4, 14, True)):
        x = np.random.default_rng(seed).normal(size=2).astype(np.float32).sum()
        rewards = [x + (step * (step + 1) / 2) / 1000 for step in range(length)]  # action k / 1000 in step k
        assert (results[seed].length, results[seed].success) == (length, success)
        assert results[seed].total_reward == pytest.approx(sum(rewards), rel=1e-4, abs=1e-4)
        assert results[seed].max_reward == pytest.approx(max(rewards), rel=1e-4, abs=1e-4)


def rows_of(results):
    return {r.seed: {k: v for k, v in r.row().items() if k != "wall_s"} for r in results}


def test_a_seeds_result_is_the_same_in_any_batch_and_order():
    seeds = np.arange(1000, 1045)
    expected = rows_of(rollout(PointEnv(1), Noisy(), seeds))
    assert len({row["total_reward"] for row in expected.values()}) == len(seeds)
    for num_envs, order in ((45, seeds), (7, seeds[::-1]), (64, np.random.default_rng(0).permutation(seeds))):
        assert rows_of(rollout(PointEnv(num_envs), Noisy(), order)) == expected


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_a_network_answers_a_row_the_same_bit_for_bit_wherever_it_stands(network):
    """Kernels round differently for different batch sizes: tiles of one size keep a seed's result what it is."""
    policy = tiny_flow(network=network, width=64, depth=2)
    rng = np.random.default_rng(0)
    n = 2 * TILE + 5
    obs = {f.name: rng.normal(size=(n, 2, *f.shape)).astype(np.float32) for f in policy.spec.observations}
    seeds = np.arange(n, dtype=np.uint64)
    together = sample_in_tiles(policy, obs, seeds)
    for rows in (rng.permutation(n), np.arange(n - 1, -1, -1), np.array([40]), np.array([3, 66])):
        again = sample_in_tiles(policy, {k: v[rows] for k, v in obs.items()}, seeds[rows])
        np.testing.assert_array_equal(again, together[rows])


def test_episodes_on_the_arm_are_the_same_in_any_batch_and_order(arm):
    """An untrained network on the real environment; what it does is recorded at every step."""
    env = arm(1)
    vectors = tuple(f for f in env.spec.observations if not f.is_image)
    spec = dataclasses.replace(env.spec, observations=vectors, n_obs_steps=2, horizon=8, n_action_steps=4)
    policy = tiny_flow(spec, width=32)
    seeds = np.array([70, 71, 72, 73, 74])

    def paths(num_envs, order):
        env, seen = arm(num_envs, max_steps=12), {int(s): [] for s in order}
        step, group = env.step, []

        def recorded(action, active):
            out = step(action, active)
            for i in np.flatnonzero(active):
                seen[group[i]].append(np.concatenate([out[0][f.name][i] for f in vectors]))
            return out

        env.step = recorded
        reset = env.reset

        def remember(seeds):
            group[:] = [int(s) for s in seeds]
            return reset(seeds)

        env.reset = remember
        list(rollout(env, policy, order))
        return {seed: np.array(rows) for seed, rows in seen.items()}

    expected = paths(5, seeds)
    for num_envs, order in ((1, seeds), (3, seeds[::-1])):
        for seed, path in paths(num_envs, order).items():
            np.testing.assert_array_equal(path, expected[seed])
    assert all(path.shape[0] == 12 for path in expected.values())


def test_only_the_asked_seeds_are_filmed_and_as_long_as_they_last():
    env = PointEnv(3)
    results = {r.seed: r for r in rollout(env, Noisy(), [1, 2, 3, 4], film=[2, 4], film_size=(8, 12))}
    assert {seed: len(r.frames) for seed, r in results.items()} == {1: 0, 2: 12 // FILM_EVERY, 3: 0, 4: 14 // FILM_EVERY}
    assert [int(frame[0, 0, 0]) for frame in results[2].frames] == list(
        range(0, 12, FILM_EVERY)
    )  # frame t is what was seen before action t
    assert results[2].frames[0].shape == (8, 12, 3)
    assert set(env.rendered) == {2, 4}


def test_every_step_reports_how_many_are_left():
    left = []
    list(rollout(PointEnv(2, max_steps=14), Noisy(), [2, 3], on_step=left.append))
    assert left == [2] * 11 + [1, 1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "other"}, "task: the policy wants 'other', found 'point'"),
        ({"robot": "arm"}, "robot: the policy wants 'arm'"),
        ({"rate_hz": 20.0}, "rate_hz: the policy wants 20.0, found 10.0"),
        ({"observations": (dataclasses.replace(POSITION, name="observation.joints"),)}, "observation 'observation.joints' is missing"),
        ({"observations": (dataclasses.replace(POSITION, units=("px", "px")),)}, "units: the policy wants .'px', 'px'., found .'m', 'm'."),
        ({"action": dataclasses.replace(SPEC.action, absolute=False)}, "action absolute: the policy wants False, found True"),
    ],
)
def test_a_policy_made_for_something_else_is_refused_before_anything_moves(change, message):
    env, policy = PointEnv(1), Noisy()
    policy.spec = policy_spec(**change)
    with pytest.raises(SpecError, match=message):
        list(rollout(env, policy, [1]))
    assert env.actions == {}


def test_every_difference_is_named_at_once():
    policy = Noisy(task="other", rate_hz=5.0)
    with pytest.raises(SpecError, match=r"does not fit environment point: task.*; rate_hz"):
        list(rollout(PointEnv(1), policy, [1]))


def test_an_action_that_is_not_finite_stops_the_episode():
    class Broken(Noisy):
        def sample(self, obs, num_samples, seeds, guide=None):
            chunk = super().sample(obs, num_samples, seeds)
            return np.where(obs["observation.environment_state"][:, -1].max() >= 8, np.nan, chunk)

    env = PointEnv(2)
    with pytest.raises(WaldoError, match="not finite at step 8"):
        list(rollout(env, Broken(), [1, 2]))
    assert all(np.isfinite(actions).all() and len(actions) == 8 for actions in env.actions.values())


class Watching:
    """A policy that keeps every picture it is shown and goes where it is."""

    def __init__(self, spec, n_obs_steps, n_action_steps):
        seen = tuple(spec.feature(name) for name in ("observation.state", "observation.images.front"))
        self.spec = dataclasses.replace(
            spec, observations=seen, n_obs_steps=n_obs_steps, horizon=n_action_steps, n_action_steps=n_action_steps
        )
        self.shown = []

    def sample(self, obs, num_samples, seeds, guide=None):
        self.shown.append(obs["observation.images.front"].copy())
        goal = obs["observation.state"][:, -1:] + [0.02, 0, 0, 0, 0, 0, 0, 0]
        return np.repeat(goal[:, None], self.spec.horizon, 2).astype(np.float32)


@pytest.mark.needs_gl
@pytest.mark.parametrize(("n_obs_steps", "n_action_steps"), [(1, 4), (2, 4), (3, 2)])
def test_pictures_that_no_policy_sees_are_not_drawn_and_those_it_sees_are_the_same(gl, monkeypatch, n_obs_steps, n_action_steps):
    shown, drawn = {}, {}
    for always in (True, False):
        env = make_arm(2, images=True, image_size=24, max_steps=9)
        if always:
            monkeypatch.setattr(type(env), "drawing", property(lambda self: True, lambda self, value: None), raising=False)
        counted, render = [], env.physics.render
        env.physics.render = lambda camera, rows, *rest, c=counted, r=render, **o: c.extend(rows) or r(camera, rows, *rest, **o)
        policy = Watching(env.spec, n_obs_steps, n_action_steps)
        list(rollout(env, policy, [3, 4]))
        shown[always], drawn[always] = np.concatenate(policy.shown), len(counted)
        env.close()
        monkeypatch.undo()
    np.testing.assert_array_equal(shown[False], shown[True])
    assert len({picture.tobytes() for picture in shown[True][:, -1]}) > 2  # the arm moves
    assert drawn[False] < drawn[True] or n_obs_steps >= n_action_steps
