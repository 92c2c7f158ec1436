"""The arm's environment: the same episode for the same seed whatever runs beside it, and actions that mean what the spec says."""

import functools

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from data.config import build
from data.errors import ConfigError, SimulationError
from data.rotations import matrix_from_quat, rotation_vector
from sim.control import LAG
from sim.env import SUCCESS_STEPS, ArmConfig
from sim.single import ArmEnv
from tests.sim import conftest
from tests.sim.conftest import TASK, wander

SEEDS = np.arange(40, 48)
STEPS = 25


episodes = functools.partial(conftest.episodes, steps=STEPS)


@pytest.fixture(scope="module")
def alone():
    """Every seed by itself: the truth of the next tests."""
    from tests.sim.conftest import make_arm

    return episodes(make_arm, SEEDS, 1)


@pytest.mark.parametrize(("num_envs", "threads"), [(3, 1), (8, 1), (8, 2), (5, 2)])
def test_an_episode_is_the_same_bit_for_bit_beside_any_others(arm, alone, num_envs, threads):
    together = episodes(arm, SEEDS, num_envs, threads=threads)
    for seed, seen in alone.items():
        np.testing.assert_array_equal(together[seed], seen)
    assert len({seen.tobytes() for seen in alone.values()}) == len(SEEDS)  # and no two seeds are the same episode


def test_the_order_of_seeds_does_not_matter(arm, alone):
    backwards = episodes(arm, SEEDS[::-1], 4)
    for seed, seen in alone.items():
        np.testing.assert_array_equal(backwards[seed], seen)


@pytest.mark.needs_gl
def test_rendering_changes_nothing(gl, arm, alone):
    for seed, seen in episodes(arm, SEEDS[:3], 3, render=True).items():
        np.testing.assert_array_equal(seen, alone[seed])


def test_rows_that_have_ended_stand_still_and_do_not_disturb_the_others(arm):
    env, plain = arm(3), arm(3)
    obs = env.reset(SEEDS[:3])
    plain.reset(SEEDS[:3])
    plan = wander(SEEDS[:3], STEPS, obs["observation.state"])
    active = np.array([True, False, True])
    for t in range(STEPS):
        seen = env.step(plan[:, t], active)[0]
        expected = plain.step(plan[:, t])[0]
    for name in obs:
        np.testing.assert_array_equal(seen[name][[0, 2]], expected[name][[0, 2]])
        np.testing.assert_array_equal(seen[name][1], obs[name][1])


