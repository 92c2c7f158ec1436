"""Stack: what counts as standing on the other cube, and what does not."""

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import quat_about_z
from sim.demonstrate import demonstrate
from sim.tasks.stack import AWAY, LEVELS, Stack, StackConfig

SEEDS = np.arange(70, 74)
TASK = {"_target_": "sim.tasks.stack.Stack"}
EXPERT = {"task": TASK, "expert": "sim.tasks.stack.StackExpert", "max_steps": 400}
FLAT = np.array([[1.0, 0, 0, 0]])
HALF = LEVELS["medium"]["cube_half"]


def stand(env, red, green=(0.5, 0.1, HALF)):
    """Both cubes where they are told to be, in row 0."""
    env.physics.set_body("green", np.array([green]), FLAT, np.array([0]))
    env.physics.set_body("red", np.array(green) + [red], FLAT, np.array([0]))
    return bool(env.task.success(env.physics)[0])


def test_cubes_lie_on_the_table_in_their_ranges_and_apart(arm):
    ranges = LEVELS["medium"]
    env = arm(100, task=TASK)
    seen = env.reset(np.arange(100))["observation.environment_state"]
    red, green = seen[:, :7], seen[:, 7:]
    for cube in (red, green):
        for axis, name in enumerate(("cube_x", "cube_y")):
            low, high = ranges[name]
            assert (cube[:, axis] >= low - 1e-6).all() and (cube[:, axis] <= high + 1e-6).all()
            assert np.ptp(cube[:, axis]) > 0.8 * (high - low)
        np.testing.assert_allclose(cube[:, 2], HALF, atol=1e-6)
        assert (np.abs(2 * np.arctan2(cube[:, 6], cube[:, 3])) <= ranges["cube_yaw"] + 1e-5).all()
    assert np.linalg.norm(red[:, :2] - green[:, :2], axis=1).min() >= ranges["apart"] - 1e-6
    assert not env.task.success(env.physics).any()


@pytest.mark.parametrize(
    ("red", "stacked"),
    [
        ((0, 0, 2 * HALF), True),
        ((0.7 * HALF, 0.7 * HALF, 2 * HALF), True),  # half a cube off is the most
        ((0.8 * HALF, 0.8 * HALF, 2 * HALF), False),
        ((1.05 * HALF, 0, 2 * HALF), False),
        ((0, 0, 2 * HALF + 0.008), False),  # it hangs over it
        ((0, 0, 0), False),
        ((2.2 * HALF, 0, 0), False),  # it lies beside it
    ],
)
def test_red_must_be_on_green_within_half_a_cube(arm, red, stacked):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    assert stand(env, red) == stacked
    assert (env.task.reward(env.physics)[0] == 1.0) == stacked


def test_the_order_of_the_cubes_and_a_lifted_tower_count(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    assert not stand(env, (0, 0, -2 * HALF), (0.5, 0.1, 3 * HALF))  # green on red
    assert not stand(env, (0, 0, 2 * HALF), (0.5, 0.1, HALF + 0.02))  # a tower in the air
    assert stand(env, (0, 0, 2 * HALF))


def test_a_cube_that_still_moves_or_is_still_held_is_no_success(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    assert stand(env, (0, 0, 2 * HALF))
    physics = env.physics
    q, _ = physics.joints()
    physics.set_joints(q, np.array([[2 * HALF]]), np.array([0]))  # closed as far as a cube
    assert not env.task.success(physics)[0]
    physics.set_joints(q, np.array([[0.08]]), np.array([0]))
    assert env.task.success(physics)[0]
    physics.qvel[0, physics.model.joint("red").dofadr[0] + 2] = -0.1
    assert not env.task.success(physics)[0]


@pytest.mark.parametrize(("above", "done"), [(AWAY - 0.01, False), (AWAY + 0.01, True)])
def test_the_hand_must_be_away(arm, above, done):
    env = arm(1, task=TASK)
    action = env.reset(SEEDS[:1])["observation.state"].copy()
    stand(env, (0, 0.2, 0), (0.5, -0.1, HALF))
    action[0, :3] = 0.5, 0.1, 3 * HALF + above
    for _ in range(40):
        env.step(action)
    tool = env.physics.tool()[0][0]
    assert stand(env, (0, 0, 2 * HALF), (tool[0], tool[1], HALF)) == done


def test_a_tower_stands_by_itself_and_the_episode_ends_with_it(arm):
    env = arm(1, task=TASK)
    hold = env.reset(SEEDS[:1])["observation.state"]
    env.physics.set_body("green", np.array([[0.5, 0.1, HALF]]), quat_about_z(np.array([0.4])), np.array([0]))
    env.physics.set_body("red", np.array([[0.508, 0.095, 3 * HALF]]), FLAT, np.array([0]))
    for _ in range(12):
        _, _, terminated, _, info = env.step(hold)
        if terminated[0]:
            break
    assert info["success"][0]


def test_reward_rises_from_the_table_to_the_tower(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    tool = env.physics.tool()[0][0]
    rewards = []
    for red in ([0.5, -0.2, HALF], [0.5, -0.2, 4 * HALF], [0.5, 0.0, 4 * HALF], [0.5, 0.1, 4 * HALF], [0.5, 0.1, 3 * HALF]):
        stand(env, np.array(red) - [0.5, 0.1, HALF])
        rewards.append(env.task.reward(env.physics)[0])
    assert (np.diff(rewards) > 0).all() and rewards[-2] < 0.96 and rewards[-1] == 1.0
    stand(env, tool - [0.5, 0.1, HALF])  # in the hand, high up
    held = env.task.reward(env.physics)[0]
    assert rewards[0] < held < 0.96


def test_the_expert_stacks_and_earns_more_and_more(arm):
    env = arm(4, reward="dense", **EXPERT)
    for demo in demonstrate(env, SEEDS, ["clean"] * 4):
        reward = demo.columns["next.reward"][:, 0]
        assert demo.success and demo.columns["next.terminated"][-1]
        assert reward[-1] == 1.0 and reward[:-6].max() < 1.0
        assert reward[-6] > reward[len(reward) // 2] > reward[0]


@pytest.mark.slow
def test_every_mistake_fails_and_a_second_try_mends_a_missed_grasp(arm):
    env = arm(40, **EXPERT)
    good = sum(demo.success for demo in demonstrate(env, np.arange(40), ["wrong"] * 40))
    assert 8 <= good <= 32
    assert sum(demo.success for demo in demonstrate(env, np.arange(40), ["noisy"] * 40)) > 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "medum"}, "did you mean 'medium'"),
        ({"cube_half": 0.05}, "cube_half=0.05 does not fit the gripper; allowed: 0.012 to 0.03"),
        ({"cube_y": [0.3, 0.2]}, "env.task.cube_y must be .low, high., found"),
        ({"apart": 0.5}, "env.task.apart=0.5: allowed for these cubes and ranges are 0.057 to 0.269"),
        ({"apart": 0.01}, "env.task.apart=0.01: allowed"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Stack(StackConfig(**options))
