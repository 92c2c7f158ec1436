"""The virtual arm's own controller: what a real one does with commands, and without them.

It follows the newest command, refuses what is not finite or out of range, and brakes by itself when it is told to or when
commands cease (its watchdog). Its faults are latched until cleared. What it counts are facts for tests: `refused` is how
many commands it had to refuse, and with a working control loop that is 0.
"""

from __future__ import annotations

import numpy as np

from real.base import RobotSpec
from real.drivers.wire import (
    CLEAR,
    FAULT_COMMAND,
    FAULT_FRAME,
    FAULT_STOPPED,
    FAULT_WATCHDOG,
    MOVE,
    STOP,
    WATCHDOG,
    CommandFrame,
)

COMPLETE = 0x7F  # the stages of the control loop: only commands that passed all of them feed the watchdog
BRAKING = 0.5  # share of the acceleration limits with which the arm brakes by itself
SMOOTH = 0.5  # of the target's velocity from one command to the next: a host's clock jitters
STALE = 3  # time steps without a command after which the held target counts as being at rest


class Controller:
    """Joint and gripper targets, one step at a time."""

    def __init__(self, robot: RobotSpec, timestep: float) -> None:
        self.robot, self.timestep = robot, timestep
        self.q = np.array(robot.q_home)
        self.width = robot.gripper_max_width
        self.fault = 0
        self.ack = 0
        self.refused = 0
        self.timeout = 0.0  # [s], 0 = no watchdog
        self.since_fed = 0.0
        self._fed = False  # a watchdog starts to run with the first command
        self._velocity = np.zeros(robot.dof)  # of the target, [rad/s]
        self._t = 0.0  # the host's time of the newest command [s]
        self._idle = 0  # time steps since the newest command
        self._fastest = np.array(robot.dq_max)
        self._brake = BRAKING * np.array(robot.ddq_max) * timestep
        self._low, self._high = np.array(robot.q_min) - 1e-9, np.array(robot.q_max) + 1e-9

    def place(self, q: np.ndarray, width: float) -> None:
        """The arm has been put somewhere by hand: targets follow, at rest."""
        self.q, self.width, self._velocity = q.copy(), width, np.zeros_like(q)
        self._fed = False

    def command(self, frame: CommandFrame) -> None:
        self.ack = max(self.ack, frame.seq)
        if frame.kind == MOVE:
            self._move(frame)
        elif frame.kind == STOP:
            self.fault |= FAULT_STOPPED
        elif frame.kind == WATCHDOG:
            self.timeout, self.since_fed, self._fed = frame.value, 0.0, False
        elif frame.kind == CLEAR:
            self.fault, self._fed = 0, False

    def damaged(self) -> None:
        """A frame that could not be read: the stream has lost its framing."""
        self.fault |= FAULT_FRAME

    def _move(self, frame: CommandFrame) -> None:
        if self.fault:
            return
        width_ok = -1e-9 <= frame.width <= self.robot.gripper_max_width + 1e-9
        if not (((frame.q >= self._low) & (frame.q <= self._high)).all() and width_ok):
            self.refused += 1
            self.fault |= FAULT_COMMAND
            return
        if frame.stages == COMPLETE:
            self.since_fed, self._fed = 0.0, True
        elapsed = frame.t - self._t if 0 < frame.t - self._t < 0.1 else self.timestep
        speed = np.clip((frame.q - self.q) / elapsed, -self._fastest, self._fastest)
        self._velocity = self._velocity + SMOOTH * (speed - self._velocity)
        self.q, self.width, self._t, self._idle = frame.q, frame.width, frame.t, 0

    def advance(self) -> tuple[np.ndarray, np.ndarray, float]:
        """The targets of the next time step [rad], [rad/s], [m]: the newest command, or one step of braking."""
        self.since_fed += self.timestep
        if self._fed and self.timeout > 0 and self.since_fed > self.timeout and not self.fault:
            self.fault |= FAULT_WATCHDOG
        if self.fault:
            self._velocity = np.sign(self._velocity) * np.maximum(np.abs(self._velocity) - self._brake, 0.0)
            self.q = np.clip(self.q + self._velocity * self.timestep, self._low, self._high)
        else:
            self._idle += 1
            if self._idle > STALE:
                self._velocity = np.zeros_like(self.q)
        return self.q, self._velocity, self.width
