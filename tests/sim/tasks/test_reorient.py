"""Standing a block up: only upright, red end up, in the tray and let go counts; the expert turns it round where it must."""

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import multiply, quat_about_z, rotate
from sim.demonstrate import demonstrate
from sim.tasks.reorient import FLOOR, HALF, LEVELS, LONG, LYING, UP, Reorient, ReorientConfig

TASK = {"_target_": "sim.tasks.reorient.Reorient"}
EXPERT = {"task": TASK, "expert": "sim.tasks.reorient.ReorientExpert", "max_steps": 480}
ROW = np.array([0])
TRAY = np.array([0.45, 0.15, 0.0])
STANDING = FLOOR + LONG  # [m] height of its middle


def about_y(angle):
    return np.array([np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0])


def put(env, offset, quat):
    """The block's middle `offset` from the tray's."""
    env.physics.set_body("tray", TRAY[None], np.array([[1.0, 0, 0, 0]]), ROW)
    env.physics.set_body("block", TRAY[None] + offset, np.asarray(quat, float)[None], ROW)
    return bool(env.task.success(env.physics)[0])


@pytest.fixture
def one(arm):
    env = arm(1, task=TASK)
    env.reset(np.array([0]))
    return env


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_blocks_lie_flat_in_their_ranges_and_point_as_the_level_says(arm, level):
    ranges = LEVELS[level]
    seen = arm(100, task=TASK | {"level": level}).reset(np.arange(100))["observation.environment_state"].astype(float)
    for axis, name in ((0, "x"), (1, "y"), (7, "tray_x"), (8, "tray_y")):
        low, high = ranges[name]
        assert (seen[:, axis] >= low - 1e-6).all() and (seen[:, axis] <= high + 1e-6).all()
        assert np.ptp(seen[:, axis]) > 0.8 * (high - low)
    np.testing.assert_allclose(seen[:, 2], HALF, atol=1e-6)
    top = rotate(seen[:, 3:7], UP)
    np.testing.assert_allclose(top[:, 2], 0.0, atol=1e-6)
    from_arm = np.abs(np.arctan2(top[:, 1], -top[:, 0]))
    assert from_arm.max() <= ranges["heading"] + 1e-6 and from_arm.max() > 0.9 * ranges["heading"]


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_tray_is_as_wide_as_the_level_says(arm, level):
    model = arm(1, task=TASK | {"level": level}).physics.model
    for axis, side in enumerate("xy"):
        wall = model.geom(f"tray_{side}1")
        assert wall.pos[axis] - wall.size[axis] == pytest.approx(HALF + LEVELS[level]["clearance"])


def test_only_upright_with_the_red_end_up_in_the_tray_counts(one):
    upright = [1.0, 0, 0, 0]
    assert put(one, [0, 0, STANDING], upright)
    assert put(one, [0.004, -0.004, STANDING], multiply(quat_about_z(np.array(1.0)), about_y(0.1)))
    assert not put(one, [0, 0, STANDING], about_y(np.pi))  # on its head
    assert not put(one, [0, 0, STANDING], about_y(0.25))  # leaning
    assert not put(one, [0.06, 0, LONG], upright)  # beside the tray
    assert not put(one, [0, 0, STANDING + 0.02], upright)  # over the tray
    assert not put(one, [0, 0, FLOOR + HALF], LYING)


def test_a_block_that_is_still_held_is_no_success(one):
    q, _ = one.physics.joints()
    one.physics.set_joints(q, np.array([[2 * HALF]]), ROW)
    assert not put(one, [0, 0, STANDING], [1.0, 0, 0, 0])
    one.physics.set_joints(q, np.array([[0.08]]), ROW)
    assert put(one, [0, 0, STANDING], [1.0, 0, 0, 0])


def test_reward_rises_as_the_block_is_tipped_up_and_brought(one):
    rewards = []
    for offset, quat in (
        ([0.0, -0.35, HALF], LYING),
        ([0.0, -0.35, 0.15], about_y(np.pi / 4)),
        ([0.0, -0.2, 0.15], about_y(0.1)),
        ([0.0, 0.0, 0.15], [1.0, 0, 0, 0]),
        ([0.0, 0.0, STANDING], [1.0, 0, 0, 0]),
    ):
        put(one, offset, quat)
        rewards.append(one.task.reward(one.physics)[0])
    assert (np.diff(rewards) > 0).all() and rewards[0] < 0.3 and rewards[-2] < 0.96 and rewards[-1] == 1.0


@pytest.mark.parametrize("engine", ["mujoco", "pybullet"])
def test_a_block_in_the_tray_stands_by_itself_and_ends_the_episode(arm, engine):
    env = arm(1, task=TASK, engine=engine)
    hold = env.reset(np.array([0]))["observation.state"]
    put(env, [0.002, 0.002, STANDING], [1.0, 0, 0, 0])
    for _ in range(12):
        _, _, terminated, _, info = env.step(hold)
        if terminated[0]:
            break
    assert info["success"][0]


def test_the_expert_stands_it_up_and_turns_it_round_first_where_it_must(arm):
    env, lengths = arm(2, reward="dense", **EXPERT), {}
    for demo in demonstrate(env, np.array([3, 45]), ["clean"] * 2):
        reward = demo.columns["next.reward"][:, 0]
        assert demo.success and demo.columns["next.terminated"][-1]
        assert reward[-1] == 1.0 and reward[:-6].max() < 1.0
        assert reward[-7] > reward[len(reward) // 2] > reward[0]
        top = rotate(demo.columns["observation.environment_state"][0, 3:7].astype(float), UP)
        lengths[bool(abs(np.arctan2(top[1], -top[0])) > 2.0)] = len(reward)
    assert lengths[True] > lengths[False] + 40  # grasped twice


@pytest.mark.slow
def test_mistakes_fail_and_tremor_does_not(arm):
    env = arm(40, **EXPERT)
    good = sum(demo.success for demo in demonstrate(env, np.arange(40), ["wrong"] * 40))
    assert 8 <= good <= 32
    assert sum(demo.success for demo in demonstrate(env, np.arange(40), ["noisy"] * 40)) > 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "medum"}, "did you mean 'medium'"),
        ({"tray_x": [0.5, 0.4]}, "env.task.tray_x must be .low, high., found"),
        ({"heading": 4.0}, "env.task.heading=4.0; allowed: 0 to pi"),
        ({"clearance": 0.0001}, "env.task.clearance=0.0001; allowed: 0.001 to 0.02"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Reorient(ReorientConfig(**options))
