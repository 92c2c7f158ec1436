"""Our kinematics against MuJoCo's, on the model that the simulator compiles, and against finite differences."""

import importlib

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import matrix_from_quat, multiply, rotation_vector
from real.kinematics import Kinematics
from sim import gl

gl.choose()

import mujoco  # noqa: E402  after the choice of its OpenGL platform

from sim.arms.build import arm_spec, known_robots  # noqa: E402
from tests.policies.dummy import unit_quats  # noqa: E402


@pytest.fixture(scope="module", params=known_robots())
def robot(request):
    return importlib.import_module(f"real.robots.{request.param}")


@pytest.fixture(scope="module")
def model(robot):
    try:
        return arm_spec(robot.SPEC.name, visuals="collision").compile()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def kinematics(robot):
    return Kinematics(robot.SPEC)


def random_joints(spec, n, seed=0, margin=0.0):
    low, high = np.array(spec.q_min), np.array(spec.q_max)
    return np.random.default_rng(seed).uniform(low + margin, high - margin, (n, spec.dof))


def mujocos(model, spec, q):
    """(position, matrix, jacobian) of the site `tcp`, and the origins of the links, for one joint vector."""
    data = mujoco.MjData(model)
    addresses = [model.joint(name).qposadr[0] for name in spec.joint_names]
    data.qpos[addresses] = q
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    site = model.site("tcp").id
    linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jacSite(model, data, linear, angular, site)
    columns = [model.joint(name).dofadr[0] for name in spec.joint_names]
    links = np.array([data.xpos[model.joint(name).bodyid[0]] for name in spec.joint_names])
    return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy(), np.concatenate([linear, angular])[:, columns], links


def test_forward_and_jacobian_are_mujocos(robot, model, kinematics):
    joints = np.concatenate([random_joints(robot.SPEC, 30), [robot.SPEC.q_home]])
    positions, quats = kinematics.forward(joints)
    jacobians, origins, tools = kinematics.jacobian(joints), kinematics.joint_origins(joints), kinematics.tool(joints)
    atol = 1e-6 if robot.SPEC.dh else 1e-9  # our MJCF files round their angles to 7 digits
    for i, q in enumerate(joints):
        position, matrix, jacobian, links = mujocos(model, robot.SPEC, q)
        np.testing.assert_allclose(positions[i], position, atol=atol)
        np.testing.assert_allclose(tools[i], position, atol=atol)
        np.testing.assert_allclose(matrix_from_quat(quats[i]), matrix, atol=atol)
        np.testing.assert_allclose(jacobians[i], jacobian, atol=atol)
        np.testing.assert_allclose(origins[i, :-1], links, atol=atol)


