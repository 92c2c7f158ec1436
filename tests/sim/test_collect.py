"""Demonstrations: what is on disk is what happened, however it was grouped and wherever it was interrupted."""

import dataclasses

import numpy as np
import pytest

from data.errors import ConfigError, DatasetError
from data.rotations import matrix_from_quat
from data.store import Dataset
from policies.inputs import DataConfig, offered_spec
from sim.collect import collect
from sim.demonstrate import demonstrate, mixture
from sim.experts import Demonstrator
from sim.rollout import rollout
from tests.sim.conftest import make_arm

EXPERT = "sim.tasks.pick_place.PickPlaceExpert"
SEEDS = np.arange(500, 506)


def record(root, num_envs=6, seeds=SEEDS, sloppy=0.5, images=False, **options):
    env = make_arm(num_envs, expert=EXPERT, **options)
    try:
        return collect(env, root, seeds, {"clean": 1 - sloppy, "sloppy": sloppy}, {"seed": int(seeds[0])}, images=images)
    finally:
        env.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp("demos") / "demo"
    return root, record(root)


def vectors(dataset):
    return {name: values for name, values in dataset.table(dataset.column_keys).items() if name not in ("timestamp",)}


def test_clean_demonstrators_succeed():
    """At least 18 of 20, on the task as it is configured for users."""
    env = make_arm(20, expert=EXPERT)
    episodes = list(demonstrate(env, np.arange(2000, 2020), ["clean"] * 20))
    env.close()
    assert sum(done.success for done in episodes) >= 18
    lengths = [len(done.columns["action"]) for done in episodes]
    assert 40 < min(lengths) and max(lengths) < 240  # nobody needs the whole time, nobody is done at once


def test_the_recorded_actions_played_again_give_the_recorded_observations(recorded):
    root, counts = recorded
    dataset = Dataset.open(root)
    assert counts["episodes"] == dataset.num_episodes == len(SEEDS)
    assert counts["frames"] == dataset.num_frames
    assert counts["success"] == sum(bool(dataset.episode(i)["next.success"].any()) for i in range(len(SEEDS)))
    env = make_arm(1)
    for i, seed in enumerate(SEEDS):
        episode = dataset.episode(i)
        obs = env.reset(np.array([seed]))
        for t in range(len(episode)):
            for name in obs:
                np.testing.assert_array_equal(episode[name][t], obs[name][0], err_msg=f"{name}, frame {t} of seed {seed}")
            obs, reward, terminated, truncated, info = env.step(episode["action"][t][None])
            assert episode["next.reward"][t] == reward[0]
            assert bool(episode["next.success"][t]) == bool(info["success"][0])
        assert terminated[0] == info["success"][0]
        assert bool(episode["next.terminated"][-1]) or bool(truncated[0])  # one who gives up ends the episode, too
        assert not episode["next.terminated"][:-1].any()
    env.close()


def test_the_number_of_environments_changes_nothing(recorded, tmp_path):
    record(tmp_path / "one", num_envs=1, seeds=SEEDS[:2])
    expected, found = vectors(Dataset.open(recorded[0])), vectors(Dataset.open(tmp_path / "one"))
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name][: len(values)], err_msg=name)


def test_an_interrupted_collection_goes_on(recorded, tmp_path, monkeypatch):
    import sim.demonstrate as module

    group, groups = module._group, []

    def failing(*args):
        groups.append(args)
        if len(groups) == 2:
            raise KeyboardInterrupt
        return group(*args)

    monkeypatch.setattr(module, "_group", failing)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / "cut", num_envs=4)
    assert Dataset.open(tmp_path / "cut").num_episodes == 4
    monkeypatch.undo()
    counts = record(tmp_path / "cut", num_envs=4)
    assert counts == recorded[1]  # of the whole dataset, not of what was added
    expected, found = vectors(Dataset.open(recorded[0])), vectors(Dataset.open(tmp_path / "cut"))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_dataset_that_began_with_other_seeds_is_not_continued(recorded, tmp_path):
    record(tmp_path / "demo", seeds=SEEDS[:1])
    with pytest.raises(DatasetError, match="seed"):
        record(tmp_path / "demo", seeds=SEEDS + 100)
    with pytest.raises(DatasetError, match="spec"):
        record(tmp_path / "demo", action="joint")
    assert Dataset.open(tmp_path / "demo").num_episodes == 1


def test_styles_are_spread_evenly_in_their_shares():
    chosen = mixture(18, {"clean": 2 / 3, "sloppy": 1 / 3})
    assert chosen.count("sloppy") == 6
    assert all(chosen[i : i + 3].count("sloppy") == 1 for i in range(0, 18, 3))
    many = mixture(100, {"clean": 5, "noisy": 2, "slow": 2, "wrong": 1})
    assert [many.count(name) for name in ("clean", "noisy", "slow", "wrong")] == [50, 20, 20, 10]
    assert mixture(4, {"slow": 1.0}) == ["slow"] * 4
    for shares in ({}, {"clean": 0.0}, {"clean": 1.0, "wrong": -0.1}):
        with pytest.raises(ConfigError, match="shares of the styles"):
            mixture(3, shares)


