"""The actuators of an MjModel, and the passive forces of its joints, as a velocity motor at every joint of Bullet.

    f  = A^T clip(gain ctrl + bias0 + bias1 length + bias2 speed, forcerange) - stiffness (q - q_spring) - damping v
    v' = v + dt f / (armature + dt D + dt^2 K)       D, K: what the whole of f loses per unit of v and of q

Bullet integrates explicitly, and a servo as stiff as ours would explode in it. Its motors are constraints, though: each is asked
for the speed v' that the implicit step would give its armature, and may use at most |f|. A blocked joint then pushes with
exactly f; a light one moves as in MuJoCo; a heavy one is as slow as |f| lets it be, since Bullet adds the links' inertia.
Where something blocks it, the solver comes to f in as many rounds as armature + dt D + dt^2 K is larger than the links' inertia;
a joint that is blocked and would need more rounds than there are is asked for more speed instead.
"""

from __future__ import annotations

import mujoco
import numpy as np

from data.errors import ConfigError

_TINY = 1e-9
_LEAST_ROUNDS, _MOST_ROUNDS = 50, 150  # of the solver, which stops by itself when nothing changes any more
_SPEED = 1e-4  # [rad/s], [m/s] slower than this counts as sticking
_JOINT, _TENDON = int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_TENDON)


