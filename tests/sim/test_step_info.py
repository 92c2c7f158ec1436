"""What a control step tells beside its reward: milestones at this instant, and whether less was done than was asked."""

import numpy as np
import pytest

from sim.env import JOINT_HAIR, WIDTH_HAIR
from sim.task import ArmTask
from tests.sim.test_gym import pendulum

FLAT = np.array([[1.0, 0, 0, 0]])
ROW = np.array([0])


def reached(env):
    return dict(zip(env.milestones, env.task.reached(env.physics)[0].tolist(), strict=True))


def put(env, body, place, quat=FLAT):
    env.physics.set_body(body, np.array([place], float), np.asarray(quat), ROW)


def test_a_cube_on_its_way_to_the_bin(arm):
    env = arm(1)
    env.reset(np.array([3]))
    tool, bin_ = env.physics.tool()[0][0], env.physics.body("bin")[0][0]
    assert list(reached(env).values()) == [False] * 4
    put(env, "cube", [*tool[:2], tool[2] + 0.029])
    assert reached(env) == {"at the cube": True, "cube lifted": True, "cube over the bin": False, "cube in the bin": False}
    put(env, "cube", [0.5, -0.3, 0.049])  # it lies at 0.02 and is lifted 3 cm above that
    assert not any(reached(env).values())
    put(env, "cube", [0.5, -0.3, 0.051])
    assert reached(env)["cube lifted"]
    put(env, "cube", [bin_[0] + 0.06, bin_[1], 0.2])
    assert reached(env) == {"at the cube": False, "cube lifted": True, "cube over the bin": True, "cube in the bin": False}
    put(env, "cube", [bin_[0], bin_[1], 0.03])
    assert reached(env)["cube in the bin"]


def test_a_drawer_moved_half_open_and_open(arm):
    env = arm(1, task={"_target_": "sim.tasks.drawer_open.DrawerOpen", "ajar": 0.02, "opening": 0.12})
    env.reset(np.array([3]))
    for opening, expected in ((0.02, 0), (0.029, 0), (0.031, 1), (0.069, 1), (0.071, 2), (0.119, 2), (0.121, 3)):
        env.physics.set_joint("drawer", np.array([opening]), ROW)
        assert list(reached(env).values())[1:] == [i < expected for i in range(3)], opening


def test_a_block_tipped_up_on_the_table_is_not_lifted(arm):
    env = arm(1, task={"_target_": "sim.tasks.reorient.Reorient"})
    env.reset(np.array([3]))
    put(env, "block", [0.5, -0.2, 0.07])
    assert [name for name, at in reached(env).items() if at] == ["block upright"]
    put(env, "block", [0.5, -0.2, 0.1])
    assert [name for name, at in reached(env).items() if at] == ["block lifted", "block upright"]
    put(env, "block", [0.5, -0.2, 0.07], [[0, 1, 0, 0]])  # on its head
    assert not any(reached(env).values())


def test_a_peg_out_of_its_holder_over_the_hole_and_in_it(arm):
    env = arm(1, task={"_target_": "sim.tasks.peg_insertion.PegInsertion"})
    env.reset(np.array([3]))
    block = env.physics.body("block")[0][0]
    for (x, tip), names in (
        ((0.1, 0.029), []),
        ((0.1, 0.031), ["peg pulled out"]),
        ((0.019, 0.08), ["peg pulled out", "peg over the hole"]),
        ((0.0, 0.056), ["peg pulled out", "peg over the hole"]),
        ((0.0, 0.054), ["peg pulled out", "peg over the hole", "peg in the hole"]),
        ((0.0, 0.019), ["peg over the hole", "peg in the hole", "peg deep in the hole"]),
    ):
        put(env, "peg", block + [x, 0, tip + 0.06])
        assert [name for name, at in reached(env).items() if at] == names, (x, tip)


