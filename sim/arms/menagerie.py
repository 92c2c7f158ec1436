"""Any serial arm of MuJoCo Menagerie, by its name: `robot=menagerie:franka_emika_panda`.

Models come through the pip package mujoco-menagerie, which downloads them on first use or takes them from the checkout that
MENAGERIE_ROOT names. What an MJCF states is read from it: joints, ranges, torques, home posture, tool site, gripper. What none
states has a careful default below; an arm that matters deserves a file of its own in real/robots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from data.errors import ConfigError, RobotError, did_you_mean
from data.rotations import matrix_from_quat, multiply, quat_from_matrix
from real.base import Frame, RobotSpec
from sim.arms.hand import add_hand, couple

INSTALL = "pip install 'waldo[robots]'"
FINGER_WORDS = ("finger", "jaw", "gripper", "driver", "knuckle")  # a hinge of such a name is no joint of the arm
TOOL_SITES = ("tcp", "link_tcp", "attachment_site", "pinch", "grasp_site", "gripperframe", "ee_site", "end_effector")
OURS = ("link0", "tcp", "wrist")
HAND = ("hand", "left_finger", "right_finger", "left_pad", "right_pad")
HAND_REACH = 0.1034  # [m] from where our hand is mounted to its tool centre point


@dataclass(frozen=True)
class Defaults:
    """What Menagerie's models do not state, per joint."""

    speed: float = 1.0  # [rad/s]
    acceleration: float = 5.0  # [rad/s^2]
    jerk: float = 100.0  # [rad/s^3]
    torque: float = 10.0  # [N m], where no actuator or joint limits it
    gripper_speed: float = 0.05  # [m/s] of the opening


def read_menagerie(model: str, defaults: Defaults | None = None) -> tuple[RobotSpec, mujoco.MjSpec]:
    """Limits and model of an arm, named as sim/robots.py says. Raises ConfigError for an unknown model or a missing file,
    RobotError for one that is no serial arm with at most two fingers."""
    path = _file(model)
    try:
        arm = mujoco.MjSpec.from_file(str(path))
        compiled = arm.compile()
    except ValueError as error:
        raise RobotError(f"menagerie:{model}: MuJoCo cannot read {path}: {str(error).splitlines()[0]}") from error
    return _Reader(model, arm, compiled, defaults or Defaults()).read()


def _file(model: str) -> Path:
    try:
        import mujoco_menagerie as menagerie
    except ModuleNotFoundError:
        raise ConfigError(f"menagerie:{model} needs the pip package mujoco-menagerie: {INSTALL}") from None
    if model not in menagerie.names():
        raise ConfigError(f"MuJoCo Menagerie has no model {model!r}; {did_you_mean(model, menagerie.names())}")
    robot = menagerie.get(model)
    try:
        path = Path(robot.xml(robot.default_model))
    except (menagerie.MenagerieError, OSError) as error:
        raise ConfigError(f"menagerie:{model} is not at hand ({error}); set MENAGERIE_ROOT to a checkout of MuJoCo Menagerie") from error
    if not path.is_file():
        raise ConfigError(f"menagerie:{model}: there is no {path}; MENAGERIE_ROOT has to be a checkout of MuJoCo Menagerie")
    return path


