"""Handing over a bar: it has to be in the left hand, high up, with the right hand gone; and two demonstrating hands do that."""

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import quat_about_z
from sim.demonstrate import demonstrate
from sim.tasks.transfer import AWAY, BAR_HALF, HEIGHT, LEFT, LEVELS, RIGHT, Transfer, TransferConfig

SEEDS = np.arange(70, 74)
TASK = {"_target_": "sim.tasks.transfer.Transfer"}
EXPERT = {"task": TASK, "expert": "sim.tasks.transfer.TransferExpert", "max_steps": 320}
UPRIGHT = np.array([[1.0, 0, 0, 0]])


@pytest.fixture
def placed(arm):
    """Both arms at home, 0.43 m from each other."""
    env = arm(1, task=TASK, home_noise=0.0)
    env.reset(SEEDS[:1])
    return env


def put(env, position, quat=UPRIGHT, left=2 * BAR_HALF, right=0.08):
    """The bar somewhere, and the grippers open by `left` and `right` [m]."""
    q, _ = env.physics.joints()
    env.physics.set_joints(q, np.array([[left, right]]), np.array([0]))
    env.physics.set_body("bar", np.asarray(position, float).reshape(1, 3), quat, np.array([0]))


def test_bars_start_on_the_right_where_the_level_says(arm):
    level = LEVELS["medium"]
    env = arm(64, task=TASK)
    seen = env.reset(np.arange(64))["observation.environment_state"]
    yaw = 2 * np.arctan2(seen[:, 6], seen[:, 3])
    for (low, high), values in ((level["bar_x"], seen[:, 0]), (level["bar_y"], seen[:, 1]), ((-level["bar_yaw"], level["bar_yaw"]), yaw)):
        assert (values >= low - 1e-6).all() and (values <= high + 1e-6).all() and np.ptp(values) > 0.8 * (high - low)
    np.testing.assert_allclose(seen[:, 2], BAR_HALF, atol=1e-6)
    assert not env.task.success(env.physics).any() and env.task.reward(env.physics).max() < 0.2


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_bar_is_as_long_as_the_level_says(arm, level):
    env = arm(1, task=TASK | {"level": level})
    np.testing.assert_allclose(env.physics.model.geom("bar").size, [BAR_HALF, LEVELS[level]["half_length"], BAR_HALF])


def test_distances_are_to_the_nearest_point_of_the_bar(placed):
    tool = placed.physics.tool(LEFT)[0][0]
    put(placed, tool + [0.03, 0.05, 0.04])  # 0.05 along it is still beside it
    assert placed.task.distance(placed.physics, LEFT)[0] == pytest.approx(0.05, abs=1e-9)
    put(placed, tool + [0.0, 0.15, 0.12])  # 0.05 past its end
    assert placed.task.distance(placed.physics, LEFT)[0] == pytest.approx(0.13, abs=1e-9)
    put(placed, tool + [0.15, 0.0, 0.0], quat_about_z(np.array([np.pi / 2])))  # turned to point along x
    assert placed.task.distance(placed.physics, LEFT)[0] == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "done"),
    [
        ({}, True),
        ({"left": 0.08}, False),  # between open fingers
        ({"left": 0.0}, False),  # through closed ones
        ({"right": 2 * BAR_HALF}, False),  # the right hand closed
        ({"offset": [0.0, 0.0, -0.02]}, False),  # below the fingers
        ({"offset": [0.0, 0.12, 0.0]}, False),  # past the bar's end
        ({"offset": [0.0, -0.08, 0.0]}, True),  # held by the end
    ],
)
def test_it_is_done_when_the_left_hand_alone_holds_the_bar(placed, change, done):
    position = placed.physics.tool(LEFT)[0][0] + change.get("offset", [0.0, 0.0, 0.0])
    put(placed, position, **{key: value for key, value in change.items() if key != "offset"})
    assert placed.task.success(placed.physics)[0] == done
    assert (placed.task.reward(placed.physics)[0] == 1.0) == done


