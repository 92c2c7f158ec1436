"""The equality constraints of an MjModel as constraints of Bullet: couplings of joints, bodies held together at a point or wholly.

Bullet holds them as stiffly as it can; MuJoCo's softness (solref, solimp) has no counterpart.
"""

from __future__ import annotations

import mujoco
import numpy as np

from data.errors import ConfigError
from data.rotations import multiply, rotate
from sim.bullet.client import pybullet
from sim.bullet.scene import Scene
from sim.bullet.support import label, refuse

_STRONG = 1e4  # [N], [N m] what a constraint bears at most
_JOINT, _CONNECT, _WELD = (int(k) for k in (mujoco.mjtEq.mjEQ_JOINT, mujoco.mjtEq.mjEQ_CONNECT, mujoco.mjtEq.mjEQ_WELD))
_NONE, _ALIGNED = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
_WORLD = (-1, -1)  # Bullet's place for the fixed world


def add_equalities(scene: Scene) -> None:
    """Raises ConfigError for kinds that Bullet does not have."""
    model = scene.model
    for i in np.flatnonzero(model.eq_active0).tolist():
        kind = int(model.eq_type[i])
        if kind == _JOINT:
            _couple(scene, i)
        elif kind in (_CONNECT, _WELD) and model.eq_objtype[i] == int(mujoco.mjtObj.mjOBJ_BODY):
            _hold(scene, i, kind == _WELD)
        else:
            raise _refuse(model, i, "a constraint of another kind than joint, connect and weld of bodies")


def _couple(scene: Scene, i: int) -> None:
    """q1 - q1_0 = c0 + c1 (q2 - q2_0)."""
    m = scene.model
    constant, ratio, *rest = m.eq_data[i, :5].tolist()
    if m.eq_obj2id[i] < 0 or any(rest):
        raise _refuse(m, i, "a coupling that is not linear, or holds one joint alone")
    places = {joint: (tree.uid, link) for tree in scene.trees for joint, link in zip(tree.joints, tree.links, strict=True)}
    first, second = int(m.eq_obj1id[i]), int(m.eq_obj2id[i])
    if first not in places or second not in places or places[first][0] != places[second][0]:  # Bullet looks for both in the first
        raise _refuse(m, i, "a coupling of ball joints, or of joints that do not hang on the same moving body")
    zero = [0.0] * 3
    gear = pybullet.createConstraint(
        *places[first], *places[second], pybullet.JOINT_GEAR, [1, 0, 0], zero, zero, physicsClientId=scene.client
    )
    pybullet.changeConstraint(
        gear, gearRatio=-ratio, relativePositionTarget=constant, erp=1.0, maxForce=_STRONG, physicsClientId=scene.client
    )


def _hold(scene: Scene, i: int, wholly: bool) -> None:
    """Keep a point of two bodies together, and with `wholly` their orientations as well."""
    m, data = scene.model, scene.model.eq_data[i]
    first, second = int(m.eq_obj1id[i]), int(m.eq_obj2id[i])
    # MuJoCo: connect holds both points in order; weld the second body's first, then that of the first and the turn between them.
    poses = [(data[3:6], data[6:10]), (data[0:3], _ALIGNED)] if wholly else [(data[0:3], _ALIGNED), (data[3:6], _ALIGNED)]
    ends = [_end(scene, first, *poses[0]), _end(scene, second, *poses[1])]
    if ends[0][0] == _WORLD:  # Bullet's first body must be one
        ends.reverse()
    if ends[0][0] == _WORLD:
        return  # both belong to the fixed world
    (place1, position1, quat1), (place2, position2, quat2) = ends
    kind = pybullet.JOINT_FIXED if wholly else pybullet.JOINT_POINT2POINT
    held = pybullet.createConstraint(*place1, *place2, kind, [0, 0, 0], position1, position2, quat1, quat2, physicsClientId=scene.client)
    pybullet.changeConstraint(held, maxForce=_STRONG, physicsClientId=scene.client)


def _end(scene: Scene, body: int, position: np.ndarray, quat: np.ndarray) -> tuple[tuple[int, int], list[float], list[float]]:
    """Place in Bullet, and a pose in the body's frame as one in that of its centre of mass, quaternion w last."""
    m = scene.model
    place = scene.links.get(body, _WORLD)
    if place == _WORLD:
        data = mujoco.MjData(m)
        mujoco.mj_kinematics(m, data)
        at, turn = data.xpos[body] + rotate(data.xquat[body], position), multiply(data.xquat[body], quat)
    elif m.body_mocapid[m.body_rootid[body]] >= 0:
        at, turn = position, quat  # a body without mass is placed by its frame
    else:
        back = m.body_iquat[body] * [1, -1, -1, -1]
        at, turn = rotate(back, position - m.body_ipos[body]), multiply(back, quat)
    return place, at.tolist(), turn[[1, 2, 3, 0]].tolist()


def _refuse(model: mujoco.MjModel, i: int, what: str) -> ConfigError:
    return refuse(f"equality {label(model, mujoco.mjtObj.mjOBJ_EQUALITY, i)}: {what}")
