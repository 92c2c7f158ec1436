"""Stage `shape`: `MotionLimits`, what may be asked of the arm, and the saturation of a finite setpoint to it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from data.errors import RobotError
from real.base import RobotSpec
from real.safety.verdict import PASS, Reaction, Stage, Verdict

# The planner works this much inside the limits, so that rounding cannot carry a command past them.
INSIDE = 1.0 - 1e-6


@dataclass(frozen=True)
class MotionLimits:
    """Magnitudes (n,) for commanded motion. Build with `of()`, which cannot exceed the robot's own."""

    q_min: np.ndarray  # [rad]
    q_max: np.ndarray  # [rad]
    v_max: np.ndarray  # [rad/s]
    a_max: np.ndarray  # [rad/s^2]
    j_max: np.ndarray  # [rad/s^3]
    width_max: float  # [m]
    width_speed: float  # [m/s]

    @classmethod
    def of(cls, spec: RobotSpec, speed: float = 1.0, acceleration: float = 1.0, jerk: float = 1.0, margin: float = 0.002) -> MotionLimits:
        """Shares in (0, 1] of the robot's limits; `margin` [rad] is kept from each end of a joint.

        Raises RobotError for a share outside (0, 1] or a margin that leaves a joint no room.
        """
        for name, share in (("speed", speed), ("acceleration", acceleration), ("jerk", jerk)):
            if not 0.0 < share <= 1.0:
                raise RobotError(f"limits: {name} must be a share of the robot's limit in (0, 1], found {share!r}")
        q_min, q_max = np.array(spec.q_min) + margin, np.array(spec.q_max) - margin
        if not (margin >= 0 and (q_min < q_max).all()):
            raise RobotError(f"limits: a margin of {margin!r} rad leaves a joint no room; allowed: 0 to half its range")
        return cls(
            q_min,
            q_max,
            np.array(spec.dq_max) * speed,
            np.array(spec.ddq_max) * acceleration,
            np.array(spec.dddq_max) * jerk,
            spec.gripper_max_width,
            spec.gripper_speed,
        )


@dataclass(frozen=True)
class Setpoint:
    """Where the arm should be one tick from now."""

    q: np.ndarray  # (n,) [rad]
    v: np.ndarray  # (n,) [rad/s]
    a: np.ndarray  # (n,) [rad/s^2]
    width: float  # [m]


def is_finite(setpoint: Setpoint) -> bool:
    arrays = (setpoint.q, setpoint.v, setpoint.a)
    return isfinite(setpoint.width) and all(bool(np.isfinite(array).all()) for array in arrays)


def shape(setpoint: Setpoint | None, limits: MotionLimits) -> tuple[Setpoint | None, Verdict]:
    """The setpoint saturated to the limits. One that is not finite is dropped: NaN is never clamped.

    Velocity and acceleration are saturated jointly, so that the planner can always leave the point it is sent to:
    |v| + a^2 / (2 j) stays under the velocity limit. A joint that was moved to its end is asked to rest there.
    """
    if setpoint is None:
        return None, PASS
    if not is_finite(setpoint):
        return None, Verdict(Stage.SHAPE, Reaction.STOP, "the setpoint is not finite")
    q = np.minimum(np.maximum(setpoint.q, limits.q_min), limits.q_max)
    moved = q != setpoint.q
    top = 0.9 * limits.a_max
    a = np.minimum(np.maximum(setpoint.a, -top), top)
    room = 0.95 * limits.v_max - a * a / (2 * limits.j_max)
    if moved.any() or not (room > 0).all():
        a = np.where(moved | ~(room > 0), 0.0, a)
        room = np.where(moved, 0.0, 0.95 * limits.v_max - a * a / (2 * limits.j_max))
    v = np.minimum(np.maximum(setpoint.v, -room), room)
    width = min(max(setpoint.width, 0.0), limits.width_max)
    shaped = Setpoint(q, v, a, width)
    if moved.any() or width != setpoint.width or (np.abs(setpoint.v) > limits.v_max).any():
        return shaped, Verdict(Stage.SHAPE, Reaction.LOG, "setpoint saturated")
    return shaped, PASS


def next_width(width: float, target: float, limits: MotionLimits, dt: float) -> float:
    """The gripper opening one tick on: towards the target at no more than the gripper's speed. Both finite."""
    step = limits.width_speed * dt
    return min(max(min(max(target, width - step), width + step), 0.0), limits.width_max)
