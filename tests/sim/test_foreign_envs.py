"""The environments that others made, each in its own interpreter, through the same class as ours. Those that `make venv-NAME` has not made are skipped.

WALDO_VENVS names the folder that holds .venv-metaworld and the others; without it, it is this repository.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from data.errors import ConfigError, RenderError
from sim.gym import GymConfig, GymVecEnv

ROOT = Path(__file__).resolve().parents[2]
YAMLS = {path.stem: OmegaConf.load(path) for path in sorted((ROOT / "configs" / "env").glob("*.yaml"))}
FOREIGN = [name for name, config in YAMLS.items() if config.get("requirements")]
EASY = ("drawer-open", "button-press", "door-close", "reach", "window-open")  # Meta-World: the expert succeeded in 20 of 20
pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]


def make(name, **options):
    """Skips, and says why, where the environment's own interpreter is not there."""
    config = OmegaConf.merge(
        OmegaConf.structured(GymConfig), {key: value for key, value in YAMLS[name].items() if key != "_target_"}, options
    )
    venv = Path(config.requirements).stem
    python = Path(os.environ.get("WALDO_VENVS") or ROOT) / f".venv-{venv}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is missing; make venv-{venv} installs it")
    return GymVecEnv(OmegaConf.to_object(OmegaConf.merge(config, {"python": str(python), "num_envs": 3, "workers": 1})))


def wander(env, seeds, steps=25):
    """Observations, rewards and errors of random actions; rows of equal seeds act alike."""
    rng = np.random.default_rng(0)
    seen, rewards, errors = [env.reset(seeds)], [], {}
    for _ in range(steps):
        action = rng.uniform(env.action_low, env.action_high, (3, env.spec.action.dim)).astype(np.float32)
        action[2] = action[0]
        obs, reward, _, _, info = env.step(action)
        seen.append(obs)
        rewards.append(reward)
        errors |= info["error"]
    return seen, np.array(rewards), errors


@pytest.mark.parametrize("name", FOREIGN)
def test_the_seed_decides_and_nothing_else_does(name):
    env = make(name)
    try:
        seen, rewards, errors = wander(env, np.array([5, 6, 5]))
        again, rewards_again, _ = wander(env, np.array([5, 6, 5]))
    finally:
        env.close()
    assert errors == {}
    for before, after in zip(seen, again):
        for key, values in before.items():
            np.testing.assert_array_equal(values, after[key])
            np.testing.assert_array_equal(values[0], values[2])
    np.testing.assert_array_equal(rewards, rewards_again)
    assert any((seen[0][key][0] != seen[0][key][1]).any() for key in seen[0]), "another seed, and all is the same"
    assert any((seen[0][key][0] != seen[-1][key][0]).any() for key in seen[0]), "nothing moves"


@pytest.mark.parametrize("name", FOREIGN)
def test_quaternions_are_unit_and_with_the_scalar_first(name):
    env = make(name)
    try:
        obs = env.reset(np.array([5, 6, 7]))
        for feature in env.spec.observations:
            for first in feature.quaternions:
                quats = obs[feature.name][:, first : first + 4]
                np.testing.assert_allclose(np.linalg.norm(quats, axis=1), 1, atol=0.05)  # Kitchen adds noise
                assert [feature.names[first + i].rsplit("q", 1)[1] for i in range(4)] == ["w", "x", "y", "z"]
    finally:
        env.close()


@pytest.mark.needs_gl
@pytest.mark.parametrize("name", FOREIGN)
def test_pictures_come_from_every_camera_and_as_observations(name):
    env = make(name, images=True)
    try:
        obs = env.reset(np.array([5, 6, 5]))
        films = {camera: env.render(camera, np.array([0]), (120, 160)) for camera in ("", *env.camera_names)}
    except RenderError as error:
        pytest.skip(str(error))
    finally:
        env.close()
    images = [feature for feature in env.spec.observations if feature.is_image]
    assert images
    for feature in images:
        assert obs[feature.name].shape == (3, *feature.shape) and obs[feature.name].std() > 5
        np.testing.assert_array_equal(obs[feature.name][0], obs[feature.name][2])
    for camera, film in films.items():
        assert film.shape == (1, 120, 160, 3) and film.std() > 5, camera
    assert len({film.tobytes() for film in films.values()}) == max(len(env.camera_names), 1), "two cameras see the same"


def successes(env, seeds):
    """(len(seeds),) bool: what the scripted expert achieves."""
    env.reset(seeds)
    won = np.zeros(len(seeds), bool)
    for _ in range(env.max_steps):
        _, _, terminated, truncated, info = env.step(env.expert_actions(np.arange(len(seeds))))
        won |= info["success"]
        if (terminated | truncated | won).all():
            break
    return won


@pytest.mark.parametrize("task", EASY)
def test_meta_worlds_expert_solves_its_task(task):
    env = make("metaworld", id=f"Meta-World/{task}-v3", task=task)
    try:
        assert env.about["task"] == f"{task}-v3"
        assert successes(env, np.array([100, 101, 102])).all()
    finally:
        env.close()


@pytest.mark.parametrize("name", ["aloha_transfer_cube", "aloha_insertion"])
def test_the_two_arms_expert_solves_its_task(name):
    env = make(name)
    try:
        assert successes(env, np.array([100, 101, 102])).all()
    finally:
        env.close()


def test_an_unknown_task_is_answered_with_the_like():
    with pytest.raises(ConfigError, match=r"no id 'Meta-World/drawer-opn-v3'.*Meta-World/drawer-open-v3"):
        make("metaworld", id="Meta-World/drawer-opn-v3")
