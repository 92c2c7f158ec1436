"""Two arms in one world: names, frames, grippers and cameras of each, held against MuJoCo's own kinematics."""

import mujoco
import numpy as np
import pytest

from data.rotations import matrix_from_quat, quat_about_z, rotation_vector
from sim.base import Obs
from sim.env import ArmVecEnv
from tests.sim.conftest import wander

TASK = {"_target_": "sim.tasks.transfer.Transfer"}
SEEDS = np.arange(30, 33)
POSE = ["x", "y", "z", "qw", "qx", "qy", "qz", "gripper_width"]


@pytest.fixture(params=["mujoco", "pybullet"])
def engine(request):
    if request.param == "pybullet":
        pytest.importorskip("pybullet")
    return request.param


def apart(obs: Obs) -> np.ndarray:
    """Distances between the two tools, (B,)."""
    state = obs["observation.state"]
    return np.linalg.norm(state[:, :3] - state[:, 8:11], axis=1)


def reached(env: ArmVecEnv, goal: np.ndarray, steps: int = 50) -> np.ndarray:
    for _ in range(steps):
        obs = env.step(goal)[0]
    return obs["observation.state"]


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rotation_vector(matrix_from_quat(a) @ matrix_from_quat(b).transpose(0, 2, 1)), axis=1)


def test_everything_an_arm_has_carries_its_name_the_left_ones_first(arm):
    spec = arm(1, task=TASK).spec
    by_name = {feature.name: feature for feature in spec.observations}
    assert list(by_name["observation.state"].names) == [f"{side}_{name}" for side in ("left", "right") for name in POSE]
    assert list(by_name["observation.joints"].names) == [f"{side}_joint{i}" for side in ("left", "right") for i in range(1, 8)]
    assert by_name["observation.state"].quaternions == spec.action.quaternions == (3, 11)
    assert spec.action.names == by_name["observation.state"].names
    joint = arm(1, task=TASK, action="joint")
    assert list(joint.spec.action.names) == [
        f"{s}_{name}" for s in ("left", "right") for name in (*joint.robot.joint_names, "gripper_width")
    ]
    assert joint.action_low.shape == joint.action_high.shape == (16,)
    assert joint.action_high[7] == joint.action_high[15] == np.float32(joint.robot.gripper_max_width)


def test_policies_look_through_a_camera_on_each_wrist(arm):
    env = arm(1, task=TASK)
    assert env.camera_names == ("film", "front", "left_wrist", "right_wrist")
    images = [feature.name for feature in env.spec.observations if feature.is_image]
    assert images == ["observation.images.front", "observation.images.left_wrist", "observation.images.right_wrist"]
    known = {env.physics.model.camera(i).name for i in range(env.physics.model.ncam)}
    assert set(env.camera_names) <= known


@pytest.mark.needs_gl
def test_each_wrist_sees_its_own_side_of_the_table(gl, arm):
    env = arm(1, task=TASK, home_noise=0.0)
    env.reset(SEEDS[:1])
    rows = np.array([0])

    def orange(camera: str, y: float) -> int:
        """Pixels of the bar when it lies at y."""
        env.physics.set_body("bar", np.array([[0.35, y, 0.015]]), np.array([[1.0, 0, 0, 0]]), rows)
        red, green, blue = env.render(camera, size=(48, 48))[0].astype(int).transpose(2, 0, 1)
        return int(((red - blue > 60) & (green - blue > 30)).sum())

    near, far = orange("right_wrist", -0.15), orange("left_wrist", -0.15)
    assert near > 15 and near > 1.5 * far, (near, far)
    assert abs(orange("left_wrist", 0.15) - near) <= 4  # the two look alike from the other side