def test_the_right_hand_has_to_go_away_and_the_bar_to_be_high(arm):
    env = arm(1, task=TASK | {"half_length": 0.15}, home_noise=0.0)
    obs = env.reset(SEEDS[:1])["observation.state"]

    def both(gap, z):
        """Send the left tool to the middle, the right one `gap` away from the bar that the left one is to hold."""
        goal = obs.copy()
        goal[0, :3], goal[0, 8:11] = [0.35, 0.05, z], [0.35, -0.1 - gap, z]
        for _ in range(60):
            state = env.step(goal)[0]["observation.state"]
        put(env, state[0, :3])
        return env.task.distance(env.physics, RIGHT)[0], env.task.success(env.physics)[0]

    for gap, z, done in ((AWAY + 0.02, 0.3, True), (AWAY - 0.02, 0.3, False), (AWAY + 0.02, HEIGHT - 0.02, False)):
        found, success = both(gap, z)
        assert found == pytest.approx(gap, abs=0.006)
        assert success == done


def test_the_reward_rises_along_a_hand_over(placed):
    task, physics = placed.task, placed.physics
    tools = [physics.tool(arm)[0][0] for arm in (LEFT, RIGHT)]
    rewards = []
    for position, left, right in (
        ([0.35, -0.2, BAR_HALF], 0.08, 0.08),  # on the table
        (tools[RIGHT], 0.08, 2 * BAR_HALF),  # in the right hand
        ((tools[LEFT] + tools[RIGHT]) / 2 + [0, -0.05, 0], 0.08, 2 * BAR_HALF),  # between both
        (tools[LEFT], 2 * BAR_HALF, 0.03),  # in the left hand, the right one not yet open
        (tools[LEFT], 2 * BAR_HALF, 0.08),
    ):
        put(placed, position, left=left, right=right)
        rewards.append(task.reward(physics)[0])
    assert rewards[0] < rewards[1] < rewards[3] < 0.96 and rewards[0] < rewards[2] < rewards[3] and rewards[4] == 1.0


def test_a_bar_that_falls_past_the_left_hand_is_no_success(placed):
    goal = placed.observe()["observation.state"].copy()
    goal[:, 7] = 2 * BAR_HALF
    for _ in range(12):
        placed.step(goal)
    for shift in (0.02, 0.06):
        placed.physics.set_body("bar", placed.physics.tool(LEFT)[0] + [shift, 0, 0.1], UPRIGHT, np.array([0]))
        for _ in range(15):
            assert not placed.step(goal)[4]["success"].any()


def test_two_hands_demonstrate_it_and_earn_more_and_more(arm):
    env = arm(4, reward="dense", **EXPERT)
    for demo in demonstrate(env, SEEDS, ["clean"] * 4):
        reward, action = demo.columns["next.reward"][:, 0], demo.columns["action"]
        done = int(np.argmax(reward == 1.0))
        assert action.shape[1] == 16 and demo.success and demo.columns["next.terminated"][-1] and 60 < len(reward) < 260
        assert reward[:done].max() < 0.96 and reward[0] < 0.2
        thirds = [part.mean() for part in np.array_split(reward, 3)]
        assert thirds[0] < thirds[1] < thirds[2]
        closed = np.argmax(action[:, [7, 15]] == 0, 0)
        assert 0 < closed[RIGHT] < closed[LEFT]  # the right one takes it first
        assert np.abs(np.diff(action[:, [0, 1, 2, 8, 9, 10]], axis=0)).max() < 0.06  # nobody teleports


def test_half_of_those_who_make_mistakes_fail(arm):
    env = arm(12, **EXPERT)
    good = sum(demo.success for demo in demonstrate(env, np.arange(12), ["wrong"] * 12))
    assert 2 <= good <= 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "mediun"}, "did you mean 'medium'"),
        ({"bar_x": [0.6, 0.4]}, "env.task.bar_x must be .low, high., found"),
        ({"half_length": 0.05}, "two grippers need 0.08 to 0.15"),
        ({"bar_yaw": 2.0}, "env.task.bar_yaw=2.0; allowed"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Transfer(TransferConfig(**options))
