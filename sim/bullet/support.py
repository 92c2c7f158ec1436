"""What of MuJoCo's worlds PyBullet cannot do, or this translation does not: each is one ConfigError."""

from __future__ import annotations

import mujoco

from data.errors import ConfigError

HINGE, SLIDE, BALL, FREE = (
    int(k) for k in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_BALL, mujoco.mjtJoint.mjJNT_FREE)
)


def refuse(what: str) -> ConfigError:
    return ConfigError(f"{what} cannot be simulated with PyBullet; leave it out, or use engine=mujoco")


def label(model: mujoco.MjModel, kind: mujoco.mjtObj, index: int) -> str:
    """The quoted name of an element, its number where it has none."""
    name = mujoco.mj_id2name(model, kind, index)
    return repr(name) if name else f"number {index}"


def check(model: mujoco.MjModel) -> None:
    """Raises ConfigError that names the first element that is not supported."""
    for what, count in (("flex", model.nflex), ("skin", model.nskin), ("plugin", model.nplugin), ("height field", model.nhfield)):
        if count:
            raise refuse(f"a {what}")
    if model.opt.density or model.opt.viscosity:
        raise refuse("a fluid (option density or viscosity)")
    for tendon in range(model.ntendon):
        passive = (model.tendon_stiffness, model.tendon_damping, model.tendon_frictionloss, model.tendon_limited)
        if any(field[tendon].any() for field in passive):
            raise refuse(f"tendon {label(model, mujoco.mjtObj.mjOBJ_TENDON, tendon)}: stiffness, damping, friction or a range of a tendon")
    for joint in range(model.njnt):
        _check_joint(model, joint)
    for body in range(1, model.nbody):
        if model.body_mocapid[model.body_rootid[body]] >= 0 and model.body_jntnum[body]:
            raise refuse(f"body {label(model, mujoco.mjtObj.mjOBJ_BODY, body)}: a joint below a mocap body")


def _check_joint(model: mujoco.MjModel, joint: int) -> None:
    name = f"joint {label(model, mujoco.mjtObj.mjOBJ_JOINT, joint)}"
    kind, dof = int(model.jnt_type[joint]), int(model.jnt_dofadr[joint])
    if kind == BALL and (model.jnt_stiffness[joint] or model.jnt_limited[joint]):
        raise refuse(f"{name}: a spring or a range of a ball joint")
    if kind == FREE and (model.dof_damping[dof : dof + 6].any() or model.dof_frictionloss[dof : dof + 6].any()):
        raise refuse(f"{name}: damping or friction of a free joint")
    if kind == FREE and model.body_gravcomp[model.jnt_bodyid[joint]]:
        raise refuse(f"{name}: gravity compensation of a free body")
    if model.jnt_stiffnesspoly[joint].any() or model.dof_dampingpoly[dof].any():
        raise refuse(f"{name}: a spring or damper that is not linear")
