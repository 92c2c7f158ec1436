"""Arms read from MJCF files as MuJoCo Menagerie lays them out, in a folder of our own: our panda, and arms written for these tests."""

import importlib
import importlib.util
import sys

import numpy as np
import pytest

from data.errors import ConfigError, RobotError
from data.rotations import matrix_from_quat
from real.kinematics import Kinematics
from real.robots.panda import MJCF
from real.robots.panda import SPEC as PANDA
from sim import gl

gl.choose()

import mujoco  # noqa: E402  after the choice of its OpenGL platform

from sim.arms.build import arm_spec, robot_spec  # noqa: E402
from sim.arms.menagerie import Defaults, read_menagerie  # noqa: E402

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mujoco_menagerie") is None, reason="pip install 'waldo[robots]'")

# Two links that swing about y, turned base, an anchor beside the frame, actuators of three kinds.
ARM = """<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <light name="spot" mode="targetbodycom" target="hand" pos="0 0 2"/>
    <body name="base" pos="0 0 0.1" quat="0.7071068 0 0 0.7071068">
      <geom type="cylinder" size="0.05 0.05"/>
      <body name="turret" pos="0 0 0.1">
        <joint name="pan" axis="0 0 1" range="-2 2"/>
        <geom type="box" size="0.04 0.04 0.04"/>
        <body name="upper" pos="0 0 0.05">
          <joint name="lift" axis="0 1 0" pos="0.01 0 0" range="-1.5 1.5" actuatorfrcrange="-20 20"/>
          <geom type="capsule" fromto="0 0 0 0 0 0.3" size="0.03"/>
          <body name="lower" pos="0 0 0.3">
            <joint name="elbow" axis="0 2 0"/>
            <geom type="capsule" fromto="0 0 0 0.25 0 0" size="0.03"/>
            <body name="hand" pos="0.25 0 0">
              <geom type="box" size="0.02 0.02 0.02"/>
              {tool}
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="a" joint="pan" kp="100" forcerange="-30 30"/>
    <position name="b" joint="lift" kp="100" forcerange="-50 50"/>
    <motor name="c" joint="elbow" gear="5" ctrlrange="-1 1"/>
  </actuator>
  <keyframe><key name="home" qpos="0.1 0.2 0.3{rest}"/></keyframe>
</mujoco>"""
JAW = """<body name="jaw" pos="0.03 0 0"><joint name="jaw" axis="0 0 1" range="-0.2 1.2"/>
  <geom type="box" pos="0.05 0.01 0" size="0.05 0.004 0.01"/></body>"""
