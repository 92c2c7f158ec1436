"""Any arm of real/robots as an MjSpec that a scene can hold: same names, same kinds of geoms, whatever it was described in.

    link0 ... bodies of the arm, gravity compensated, joints named as in RobotSpec, site `tcp`, camera `wrist`,
    finger1 (and finger2), joined to the tendon `width` = opening of the gripper [m]; no actuators: who builds a world adds servos

Collisions are convex hulls and boxes (contype 1, conaffinity 2: with the scene, not with itself), never what is drawn.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import mujoco
import numpy as np

import real.robots
from data.errors import ConfigError, did_you_mean
from data.rotations import multiply, quat_about_z, quat_from_matrix
from real.base import RobotSpec
from real.robots import Fingers, Mjcf, Urdf
from sim.arms.hand import add_hand, couple
from sim.arms.menagerie import read_menagerie
from sim.arms.meshes import RGBA, Surface
from sim.arms.shapes import arm_shapes, drawn
from sim.arms.urdf import Box, read_links, read_urdf

MENAGERIE = "menagerie:"
VISUALS = ("auto", "decimated", "full", "collision")
COLLISION_RGBA: RGBA = (0.75, 0.78, 0.82, 1.0)
ARM_FRICTION = (0.6, 0.005, 0.0001)
PAD = {"condim": 4, "friction": (1.2, 0.05, 0.001), "solref": (0.005, 1), "solimp": (0.95, 0.99, 0.001, 0.5, 2)}  # as panda.xml's


def known_robots() -> list[str]:
    """The arms of real/robots. `menagerie:MODEL` names one more for every model of MuJoCo Menagerie (sim/menagerie.py)."""
    return sorted(module.name for module in pkgutil.iter_modules(real.robots.__path__))


def robot_spec(name: str) -> RobotSpec:
    """Limits and geometry of an arm. Raises ConfigError, naming the arms there are."""
    if name.startswith(MENAGERIE):
        return read_menagerie(name.removeprefix(MENAGERIE))[0]
    return _module(name).SPEC


def arm_spec(name: str, visuals: str = "auto") -> mujoco.MjSpec:
    """A new MjSpec of one arm at its origin.

    visuals: what the links of a URDF are drawn as: "decimated" meshes of at most 1500 triangles a link (auto), the "full"
    meshes, or the "collision" shapes themselves. Raises ConfigError for an unknown arm, or one whose package is missing.
    """
    if visuals not in VISUALS:
        raise ConfigError(f"visuals={visuals!r}: {did_you_mean(visuals, VISUALS)}")
    if name.startswith(MENAGERIE):
        return read_menagerie(name.removeprefix(MENAGERIE))[1]
    module = _module(name)
    if isinstance(module.DESCRIPTION, Mjcf):
        return mujoco.MjSpec.from_file(str(module.DESCRIPTION.path))
    return _from_urdf(module.DESCRIPTION, module.SPEC, visuals)


def _module(name: str) -> ModuleType:
    if name not in known_robots():
        raise ConfigError(f"robot {name!r} is unknown; {did_you_mean(name, known_robots())}, or menagerie:MODEL")
    return importlib.import_module(f"real.robots.{name}")


def _from_urdf(source: Urdf, robot: RobotSpec, visuals: str) -> mujoco.MjSpec:
    arm, shapes = read_urdf(source, robot.joint_names), arm_shapes(source)
    arm.modelname = robot.name
    pads = source.fingers.links if source.fingers else ()
    whole = read_links(source) if visuals == "full" else {}
    for body in arm.bodies[1:]:
        if body.mass:  # a link without mass is a frame, whatever marks it
            link = shapes[body.name]
            _solid(arm, body, link.convex, link.boxes, body.name in pads, visuals == "collision")
            if visuals != "collision":
                _drawn(arm, body, drawn(whole[body.name]) if whole else link.drawn)
    _joints(arm, source, robot)
    tool = arm.body(source.tool)
    if source.fingers is None:
        add_hand(tool, source.hand)
        couple(arm, (1.0, 1.0))
    else:
        _own_gripper(arm, source, source.fingers, robot)
    for body in reversed(arm.bodies[1:]):
        if not (body.mass or body.geoms or body.joints):
            body.to_frame()
        else:
            body.gravcomp = 1.0
    arm.worldbody.first_body().name = "link0"
    return arm


def _solid(arm: mujoco.MjSpec, body: mujoco.MjsBody, convex: Sequence[Surface], boxes: Sequence[Box], pad: bool, seen: bool) -> None:
    """What the body collides as. pad: it holds objects; seen: nothing else is drawn."""
    common: dict[str, Any] = {"contype": 1, "conaffinity": 2, "mass": 0, "group": 0 if seen else 3, "rgba": COLLISION_RGBA}
    common |= PAD if pad else {"friction": ARM_FRICTION}
    for size, turn, centre in boxes:
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=centre, quat=quat_from_matrix(turn), **common)
    for i, surface in enumerate(convex):
        mesh = _mesh(arm, f"{body.name}_hull{i}", surface, mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh, **common)


def _drawn(arm: mujoco.MjSpec, body: mujoco.MjsBody, surfaces: Sequence[Surface]) -> None:
    for i, surface in enumerate(surfaces):
        mesh = _mesh(arm, f"{body.name}_visual{i}", surface, mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh, contype=0, conaffinity=0, mass=0, group=2, rgba=surface.rgba)


def _mesh(arm: mujoco.MjSpec, name: str, surface: Surface, inertia: mujoco.mjtMeshInertia) -> str:
    mesh = arm.add_mesh(name=name, uservert=surface.vertices.ravel(), userface=surface.faces.ravel())
    mesh.inertia = inertia  # it has no mass, but an open surface would be refused
    return name


def _joints(arm: mujoco.MjSpec, source: Urdf, robot: RobotSpec) -> None:
    for joint in arm.joints:
        joint.armature, joint.damping = source.armature, [source.damping, 0, 0]
        joint.limited, joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_TRUE, mujoco.mjtLimited.mjLIMITED_FALSE
    for name, low, high in zip(robot.joint_names, robot.q_min, robot.q_max, strict=True):
        arm.joint(name).range = [low, high]


def _own_gripper(arm: mujoco.MjSpec, source: Urdf, fingers: Fingers, robot: RobotSpec) -> None:
    tool = arm.body(source.tool)
    tool.add_site(name="tcp", pos=source.tcp[:3], quat=source.tcp[3:], size=[0.004] * 3, rgba=[1, 0.2, 0.2, 0], group=4)
    tool.add_camera(name="wrist", pos=fingers.camera[:3], quat=fingers.camera[3:], fovy=75)
    for i, opening in enumerate(fingers.opening):
        joint = arm.joint(f"finger{i + 1}")
        body = joint.parent
        if joint.type == mujoco.mjtJoint.mjJNT_HINGE:  # turned so that the joint's zero is the closed gripper
            body.quat = multiply(body.quat, quat_about_z(np.array(fingers.closed)) if joint.axis[2] > 0 else np.array([1.0, 0, 0, 0]))
        else:
            joint.damping = [5, 0, 0]
        joint.range = [0, robot.gripper_max_width / len(fingers.opening) / opening]
    couple(arm, fingers.opening)