def test_what_is_observed_is_the_state_of_the_simulation(arm):
    env = arm(2)
    env.reset(SEEDS[:2])
    env.physics.set_body(
        "cube", np.array([[0.5, -0.2, 0.3], [0.4, 0.1, 0.2]]), np.array([[1.0, 0, 0, 0], [-0.5, 0.5, 0.5, 0.5]]), np.arange(2)
    )
    obs = env.observe()
    q, _ = env.physics.joints()
    position, quat = env.arms[0].forward(q)
    np.testing.assert_allclose(obs["observation.joints"], q, atol=1e-6)
    np.testing.assert_allclose(obs["observation.state"][:, :7], np.concatenate([position, quat], 1), atol=1e-6)
    np.testing.assert_allclose(obs["observation.state"][:, 7], env.physics.widths()[:, 0], atol=1e-6)
    np.testing.assert_allclose(obs["observation.environment_state"][0, :7], [0.5, -0.2, 0.3, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(obs["observation.environment_state"][1, 3:7], [0.5, -0.5, -0.5, -0.5], atol=1e-6)  # w >= 0
    for feature in env.spec.observations:
        if not feature.is_image:
            assert obs[feature.name].shape == (2, *feature.shape) and obs[feature.name].dtype == np.float32
            assert len(feature.names) == len(feature.units) == feature.shape[0]


def test_the_tool_goes_to_the_pose_it_is_sent_to(arm):
    env = arm(2)
    obs = env.reset(SEEDS[:2])
    goal = obs["observation.state"].copy()
    goal[:, :3] += [[0.08, -0.1, 0.05], [-0.05, 0.1, 0.1]]
    goal[:, 3:7] = [0.0, np.cos(0.2), np.sin(0.2), 0.0]  # pointing down, turned by 0.4 rad about z
    goal[:, 7] = 0.03
    for _ in range(40):
        obs = env.step(goal)[0]
    state = obs["observation.state"]
    assert np.linalg.norm(state[:, :3] - goal[:, :3], axis=1).max() < 0.003
    turn = matrix_from_quat(goal[:, 3:7]) @ matrix_from_quat(state[:, 3:7]).transpose(0, 2, 1)
    assert np.linalg.norm(rotation_vector(turn), axis=1).max() < 0.02
    np.testing.assert_allclose(state[:, 7], 0.03, atol=0.002)


def test_the_joints_go_where_they_are_sent_no_faster_than_they_may(arm):
    env = arm(2, action="joint")
    assert env.spec.action.names[-1] == "gripper_width" and env.spec.action.units[0] == "rad"
    obs = env.reset(SEEDS[:2])
    start = obs["observation.joints"]
    goal = np.concatenate([start + [0.6, -0.2, 0.5, 0.3, -0.5, 0.4, 0.7], np.full((2, 1), 0.05)], 1).astype(np.float32)
    limit = np.array(env.robot.dq_max) / env.config.rate_hz
    targets = [env._q_target.copy()]
    for _ in range(30):
        obs = env.step(goal)[0]
        targets.append(env._q_target.copy())
    assert (np.abs(np.diff(targets, axis=0)) <= limit + 1e-9).all()
    assert np.abs(targets[1] - targets[0]).max() == pytest.approx(limit[[0, 2, 6]].max(), rel=1e-6)  # and as fast as they may
    np.testing.assert_allclose(obs["observation.joints"], goal[:, :-1], atol=0.01)
    np.testing.assert_allclose(obs["observation.state"][:, 7], 0.05, atol=0.002)


@pytest.mark.parametrize("joint", [0, 3, 6])
def test_every_joint_follows_a_moving_target_by_the_same_lag(arm, joint):
    env = arm(1, action="joint")
    env.reset(np.array([0]))
    start = env._q_target[0].copy()
    for step in range(1, 21):
        target = start.copy()
        target[joint] += 0.04 * step  # 0.8 rad/s
        env.step(np.concatenate([target, [0.08]])[None])
    q, dq = env.physics.joints()
    assert abs(dq[0, joint] - 0.8) < 0.02
    assert abs(target[joint] - LAG * 0.8 - q[0, joint]) < 0.003


def test_joint_targets_beyond_the_limits_stop_at_them(arm):
    env = arm(1, action="joint")
    env.reset(SEEDS[:1])
    for _ in range(60):
        env.step(np.full((1, 8), 10.0, np.float32))
    np.testing.assert_allclose(env._q_target[0], env.robot.q_max)
    np.testing.assert_allclose(env._width_target[0], env.robot.gripper_max_width)


def test_success_has_to_hold_and_then_ends_the_episode(arm):
    env = arm(2, max_steps=SUCCESS_STEPS + 3)
    hold = env.reset(SEEDS[:2])["observation.state"]
    bin_ = env.physics.body("bin")[0][:1]
    env.physics.set_body("cube", bin_ + [0, 0, 0.03], np.array([[1.0, 0, 0, 0]]), np.array([0]))
    for step in range(1, SUCCESS_STEPS + 4):
        _, reward, terminated, truncated, info = env.step(hold)
        done = step >= SUCCESS_STEPS
        assert (reward[0], terminated[0], info["success"][0]) == (float(done), done, done)
        assert (reward[1], terminated[1]) == (0.0, False)
        assert truncated.tolist() == [False, step >= env.max_steps]


def test_a_cube_held_over_the_bin_is_no_success(arm):
    env = arm(1)
    hold = env.reset(SEEDS[:1])["observation.state"].copy()
    hold[:, 7] = 0.03  # a closed gripper, as if it still held the cube
    for _ in range(20):
        env.step(hold)
    for _ in range(2 * SUCCESS_STEPS):
        env.physics.set_body("cube", env.physics.body("bin")[0] + [0, 0, 0.03], np.array([[1.0, 0, 0, 0]]), np.array([0]))
        assert not env.step(hold)[4]["success"].any()


@pytest.mark.filterwarnings("ignore:.*Box")  # it would like actions in [-1, 1] and finite observations: ours are in SI units
@pytest.mark.parametrize("action", ["ee_pose", "joint"])
def test_gymnasiums_own_checker_is_content(action):
    env = ArmEnv(ArmConfig(task=TASK, threads=1, action=action))
    check_env(env, skip_render_check=True)
    env.close()


def test_one_episode_of_the_gymnasium_env_is_that_of_the_batch(arm, alone):
    env = ArmEnv(ArmConfig(task=TASK, threads=1))
    obs, _ = env.reset(seed=int(SEEDS[0]))
    plan = wander(SEEDS[:1], STEPS, obs["observation.state"][None])[0]
    for t in range(STEPS):
        obs, reward, terminated, truncated, info = env.step(plan[t])
    np.testing.assert_array_equal(np.concatenate([obs[name] for name in obs]), alone[int(SEEDS[0])][-1])
    assert (reward, terminated, truncated, info) == (0.0, False, False, {"success": False})
    env.close()


@pytest.mark.parametrize("action", ["ee_pose", "joint"])
def test_the_action_space_holds_everything_the_robot_can_do(action):
    env = ArmEnv(ArmConfig(task=TASK, threads=1, action=action))
    robot = env.vec.robot
    if action == "joint":
        low, high = [*robot.q_min, 0.0], [*robot.q_max, robot.gripper_max_width]
    else:
        low, high = [-0.8, -0.8, 0, -1, -1, -1, -1, 0], [0.8, 0.8, 1.1, 1, 1, 1, 1, robot.gripper_max_width]
    for edge in (low, high):
        assert env.action_space.contains(np.array(edge, np.float32)), edge
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"robot": "pnda"}, "robot 'pnda' is unknown; did you mean 'panda'"),
        ({"action": "jiont"}, "env.action='jiont': did you mean 'joint'"),
        ({"task": {"_target_": TASK["_target_"], "cube_haf": 0.02}}, "unknown option 'cube_haf'; did you mean 'cube_half'"),
        ({"task": {"_target_": TASK["_target_"], "cube_half": 0.2}}, "cube_half=0.2 does not fit the gripper; allowed: 0.01 to 0.035"),
        ({"task": {"_target_": TASK["_target_"], "bin_x": [0.6, 0.4]}}, r"env.task.bin_x must be \[low, high\], found \[0.6, 0.4\]"),
        ({"task": {"_target_": TASK["_target_"], "level": "hrd"}}, "env.task.level='hrd'; did you mean 'hard'"),
        ({"engine": "mujocco"}, "env.engine='mujocco': did you mean 'mujoco'"),
        ({"reward": "sparce"}, "env.reward='sparce': did you mean 'sparse'"),
        ({"rate_hz": 30.0}, "rate_hz=30"),
        ({"rate_hz": 0.0}, "rate_hz=0"),
        ({"num_envs": 0}, "num_envs=0"),
        ({"max_steps": 0}, "max_steps=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build({"_target_": "sim.env.ArmVecEnv", "task": TASK, "threads": 1, "num_envs": 1, **options})


def test_an_action_that_is_not_finite_moves_nothing(arm):
    env = arm(2)
    obs = env.reset(SEEDS[:2])
    before, action = env.physics.state().copy(), obs["observation.state"].copy()
    action[1, [1, 7]] = np.nan
    with pytest.raises(SimulationError, match="not finite \\(gripper_width, y\\); nothing was moved"):
        env.step(action)
    np.testing.assert_array_equal(env.physics.state(), before)
    env.step(action, np.array([True, False]))  # a row that has ended may hold anything


def test_a_simulation_that_explodes_fails_alone(arm):
    env = arm(3)
    obs = env.reset(SEEDS[:3])
    env.physics.qvel[1, :] = 1e12
    _, _, terminated, truncated, info = env.step(obs["observation.state"])
    assert list(info["error"]) == [1] and "unstable" in info["error"][1]
    assert terminated.tolist() == [False, True, False] and not truncated.any() and not info["success"].any()
    again = env.reset(SEEDS[:3])
    for name in obs:
        np.testing.assert_array_equal(again[name], obs[name])


def test_the_dense_reward_grows_with_what_is_done(arm):
    env = arm(1, reward="dense")
    env.reset(SEEDS[:1])
    far = env.task.reward(env.physics)[0]
    env.physics.set_body("cube", env.physics.tool()[0], np.array([[1.0, 0, 0, 0]]), np.array([0]))
    held = env.task.reward(env.physics)[0]
    env.physics.set_body("cube", env.physics.body("bin")[0] + [0, 0, 0.03], np.array([[1.0, 0, 0, 0]]), np.array([0]))
    done = env.task.reward(env.physics)[0]
    assert 0 <= far < held < done == 1.0


def test_what_the_task_can_change_it_changes(arm):
    task = TASK | {
        "cube_half": 0.03,
        "cube_x": [0.5, 0.5],
        "cube_y": [-0.2, -0.2],
        "bin_x": [0.45, 0.45],
        "bin_y": [0.2, 0.2],
        "cube_yaw": 0.0,
    }
    env = arm(1, task=task)
    seen = env.reset(SEEDS[:1])["observation.environment_state"][0]
    np.testing.assert_allclose(seen, [0.5, -0.2, 0.03, 1, 0, 0, 0, 0.45, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(env.physics.model.geom("cube").size, 0.03)
    for _ in range(20):
        env.step(env.observe()["observation.state"])
    assert env.observe()["observation.environment_state"][0, 2] == pytest.approx(0.03, abs=1e-3)  # it rests on the table
