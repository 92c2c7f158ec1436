"""Scripted experts of gym-aloha's two tasks: where the grippers go, phase by phase, turned into joint targets by inverse kinematics.

A phase starts by looking where the objects are, so that a grasp which slipped a little is put right in the next one. A pose is (position [m],
rotation matrix) of the point between the fingertips: x ahead along the fingers, y from finger to finger.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

TIP = 0.142  # from `gripper_link` to the middle of the fingertips [m]
OPEN, SHUT = 1.0, 0.0
DOWN = np.deg2rad(60)  # how far a grasping gripper points down
FOREARM, WRIST = 3, 4  # joints: the forearm's roll and the wrist's bend
BENT = 0.2  # a wrist bent less than this is near its singularity [rad]
DAMPING, ROUNDS, STRIDE = 0.02, 200, 0.2  # of the inverse kinematics; the last is the longest change of a joint per round [rad]


def turn(axis: int, angle: float) -> Any:
    """Rotation matrix about x, y or z (0, 1, 2)."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


LEFT_DOWN, RIGHT_DOWN = turn(1, DOWN), turn(2, np.pi) @ turn(1, DOWN)
LEFT_SIDEWAYS = turn(0, np.pi / 2)  # level, fingers one above the other


class Arm:
    """One arm: where its fingertips are, and the joint angles that bring them elsewhere."""

    def __init__(self, env: Any, side: str, first: int) -> None:
        self._mujoco = importlib.import_module("mujoco")
        physics = env.unwrapped._env.physics
        self._model, real = physics.model.ptr, physics.data.ptr
        self._trial = self._mujoco.MjData(self._model)  # the episode's own state is never touched
        self._own = slice(first, first + 6)  # in qpos, and in qvel
        self._body = self._model.body(f"vx300s_{side}/gripper_link").id
        self._low, self._high = self._model.jnt_range[self._own].T
        self.joints = real.qpos[self._own].copy()  # the last command
        self.grip = SHUT
        self.goal = self._tip(real)

    def solve(self, place: Any, rotation: Any) -> Any:
        """Damped least squares: the six angles that bring the fingertips to the pose, or as near as they can.

        Starts with a wrist that bends downward over an unrolled forearm: beyond a straight wrist lies the same pose with both rolled over.
        """
        mujoco, trial, model = self._mujoco, self._trial, self._model
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        joints = self.joints.copy()
        if joints[WRIST] < BENT:
            joints[FOREARM], joints[WRIST] = 0.0, 2 * BENT
        for _ in range(ROUNDS):
            trial.qpos[self._own] = joints
            mujoco.mj_kinematics(model, trial)
            mujoco.mj_comPos(model, trial)
            at, now = self._tip(trial)
            error = np.concatenate([place - at, self._vector(rotation @ now.T)])
            if np.abs(error).max() < 1e-4:
                break
            mujoco.mj_jac(model, trial, linear, angular, at, self._body)
            jacobian = np.concatenate([linear[:, self._own], angular[:, self._own]])
            change = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING**2 * np.eye(6), error)
            change *= min(1.0, STRIDE / max(np.abs(change).max(), STRIDE))
            joints = np.clip(joints + change, self._low, self._high)
        return joints

    def _vector(self, rotation: Any) -> Any:
        """Rotation vector (3,) [rad] of a matrix."""
        quaternion, vector = np.zeros(4), np.zeros(3)
        self._mujoco.mju_mat2Quat(quaternion, rotation.ravel())
        self._mujoco.mju_quat2Vel(vector, quaternion, 1.0)
        return vector

    def _tip(self, data: Any) -> tuple[Any, Any]:
        rotation = data.xmat[self._body].reshape(3, 3).copy()
        return data.xpos[self._body] + TIP * rotation[:, 0], rotation