def test_the_jacobian_is_the_derivative_of_forward(robot, kinematics):
    h = 1e-6
    for q in random_joints(robot.SPEC, 5, seed=1):
        jacobian = kinematics.jacobian(q[None])[0]
        for j in range(robot.SPEC.dof):
            step = h * np.eye(robot.SPEC.dof)[j]
            (ahead, turned), (behind, before) = kinematics.forward((q + step)[None]), kinematics.forward((q - step)[None])
            np.testing.assert_allclose((ahead - behind)[0] / (2 * h), jacobian[:3, j], atol=1e-8)
            turn = matrix_from_quat(turned[0]) @ matrix_from_quat(before[0]).T
            np.testing.assert_allclose(rotation_vector(turn) / (2 * h), jacobian[3:, j], atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours(robot, kinematics):
    joints = random_joints(robot.SPEC, 9)
    position, quat = kinematics.forward(random_joints(robot.SPEC, 9, seed=5))
    together = kinematics.inverse(position, quat, joints)
    for i in range(9):
        np.testing.assert_array_equal(together[i], kinematics.inverse(position[i], quat[i], joints[i])[0])
        np.testing.assert_array_equal(kinematics.forward(joints)[0][i], kinematics.forward(joints[i])[0][0])


def pose_error(kinematics, q, position, quat):
    found, turned = kinematics.forward(q)
    turn = rotation_vector(matrix_from_quat(quat) @ matrix_from_quat(turned).transpose(0, 2, 1))
    return np.linalg.norm(found - position, axis=1), np.linalg.norm(turn, axis=1)


def inside(spec, q):
    return ((q >= np.array(spec.q_min)) & (q <= np.array(spec.q_max))).all()


def test_inverse_follows_a_control_step_from_where_the_arm_is(robot, kinematics):
    """Poses half a control step's reach away, with the default effort: what the simulator and the planner ask."""
    low, high = np.array(robot.SPEC.q_min), np.array(robot.SPEC.q_max)
    start = np.clip(robot.SPEC.q_home + np.random.default_rng(0).normal(0, 0.2, (200, robot.SPEC.dof)), low, high)
    goal = np.clip(start + np.random.default_rng(1).uniform(-0.05, 0.05, start.shape), low, high)
    position, quat = kinematics.forward(goal)
    q = kinematics.inverse(position, quat, start)
    off, turned = pose_error(kinematics, q, position, quat)
    assert inside(robot.SPEC, q)
    assert off.max() < 1e-3, "m"
    assert turned.max() < 5e-3, "rad"


def test_inverse_converges_inside_the_limits_given_time(robot, kinematics):
    start = np.tile(robot.SPEC.q_home, (100, 1))
    goal = start + np.random.default_rng(1).uniform(-0.5, 0.5, start.shape)
    goal = np.clip(goal, np.array(robot.SPEC.q_min) + 0.1, np.array(robot.SPEC.q_max) - 0.1)
    position, quat = kinematics.forward(goal)
    q = kinematics.inverse(position, quat, start, iterations=200)
    off, turned = pose_error(kinematics, q, position, quat)
    assert inside(robot.SPEC, q)
    assert off.max() < 5e-4, "m: what the damping lets the pull towards home take"
    assert turned.max() < 1e-3, "rad"


def test_the_spare_joint_drifts_home_without_moving_the_tool(robot, kinematics):
    if robot.SPEC.dof < 7:
        pytest.skip("no joint to spare")
    home = np.array(robot.SPEC.q_home)
    away = home + np.random.default_rng(2).uniform(-0.3, 0.3, home.shape)
    position, quat = kinematics.forward(away)
    q = kinematics.inverse(position, quat, away, iterations=300)
    off, turned = pose_error(kinematics, q, position, quat)
    assert off[0] < 5e-4 and turned[0] < 1e-3
    assert np.linalg.norm(q[0] - home) < np.linalg.norm(away - home)


def test_what_cannot_be_reached_stays_finite_and_inside_the_limits(robot, kinematics):
    rng = np.random.default_rng(3)
    position, quat = rng.uniform(-3, 3, (50, 3)), unit_quats(rng, (50,))
    q = kinematics.inverse(position, quat, random_joints(robot.SPEC, 50), iterations=100)
    assert np.isfinite(q).all()
    assert inside(robot.SPEC, q)


def test_either_sign_of_a_quaternion_is_the_same_pose(robot, kinematics):
    q = random_joints(robot.SPEC, 20, margin=0.3)
    position, quat = kinematics.forward(q + 0.05)
    np.testing.assert_allclose(kinematics.inverse(position, quat, q), kinematics.inverse(position, -quat, q), atol=1e-9)


def test_the_tool_points_down_at_home(robot, kinematics):
    """Where every episode starts, the expert's `down` has to be the tool's."""
    _, quat = kinematics.forward(np.array(robot.SPEC.q_home))
    down = np.array([0.0, 1.0, 0.0, 0.0])
    turn = multiply(quat[0], down * [1, -1, -1, -1])
    assert np.linalg.norm(rotation_vector(matrix_from_quat(turn))) < 1e-5, "rad: some descriptions write 3.14159 for pi"


def test_an_arm_of_five_joints_goes_to_the_place_and_turns_as_far_as_it_can(robot, kinematics):
    """The tool tilted out of the arm's plane cannot be had: it is where it should be all the same, and as upright as before."""
    if robot.SPEC.dof > 5:
        pytest.skip("six joints reach any pose")
    start = np.tile(robot.SPEC.q_home, (50, 1))
    position, quat = kinematics.forward(start + np.random.default_rng(4).uniform(-0.2, 0.1, start.shape))
    angle = np.random.default_rng(5).uniform(-0.4, 0.4, 50)
    tilt = np.stack([np.cos(angle / 2), np.sin(angle / 2), 0 * angle, 0 * angle], 1)  # about the tool's way forward
    q = kinematics.inverse(position, multiply(tilt, quat), start, iterations=50)
    off, turned = pose_error(kinematics, q, position, multiply(tilt, quat))
    assert inside(robot.SPEC, q)
    assert off.max() < 1e-4, "m"
    assert (turned < np.abs(angle) + 0.03).all() and turned.max() > 0.1, "rad"
