"""Every arm as the scenes get it: what sim/robots.py promises, against the descriptions themselves."""

import importlib
import importlib.metadata
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import matrix_from_quat
from real.kinematics import Kinematics
from real.robots import Urdf
from sim import gl

gl.choose()

import mujoco  # noqa: E402  after the choice of its OpenGL platform

from sim.arms.build import arm_spec, known_robots, robot_spec  # noqa: E402
from sim.arms.urdf import share_folder  # noqa: E402
from sim.control import gains  # noqa: E402

PANDA = importlib.import_module("real.robots.panda")


def needs(name):
    try:
        return arm_spec(name)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=known_robots())
def name(request):
    needs(request.param)
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return arm_spec(name).compile()


@pytest.fixture(
    scope="module", params=[n for n in known_robots() if isinstance(importlib.import_module(f"real.robots.{n}").DESCRIPTION, Urdf)]
)
def described(request):
    """(name, its Urdf, the tree of the file as it is)"""
    needs(request.param)
    source = importlib.import_module(f"real.robots.{request.param}").DESCRIPTION
    return request.param, source, ET.parse(share_folder(source.package) / source.path).getroot()


def placed(model, spec, q, fingers=0.0):
    data = mujoco.MjData(model)
    for joint, angle in zip(spec.joint_names, q, strict=True):
        data.qpos[model.joint(joint).qposadr] = angle
    for finger in (n for n in ("finger1", "finger2") if n in names(model, mujoco.mjtObj.mjOBJ_JOINT, model.njnt)):
        data.qpos[model.joint(finger).qposadr] = fingers
    mujoco.mj_forward(model, data)
    return data


def names(model, kind, n):
    return [mujoco.mj_id2name(model, kind, i) for i in range(n)]


def test_an_arm_is_what_a_scene_expects(name, model):
    spec = robot_spec(name)
    joints = names(model, mujoco.mjtObj.mjOBJ_JOINT, model.njnt)
    assert tuple(j for j in joints if not j.startswith("finger")) == spec.joint_names
    fingers = [j for j in joints if j.startswith("finger")]
    assert fingers in (["finger1", "finger2"], ["finger1"])
    assert model.body(1).name == "link0" and (model.body_parentid == 0).sum() == 2  # the world and the arm
    assert model.site("tcp").id >= 0 and model.camera("wrist").id >= 0
    assert model.nu == 0
    moving = [b for b in range(1, model.nbody) if model.body_weldid[b] != 0]
    assert (model.body_gravcomp[moving] == 1).all()
    assert (model.dof_armature > 0).all() and (model.dof_damping > 0).all()
    assert (model.body_mass[1:] > 0).all(), "no frames among the bodies"
    assert [model.wrap_objid[w] for w in range(model.nwrap)] == [model.joint(f).id for f in fingers]


def test_it_collides_with_the_scene_only_and_with_few_shapes(name, model):
    solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    assert (model.geom_contype[solid] == 1).all() and (model.geom_conaffinity[solid] == 2).all()
    assert (model.geom_group[~solid] > 0).all()
    assert solid.sum() <= 20
    drawn = set(model.geom_dataid[~solid & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)])
    felt = set(model.geom_dataid[solid & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)])
    assert not drawn & felt
    assert all(model.mesh_vertnum[m] <= 256 for m in felt)


def test_the_tool_is_where_the_control_loop_thinks_it_is(name, model):
    spec = robot_spec(name)
    kinematics = Kinematics(spec)
    joints = np.random.default_rng(0).uniform(spec.q_min, spec.q_max, (20, spec.dof))
    for q, position, quat in zip(joints, *kinematics.forward(joints), strict=True):
        site = placed(model, spec, q).site("tcp")
        np.testing.assert_allclose(site.xpos, position, atol=1e-9)
        np.testing.assert_allclose(site.xmat.reshape(3, 3), matrix_from_quat(quat), atol=1e-7)


def bare(root):
    """The same file for MuJoCo's own reader, without the shapes that it cannot read."""
    root = ET.fromstring(ET.tostring(root))
    for link in root.findall("link"):
        for shape in link.findall("visual") + link.findall("collision"):
            link.remove(shape)
    ET.SubElement(ET.SubElement(root, "mujoco"), "compiler", fusestatic="false")
    return mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))