class _Reader:
    """One model on its way to (RobotSpec, MjSpec)."""

    def __init__(self, model: str, arm: mujoco.MjSpec, compiled: mujoco.MjModel, defaults: Defaults) -> None:
        self.name, self.arm, self.model, self.defaults = f"menagerie:{model}", arm, compiled, defaults
        self.data = mujoco.MjData(compiled)  # at zero, whatever the model's own start
        self.data.qpos[:] = 0
        mujoco.mj_kinematics(compiled, self.data)
        self.joints, self.last = self._chain()
        self.fingers = [j for j in range(compiled.njnt) if j not in self.joints]
        self.taken = OURS if self.fingers else OURS + HAND

    def read(self) -> tuple[RobotSpec, mujoco.MjSpec]:
        joints = [self.model.joint(j) for j in self.joints]
        torques = tuple(self._torque(j) for j in self.joints)
        home = self._home()
        self._make_room()
        frame, opening, width = self._tool()
        ranges = [joint.range if self.model.jnt_limited[joint.id] else np.array([-2 * np.pi, 2 * np.pi]) for joint in joints]
        low, high = np.array([r[0] for r in ranges]), np.array([r[1] for r in ranges])
        n, d = len(joints), self.defaults
        spec = RobotSpec(
            name=self.name,
            joint_names=tuple(joint.name for joint in joints),
            q_min=tuple(low.tolist()),
            q_max=tuple(high.tolist()),
            dq_max=(d.speed,) * n,
            ddq_max=(d.acceleration,) * n,
            dddq_max=(d.jerk,) * n,
            tau_max=torques,
            q_home=tuple(np.clip(home, low, high).tolist()),
            chain=self._frames(frame),
            gripper_max_width=width,
            gripper_speed=d.gripper_speed,
            source="MuJoCo Menagerie; speeds, accelerations and jerks are defaults of sim/menagerie.py",
        )
        self._rename(opening)
        return spec, self.arm

    def _chain(self) -> tuple[list[int], int]:
        """The arm's joints from base to tool, and the body that the last of them moves."""
        model = self.model
        moving = [b for b in range(1, model.nbody) if self._below(b)]
        roots = [b for b in moving if model.body_parentid[b] == 0]
        if len(roots) != 1:
            raise RobotError(f"{self.name} is not one arm: {len(roots)} of its bodies stand in the world and move")
        body, joints, last = roots[0], [], roots[0]
        while True:
            here = [int(j) for j in range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body])]
            if here and (len(here) > 1 or model.jnt_type[here[0]] != mujoco.mjtJoint.mjJNT_HINGE or self._is_finger(here[0])):
                break
            joints += here
            last = body if here else last
            branches = [b for b in moving if model.body_parentid[b] == body]
            if len(branches) != 1:
                break
            body = branches[0]
        if not joints:
            raise RobotError(f"{self.name} is not a serial arm: no hinge joint leads from its base")
        return joints, last

    def _below(self, body: int) -> bool:
        """Whether any joint moves this body's parts."""
        return any(self._descends(self.model.jnt_bodyid[j], body) for j in range(self.model.njnt))

    def _descends(self, body: int, ancestor: int) -> bool:
        while body > ancestor:
            body = self.model.body_parentid[body]
        return bool(body == ancestor)

    def _is_finger(self, joint: int) -> bool:
        return any(word in self.model.joint(joint).name.lower() for word in FINGER_WORDS)

    def _torque(self, joint: int) -> float:
        """The least of what the joint and its actuator allow."""
        model = self.model
        limits = [abs(model.jnt_actfrcrange[joint]).max()] if model.jnt_actfrclimited[joint] else []
        for a in range(model.nu):
            if model.actuator_trntype[a] == mujoco.mjtTrn.mjTRN_JOINT and model.actuator_trnid[a, 0] == joint:
                if model.actuator_forcelimited[a]:
                    limits.append(abs(model.actuator_forcerange[a]).max() * abs(model.actuator_gear[a, 0]))
                elif model.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_NONE and model.actuator_ctrllimited[a]:
                    limits.append(abs(model.actuator_ctrlrange[a]).max() * abs(model.actuator_gainprm[a, 0] * model.actuator_gear[a, 0]))
        return float(min(limits, default=self.defaults.torque))

    def _home(self) -> np.ndarray:
        """(n,) the keyframe `home`, else the first, else the model's own start [rad]."""
        model = self.model
        names = [model.key(k).name for k in range(model.nkey)]
        posture = model.key_qpos[names.index("home") if "home" in names else 0] if names else model.qpos0
        return np.array([posture[model.jnt_qposadr[j]] for j in self.joints])

    def _tool(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[float, ...], float]:
        """The tool centre point in the world at zero (turn (3, 3), place (3,)), metres of opening per finger joint, and widest.

        A site of a usual name, else the middle of what the fingers can touch. z points to the fingertips, y along the opening.
        """
        data, model = self.data, self.model
        site = next(
            (s for s in range(model.nsite) if model.site(s).name in TOOL_SITES and self._descends(model.site_bodyid[s], self.last)), -1
        )
        if not self.fingers:
            if site >= 0:
                return self._mount(model.site_bodyid[site], data.site_xmat[site].reshape(3, 3), data.site_xpos[site])
            end = max(b for b in range(model.nbody) if self._descends(b, self.last))
            return self._mount(end, data.xmat[end].reshape(3, 3), data.xpos[end])
        bodies = [int(model.jnt_bodyid[j]) for j in self.fingers]
        if len(bodies) > 2 or any(not self._descends(b, self.last) for b in bodies):
            names = ", ".join(model.joint(j).name for j in self.fingers)
            raise RobotError(
                f"{self.name}: one or two finger joints at the end of the arm can be read, found {names}; describe it in real/robots"
            )
        geoms = [g for g in range(model.ngeom) if any(self._descends(model.geom_bodyid[g], b) for b in bodies) and model.geom_contype[g]]
        place = data.site_xpos[site] if site >= 0 else (data.geom_xpos[geoms] if geoms else data.xpos[bodies]).mean(0)
        palm = data.xpos[model.body_parentid[bodies[0]]]
        hinge = model.jnt_type[self.fingers[0]] == mujoco.mjtJoint.mjJNT_HINGE
        along = data.xaxis[self.fingers[0]]
        if hinge:
            along = np.cross(along, place - data.xanchor[self.fingers[0]])
        z = place - palm - (place - palm) @ along * along / (along @ along)
        z, y = z / np.linalg.norm(z), along / np.linalg.norm(along)
        arms = [np.linalg.norm(np.cross(data.xaxis[j], place - data.xanchor[j])) if hinge else 1.0 for j in self.fingers]
        signs = [1.0 if abs(model.jnt_range[j, 1]) >= abs(model.jnt_range[j, 0]) or hinge else -1.0 for j in self.fingers]
        opening = tuple(float(sign * arm) for sign, arm in zip(signs, arms, strict=True))
        travel = [float(np.ptp(model.jnt_range[j]) if hinge else np.abs(model.jnt_range[j]).max()) for j in self.fingers]
        width = sum(abs(o) * min(t, 1.0) for o, t in zip(opening, travel, strict=True))
        body = self._body(int(model.body_parentid[bodies[0]]))
        self._fix(body, int(model.body_parentid[bodies[0]]), np.stack([np.cross(y, z), y, z], 1), place)
        return (np.stack([np.cross(y, z), y, z], 1), place), opening, float(width)

    def _make_room(self) -> None:
        """Another name for whatever in the model is called as a part of our hand, or as we call things."""
        arm = self.arm
        for group in (arm.keys, arm.actuators, arm.sensors, arm.tendons, arm.equalities, arm.excludes, arm.lights):
            for element in list(group):
                arm.delete(element)  # they speak of others by name, and whoever builds a world brings its own
        for element in (*arm.bodies[1:], *arm.geoms, *arm.sites, *arm.cameras):
            if element.name in self.taken:
                element.name = f"model_{element.name}"
        for camera in arm.cameras:
            if camera.targetbody in self.taken:
                camera.targetbody = f"model_{camera.targetbody}"

    def _body(self, index: int) -> mujoco.MjsBody:
        name = self.model.body(index).name
        return self.arm.body(f"model_{name}" if name in self.taken else name)

    def _mount(self, body: int, turn: np.ndarray, place: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[float, ...], float]:
        """Our own hand where the model ends in a flange."""
        add_hand(self._body(body), self._local(body, turn, place))
        for name in ("finger1", "finger2"):
            self.arm.joint(name).limited = mujoco.mjtLimited.mjLIMITED_TRUE
        return (turn, place + turn @ [0, 0, HAND_REACH]), (1.0, 1.0), 0.08

    def _fix(self, body: mujoco.MjsBody, index: int, turn: np.ndarray, place: np.ndarray) -> None:
        """Site `tcp` and camera `wrist`, which sees it as panda.xml's does."""
        local = self._local(index, turn, place)
        body.add_site(name="tcp", pos=local[:3], quat=local[3:], size=[0.004] * 3, rgba=[1, 0.2, 0.2, 0], group=4)
        eye = self._local(
            index, turn @ matrix_from_quat(np.array([0.0923505, 0.7010505, 0.7010505, 0.0923505])), place + turn @ [0.075, 0, -0.0934]
        )
        body.add_camera(name="wrist", pos=eye[:3], quat=eye[3:], fovy=75)

    def _local(self, body: int, turn: np.ndarray, place: np.ndarray) -> Frame:
        """A pose in the world, at zero, as one in a body."""
        frame = self.data.xmat[body].reshape(3, 3)
        x, y, z = (frame.T @ (place - self.data.xpos[body])).tolist()
        qw, qx, qy, qz = quat_from_matrix(frame.T @ turn).tolist()
        return x, y, z, qw, qx, qy, qz

    def _frames(self, tool: tuple[np.ndarray, np.ndarray]) -> tuple[Frame, ...]:
        """RobotSpec.chain: the joints' frames at zero, z along their axes, and the tool's."""
        frames = []
        for j in self.joints:
            quat = np.zeros(4)
            mujoco.mju_quatZ2Vec(quat, self.data.xaxis[j])
            frames.append((matrix_from_quat(quat), self.data.xanchor[j].copy()))
        return tuple(_steps([*frames, tool]))

    def _rename(self, opening: tuple[float, ...]) -> None:
        """Names, contacts and couplings as sim/robots.py promises."""
        arm = self.arm
        fingers = [arm.joint(self.model.joint(j).name) for j in self.fingers]
        for i, joint in enumerate(fingers):
            joint.name = f"model_finger{i + 1}"  # the model may call them so, in another order
        for i, (joint, j) in enumerate(zip(fingers, self.fingers, strict=True)):
            if joint.type == mujoco.mjtJoint.mjJNT_HINGE:
                self._close(joint, j)
            joint.name = f"finger{i + 1}"
        couple(arm, opening)
        for geom in arm.geoms:
            if geom.contype or geom.conaffinity:
                geom.contype, geom.conaffinity = 1, 2
        for body in arm.bodies[1:]:
            body.gravcomp = 1.0
        arm.worldbody.first_body().name = "link0"

    def _close(self, joint: mujoco.MjsJoint, index: int) -> None:
        """Turns the jaw so that its joint is at zero when it is closed, which is where its range begins."""
        low, high = self.model.jnt_range[index]
        axis = np.asarray(joint.axis) / np.linalg.norm(joint.axis)
        joint.parent.quat = multiply(joint.parent.quat, np.array([np.cos(low / 2), *(np.sin(low / 2) * axis)]))
        joint.range = [0, min(high - low, 1.0)]


def _steps(frames: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[Frame]:
    """Poses in the world -> each in the one before."""
    turn, place = np.eye(3), np.zeros(3)
    for now, there in frames:
        x, y, z = (turn.T @ (there - place)).tolist()
        qw, qx, qy, qz = quat_from_matrix(turn.T @ now).tolist()
        yield x, y, z, qw, qx, qy, qz
        turn, place = now, there