def test_the_tools_are_where_mujoco_says_whatever_the_joints(arm):
    env = arm(8, task=TASK)
    env.reset(np.arange(8))
    model, rng = env.physics.model, np.random.default_rng(0)
    q = rng.uniform(np.tile(env.robot.q_min, 2), np.tile(env.robot.q_max, 2), (8, 14))
    env.physics.set_joints(q, np.full((8, 2), 0.04), np.arange(8))
    np.testing.assert_array_equal(env.physics.joints()[0], q)
    state = env.observe()["observation.state"]
    for row in range(8):
        data = mujoco.MjData(model)
        data.qpos[:] = env.physics.qpos[row]
        mujoco.mj_forward(model, data)
        for i, side in enumerate(("left", "right")):
            np.testing.assert_allclose(env.physics.tool(i)[0][row], data.site(f"{side}_tcp").xpos, atol=1e-9)
            quat = np.empty(4)
            mujoco.mju_mat2Quat(quat, data.site(f"{side}_tcp").xmat)
            assert abs(env.physics.tool(i)[1][row] @ quat) == pytest.approx(1, abs=1e-9)
            np.testing.assert_allclose(state[row, 8 * i : 8 * i + 3], data.site(f"{side}_tcp").xpos, atol=1e-6)


def test_the_inverse_in_the_world_undoes_the_forward(arm):
    env = arm(1, task=TASK)
    rng = np.random.default_rng(1)
    home = np.array(env.robot.q_home)
    for one in env.arms:
        q = home + rng.uniform(-0.25, 0.25, (20, 7))
        position, quat = one.forward(q)
        near = np.repeat(home[None], 20, 0)
        for _ in range(20):  # as many control steps: each is one differential step
            near = one.inverse(position, quat, near)
        found = one.forward(near)
        assert np.abs(found[0] - position).max() < 1e-3
        assert angle(found[1], quat).max() < 5e-3


def test_each_arm_goes_where_it_alone_is_sent(arm, engine):
    env = arm(3, task=TASK, engine=engine)
    start = env.reset(SEEDS)["observation.state"]
    goal = start.copy()
    goal[:, 0:3] += [0.06, -0.05, -0.08]  # the left arm
    goal[:, 3:7] = [0.0, np.cos(-np.pi / 4 + 0.15), np.sin(-np.pi / 4 + 0.15), 0.0]  # down, turned by -90 degrees and 0.3 rad
    goal[:, 7], goal[:, 15] = 0.02, 0.06
    state = reached(env, goal)
    assert np.linalg.norm(state[:, :3] - goal[:, :3], axis=1).max() < 0.003
    assert np.linalg.norm(state[:, 8:11] - start[:, 8:11], axis=1).max() < 0.003  # the right one stayed
    assert angle(state[:, 3:7], goal[:, 3:7]).max() < 0.02 and angle(state[:, 11:15], start[:, 11:15]).max() < 0.02
    np.testing.assert_allclose(state[:, [7, 15]], np.repeat([[0.02, 0.06]], 3, 0), atol=0.002)


def test_joint_actions_mean_the_same_as_the_poses_they_stand_for(arm):
    poses, joints = arm(1, task=TASK), arm(1, task=TASK, action="joint")
    plan = poses.reset(SEEDS[:1])["observation.state"].copy()
    joints.reset(SEEDS[:1])
    rng = np.random.default_rng(2)
    for _ in range(20):
        plan[:, [0, 1, 2, 8, 9, 10]] += rng.normal(0, 0.01, 6).astype(np.float32)
        seen = poses.step(plan)[0]
        other = joints.step(joints.as_joints(plan[0], 0)[None])[0]
    np.testing.assert_allclose(other["observation.state"], seen["observation.state"], atol=1e-4)


def test_the_arms_at_home_touch_neither_each_other_nor_the_table(arm):
    env = arm(20, task=TASK)
    env.reset(np.arange(20))
    model = env.physics.model
    solid = [g for g in range(model.ngeom) if model.geom_contype[g] == 1]
    side = {g: model.body(model.geom_bodyid[g]).name.split("_")[0] for g in solid}
    left, right = ([g for g in solid if side[g] == name] for name in ("left", "right"))
    assert len(left) == len(right) > 8
    data = mujoco.MjData(model)
    for row in range(20):
        data.qpos[:] = env.physics.qpos[row]
        mujoco.mj_forward(model, data)
        gaps = [mujoco.mj_geomDistance(model, data, a, b, 1.0, None) for a in left for b in right]
        assert min(gaps) > 0.2
        touching = {frozenset(model.geom(int(g)).name for g in pair) for pair in data.contact.geom}
        assert touching <= {frozenset(("left_link0", "table")), frozenset(("right_link0", "table")), frozenset(("bar", "table"))}