def test_the_chain_is_the_descriptions_through_mujocos_own_kinematics(described):
    name, source, root = described
    spec, theirs = robot_spec(name), bare(root)
    data = mujoco.MjData(theirs)
    for q in np.random.default_rng(1).uniform(spec.q_min, spec.q_max, (20, spec.dof)):
        for joint, angle in zip(source.joints, q, strict=True):
            data.qpos[theirs.joint(joint).qposadr] = angle
        mujoco.mj_kinematics(theirs, data)
        tool = data.body(source.tool)
        turn = tool.xmat.reshape(3, 3)
        position, quat = Kinematics(spec).forward(q[None])
        np.testing.assert_allclose(position[0], tool.xpos + turn @ source.tcp[:3], atol=1e-9)
        np.testing.assert_allclose(matrix_from_quat(quat[0]), turn @ matrix_from_quat(np.array(source.tcp[3:])), atol=1e-9)


def test_limits_are_no_wider_than_the_descriptions(described):
    name, source, root = described
    spec = robot_spec(name)
    limits = {joint.get("name"): joint.find("limit") for joint in root.findall("joint")}
    for i, joint in enumerate(source.joints):
        limit = limits[joint]
        assert spec.q_min[i] >= float(limit.get("lower")) - 1e-9 and spec.q_max[i] <= float(limit.get("upper")) + 1e-9
        assert spec.dq_max[i] <= float(limit.get("velocity")) * 1.001
        assert spec.tau_max[i] <= float(limit.get("effort"))


