"""Opening a drawer: only the drawer counts, wherever the cabinet stands, and the expert knows two ways."""

import mujoco
import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import quat_about_z
from sim.demonstrate import demonstrate
from sim.tasks.drawer_open import LEVELS, TRAVEL, DrawerOpen
from sim.tasks.furniture import FurnitureConfig

SEEDS = np.arange(4)
TASK = {"_target_": "sim.tasks.drawer_open.DrawerOpen"}
EXPERT = {"task": TASK, "expert": "sim.tasks.drawer_open.DrawerOpenExpert", "max_steps": 240}
ROW = np.array([0])


def put(env, opening, xy=(0.7, 0.05), yaw=0.2):
    env.physics.set_body("cabinet", np.array([[*xy, 0.0]]), quat_about_z(np.array([yaw])), ROW)
    env.physics.set_joint("drawer", np.array([opening]), ROW)


@pytest.fixture
def one(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    return env


def test_cabinets_stand_in_their_ranges_with_the_drawer_almost_shut(arm):
    ranges = LEVELS["medium"]
    seen = arm(100, task=TASK).reset(np.arange(100))["observation.environment_state"]
    yaw = 2 * np.arctan2(seen[:, 6], seen[:, 3])
    for values, (low, high) in ((seen[:, 0], ranges["x"]), (seen[:, 1], ranges["y"]), (yaw, (-ranges["yaw"], ranges["yaw"]))):
        assert (values >= low - 1e-6).all() and (values <= high + 1e-6).all()
        assert np.ptp(values) > 0.8 * (high - low)
    assert (seen[:, 10] >= 0).all() and (seen[:, 10] <= ranges["ajar"] + 1e-6).all()
    np.testing.assert_allclose(seen[:, 11], ranges["opening"])


def test_the_handle_is_where_mujoco_has_it(one):
    put(one, 0.07, yaw=0.3)
    model, data = one.physics.model, mujoco.MjData(one.physics.model)
    data.qpos[:] = one.physics.qpos[0]
    mujoco.mj_kinematics(model, data)
    bar = data.geom("handle").xpos
    np.testing.assert_allclose(one.observe()["observation.environment_state"][0, 7:10], bar, atol=1e-6)
    shut = np.array([0.7, 0.05]) + (-0.106 - 0.056 - 0.07) * np.array([np.cos(0.3), np.sin(0.3)])
    np.testing.assert_allclose(bar, [*shut, 0.136 + 0.012], atol=1e-9)


@pytest.mark.parametrize(("opening", "done"), [(0.0, False), (0.119, False), (0.121, True), (TRAVEL, True)])
def test_it_is_done_when_the_drawer_is_open_wide_enough(one, opening, done):
    put(one, opening)
    assert one.task.success(one.physics)[0] == done
    assert (one.task.reward(one.physics)[0] == 1.0) == done


def test_a_cabinet_that_is_pushed_away_is_no_open_drawer(one):
    put(one, 0.0, xy=(0.9, 0.3), yaw=-0.6)
    assert not one.task.success(one.physics)[0] and one.task.reward(one.physics)[0] < 0.3


def test_reward_rises_with_the_opening(one):
    rewards = []
    for opening in (0.0, 0.03, 0.06, 0.09, 0.119, 0.121):
        put(one, opening)
        rewards.append(one.task.reward(one.physics)[0])
    assert (np.diff(rewards) > 0).all() and rewards[0] < 0.2 and rewards[-2] < 0.96


@pytest.mark.parametrize("engine", ["mujoco", "pybullet"])
def test_untouched_the_cabinet_and_its_drawer_stay_where_they_are(arm, engine):
    env = arm(1, task=TASK, engine=engine)
    obs = env.reset(SEEDS[:1])
    before = obs["observation.environment_state"].copy()
    for _ in range(20):
        obs = env.step(obs["observation.state"])[0]
    np.testing.assert_allclose(obs["observation.environment_state"], before, atol=1e-3)


def test_the_expert_opens_it_in_two_ways_and_the_cabinet_stays(arm):
    env, widths = arm(4, reward="dense", **EXPERT), []
    for demo in demonstrate(env, SEEDS, ["clean"] * 4):
        reward, seen = demo.columns["next.reward"][:, 0], demo.columns["observation.environment_state"]
        assert demo.success and demo.columns["next.terminated"][-1]
        assert reward[-1] == 1.0 and reward[:-6].max() < 1.0
        assert reward[-7] > reward[len(reward) // 2] > reward[0]
        assert np.abs(seen[-1, :7] - seen[0, :7]).max() < 0.005  # only the drawer came
        widths.append(demo.columns["observation.state"][-1, 7])
    assert min(widths) < 0.005 and max(widths) > 0.012  # closed behind the bar, or closed on it


@pytest.mark.slow
def test_mistakes_fail_and_tremor_does_not(arm):
    env = arm(40, **EXPERT)
    good = sum(demo.success for demo in demonstrate(env, np.arange(40), ["wrong"] * 40))
    assert 8 <= good <= 32
    assert sum(demo.success for demo in demonstrate(env, np.arange(40), ["noisy"] * 40)) > 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "medum"}, "did you mean 'medium'"),
        ({"x": [0.8, 0.7]}, "env.task.x must be .low, high., found"),
        ({"yaw": 1.5}, "env.task.yaw=1.5; allowed: 0 to 0.6"),
        ({"opening": 0.3}, "opening=0.3; wanted 0 <= ajar < opening <= 0.17"),
        ({"ajar": 0.13}, "ajar=0.13, opening=0.12; wanted"),
        ({"friction": -1.0}, "friction=-1.0; allowed: 0 to 20"),
        ({"friction": float("nan")}, "friction=nan; allowed: 0 to 20"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        DrawerOpen(FurnitureConfig(**options))