def test_a_t_in_its_place_is_not_yet_turned(arm):
    env = arm(1, task={"_target_": "sim.tasks.push.Push", "target_yaw": 0.0})
    env.reset(np.array([3]))
    x, y, _ = env.physics.body("target")[0][0]
    for yaw, shift, names in (
        (1.0, 0.0, ["T in its place"]),
        (0.0, 0.02, ["T in its place", "T in its place and turned", "T at rest on its outline"]),
        (0.0, 0.03, []),
    ):
        put(env, "block", [x + shift, y, 0.012], [[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]])
        assert [name for name, at in reached(env).items() if at] == names


def test_a_task_that_says_nothing_has_no_milestones(arm):
    env = arm(2)
    task = ArmTask()
    assert task.milestones == () and task.reached(env.physics).shape == (2, 0)
    assert pendulum().milestones == ()
    env.milestones = ()  # of a task that inherits another's, and does not want them
    assert env.step(env.reset(np.array([1, 2]))["observation.state"])[4]["milestones"].shape == (2, 0)


def test_a_row_that_broke_has_reached_nothing(arm):
    env = arm(2)
    hold = env.reset(np.array([1, 2]))["observation.state"]
    put(env, "cube", env.physics.tool()[0][0])
    assert env.step(hold)[4]["milestones"][0, 0]
    env.physics.qvel[0, -6:] = 1e9
    info = env.step(hold)[4]
    assert list(info["error"]) == [0] and not info["milestones"][0].any()


@pytest.mark.parametrize("action", ["ee_pose", "joint"])
def test_what_is_within_the_limits_is_not_limited(arm, action):
    env = arm(2, action=action)
    obs = env.reset(np.array([1, 2]))
    hold = obs["observation.state"] if action == "ee_pose" else np.concatenate([obs["observation.joints"], [[0.08]] * 2], 1)
    for width in (0.0, 0.08, -0.9 * WIDTH_HAIR):  # closing at once is nothing special
        hold[:, -1] = width
        assert not env.step(hold)[4]["limited"].any()


def test_a_joint_that_has_to_hurry_or_to_stop_at_its_end_is_limited(arm):
    env = arm(3, action="joint")
    start = np.concatenate([env.reset(np.array([1, 2, 3]))["observation.joints"], [[0.08]] * 3], 1)
    fastest = env.robot.dq_max[0] / env.config.rate_hz
    action = start.copy()
    action[:, 0] = env._q_target[:, 0] + [fastest - 1e-5, fastest + 2 * JOINT_HAIR, 0.0]
    assert env.step(action)[4]["limited"].tolist() == [False, True, False]
    end = start.copy()
    env._q_target[2, 5] = end[2, 5] = env.robot.q_max[5]
    assert not env.step(end, np.array([False, False, True]))[4]["limited"].any()
    end[2, 5] += 2 * JOINT_HAIR
    assert env.step(end, np.array([False, False, True]))[4]["limited"].tolist() == [False, False, True]


def test_a_tool_out_of_reach_and_a_gripper_opened_too_wide_are_limited(arm):
    env = arm(3)
    action = env.reset(np.array([1, 2, 3]))["observation.state"].copy()
    action[0, -1] += 2 * WIDTH_HAIR
    action[1, :3] = [1.5, 0, 0.2]
    assert env.step(action)[4]["limited"].tolist() == [True, True, False]
    assert env.step(action, np.array([False, True, True]))[4]["limited"].tolist() == [False, True, False]


def test_an_action_clipped_to_gymnasiums_bounds_is_limited():
    vec = pendulum(3)
    vec.reset(np.array([1, 2]))
    info = vec.step(np.array([[2.003], [-2.1], [0.0]]))[4]  # the range is 4: a thousandth of it is not told of
    assert info["limited"].tolist() == [False, True, False]
    assert vec.step(np.array([[5.0], [-2.1], [0.0]]), np.array([False, True, True]))[4]["limited"].tolist() == [False, True, False]
    vec.close()
