"""The joint control law that every simulated arm obeys, whatever the engine: a torque-limited servo of positions.

    tau = clip(kp (q_target - LAG dq_target - q) + kd (dq_target - dq), -tau_max, tau_max) + gravity compensation

as the joint impedance controllers of such arms do inside; every joint follows its target LAG behind. Gains per torque class
of joint are chosen here, not the vendor's. A joint that something held e [rad] away from its target comes back, when that
lets go, at up to e kp/kd [rad/s]: soft and well damped wrists stay inside their speed limit then.
"""

from __future__ import annotations

import numpy as np

from real.base import RobotSpec

LAG = 0.05  # [s]
GRIPPER_KP, GRIPPER_KD, GRIPPER_FORCE = 1000.0, 60.0, 40.0  # [N/m], [N s/m], [N] on the opening width


def gains(spec: RobotSpec) -> tuple[np.ndarray, np.ndarray]:
    """kp [N m/rad] and kd [N m s/rad] per joint: stiffer where the motor is stronger. Hobby servos are the weakest class."""
    tau = np.asarray(spec.tau_max)
    classes = [tau > 40, tau > 5]
    return np.select(classes, [4500.0, 600.0], 60.0), np.select(classes, [225.0, 60.0], 3.0)


def ramp(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """(B, n), (B, n) -> (B, steps, n): targets on the straight line, the last one is `end`."""
    share = np.arange(1, steps + 1)[None, :, None] / steps
    return start[:, None] + share * (end - start)[:, None]
