"""One description of a world for every engine: a scene, the arms that stand in it, compiled to an MjModel.

MuJoCo steps the model itself; PyBullet is built from it (sim/bullet), so that both have the same bodies, masses and servos.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sim import gl

gl.choose()

import mujoco  # noqa: E402  after the choice of its OpenGL platform

from data.rotations import multiply, quat_about_z, rotate  # noqa: E402
from real.base import RobotSpec  # noqa: E402
from real.kinematics import Kinematics  # noqa: E402
from sim.arms.build import arm_spec, robot_spec  # noqa: E402
from sim.control import GRIPPER_FORCE, GRIPPER_KD, GRIPPER_KP, LAG, gains  # noqa: E402


@dataclass(frozen=True)
class Mount:
    """Where an arm stands. name: goes before the names of its joints, bodies and cameras, as in `left_joint1`."""

    name: str = ""
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of its base [m]
    yaw: float = 0.0  # of its base about z [rad]

    @property
    def prefix(self) -> str:
        return f"{self.name}_" if self.name else ""


@dataclass(frozen=True)
class Arm:
    """One arm of a compiled world: where its numbers lie in qpos, qvel and ctrl."""

    mount: Mount
    spec: RobotSpec
    kinematics: Kinematics
    qpos: np.ndarray  # (dof,) addresses of its joints
    qvel: np.ndarray  # (dof,)
    fingers: np.ndarray  # (F,) addresses of the joints that open the gripper
    opening: np.ndarray  # (F,) metres of opening per unit of each of them
    ctrl: slice  # its servos, the gripper's last
    lead: np.ndarray  # (dof,) [s] how far a moving target is led, so that the joint follows LAG behind
    _offset: np.ndarray = field(init=False)
    _turn: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_offset", np.array(self.mount.position, float))
        object.__setattr__(self, "_turn", quat_about_z(np.array(self.mount.yaw)))

    @property
    def at_origin(self) -> bool:
        return not (self._offset.any() or self.mount.yaw)

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, dof) -> position (B, 3) [m] and quaternion (B, 4) of the tool in the world."""
        position, quat = self.kinematics.forward(q)
        if self.at_origin:
            return position, quat
        return rotate(self._turn, position) + self._offset, multiply(self._turn, quat)

    def inverse(self, position: np.ndarray, quat: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Joints (B, dof) near `near` (B, dof) whose tool has the pose (B, 3), (B, 4) in the world, as far as it can be reached."""
        if not self.at_origin:
            back = self._turn * [1, -1, -1, -1]
            position, quat = rotate(back, position - self._offset), multiply(back, quat)
        return self.kinematics.inverse(position, quat, near)


@dataclass(frozen=True)
class World:
    """What both engines are made from."""

    model: mujoco.MjModel
    arms: tuple[Arm, ...]


def build_world(
    scene: Path, robot: str, mounts: Sequence[Mount] = (Mount(),), edit: Callable[[mujoco.MjSpec], None] | None = None
) -> World:
    """The scene with one `robot` on every mount, limits and servos from its RobotSpec. `edit` may change the scene before compiling."""
    spec = robot_spec(robot)
    world = mujoco.MjSpec.from_file(str(scene))
    mujoco.set_mju_user_warning(lambda _: None)  # one arm keeps its plain names, and MuJoCo warns of an empty prefix
    try:
        for mount in mounts:
            frame = world.worldbody.add_frame(pos=list(mount.position), quat=quat_about_z(np.array(mount.yaw)).tolist())
            world.attach(arm_spec(robot), prefix=mount.prefix, frame=frame)
            _servos(world, spec, mount.prefix)
        if edit is not None:
            edit(world)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = world.compile()
    finally:
        mujoco.set_mju_user_warning(None)
    kinematics = Kinematics(spec)
    return World(model, tuple(_arm(model, spec, kinematics, mount) for mount in mounts))


def _servos(world: mujoco.MjSpec, spec: RobotSpec, prefix: str) -> None:
    kp, kd = gains(spec)
    for i, name in enumerate(spec.joint_names):
        joint = world.joint(prefix + name)
        joint.range = [spec.q_min[i], spec.q_max[i]]
        joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
        _servo(world, prefix + name, mujoco.mjtTrn.mjTRN_JOINT, kp[i], kd[i], spec.tau_max[i])
    _servo(world, prefix + "width", mujoco.mjtTrn.mjTRN_TENDON, GRIPPER_KP, GRIPPER_KD, GRIPPER_FORCE)


def _servo(world: mujoco.MjSpec, name: str, kind: mujoco.mjtTrn, kp: float, kd: float, force: float) -> None:
    actuator = world.add_actuator(name=name, target=name, trntype=kind)
    actuator.set_to_position(kp=kp, kv=kd)
    actuator.forcerange = [-force, force]
    actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE


def _arm(model: mujoco.MjModel, spec: RobotSpec, kinematics: Kinematics, mount: Mount) -> Arm:
    joints = [model.joint(mount.prefix + name) for name in spec.joint_names]
    tendon = model.tendon(mount.prefix + "width").id
    wraps = range(model.tendon_adr[tendon], model.tendon_adr[tendon] + model.tendon_num[tendon])
    first = model.actuator(mount.prefix + spec.joint_names[0]).id
    kp, kd = gains(spec)
    return Arm(
        mount,
        spec,
        kinematics,
        qpos=np.array([joint.qposadr[0] for joint in joints]),
        qvel=np.array([joint.dofadr[0] for joint in joints]),
        fingers=np.array([model.jnt_qposadr[model.wrap_objid[w]] for w in wraps]),
        opening=np.array([model.wrap_prm[w] for w in wraps]),
        ctrl=slice(first, first + spec.dof + 1),
        lead=kd / kp - LAG,
    )
