"""Every arm picks up a cube with its servos, its gripper and the inverse kinematics: joints, contacts and limits fit together."""

import numpy as np
import pytest

from data.errors import ConfigError
from real.kinematics import Kinematics
from sim import gl

gl.choose()

import mujoco  # noqa: E402  after the choice of its OpenGL platform

from sim.arms.build import arm_spec, known_robots, robot_spec  # noqa: E402
from sim.control import GRIPPER_FORCE, GRIPPER_KD, GRIPPER_KP, gains  # noqa: E402

DOWN = np.array([[0.0, 1.0, 0.0, 0.0]])


def servo(arm, name, kind, kp, kd, force):
    actuator = arm.add_actuator(name=name, target=name, trntype=kind, forcerange=[-force, force])
    actuator.set_to_position(kp=kp, kv=kd)


def world(name, spec, place, half):
    """The arm with its servos, a table and a cube."""
    arm = arm_spec(name)
    arm.option.timestep, arm.option.integrator = 0.002, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    arm.option.cone, arm.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10
    for joint, kp, kd, tau in zip(spec.joint_names, *gains(spec), spec.tau_max, strict=True):
        servo(arm, joint, mujoco.mjtTrn.mjTRN_JOINT, kp, kd, tau)
    servo(arm, "width", mujoco.mjtTrn.mjTRN_TENDON, GRIPPER_KP, GRIPPER_KD, GRIPPER_FORCE)
    box = mujoco.mjtGeom.mjGEOM_BOX
    arm.worldbody.add_geom(type=box, size=[1, 1, 0.02], pos=[0.3, 0, -0.02], contype=2, conaffinity=3, friction=[0.8, 0.01, 0.001])
    cube = arm.worldbody.add_body(name="cube", pos=[*place, half])
    cube.add_freejoint(name="cube")
    cube.add_geom(type=box, size=[half] * 3, mass=0.03, contype=3, conaffinity=3, condim=4, friction=[1, 0.05, 0.001], solref=[0.005, 1])
    return arm.compile()


@pytest.mark.parametrize("name", known_robots())
def test_an_arm_grasps_a_cube_and_carries_it(name):
    spec = robot_spec(name)
    place, half, low = ((0.22, 0.0), 0.015, 0.016) if spec.dof == 5 else ((0.45, 0.0), 0.02, 0.02)
    try:
        model = world(name, spec, place, half)
    except ConfigError as error:
        pytest.skip(str(error))
    data, kinematics = mujoco.MjData(model), Kinematics(spec)
    q = np.array([spec.q_home])
    joints = [model.joint(joint).qposadr[0] for joint in spec.joint_names]
    data.qpos[joints] = q[0]

    def move(x, y, z, width, seconds):
        nonlocal q
        start, steps = kinematics.forward(q)[0], round(seconds * 20)
        for k in range(steps):
            q = kinematics.inverse(start + (np.array([[x, y, z]]) - start) * (k + 1) / steps, DOWN, q)
            data.ctrl[:-1], data.ctrl[-1] = q[0], width
            mujoco.mj_step(model, data, 25)

    move(*place, low + 0.05, spec.gripper_max_width, 2.0)
    move(*place, low, spec.gripper_max_width, 1.0)
    assert data.ten_length[0] == pytest.approx(spec.gripper_max_width, abs=2e-3)
    np.testing.assert_allclose(data.body("cube").xpos, [*place, half], atol=2e-3, err_msg="open fingers go past the cube")
    move(*place, low, 0.0, 1.0)
    assert data.ten_length[0] == pytest.approx(2 * half, abs=3e-3)
    move(place[0] + 0.02, 0.08, 0.08, 0.0, 2.0)
    tool = data.site("tcp").xpos
    np.testing.assert_allclose(tool, [place[0] + 0.02, 0.08, 0.08], atol=5e-3)
    assert np.linalg.norm(data.body("cube").xpos - tool) < 0.01, "m"
