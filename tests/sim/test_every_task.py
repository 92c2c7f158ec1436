"""What every task of ours has to satisfy, on both engines: one set of tests over every YAML in configs/env that names an ArmVecEnv."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from omegaconf import OmegaConf

from data.config import build, typed
from data.errors import SpecError
from data.spec import require_match
from data.statistics import wilson
from sim.demonstrate import demonstrate
from sim.env import ArmConfig
from sim.single import ArmEnv
from tests.sim.conftest import wander

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "env"
NODES = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in sorted(CONFIGS.glob("*.yaml"))}
TASKS = [name for name, node in NODES.items() if node.get("_target_") == "sim.env.ArmVecEnv"]
SEEDS = np.arange(70, 75)
STEPS = 12

every_task = pytest.mark.parametrize("name", TASKS)
NO_BULLET = importlib.util.find_spec("pybullet") is None
pybullet = pytest.param("pybullet", marks=pytest.mark.skipif(NO_BULLET, reason="needs the extra pybullet"))
every_engine = pytest.mark.parametrize("engine", ["mujoco", pybullet])


def make(name, num_envs=1, engine="mujoco", **options):
    return build(NODES[name], num_envs=num_envs, engine=engine, **{"threads": 1, **options})


def played(name, num_envs, engine, seeds=SEEDS, render=False, **options):
    """seed -> everything that was seen and got, (STEPS + 1, D), running the seeds `num_envs` at a time."""
    env, out = make(name, num_envs, engine, reward="dense", **options), {}
    for first in range(0, len(seeds), num_envs):
        group = seeds[first : first + num_envs]
        obs = env.reset(group)
        start = obs["observation.state"][: len(group)]
        each = start.shape[1] // len(env.arms)
        plan = np.concatenate([wander(group + 100 * i, STEPS, start[:, i * each : (i + 1) * each]) for i in range(len(env.arms))], 2)
        plan = np.concatenate([plan, np.repeat(plan[:1], num_envs - len(group), 0)])
        seen = [np.concatenate([*obs.values(), np.zeros((num_envs, 1))], 1)]
        for t in range(STEPS):
            if render:
                env.render(env.task.cameras[0], np.array([0]), (16, 16))
            obs, reward, *_ = env.step(plan[:, t])
            assert ((reward >= 0) & (reward <= 1)).all()
            seen.append(np.concatenate([*obs.values(), reward[:, None]], 1))
        for i, seed in enumerate(group):
            out[int(seed)] = np.stack(seen)[:, i]
    env.close()
    return out


def first_reached(env, seeds):
    """Clean demonstrations, and the control step at which each of their milestones was first reached, (B, M); 10_000 is never."""
    log, step = [], env.step

    def watched(action, active):
        result = step(action, active)
        log.append(result[4]["milestones"] & active[:, None])
        return result

    env.step = watched
    done, first = [], []
    for start in range(0, len(seeds), env.num_envs):
        group = seeds[start : start + env.num_envs]
        done += demonstrate(env, group, ["clean"] * len(group))
        seen = np.stack(log)  # (T, B, M)
        first.append(np.where(seen.any(0), seen.argmax(0), 10_000)[: len(group)])
        log.clear()
    return done, np.concatenate(first)


def require_in_order(done, first, milestones):
    for demonstration, steps in zip(done, first, strict=True):
        if demonstration.success:
            assert len(steps) >= 3 and steps.max() < 10_000, dict(zip(milestones, steps))
            assert (np.diff(steps) >= 0).all(), dict(zip(milestones, steps))


@every_engine
@every_task
def test_an_episode_is_the_same_bit_for_bit_beside_any_others(name, engine):
    alone, together = played(name, 1, engine), played(name, 3, engine, SEEDS[::-1], threads=2)
    for seed, seen in alone.items():
        np.testing.assert_array_equal(together[seed], seen)
    assert np.isfinite(np.stack(list(alone.values()))).all()
    assert len({seen.tobytes() for seen in alone.values()}) == len(SEEDS)


@every_engine
@every_task
def test_an_episode_does_not_depend_on_those_before_it(name, engine):
    env = make(name, 2, engine)
    runs = []
    for seeds in (SEEDS[:2], SEEDS[2:4], SEEDS[:2], SEEDS[:2]):
        obs = env.reset(seeds)
        rng, seen = np.random.default_rng(0), []
        for _ in range(8):
            action = obs["observation.state"] + rng.normal(0, 0.03, obs["observation.state"].shape).astype(np.float32)
            obs = env.step(action)[0]
            seen.append(np.concatenate(list(obs.values()), 1))
        runs.append(np.stack(seen))
    env.close()
    np.testing.assert_array_equal(runs[2], runs[0])
    np.testing.assert_array_equal(runs[3], runs[0])  # straight after itself, where an engine's cached contacts are all still there
    assert not np.array_equal(runs[1], runs[0])


@pytest.mark.needs_gl
@every_task
def test_rendering_changes_nothing(gl, name):
    plain, drawn = played(name, 2, "mujoco", SEEDS[:2]), played(name, 2, "mujoco", SEEDS[:2], render=True)
    for seed, seen in plain.items():
        np.testing.assert_array_equal(drawn[seed], seen)


@pytest.mark.skipif(NO_BULLET, reason="needs the extra pybullet")
@every_task
def test_both_engines_start_from_the_same_world_and_speak_of_it_in_the_same_words(name):
    envs = [make(name, 2, engine) for engine in ("mujoco", "pybullet")]
    assert envs[0].spec == envs[1].spec
    first, second = (env.reset(SEEDS[:2]) for env in envs)
    assert list(first) == list(second) == [f.name for f in envs[0].spec.observations if not f.is_image]
    for key, values in first.items():
        assert values.dtype == np.float32 and values.shape == (2, *envs[0].spec.feature(key).shape)
        np.testing.assert_allclose(second[key], values, atol=1e-6)
    for env in envs:
        env.close()


@pytest.mark.filterwarnings("ignore:.*Box")  # it would like actions in [-1, 1] and finite observations: ours are in SI units
@every_engine
@every_task
def test_gymnasiums_own_checker_is_content(name, engine):
    node = {key: value for key, value in NODES[name].items() if key != "_target_"}
    env = ArmEnv(typed(ArmConfig, {**node, "engine": engine, "threads": 1}, "env"))
    check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@every_engine
@every_task
def test_its_expert_succeeds_in_nine_of_ten_episodes(name, engine):
    """In eight of ten of the two that are hardest to do; the lower end of the 95 % interval counts. And it passes every milestone."""
    env = make(name, 50, engine, threads=0)
    done, first = first_reached(env, np.arange(300))
    env.close()
    require_in_order(done, first, env.milestones)
    good = sum(demonstration.success for demonstration in done)
    assert wilson(good, 300)[0] >= (0.8 if name in ("peg_insertion", "transfer") else 0.9), good


@every_task
def test_its_expert_is_at_work_and_passes_every_milestone_in_order(name):
    """How often it succeeds, and PyBullet, is for the slow test above."""
    env = make(name, 3)
    done, first = first_reached(env, SEEDS[:3])
    env.close()
    require_in_order(done, first, env.milestones)
    assert sum(d.success for d in done) >= 2
    assert all(len(d.columns["action"]) < env.max_steps for d in done if d.success)


@every_engine
@every_task
def test_doing_nothing_is_no_success_and_comes_no_further_than_the_start(name, engine):
    env = make(name, 8, engine)
    obs = env.reset(np.arange(300, 308))
    start = env.task.reached(env.physics)
    assert start.shape == (8, len(env.milestones)) and start.dtype == bool and len(set(env.milestones)) == len(env.milestones)
    for _ in range(12):
        obs, reward, terminated, _, info = env.step(obs["observation.state"])
        assert not terminated.any() and (reward == 0).all()
        assert not (info["milestones"] & ~start).any() and not info["milestones"][:, -1].any() and not info["limited"].any()
    env.close()


@every_task
def test_levels_differ_and_an_unknown_one_is_refused(name):
    starts = {}
    for level in ("easy", "medium", "hard"):
        env = make(name, 6, task={**NODES[name]["task"], "level": level})
        starts[level] = np.concatenate([v.ravel() for v in env.reset(np.arange(6)).values()])
        env.close()
    worlds = {level: values.tobytes() for level, values in starts.items()}
    assert len(set(worlds.values())) >= 2, "the levels of a task are its difficulty, and these are all the same"


def test_the_policy_of_another_task_is_refused():
    env, other = make("pick_place"), make("stack")
    with pytest.raises(SpecError, match="stack"):
        require_match(other.spec, env.spec, "environment pick_place")
    env.close()
    other.close()
