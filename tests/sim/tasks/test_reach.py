"""Reach: a point in the air, and an arm that holds still there."""

import numpy as np
import pytest

from data.errors import ConfigError
from sim.demonstrate import demonstrate
from sim.env import SUCCESS_STEPS
from sim.tasks.reach import LEVELS, Reach, ReachConfig

SEEDS = np.arange(70, 74)
TASK = {"_target_": "sim.tasks.reach.Reach"}
EXPERT = {"task": TASK, "expert": "sim.tasks.reach.ReachExpert", "max_steps": 160}
UPRIGHT = np.array([[1.0, 0, 0, 0]])


def put(env, offset):
    """The target `offset` beside where the tool is."""
    env.physics.set_body("target", env.physics.tool()[0] + offset, np.repeat(UPRIGHT, env.num_envs, 0), np.arange(env.num_envs))


def test_targets_lie_in_the_ring_that_the_level_names(arm):
    ring = LEVELS["medium"]
    env = arm(64, task=TASK)
    xyz = env.reset(np.arange(64))["observation.environment_state"]
    for name, values in (
        ("radius", np.hypot(xyz[:, 0], xyz[:, 1])),
        ("azimuth", np.arctan2(xyz[:, 1], xyz[:, 0])),
        ("height", xyz[:, 2]),
    ):
        low, high = ring[name]
        assert (values >= low - 1e-6).all() and (values <= high + 1e-6).all(), name
        assert np.ptp(values) > 0.8 * (high - low), name  # and all over it
    assert env.observe()["observation.environment_state"].shape == (64, 3)


def test_no_episode_starts_near_its_target(arm):
    env = arm(64, task={**TASK, "level": "hard"})
    obs = env.reset(np.arange(64))
    gap = np.linalg.norm(obs["observation.state"][:, :3] - obs["observation.environment_state"], axis=1)
    assert gap.min() > 0.03 and not env.task.success(env.physics).any()


@pytest.mark.parametrize(("offset", "there"), [(0.0, True), (0.019, True), (0.021, False), (0.3, False)])
def test_it_succeeds_within_the_tolerance_and_not_beyond(arm, offset, there):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    put(env, [0.0, offset * 0.6, -offset * 0.8])
    assert env.task.success(env.physics)[0] == there
    assert (env.task.reward(env.physics)[0] == 1.0) == there


def test_an_arm_that_rushes_through_has_not_arrived(arm):
    env = arm(1, task=TASK)
    action = env.reset(SEEDS[:1])["observation.state"].copy()
    for _ in range(8):
        action[0, 1] += 0.02  # 0.4 m/s
        env.step(action)
        put(env, [0.0, 0.0, 0.0])
        assert not env.step(action)[4]["success"].any()
    for _ in range(SUCCESS_STEPS + 8):  # it stops, and the marker is where it stops
        put(env, [0.0, 0.0, 0.0])
        done = env.step(action)[4]["success"]
    assert done.all()


def test_the_nearer_the_more_reward_and_never_all_of_it_before_it_is_done(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    rewards = []
    for gap in (0.6, 0.4, 0.2, 0.1, 0.05, 0.025):
        put(env, [gap, 0.0, 0.0])
        rewards.append(env.task.reward(env.physics)[0])
    assert (np.diff(rewards) > 0).all() and 0 < rewards[0] and rewards[-1] < 0.96
    # By hand: 0.2 past the tolerance is half a margin, and a long tail gives 1 / (1 + 0.25 * 9) there.
    put(env, [0.22, 0.0, 0.0])
    assert env.task.reward(env.physics)[0] == pytest.approx(0.95 / 3.25, rel=1e-6)


def test_nothing_collides_with_the_marker(arm):
    env = arm(2, task=TASK)
    env.reset(np.array([3, 3]))
    action = env.observe()["observation.state"]
    env.physics.set_body("target", env.physics.tool()[0][1:], UPRIGHT, np.array([1]))  # one arm has it between the fingers
    action[:, 7] = 0.0
    for _ in range(25):
        env.step(action)
    np.testing.assert_array_equal(env.physics.joints()[0][0], env.physics.joints()[0][1])
    assert env.physics.widths().max() < 0.002


def test_the_expert_gets_there_and_earns_more_and_more(arm):
    env = arm(4, reward="dense", **EXPERT)
    for demo in demonstrate(env, SEEDS, ["clean"] * 4):
        reward = demo.columns["next.reward"][:, 0]
        assert demo.success and demo.columns["next.terminated"][-1]
        assert reward[-1] == 1.0 and reward[0] < 0.8 and reward[-1] > reward[len(reward) // 2] > reward[0]


def test_half_of_those_who_make_mistakes_fail(arm):
    env = arm(40, **EXPERT)
    good = sum(demo.success for demo in demonstrate(env, np.arange(40), ["wrong"] * 40))
    assert 8 <= good <= 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "esay"}, "did you mean 'easy'"),
        ({"radius": [0.6, 0.4]}, "env.task.radius must be .low, high., found"),
        ({"tolerance": 0.0}, "env.task.tolerance=0.0; allowed: 0.002 to 0.1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Reach(ReachConfig(**options))