class Servo:
    """joints: the hinges and slides of the model, in Bullet's order, J of them. rounds: that the solver needs at most."""

    def __init__(self, model: mujoco.MjModel, joints: np.ndarray) -> None:
        self._model, self._joints = model, joints
        self._q, self._v = model.jnt_qposadr[joints], model.jnt_dofadr[joints]
        self._moment = moments(model, joints)
        self._dt = float(model.opt.timestep)
        limited = model.actuator_forcelimited.astype(bool)
        self._low = np.where(limited, model.actuator_forcerange[:, 0], -np.inf)
        self._high = np.where(limited, model.actuator_forcerange[:, 1], np.inf)
        ctrl = model.actuator_ctrllimited.astype(bool)
        self._ctrl_low = np.where(ctrl, model.actuator_ctrlrange[:, 0], -np.inf)
        self._ctrl_high = np.where(ctrl, model.actuator_ctrlrange[:, 1], np.inf)
        self._joint_most = np.where(model.jnt_actfrclimited[joints], np.abs(model.jnt_actfrcrange[joints]).max(1), np.inf)
        self._joint_limited = bool(np.isfinite(self._joint_most).any())
        self.gainprm = model.actuator_gainprm.copy()
        self.biasprm = model.actuator_biasprm.copy()
        self.damping = model.dof_damping.copy()
        self.frictionloss = model.dof_frictionloss.copy()
        self.update()

    def update(self) -> None:
        """Take over gainprm, biasprm, damping and frictionloss."""
        m, a, dt = self._model, self._moment, self._dt
        affine = (m.actuator_biastype == int(mujoco.mjtBias.mjBIAS_AFFINE))[:, None]
        self._constant, length, speed = (self.biasprm[:, :3] * affine).T
        damping, stiffness = self.damping[self._v], m.jnt_stiffness[self._joints]
        # What a state (q, v) adds to the raw actuator forces, and below them to the passive forces of the joints.
        self._state = np.block([[length[:, None] * a, speed[:, None] * a], [-np.diag(stiffness), -np.diag(damping)]])
        self._spring = stiffness * m.qpos_spring[self._q]
        # Joints that share a tendon move together: each loses what all of them take.
        shared = np.abs(a).sum(1, keepdims=True) * np.abs(a)
        lost_v = damping + np.maximum(-speed, 0) @ shared
        lost_q = stiffness + np.maximum(-length, 0) @ shared
        inertia = m.dof_armature[self._v]
        whole = np.maximum(inertia + dt * lost_v + dt * dt * lost_q, _TINY)
        self._gain, self._most_gain = dt / whole, dt / np.maximum(inertia, _TINY)
        self._dry = self.frictionloss[self._v]
        self._has_dry = bool(self._dry.any())
        links = np.maximum(m.dof_M0[self._v] - inertia, _TINY)  # without the armature
        needed = np.where(np.abs(a).any(0), 1.2 * whole / links, 1.0)
        self.rounds = int(np.clip(needed.max(initial=1.0), _LEAST_ROUNDS, _MOST_ROUNDS))
        self._push = np.maximum(needed / self.rounds, 1.0)
        self._has_push = bool((self._push > 1).any())
        self.forget()

    def forget(self) -> None:
        """The state was set from outside."""
        self._last = np.zeros((2, len(self._joints)))  # speed, and how much more was asked for, in the last step

    def drive(self, control: np.ndarray) -> np.ndarray:
        """(S, nu) controls -> (S, nu + J) what does not depend on the state: raw actuator forces and springs."""
        raw = self.gainprm[:, 0] * np.clip(control, self._ctrl_low, self._ctrl_high) + self._constant
        return np.concatenate([raw, np.tile(self._spring, (len(raw), 1))], 1)

    def motors(self, drive: np.ndarray, q: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Speeds to ask for (J,) and largest forces (J,) at a row of `drive`, joint positions q and speeds v (J,)."""
        forces = drive + self._state @ np.concatenate([q, v])
        nu = len(self._low)
        raw, passive = forces[:nu], forces[nu:]
        wanted = raw @ self._moment
        most = np.minimum(np.maximum(raw, self._low), self._high) @ self._moment
        if self._joint_limited:
            most = np.minimum(np.maximum(most, -self._joint_most), self._joint_most)
        force = most + passive
        bound = np.abs(self._most_gain * force)
        more = np.minimum(np.maximum(self._gain * (wanted + passive), -bound), bound)
        if self._has_push:
            blocked = np.abs(v - self._last[0]) < 0.5 * np.abs(self._last[1])
            more = np.where(blocked, self._push * more, more)
            self._last = np.stack([v, more])
        target = v + more
        if not self._has_dry:
            return target, np.abs(force)
        return self._stick(force, target, v)

    def _stick(self, force: np.ndarray, target: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same with dry friction: it takes from the force along the motion, and holds what does not move."""
        dry = self._dry
        moving = np.abs(v) > _SPEED
        along = np.where(moving, np.sign(v), np.sign(force))
        rest = np.where(moving, force - along * dry, along * np.maximum(np.abs(force) - dry, 0))
        holds = ~moving & (np.abs(force) <= dry)
        brakes = moving & (rest * v < 0)
        target = np.where((dry > 0) & (holds | brakes), 0.0, target)
        return target, np.where(holds & (dry > 0), dry, np.abs(rest))


def moments(model: mujoco.MjModel, joints: np.ndarray) -> np.ndarray:
    """(nu, J): how much an actuator's length grows with each joint. Raises ConfigError for actuators that are no linear servo of joints."""
    place = {int(joint): i for i, joint in enumerate(joints)}
    moment = np.zeros((model.nu, len(joints)))
    for i in range(model.nu):
        _check_linear(model, i)
        kind, target, gear = int(model.actuator_trntype[i]), int(model.actuator_trnid[i, 0]), float(model.actuator_gear[i, 0])
        if kind == _JOINT:
            parts = [(target, gear)]
        else:
            wraps = range(model.tendon_adr[target], model.tendon_adr[target] + model.tendon_num[target])
            if any(int(model.wrap_type[w]) != int(mujoco.mjtWrap.mjWRAP_JOINT) for w in wraps):
                raise _unsupported(model, i, "a spatial tendon", "a joint, a fixed tendon")
            parts = [(int(model.wrap_objid[w]), gear * float(model.wrap_prm[w])) for w in wraps]
        for joint, share in parts:
            if joint not in place:
                raise _unsupported(model, i, "a ball or free joint", "a hinge, a slide, a fixed tendon over them")
            moment[i, place[joint]] += share
    return moment


def _check_linear(model: mujoco.MjModel, actuator: int) -> None:
    if int(model.actuator_trntype[actuator]) not in (_JOINT, _TENDON):
        found = mujoco.mjtTrn(int(model.actuator_trntype[actuator])).name
        raise _unsupported(model, actuator, f"transmission {found}", "joint, tendon")
    if int(model.actuator_dyntype[actuator]) != int(mujoco.mjtDyn.mjDYN_NONE):
        raise _unsupported(model, actuator, "a dynamic state (dyntype)", "none")
    if int(model.actuator_gaintype[actuator]) != int(mujoco.mjtGain.mjGAIN_FIXED):
        raise _unsupported(model, actuator, f"gain type {int(model.actuator_gaintype[actuator])}", "fixed")
    if int(model.actuator_biastype[actuator]) not in (int(mujoco.mjtBias.mjBIAS_NONE), int(mujoco.mjtBias.mjBIAS_AFFINE)):
        raise _unsupported(model, actuator, f"bias type {int(model.actuator_biastype[actuator])}", "none, affine")


def _unsupported(model: mujoco.MjModel, actuator: int, found: str, allowed: str) -> ConfigError:
    name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, actuator) or str(actuator)
    return ConfigError(f"actuator {name!r} uses {found}, which is not supported with PyBullet; allowed: {allowed}; or use engine=mujoco")
