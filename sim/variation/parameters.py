"""What may be unknown of an arm, by name: where it lies in an MjModel, its unit, and between what bounds it is sought.

Joint parameters are `damping`, `armature`, `frictionloss`, `stiffness` and `servo_damping`, each per joint (`damping:joint3`) or
for all joints at once (`damping`: one value per joint). `payload` is a mass at the tool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from data.errors import ConfigError, did_you_mean
from sim.world import Arm

PAYLOAD = "payload"
_PAYLOAD_RADIUS = 0.03  # [m] a payload is a ball of this radius


@dataclass(frozen=True)
class Kind:
    """A parameter that every joint has. dof, servo: indices of the joint's degree of freedom and of its servo."""

    unit: str
    low: float  # of the search; relative to the description's value if `relative`
    high: float
    relative: bool
    read: Callable[[mujoco.MjModel, int, int], float]
    write: Callable[[mujoco.MjModel, int, int, float], None]


def _write_damping(model: mujoco.MjModel, dof: int, servo: int, value: float) -> None:
    model.dof_damping[dof] = value


def _write_armature(model: mujoco.MjModel, dof: int, servo: int, value: float) -> None:
    model.dof_armature[dof] = value


def _write_frictionloss(model: mujoco.MjModel, dof: int, servo: int, value: float) -> None:
    model.dof_frictionloss[dof] = value


def _write_stiffness(model: mujoco.MjModel, dof: int, servo: int, value: float) -> None:
    model.actuator_gainprm[servo, 0] = value
    model.actuator_biasprm[servo, 1] = -value


def _write_servo_damping(model: mujoco.MjModel, dof: int, servo: int, value: float) -> None:
    model.actuator_biasprm[servo, 2] = -value


KINDS = {
    "damping": Kind("N m s/rad", 0.0, 20.0, False, lambda m, dof, _: float(m.dof_damping[dof]), _write_damping),
    "armature": Kind("kg m^2", 0.001, 2.0, False, lambda m, dof, _: float(m.dof_armature[dof]), _write_armature),
    "frictionloss": Kind("N m", 0.0, 10.0, False, lambda m, dof, _: float(m.dof_frictionloss[dof]), _write_frictionloss),
    "stiffness": Kind("N m/rad", 0.2, 3.0, True, lambda m, _, servo: float(m.actuator_gainprm[servo, 0]), _write_stiffness),
    "servo_damping": Kind("N m s/rad", 0.2, 3.0, True, lambda m, _, servo: float(-m.actuator_biasprm[servo, 2]), _write_servo_damping),
}
NAMES = (*KINDS, PAYLOAD)


@dataclass(frozen=True)
class Unknown:
    """One number that is sought."""

    name: str  # damping:joint3, payload
    unit: str
    nominal: float  # what the description says
    low: float
    high: float
    write: Callable[[mujoco.MjModel, float], None]


def unknowns(names: Sequence[str], model: mujoco.MjModel, arm: Arm, bounds: Mapping[str, tuple[float, float]]) -> list[Unknown]:
    """One per number. bounds: instead of the usual ones, by full name or by kind. Raises ConfigError for a name that does not exist."""
    found: list[Unknown] = []
    for name in names:
        kind, _, joint = name.partition(":")
        if kind not in NAMES:
            raise ConfigError(f"parameter {name!r}; {did_you_mean(kind, NAMES)}")
        if kind == PAYLOAD:
            low, high = bounds.get(PAYLOAD, (0.0, 3.0))
            found.append(Unknown(PAYLOAD, "kg", 0.0, low, high, _write_payload))
            continue
        known = arm.spec.joint_names
        if joint and joint not in known:
            raise ConfigError(f"parameter {name!r}: the arm has no joint {joint!r}; {did_you_mean(joint, known)}")
        found += [_of_joint(kind, i, model, arm, bounds) for i in range(len(known)) if joint in ("", known[i])]
    repeated = {u.name for u in found if [v.name for v in found].count(u.name) > 1}
    if not found or repeated:
        raise ConfigError(f"parameters {list(names)}: name at least one, and each once; allowed: {', '.join(NAMES)}")
    for unknown in found:
        if not 0 <= unknown.low < unknown.high:
            raise ConfigError(f"bounds of {unknown.name}: ({unknown.low}, {unknown.high}); they must be rising and not negative")
    return found


def _of_joint(kind: str, i: int, model: mujoco.MjModel, arm: Arm, bounds: Mapping[str, tuple[float, float]]) -> Unknown:
    what, dof, servo = KINDS[kind], int(arm.qvel[i]), arm.ctrl.start + i
    nominal = what.read(model, dof, servo)
    scale = nominal if what.relative else 1.0
    name = f"{kind}:{arm.spec.joint_names[i]}"
    low, high = bounds.get(name, bounds.get(kind, (what.low * scale, what.high * scale)))
    return Unknown(name, what.unit, nominal, low, high, lambda m, value: what.write(m, dof, servo, value))


def add_payload(world: mujoco.MjSpec, body: str, position: np.ndarray) -> None:
    """A ball without weight yet at `position` (3,) [m] in the frame of `body`; it touches nothing, and no servo knows of it."""
    held = world.body(body).add_body(name=PAYLOAD, pos=position.tolist())
    held.mass, held.inertia, held.explicitinertial = 1e-6, [1e-9] * 3, True


def _write_payload(model: mujoco.MjModel, value: float) -> None:
    body = model.body(PAYLOAD).id
    model.body_mass[body] = max(value, 1e-6)
    model.body_inertia[body] = max(0.4 * value * _PAYLOAD_RADIUS**2, 1e-9)
    mujoco.mj_setConst(model, mujoco.MjData(model))


def apply(model: mujoco.MjModel, arms: Sequence[Arm], values: Mapping[str, Any]) -> None:
    """Write {kind: {joint: value}} into the model, for every arm. Raises ConfigError for names or values that make no sense."""
    for kind, joints in values.items():
        if kind not in KINDS:
            raise ConfigError(f"env.identified: {kind!r}; {did_you_mean(kind, KINDS)}")
        if not isinstance(joints, Mapping):
            raise ConfigError(f"env.identified.{kind}={joints!r}; wanted a value per joint, {{joint1: 0.5}}")
        for joint, value in joints.items():
            for arm in arms:
                known = arm.spec.joint_names
                if joint not in known:
                    raise ConfigError(f"env.identified.{kind}: no joint {joint!r}; {did_you_mean(joint, known)}")
                if not isinstance(value, int | float) or not 0 <= value < np.inf:
                    raise ConfigError(f"env.identified.{kind}.{joint}={value!r}; wanted a number that is not negative")
                i = known.index(joint)
                KINDS[kind].write(model, int(arm.qvel[i]), arm.ctrl.start + i, float(value))
