"""What arms doing a task offer to a policy: the names, units and shapes of observations and actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.errors import ConfigError, did_you_mean
from data.spec import ActionSpec, Feature, PolicySpec
from real.base import RobotSpec
from sim.base import Task
from sim.task import POSE, POSE_UNITS
from sim.world import Mount

REACH = 1.5  # [m] no arm of ours reaches further from its base
ACTIONS = ("ee_pose", "joint")


def offered_spec(
    task: Task, robot: RobotSpec, mounts: Sequence[Mount], rate_hz: float, action: str, cameras: Mapping[str, tuple[int, int]]
) -> PolicySpec:
    """Everything that `robot` doing `task` lets a policy see and do; `cameras`: name -> (height, width).

    Poses are in the world; the numbers of several arms follow one another, their names begin with the mount's.
    """
    if action not in ACTIONS:
        raise ConfigError(f"env.action={action!r}: {did_you_mean(action, ACTIONS)}")
    state = [(m.prefix + name, unit) for m in mounts for name, unit in (*zip(POSE, POSE_UNITS), ("gripper_width", "m"))]
    quaternions = tuple(8 * i + 3 for i in range(len(mounts)))
    joints = [(m.prefix + name, "rad") for m in mounts for name in robot.joint_names]
    features = [
        Feature("observation.state", (len(state),), names=_first(state), units=_second(state), quaternions=quaternions),
        Feature("observation.joints", (len(joints),), names=_first(joints), units=_second(joints)),
        *task.features,
        *(Feature(f"observation.images.{name}", (*size, 3), "uint8") for name, size in cameras.items()),
    ]
    if action == "ee_pose":
        order = ActionSpec("ee_pose", _first(state), _second(state), quaternions=quaternions)
    else:
        each = [
            (m.prefix + name, unit) for m in mounts for name, unit in (*((j, "rad") for j in robot.joint_names), ("gripper_width", "m"))
        ]
        order = ActionSpec("joint", _first(each), _second(each))
    return PolicySpec(task.name, robot.name, tuple(features), order, rate_hz)


def action_bounds(robot: RobotSpec, arms: int, action: str) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest action (A,) float32 of `arms` arms of this kind."""
    if action == "joint":
        low, high = [*robot.q_min, 0.0], [*robot.q_max, robot.gripper_max_width]
    else:
        low, high = [-REACH] * 3 + [-1.0] * 4 + [0.0], [REACH] * 3 + [1.0] * 4 + [robot.gripper_max_width]
    return np.tile(np.array(low, np.float32), arms), np.tile(np.array(high, np.float32), arms)


def _first(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(name for name, _ in pairs)


def _second(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(unit for _, unit in pairs)
