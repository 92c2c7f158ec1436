"""Opening a door: only its angle counts, wherever the cupboard stands, and the expert goes along the arc in two ways."""

import mujoco
import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import quat_about_z
from sim.demonstrate import demonstrate
from sim.tasks.door_open import LEVELS, SWING, DoorOpen
from sim.tasks.furniture import FurnitureConfig

SEEDS = np.arange(1, 5)
TASK = {"_target_": "sim.tasks.door_open.DoorOpen"}
EXPERT = {"task": TASK, "expert": "sim.tasks.door_open.DoorOpenExpert", "max_steps": 240}
ROW = np.array([0])


def put(env, angle, xy=(0.74, 0.05), yaw=0.0):
    env.physics.set_body("cupboard", np.array([[*xy, 0.0]]), quat_about_z(np.array([yaw])), ROW)
    env.physics.set_joint("door", np.array([angle]), ROW)


@pytest.fixture
def one(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    return env


def test_cupboards_stand_in_their_ranges_with_the_door_almost_shut(arm):
    ranges = LEVELS["medium"]
    seen = arm(100, task=TASK).reset(np.arange(100))["observation.environment_state"]
    yaw = 2 * np.arctan2(seen[:, 6], seen[:, 3])
    for values, (low, high) in ((seen[:, 0], ranges["x"]), (seen[:, 1], ranges["y"]), (yaw, (-ranges["yaw"], ranges["yaw"]))):
        assert (values >= low - 1e-6).all() and (values <= high + 1e-6).all()
        assert np.ptp(values) > 0.8 * (high - low)
    assert (seen[:, 10] >= 0).all() and (seen[:, 10] <= ranges["ajar"] + 1e-6).all()
    np.testing.assert_allclose(seen[:, 11], ranges["opening"], rtol=1e-6)


def test_the_handle_swings_towards_the_arm_and_to_the_left(one):
    """At 90 degrees (-0.062, -0.21) from the hinge has become (-0.21, 0.062)."""
    hinge = np.array([0.74 - 0.108, 0.05 + 0.126])
    put(one, 0.0)
    np.testing.assert_allclose(one.task.handle(one.physics)[0], [hinge[0] - 0.062, hinge[1] - 0.21, 0.179], atol=1e-9)
    put(one, np.pi / 2)
    np.testing.assert_allclose(one.task.handle(one.physics)[0], [hinge[0] - 0.21, hinge[1] + 0.062, 0.179], atol=1e-9)


def test_the_handle_is_on_the_bar_that_mujoco_has(one):
    put(one, 0.6, yaw=0.2)
    data = mujoco.MjData(one.physics.model)
    data.qpos[:] = one.physics.qpos[0]
    mujoco.mj_kinematics(one.physics.model, data)
    bar = data.geom("handle").xpos
    np.testing.assert_allclose(one.observe()["observation.environment_state"][0, 7:10], bar + [0, 0, 0.022], atol=1e-6)


@pytest.mark.parametrize(("degrees", "done"), [(0, False), (44.5, False), (45.5, True), (100, True)])
def test_it_is_done_when_the_door_is_open_wide_enough(one, degrees, done):
    put(one, np.radians(degrees))
    assert one.task.success(one.physics)[0] == done
    assert (one.task.reward(one.physics)[0] == 1.0) == done


def test_a_cupboard_that_is_turned_is_no_open_door(one):
    put(one, 0.0, yaw=-1.2)
    assert not one.task.success(one.physics)[0] and one.task.reward(one.physics)[0] < 0.3


def test_reward_rises_with_the_angle(one):
    rewards = []
    for degrees in (0, 15, 30, 44, 46):
        put(one, np.radians(degrees))
        rewards.append(one.task.reward(one.physics)[0])
    assert (np.diff(rewards) > 0).all() and rewards[0] < 0.2 and rewards[-2] < 0.96


@pytest.mark.parametrize("engine", ["mujoco", "pybullet"])
def test_untouched_the_cupboard_and_its_door_stay_where_they_are(arm, engine):
    env = arm(1, task=TASK, engine=engine)
    obs = env.reset(SEEDS[:1])
    before = obs["observation.environment_state"].copy()
    for _ in range(20):
        obs = env.step(obs["observation.state"])[0]
    np.testing.assert_allclose(obs["observation.environment_state"], before, atol=1e-3)


def test_the_expert_opens_it_in_two_ways_and_the_cupboard_stays(arm):
    env, widths = arm(4, reward="dense", **EXPERT), []
    for demo in demonstrate(env, SEEDS, ["clean"] * 4):
        reward, seen = demo.columns["next.reward"][:, 0], demo.columns["observation.environment_state"]
        assert demo.success and demo.columns["next.terminated"][-1]
        assert reward[-1] == 1.0 and reward[:-6].max() < 1.0
        assert reward[-7] > reward[len(reward) // 2] > reward[0]
        assert np.abs(seen[-1, :7] - seen[0, :7]).max() < 0.005  # only the door came
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
        ({"y": [0.3, 0.2]}, "env.task.y must be .low, high., found"),
        ({"yaw": -0.1}, "env.task.yaw=-0.1; allowed: 0 to 0.6"),
        ({"opening": 1.85}, f"opening=1.85; wanted 0 <= ajar < opening <= {SWING - 0.1:g}"),
        ({"ajar": 1.0}, "ajar=1.0, opening=0.78.*; wanted"),
        ({"friction": 5.0}, "friction=5.0; allowed: 0 to 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        DoorOpen(FurnitureConfig(**options))
