"""States in the MjModel's layout, taken over into Bullet and read from it.

Bullet places a body by its centre of mass and principal axes, MuJoCo by its frame; Bullet's quaternions end with w.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from data.rotations import multiply, rotate
from sim.bullet.client import pybullet
from sim.bullet.scene import Scene

FAR = 100.0  # [m] no body of ours is as large
_CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0])
_W_LAST, _W_FIRST = [1, 2, 3, 0], [3, 0, 1, 2]


class State:
    def __init__(self, scene: Scene) -> None:
        m = self._model = scene.model
        self._client, self._moving = scene.client, scene.moving()
        self._free: list[tuple[int, int, int, int]] = []  # multibody, body, addresses in qpos and qvel
        self._mocap: list[tuple[int, int]] = []  # multibody, row of mocap_pos
        for tree in scene.trees:
            body = tree.tree.body
            if body >= 0 and m.body_mocapid[body] >= 0:
                self._mocap.append((tree.uid, int(m.body_mocapid[body])))
            elif body >= 0:
                joint = m.body_jntadr[body]
                self._free.append((tree.uid, body, int(m.jnt_qposadr[joint]), int(m.jnt_dofadr[joint])))
        self._balls = [(*place, int(m.jnt_qposadr[j]), int(m.jnt_dofadr[j]), _axes(m, j)) for j, place in scene.balls.items()]
        self.address = m.jnt_qposadr[scene.joints]  # of the hinges and slides
        self.dof = m.jnt_dofadr[scene.joints]
        self._zero = m.qpos0[self.address]
        self._qpos, self._qvel = initial(m)[:2]

    def load(self, qpos: np.ndarray, qvel: np.ndarray, mocap_pos: np.ndarray, mocap_quat: np.ndarray) -> None:
        c = self._client
        for uid, body, q, v in self._free:
            position, quat, linear, angular = self._to_com(body, qpos[q : q + 3], _unit(qpos[q + 3 : q + 7]), qvel[v : v + 6])
            pybullet.resetBasePositionAndOrientation(uid, position, quat, physicsClientId=c)
            pybullet.resetBaseVelocity(uid, linear, angular, physicsClientId=c)
        for uid, row in self._mocap:
            place = mocap_pos[row].tolist(), _unit(mocap_quat[row])[_W_LAST].tolist()
            pybullet.resetBasePositionAndOrientation(uid, *place, physicsClientId=c)
        values, speeds = (qpos[self.address] - self._zero).tolist(), qvel[self.dof].tolist()
        for tree in self._moving:
            for link, value, speed in zip(tree.links, values[tree.part], speeds[tree.part], strict=True):
                pybullet.resetJointState(tree.uid, link, value, speed, physicsClientId=c)
        for uid, link, q, v, axes in self._balls:
            turn = multiply(multiply(axes * _CONJUGATE, _unit(qpos[q : q + 4])), axes)[_W_LAST].tolist()
            spin = rotate(axes * _CONJUGATE, qvel[v : v + 3]).tolist()
            pybullet.resetJointStateMultiDof(uid, link, turn, spin, physicsClientId=c)
        self._qpos[:] = qpos

    def scatter(self) -> None:
        """Bodies that move freely or are moved by us go where they touch nothing."""
        for k, uid in enumerate([free[0] for free in self._free] + [mocap[0] for mocap in self._mocap]):
            pybullet.resetBasePositionAndOrientation(uid, [0, 0, FAR * (k + 1)], [0, 0, 0, 1], physicsClientId=self._client)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        c, qpos, qvel = self._client, self._qpos, self._qvel
        qpos[self.address], qvel[self.dof] = self.joints()
        for uid, body, q, v in self._free:
            pose = pybullet.getBasePositionAndOrientation(uid, physicsClientId=c)
            velocity = pybullet.getBaseVelocity(uid, physicsClientId=c)
            qpos[q : q + 3], turn, qvel[v : v + 3], qvel[v + 3 : v + 6] = self._from_com(body, *pose, *velocity)
            qpos[q + 3 : q + 7] = _like(qpos[q + 3 : q + 7], turn)
        for uid, link, q, v, axes in self._balls:
            turn, spin, *_ = pybullet.getJointStateMultiDof(uid, link, physicsClientId=c)
            qvel[v : v + 3] = rotate(axes, np.array(spin))
            turn = multiply(multiply(axes, np.array(turn)[_W_FIRST]), axes * _CONJUGATE)
            qpos[q : q + 4] = _like(qpos[q : q + 4], turn)
        return qpos.copy(), qvel.copy()

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and speeds (J,) of the hinges and slides."""
        if not self._moving:
            return np.zeros(0), np.zeros(0)
        found = [state for tree in self._moving for state in pybullet.getJointStates(tree.uid, tree.links, physicsClientId=self._client)]
        q, v, *_ = zip(*found, strict=True)  # and forces
        return np.array(q) + self._zero, np.array(v)

    def _to_com(self, body: int, position: np.ndarray, turn: np.ndarray, velocity: np.ndarray) -> list[list[float]]:
        """Position, quaternion, linear and angular velocity in the world."""
        arm, angular = rotate(turn, self._model.body_ipos[body]), rotate(turn, velocity[3:])
        quat = multiply(turn, self._model.body_iquat[body])[_W_LAST]
        return [part.tolist() for part in (position + arm, quat, velocity[:3] + np.cross(angular, arm), angular)]

    def _from_com(
        self, body: int, position: Sequence[float], quat: Sequence[float], linear: Sequence[float], angular: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The reverse, the angular velocity in the body's frame."""
        turn = multiply(np.array(quat)[_W_FIRST], self._model.body_iquat[body] * _CONJUGATE)
        arm, spin = rotate(turn, self._model.body_ipos[body]), np.array(angular)
        return np.array(position) - arm, turn, np.array(linear) - np.cross(spin, arm), rotate(turn * _CONJUGATE, spin)


def _axes(model: mujoco.MjModel, joint: int) -> np.ndarray:
    """Frame in which Bullet counts a ball joint: the principal axes of the link behind it, in the body's frame (4,)."""
    body = model.jnt_bodyid[joint]
    last = model.body_jntadr[body] + model.body_jntnum[body] - 1
    return np.array(model.body_iquat[body] if joint == last else [1.0, 0.0, 0.0, 0.0])


def _unit(quat: np.ndarray) -> np.ndarray:
    return quat / np.sqrt(quat @ quat)


def _like(last: np.ndarray, quat: np.ndarray) -> np.ndarray:
    """The one of the two quaternions of a rotation that is nearer to the last: signs do not jump, as in MuJoCo."""
    return -quat if last @ quat < 0 else quat


def initial(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """qpos, qvel, mocap_pos and mocap_quat that the model starts with."""
    data = mujoco.MjData(model)
    return data.qpos.copy(), data.qvel.copy(), data.mocap_pos.copy(), data.mocap_quat.copy()