LINKAGE = "".join(
    f'<body name="{n}"><joint name="{n}" axis="0 0 1" range="0 1"/><geom size="0.01"/></body>'
    for n in ("left_driver", "right_driver", "left_spring")
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Writes the file of a model into a checkout of its own."""
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    files = {"franka_emika_panda": "panda.xml", "universal_robots_ur5e": "ur5e.xml"}

    def write(model, text):
        (tmp_path / model).mkdir(exist_ok=True)
        (tmp_path / model / files[model]).write_text(text, encoding="utf-8")

    return write


def theirs(text):
    """Our panda with the names, and without the site and the camera, of a model that knows nothing of us."""
    for ours, other in (
        ("finger1", "finger_joint1"),
        ("finger2", "finger_joint2"),
        ('"width"', '"split"'),
        ('camera name="wrist"', 'camera name="eye"'),
    ):
        text = text.replace(ours, other)
    return "\n".join(line for line in text.splitlines() if "<site" not in line)


def agree(spec, arm, seed=0):
    """Kinematics.forward and the site tcp of the compiled arm, at random postures."""
    model = arm.compile()
    data, kinematics = mujoco.MjData(model), Kinematics(spec)
    for q in np.random.default_rng(seed).uniform(spec.q_min, spec.q_max, (20, spec.dof)):
        for joint, angle in zip(spec.joint_names, q, strict=True):
            data.qpos[model.joint(joint).qposadr] = angle
        mujoco.mj_kinematics(model, data)
        position, quat = kinematics.forward(q[None])
        np.testing.assert_allclose(position[0], data.site("tcp").xpos, atol=1e-9)
        np.testing.assert_allclose(matrix_from_quat(quat[0]), data.site("tcp").xmat.reshape(3, 3), atol=1e-9)
    return model


def test_our_panda_comes_back_as_it_is(folder):
    folder("franka_emika_panda", theirs(MJCF.read_text(encoding="utf-8")))
    spec = robot_spec("menagerie:franka_emika_panda")
    assert spec.name == "menagerie:franka_emika_panda" and spec.joint_names == PANDA.joint_names
    q = np.random.default_rng(0).uniform(PANDA.q_min, PANDA.q_max, (30, 7))
    (position, quat), (ours, turned) = Kinematics(spec).forward(q), Kinematics(PANDA).forward(q)
    np.testing.assert_allclose(np.abs((quat * turned).sum(1)), 1, atol=1e-9)  # the same turn, found from the fingers
    along = matrix_from_quat(turned)[:, :, 2]
    away = np.einsum("ij,ij->i", position - ours, along)
    np.testing.assert_allclose(position - ours, away[:, None] * along, atol=1e-6)
    assert np.abs(away).max() < 0.02, "m: the middle of what the fingers can touch, not the point that the vendor chose"
    model = agree(spec, arm_spec("menagerie:franka_emika_panda"))
    assert spec.gripper_max_width == pytest.approx(0.08)
    np.testing.assert_array_equal(model.wrap_prm, [1, 1])


def test_what_the_file_states_is_read_and_what_it_does_not_is_careful(folder):
    folder(
        "universal_robots_ur5e", ARM.format(tool='<site name="attachment_site" pos="0.02 0 0" quat="0.7071068 0 0.7071068 0"/>', rest="")
    )
    spec, arm = read_menagerie("universal_robots_ur5e", Defaults(speed=0.5))
    assert spec.joint_names == ("pan", "lift", "elbow")
    np.testing.assert_allclose(spec.q_min, [-2, -1.5, -2 * np.pi])
    np.testing.assert_allclose(spec.tau_max, [30, 20, 5])
    np.testing.assert_allclose(spec.q_home, [0.1, 0.2, 0.3])
    assert spec.dq_max == (0.5,) * 3 and spec.ddq_max == (5.0,) * 3
    model = agree(spec, arm)
    assert spec.gripper_max_width == 0.08, "a flange gets our hand"
    assert model.nu == model.nkey == model.nlight == 0 and model.body(1).name == "link0"
    solid = model.geom_contype != 0
    assert (model.geom_contype[solid] == 1).all() and (model.geom_conaffinity[solid] == 2).all()
    tool, _ = Kinematics(spec).forward(np.zeros((1, 3)))
    np.testing.assert_allclose(tool[0], [0, 0.25 + 0.02 + 0.1034, 0.1 + 0.1 + 0.05 + 0.3], atol=1e-6)  # the base is turned by 90 degrees


def test_a_single_jaw_opens_from_where_its_range_begins(folder):
    folder("universal_robots_ur5e", ARM.format(tool=JAW, rest=" 0"))
    spec, arm = read_menagerie("universal_robots_ur5e")
    model = agree(spec, arm)
    assert spec.joint_names == ("pan", "lift", "elbow")
    np.testing.assert_allclose(model.joint("finger1").range, [0, 1.0])
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    direction = data.body("jaw").xmat.reshape(3, 3)[:, 0]
    hand = data.body("hand").xmat.reshape(3, 3)
    assert np.arctan2(direction @ hand[:, 1], direction @ hand[:, 0]) == pytest.approx(-0.2)
    assert model.wrap_prm[0] == pytest.approx(0.05, rel=0.05)


def test_what_is_no_arm_is_refused(folder):
    folder("universal_robots_ur5e", ARM.format(tool=LINKAGE, rest=" 0 0 0"))
    with pytest.raises(RobotError, match="one or two finger joints.*left_driver, right_driver, left_spring"):
        robot_spec("menagerie:universal_robots_ur5e")
    two = '<body name="{0}"><joint name="{0}"/><geom size="0.1" mass="1"/></body>'
    folder("universal_robots_ur5e", f"<mujoco><worldbody>{two.format('a')}{two.format('b')}</worldbody></mujoco>")
    with pytest.raises(RobotError, match="is not one arm: 2 of its bodies"):
        robot_spec("menagerie:universal_robots_ur5e")
    folder("universal_robots_ur5e", '<mujoco><worldbody><body><freejoint/><geom size="0.1" mass="1"/></body></worldbody></mujoco>')
    with pytest.raises(RobotError, match="not a serial arm"):
        robot_spec("menagerie:universal_robots_ur5e")
    folder("universal_robots_ur5e", "<mujoco><worldbody><body></mujoco>")
    with pytest.raises(RobotError, match="MuJoCo cannot read"):
        robot_spec("menagerie:universal_robots_ur5e")


def test_a_model_that_is_not_there_is_named(folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no model 'franka_panda'; did you mean 'franka_emika_panda'"):
        arm_spec("menagerie:franka_panda")
    with pytest.raises(ConfigError, match="not at hand .*MENAGERIE_ROOT"):
        arm_spec("menagerie:kuka_iiwa_14")
    (tmp_path / "kuka_iiwa_14").mkdir()
    with pytest.raises(ConfigError, match=r"there is no .*iiwa14\.xml"):
        arm_spec("menagerie:kuka_iiwa_14")
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    with pytest.raises(ConfigError, match=r"pip install 'waldo\[robots\]'"):
        arm_spec("menagerie:franka_emika_panda")