def test_a_bar_meets_both_arms_and_the_arms_do_not_meet(arm, engine):
    env = arm(2, task=TASK, engine=engine)
    state = env.reset(SEEDS[:2])["observation.state"].copy()
    middle = np.array([0.35, 0.0, 0.35], np.float32)
    state[:, :3], state[:, 8:11] = middle + [0.0, 0.02, 0.0], middle - [0.0, 0.02, 0.0]  # one hand inside the other
    assert apart({"observation.state": reached(env, state, 60)}).max() < 0.045
    model = env.physics.model
    for side in ("left", "right"):
        arm_geom, bar = model.geom(f"{side}_hand"), model.geom("bar")
        assert arm_geom.contype[0] & bar.conaffinity[0]
    left, right = model.geom("left_hand"), model.geom("right_hand")
    assert not (left.contype[0] & right.conaffinity[0] or right.contype[0] & left.conaffinity[0])


def test_two_arms_repeat_bit_for_bit_beside_any_others(arm):
    def play(seeds: np.ndarray, num_envs: int) -> dict[int, bytes]:
        env, out = arm(num_envs, task=TASK), {}
        for first in range(0, len(seeds), num_envs):
            group = seeds[first : first + num_envs]
            start = env.reset(group)["observation.state"]
            plan = np.concatenate([wander(group, 15, start[:, :8]), wander(group + 9, 15, start[:, 8:])], 2)
            seen = [np.concatenate(list(env.step(plan[:, t])[0].values()), 1) for t in range(15)]
            out |= {int(seed): np.stack(seen)[:, i].tobytes() for i, seed in enumerate(group)}
        return out

    alone = play(SEEDS, 1)
    assert play(SEEDS[::-1], 3) == alone and len(set(alone.values())) == 3


def test_an_episode_repeated_at_once_is_the_same_bit_for_bit(arm, engine):
    env = arm(2, task=TASK, engine=engine)
    runs = []
    for _ in range(3):
        start = env.reset(SEEDS[:2])["observation.state"]
        plan = np.concatenate([wander(SEEDS[:2], 8, start[:, :8]), wander(SEEDS[:2] + 9, 8, start[:, 8:])], 2)
        runs.append(np.stack([np.concatenate(list(env.step(plan[:, t])[0].values()), 1) for t in range(8)]))
    np.testing.assert_array_equal(runs[1], runs[0])  # nothing is left of the contacts that lie where the new ones do
    np.testing.assert_array_equal(runs[2], runs[0])


def test_both_engines_move_both_arms_alike(arm):
    pytest.importorskip("pybullet")
    envs = [arm(2, task=TASK, engine=engine, action="joint") for engine in ("mujoco", "pybullet")]
    start = np.array([env.reset(SEEDS[:2])["observation.joints"] for env in envs])
    np.testing.assert_array_equal(start[0], start[1])
    goal = np.insert(start[0], [7, 14], 0.04, axis=1)
    phase = np.linspace(0, 2 * np.pi, 16)
    for step in range(30):
        plan = goal + 0.3 * (np.sin(0.15 * step + phase) - np.sin(phase)) * (np.arange(16) % 8 < 7)
        states = [env.step(plan.astype(np.float32))[0]["observation.state"] for env in envs]
        gap = np.abs(states[0] - states[1])
        assert max(gap[:, :3].max(), gap[:, 8:11].max()) < 0.005
    assert np.abs(states[0][:, :3] - envs[0].arms[0].forward(start[0][:, :7])[0]).max() > 0.05  # and they did move


def test_home_is_the_same_posture_seen_from_each_mount(arm):
    env = arm(1, task=TASK, home_noise=0.0)
    state = env.reset(SEEDS[:1])["observation.state"][0]
    # The mounts face each other across y = 0, half a turn apart about the vertical through (0.35, 0).
    np.testing.assert_allclose(state[:3] - [0.35, 0, 0], (state[8:11] - [0.35, 0, 0]) * [-1, -1, 1], atol=1e-6)
    half_turn = matrix_from_quat(quat_about_z(np.array(np.pi)))
    np.testing.assert_allclose(half_turn @ matrix_from_quat(state[11:15]), matrix_from_quat(state[3:7]), atol=1e-6)