def test_some_who_are_sloppy_fail_and_slow_ones_take_longer():
    env, seeds = make_arm(18, expert=EXPERT), np.arange(900, 918)
    clean, sloppy, slow = (list(demonstrate(env, seeds, [style] * 18)) for style in ("clean", "sloppy", "slow"))
    env.close()
    assert 4 <= sum(done.success for done in sloppy) < 15 < sum(done.success for done in clean)
    mean = [np.mean([len(done.columns["action"]) for done in group if done.success]) for group in (clean, slow)]
    assert mean[1] > 1.3 * mean[0]


def test_an_unknown_style_is_refused():
    env = make_arm(1, expert=EXPERT)
    with pytest.raises(ConfigError, match="no style 'clen' of demonstrating; did you mean 'clean'"):
        list(demonstrate(env, SEEDS[:1], ["clen"]))
    env.close()


def test_the_dataset_says_what_a_policy_can_see_and_do(recorded):
    dataset = Dataset.open(recorded[0])
    env = make_arm(1)
    offered = offered_spec(dataset, DataConfig())
    assert offered == dataclasses.replace(env.spec, observations=tuple(f for f in env.spec.observations if not f.is_image))
    assert dataset.fps == env.spec.rate_hz and dataset.robot_type == env.robot.name
    assert dataset.tasks == (env.task.instruction,)
    assert dataset.column_units["action"] == env.spec.action.units
    env.close()


def test_quaternions_of_actions_are_unit_and_point_down(recorded):
    action = Dataset.open(recorded[0]).table(["action"])["action"]
    np.testing.assert_allclose(np.linalg.norm(action[:, 3:7], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(matrix_from_quat(action[:, 3:7])[:, :, 2], np.broadcast_to([0.0, 0, -1], (len(action), 3)), atol=1e-5)


def test_demonstrations_in_joint_space_move_the_tool_the_same_way(tmp_path):
    record(tmp_path / "joint", seeds=SEEDS[:2], sloppy=0.0, action="joint")
    record(tmp_path / "pose", seeds=SEEDS[:2], sloppy=0.0)
    joint, pose = Dataset.open(tmp_path / "joint"), Dataset.open(tmp_path / "pose")
    assert joint.features["action"]["names"] == [*(f"joint{i}" for i in range(1, 8)), "gripper_width"]
    assert joint.table(["next.success"])["next.success"].sum() == pose.table(["next.success"])["next.success"].sum() == 2
    a, b = (d.episode(0)["observation.state"][:40, :3] for d in (joint, pose))
    np.testing.assert_allclose(a, b, atol=2e-3)


def test_an_expert_that_does_nothing_is_an_error(tmp_path):
    env = make_arm(1, expert="tests.sim.test_collect.Idle")
    with pytest.raises(ConfigError, match="did nothing"):
        collect(env, tmp_path / "d", SEEDS[:1], {"clean": 1.0}, {}, images=False)
    env.close()


def test_an_environment_without_an_expert_cannot_demonstrate(tmp_path):
    env = make_arm(1)
    with pytest.raises(ConfigError, match="pick_place has no scripted expert"):
        collect(env, tmp_path / "d", SEEDS[:1], {"clean": 1.0}, {}, images=False)
    env.close()


class Idle(Demonstrator):
    def plan(self):
        yield from ()


class Replay:
    """A policy that plays one recorded episode."""

    def __init__(self, spec, actions):
        self.spec, self.actions, self.step = spec, actions, 0

    def sample(self, obs, num_samples, seeds, guide=None):
        n = self.spec.n_action_steps
        chunk = self.actions[self.step : self.step + n]
        self.step += n
        chunk = np.concatenate([chunk, np.repeat(self.actions[-1:], n - len(chunk), 0)])
        return np.broadcast_to(chunk, (len(seeds), num_samples, *chunk.shape))


def test_a_rollout_of_the_recorded_actions_succeeds_as_the_demonstrator_did(recorded):
    """Collection and rollout count steps, observe and end in the same way."""
    dataset, env = Dataset.open(recorded[0]), make_arm(1)
    best = next(i for i in range(len(SEEDS)) if dataset.episode(i)["next.success"].any())
    episode = dataset.episode(best)
    spec = dataclasses.replace(env.spec, observations=env.spec.observations[:1], n_obs_steps=1, horizon=10, n_action_steps=10)
    (result,) = rollout(env, Replay(spec, episode["action"]), [int(SEEDS[best])])
    assert (result.success, result.length, result.total_reward) == (True, len(episode), 1.0)
    env.close()


@pytest.mark.needs_gl
def test_images_show_the_frame_they_belong_to(gl, tmp_path):
    counts = record(tmp_path / "seen", seeds=SEEDS[:1], sloppy=0.0, images=True, image_size=32)
    assert counts["no_images"] == ""
    dataset, env = Dataset.open(tmp_path / "seen"), make_arm(1, image_size=32)
    episode, pictures = dataset.episode(0), dataset.images("observation.images.front")
    assert pictures.shape == (len(episode), 32, 32, 3)
    env.reset(SEEDS[:1])
    drawn = []
    for t in range(len(episode)):
        drawn.append(env.render("front")[0])
        env.step(episode["action"][t][None])
    env.close()
    drawn = np.array(drawn, float)
    for t in range(0, len(episode), 20):  # video is lossy: its frame is closest to the one that was drawn then
        error = np.abs(drawn - pictures[t]).mean((1, 2, 3))
        assert error[t] < 6
        assert error[t] <= error.min() + 0.3
