"""Any Gymnasium environment by its id: the rows are those of the environments themselves."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from data.config import build
from data.errors import ConfigError
from sim.gym import GymConfig, GymVecEnv

ROOT = Path(__file__).resolve().parents[2]


def pendulum(num_envs=2, **options):
    """Gymnasium's own pendulum, which needs no further package: cos, sin, speed; one torque."""
    settings = {
        "id": "Pendulum-v1",
        "package": "gymnasium",
        "task": "pendulum",
        "robot": "pendulum",
        "rate_hz": 20.0,
        "max_steps": 15,
        "observations": {
            "observation.state": {"start": 0, "stop": 2, "names": ["cos", "sin"], "units": ["1", "1"]},
            "observation.environment_state": {"start": 2, "stop": 3, "names": ["speed"], "units": ["rad/s"]},
        },
        "action_names": ["torque"],
        "action_unit": "N m",
        "num_envs": num_envs,
    }
    return GymVecEnv(GymConfig(**{**settings, **options}))


def test_rows_are_the_environments_own():
    gymnasium = importlib.import_module("gymnasium")
    vec, seeds = pendulum(3), np.array([5, 6, 5])
    actions = np.random.default_rng(0).uniform(-2, 2, (15, 3, 1))
    actions[:, 2] = actions[:, 0]
    obs = vec.reset(seeds)
    seen = [obs]
    rewards, ends = [], []
    for t in range(15):
        obs, reward, terminated, truncated, info = vec.step(actions[t])
        seen.append(obs)
        rewards.append(reward)
        ends.append(truncated)
        assert not terminated.any() and not info["success"].any()
    for row, seed in enumerate(seeds):
        env = gymnasium.make("Pendulum-v1")
        raw = env.reset(seed=int(seed))[0]
        for t in range(15):
            np.testing.assert_array_equal(seen[t]["observation.state"][row], raw[:2].astype(np.float32))
            np.testing.assert_array_equal(seen[t]["observation.environment_state"][row], raw[2:].astype(np.float32))
            raw, reward, *_ = env.step(actions[t, row].astype(np.float32))
            assert rewards[t][row] == reward
        env.close()
    np.testing.assert_array_equal(seen[-1]["observation.state"][0], seen[-1]["observation.state"][2])
    assert [end.all() for end in ends] == [False] * 14 + [True]
    vec.close()


def test_rows_that_have_ended_stand_still():
    vec = pendulum(2)
    before = vec.reset(np.array([1, 2]))
    after = vec.step(np.ones((2, 1)), np.array([False, True]))[0]
    np.testing.assert_array_equal(after["observation.state"][0], before["observation.state"][0])
    assert np.abs(after["observation.state"][1] - before["observation.state"][1]).max() > 0
    vec.close()


def test_a_short_group_fills_up_with_its_first_row():
    vec = pendulum(3)
    obs = vec.reset(np.array([4]))
    for values in obs.values():
        np.testing.assert_array_equal(values, np.repeat(values[:1], 3, 0))
    vec.close()


def test_the_spec_is_what_the_yaml_says():
    spec = pendulum().spec
    assert [f.name for f in spec.observations] == ["observation.state", "observation.environment_state"]
    assert spec.feature("observation.environment_state").units == ("rad/s",)
    assert (spec.action.names, spec.action.units, spec.action.kind, spec.rate_hz) == (("torque",), ("N m",), "position", 20.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"package": "gym_of_nobody", "extra": "pusht"},
            r"needs the package 'gym_of_nobody', which is not installed: pip install 'waldo\[pusht\]'",
        ),
        ({"package": "gym_of_nobody"}, "install gym_of_nobody"),
        ({"num_envs": 0}, "env.num_envs=0; it must be positive"),
        ({"id": "Pendlum-v1"}, "environment Pendlum-v1"),
        ({"kwargs": {"gravty": 9.81}}, "environment Pendulum-v1.*gravty"),
    ],
)
def test_an_environment_that_cannot_be_made_is_one_clear_error(options, message):
    with pytest.raises(ConfigError, match=message):
        pendulum(**options)


@pytest.mark.parametrize("name", ["pusht", "pusht_image"])
def test_push_t_runs_from_its_yaml(name):
    pytest.importorskip("gym_pusht", reason="the extra `pusht` is not installed")
    node = OmegaConf.load(ROOT / "configs/env" / f"{name}.yaml")
    node.num_envs = 2
    env = build(node)
    obs = env.reset(np.array([100000, 100001]))
    for feature in env.spec.observations:
        assert obs[feature.name].shape == (2, *feature.shape)
        assert obs[feature.name].dtype == (np.uint8 if feature.is_image else np.float32)
    target = obs["observation.state"] + [20, -10]  # the agent follows its target
    for _ in range(20):
        obs, reward, _, truncated, _ = env.step(target)
    np.testing.assert_allclose(obs["observation.state"], target, atol=2)
    assert (reward >= 0).all() and (reward <= 1).all() and not truncated.any()
    again = build(node)
    first = again.reset(np.array([100001, 100000]))
    np.testing.assert_array_equal(first["observation.state"][::-1], env.reset(np.array([100000, 100001]))["observation.state"])
    frames = env.render()
    assert frames.shape == (2, 192, 192, 3) and frames.dtype == np.uint8
    env.close()
    again.close()