class Scene:
    """Both arms and the objects; its phases yield one action (14,) a step."""

    def __init__(self, env: Any) -> None:
        self._data = env.unwrapped._env.physics.data.ptr
        self.left, self.right = Arm(env, "left", 0), Arm(env, "right", 8)

    def object(self, name: str) -> tuple[Any, Any]:
        """Where an object is."""
        body = self._data.body(name)
        return body.xpos.copy(), body.xmat.reshape(3, 3).copy()

    def carrying(self, arm: Arm, name: str, place: Any, rotation: Any) -> tuple[Any, Any]:
        """The command that brings what a gripper holds to a pose, however it holds it: the last command, moved by what the object still lacks.

        The wrists are weak and sag; what the last phase fell short by is added here.
        """
        (at, now), (tip, gripper) = self.object(name), arm.goal
        change = rotation @ now.T
        return place + change @ (tip - at), change @ gripper

    def phase(self, steps: int, left: Any = None, right: Any = None, left_grip: Any = None, right_grip: Any = None) -> Iterator[Any]:
        """Both arms go from their last command to a new pose of their grippers in `steps`, starting and ending gently."""
        plans = []
        for arm, goal, grip in ((self.left, left, left_grip), (self.right, right, right_grip)):
            arm.goal = goal or arm.goal
            plans.append((arm, arm.joints, arm.solve(*goal) if goal else arm.joints, arm.grip, arm.grip if grip is None else grip))
        for step in range(1, steps + 1):
            share = step / steps
            eased = share * share * (3 - 2 * share)
            for arm, joints, new_joints, grip, new_grip in plans:
                arm.joints = joints + eased * (new_joints - joints)
                arm.grip = grip + share * (new_grip - grip)
            yield np.concatenate([self.left.joints, [self.left.grip], self.right.joints, [self.right.grip]]).astype(np.float32)


def transfer(scene: Scene, rng: Any) -> Iterator[Any]:
    """The right gripper lifts the cube to the middle; the left one, its fingers upright, takes it from the side."""
    meeting = np.array([0.03, 0.5, 0.3]) + rng.uniform(-0.02, 0.02, 3)
    waiting = meeting - np.array([0.14, 0.0, 0.0])
    spot = scene.object("box")[0] + np.array([0.004, 0.0, 0.0])  # off the middle: room for the other gripper
    spot[2] = 0.02
    above = spot + np.array([0.0, 0.0, 0.09])
    yield from scene.phase(45, right=(above, RIGHT_DOWN), right_grip=OPEN)
    yield from scene.phase(30, right=(spot, RIGHT_DOWN), left=(waiting, LEFT_SIDEWAYS), left_grip=OPEN)
    yield from scene.phase(25, right_grip=SHUT)
    carried = scene.carrying(scene.right, "box", meeting, np.eye(3))
    yield from scene.phase(60, right=carried)
    taken = scene.object("box")[0] - np.array([0.008, 0.0, 0.0])
    yield from scene.phase(40, left=(taken, LEFT_SIDEWAYS))
    yield from scene.phase(25, left_grip=SHUT)
    yield from scene.phase(25, right_grip=OPEN)


def insertion(scene: Scene, rng: Any) -> Iterator[Any]:
    """Each gripper lifts its part; held level and in line, one is pushed into the other."""
    meeting = np.array([0.0, 0.5, 0.2]) + rng.uniform(-0.02, 0.02, 3)
    along = np.array([1.0, 0.0, 0.0])
    spots = [scene.object(name)[0] for name in ("socket", "peg")]
    spots[0][2], spots[1][2] = 0.02, 0.012
    above = [spot + np.array([0.0, 0.0, 0.09]) for spot in spots]
    yield from scene.phase(45, (above[0], LEFT_DOWN), (above[1], RIGHT_DOWN), OPEN, OPEN)
    yield from scene.phase(30, (spots[0], LEFT_DOWN), (spots[1], RIGHT_DOWN))
    yield from scene.phase(25, left_grip=SHUT, right_grip=SHUT)
    for gap, steps, pause in ((0.16, 60, 20), (0.14, 20, 15), (0.06, 75, 0)):  # from middle to middle; the parts touch at 0.12
        socket = scene.carrying(scene.left, "socket", meeting - gap / 2 * along, np.eye(3))
        peg = scene.carrying(scene.right, "peg", meeting + gap / 2 * along, np.eye(3))
        yield from scene.phase(steps, socket, peg)
        yield from scene.phase(pause)  # what the joints still lag behind is no error of the grasp


def start(env: Any, script: Callable[[Scene, Any], Iterator[Any]], rng: Any) -> Callable[[Any], Any]:
    """The expert of the episode that was just reset; after its last phase it holds still."""
    actions, held = script(Scene(env), rng), np.zeros(0)

    def act(obs: Any) -> Any:
        nonlocal held
        held = next(actions, held)
        return held

    return act