def test_masses_and_inertias_are_the_descriptions(described):
    name, _source, root = described
    model = arm_spec(name).compile()
    checked = 0
    for link in root.findall("link"):
        inertial = link.find("inertial")
        if inertial is None or float(inertial.find("mass").get("value")) < 1e-6:
            continue
        i = {k: float(v) for k, v in inertial.find("inertia").attrib.items()}
        full = np.array([[i["ixx"], i["ixy"], i["ixz"]], [i["ixy"], i["iyy"], i["iyz"]], [i["ixz"], i["iyz"], i["izz"]]])
        child_of_nothing = link.get("name") not in {
            j.find("child").get("link") for j in root.findall("joint") if j.find("parent").get("link") != "world"
        }
        body = model.body("link0" if child_of_nothing else link.get("name"))
        axes = matrix_from_quat(body.iquat)
        assert body.mass[0] == pytest.approx(float(inertial.find("mass").get("value")), rel=1e-9)
        np.testing.assert_allclose(axes @ np.diag(body.inertia) @ axes.T, full, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(body.ipos, [float(v) for v in inertial.find("origin").get("xyz").split()], atol=1e-12)
        checked += 1
    assert checked >= robot_spec(name).dof + 1


def test_the_width_is_the_distance_between_the_pads(name, model):
    spec = robot_spec(name)
    if "finger2" not in names(model, mujoco.mjtObj.mjOBJ_JOINT, model.njnt):
        pytest.skip("it has a jaw")
    left, right = (
        [g for g in range(model.ngeom) if model.geom_contype[g] and model.geom_bodyid[g] == model.joint(f).bodyid[0]]
        for f in ("finger1", "finger2")
    )
    for opened in np.linspace(0.05, 1, 8) * model.joint("finger1").range[1]:
        data = placed(model, spec, spec.q_home, opened)
        gap = min(mujoco.mj_geomDistance(model, data, a, b, 0.2, None) for a in left for b in right)
        assert data.ten_length[0] == pytest.approx(gap, abs=1e-4), opened
    assert data.ten_length[0] == pytest.approx(spec.gripper_max_width, abs=1e-9)


def servoed(name):
    """The arm with its servos on, no scene."""
    spec, arm = robot_spec(name), arm_spec(name)
    arm.option.timestep, arm.option.integrator = 0.002, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    kp, kd = gains(spec)
    for i, joint in enumerate(spec.joint_names):
        servo = arm.add_actuator(
            name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT, forcerange=[-spec.tau_max[i], spec.tau_max[i]]
        )
        servo.set_to_position(kp=kp[i], kv=kd[i])
    return spec, arm.compile()


def test_it_holds_its_home_posture_and_follows_a_step(name):
    spec, model = servoed(name)
    data = placed(model, spec, spec.q_home)
    joints = [model.joint(j).qposadr[0] for j in spec.joint_names]
    data.ctrl[:] = spec.q_home
    mujoco.mj_step(model, data, 500)
    assert np.abs(data.qpos[joints] - spec.q_home).max() < 2e-3, "rad: gravity is compensated"
    goal = np.clip(np.array(spec.q_home) - 0.1, spec.q_min, spec.q_max)
    data.ctrl[:] = goal
    passed = []
    for _ in range(500):
        mujoco.mj_step(model, data)
        passed.append(data.qpos[joints] - goal)
    assert np.abs(passed[-1]).max() < 5e-3
    assert min(p.min() for p in passed) > -0.02, "rad past the goal"


def test_the_primitive_arm_is_its_file_as_it_stands():
    ours, file = arm_spec("panda").compile(), mujoco.MjModel.from_xml_path(str(PANDA.MJCF))
    for field in (
        "body_mass",
        "body_inertia",
        "body_pos",
        "body_quat",
        "geom_size",
        "geom_pos",
        "geom_friction",
        "jnt_axis",
        "dof_damping",
    ):
        np.testing.assert_array_equal(getattr(ours, field), getattr(file, field))


@pytest.mark.parametrize("name", ["ur5", "ur5e", "xarm7"])
def test_arms_without_a_gripper_carry_the_hand_of_the_panda(name):
    needs(name)
    ours, panda = arm_spec(name).compile(), arm_spec("panda").compile()
    for body in ("hand", "left_finger", "right_finger"):
        a, b = ours.body(body), panda.body(body)
        np.testing.assert_allclose(a.mass, b.mass)
        np.testing.assert_allclose(a.inertia, b.inertia)
    for geom in ("hand", "left_finger", "left_pad", "right_finger", "right_pad"):
        for field in (
            "geom_size",
            "geom_pos",
            "geom_friction",
            "geom_solref",
            "geom_solimp",
            "geom_condim",
            "geom_contype",
            "geom_conaffinity",
        ):
            a, b = getattr(ours, field)[ours.geom(geom).id], getattr(panda, field)[panda.geom(geom).id]
            np.testing.assert_array_equal(a, b, err_msg=f"{geom} {field}")
    np.testing.assert_allclose(ours.camera("wrist").quat, panda.camera("wrist").quat, atol=1e-9)
    np.testing.assert_array_equal(ours.joint("finger1").range, panda.joint("finger1").range)


@pytest.mark.parametrize("visuals", ["collision", "full"])
def test_visuals_can_be_chosen(visuals):
    needs("xarm7")
    model, usual = arm_spec("xarm7", visuals).compile(), arm_spec("xarm7").compile()
    seen = model.geom_group < 3
    if visuals == "collision":
        assert (model.geom_contype[seen] == 1).all() and model.nmesh < usual.nmesh
    else:
        assert model.mesh_facenum.sum() > 2 * usual.mesh_facenum.sum()


def test_errors_name_what_is_allowed(monkeypatch):
    with pytest.raises(ConfigError, match="robot 'pandaa' is unknown; did you mean 'panda'"):
        arm_spec("pandaa")
    with pytest.raises(ConfigError, match="menagerie:MODEL"):
        robot_spec("../panda")
    with pytest.raises(ConfigError, match="visuals='ful'.*did you mean 'full'"):
        arm_spec("panda", "ful")

    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(ConfigError, match=r"example-robot-data is not installed: pip install 'waldo\[robots\]'"):
        arm_spec("xarm7")


@pytest.mark.needs_gl
def test_drawing_a_small_picture_takes_little_time(name, gl):
    """Printed, not asserted: other work on the machine moves it."""
    model = arm_spec(name).compile()
    data = placed(model, robot_spec(name), robot_spec(name).q_home)
    model.vis.quality.offsamples = 0
    camera = mujoco.MjvCamera()
    camera.lookat, camera.distance, camera.elevation = [0.25, 0, 0.3], 1.6, -20
    renderer = mujoco.Renderer(model, 96, 96)
    took = []
    for _ in range(30):
        start = time.perf_counter()
        renderer.update_scene(data, camera)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        picture = renderer.render()
        took.append(time.perf_counter() - start)
    renderer.close()
    assert picture.std() > 5, "something is drawn"
    print(f"{name}: {1 / np.median(took):.0f} pictures of 96x96 per second")
