"""What flows between the control loop and an arm: `RobotSpec`, `Sample`, `Command`, `Driver`. SI units, frozen.

A driver never blocks past its deadline, never invents data, never retries silently; close() may be called twice and
stop() from any state. It holds no safety logic: the loop's stages run before every write, whatever the driver.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.errors import RobotError

Vector = tuple[float, ...]
Frame = tuple[float, float, float, float, float, float, float]  # x, y, z [m], qw, qx, qy, qz


@dataclass(frozen=True, kw_only=True)
class RobotSpec:
    """An arm with a gripper. Every limit is a magnitude per joint, from the source named in its file.

    Its geometry is either a DH table (`dh`, `tcp`) or a general serial chain (`chain`), in which every joint turns about
    the z axis of its own frame.
    """

    name: str
    joint_names: tuple[str, ...]
    q_min: Vector  # [rad]
    q_max: Vector  # [rad]
    dq_max: Vector  # [rad/s]
    ddq_max: Vector  # [rad/s^2]
    dddq_max: Vector  # [rad/s^3]
    tau_max: Vector  # [N m]
    q_home: Vector  # [rad], where episodes start
    dh: tuple[tuple[float, float, float], ...] = ()  # (a [m], d [m], alpha [rad]) per joint and for the flange, Craig's convention
    tcp: tuple[float, float] = (0.0, 0.0)  # of a DH table: tool centre point in the flange, shift along its z [m], turn about it [rad]
    chain: tuple[Frame, ...] = ()  # frame of every joint, at zero, in the frame of the joint before it; then the tool's in the last
    gripper_max_width: float  # [m], fingers fully open
    gripper_speed: float  # [m/s] of width
    source: str  # where the limits are published

    def __post_init__(self) -> None:
        n = len(self.joint_names)
        for field in ("q_min", "q_max", "dq_max", "ddq_max", "dddq_max", "tau_max", "q_home"):
            values = np.asarray(getattr(self, field), float)
            if values.shape != (n,) or not np.isfinite(values).all():
                raise RobotError(f"robot {self.name}: {field} must be {n} finite numbers, found {values.tolist()}")
        if not (np.asarray(self.q_min) < np.asarray(self.q_max)).all():
            raise RobotError(f"robot {self.name}: q_min must lie below q_max for every joint")
        if bool(self.dh) == bool(self.chain):
            raise RobotError(f"robot {self.name}: give either dh or chain; found {'both' if self.dh else 'neither'}")
        rows = np.asarray(self.dh or self.chain, float)
        shape = (n + 1, 3 if self.dh else 7)
        if rows.shape != shape or not np.isfinite(rows).all():
            raise RobotError(f"robot {self.name}: {'dh' if self.dh else 'chain'} must be {shape} finite numbers, found {rows.shape}")
        if self.chain and np.abs(np.linalg.norm(rows[:, 3:], axis=1) - 1).max() > 1e-9:
            raise RobotError(f"robot {self.name}: the quaternions of chain must have length 1 to 1e-9")

    @property
    def dof(self) -> int:
        return len(self.joint_names)

    def hash(self) -> str:
        fields = dataclasses.asdict(self)
        if not self.chain:
            del fields["chain"]  # arms with a DH table keep the hash that older logs and artefacts hold
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Sample:
    """One reading of the arm."""

    t: float  # monotonic time of arrival [s]
    t_device: float  # the arm's own clock [s]
    seq: int  # the arm's own counter: a value seen before means nothing new arrived
    q: np.ndarray  # (dof,) [rad]
    dq: np.ndarray  # (dof,) [rad/s]
    width: float  # gripper opening [m]
    fault: int = 0  # the arm's own safety word, 0 = none


@dataclass(frozen=True)
class Command:
    """One order to the arm."""

    t: float  # monotonic time [s]
    seq: int
    q: np.ndarray  # (dof,) joint position target [rad]
    width: float  # gripper opening target [m]
    stages: int = 0  # the safety stages that ran before it, as bits: an arm's watchdog is fed by complete ones only


class Driver(Protocol):
    """One robot family behind its vendor's wire."""

    spec: RobotSpec
    lockstep: bool  # the arm's clock moves only when a command is written; known after open()

    def open(self) -> None:
        """Connect; read only, nothing moves. Raises RobotError."""

    def arm_watchdog(self, timeout: float) -> None:
        """Ask the arm to stop by itself when no command comes for `timeout` [s]. Raises RobotError if it cannot."""

    def read(self, deadline: float) -> Sample | None:
        """The newest sample, or None if none arrived before the monotonic time `deadline` [s]."""

    def write(self, command: Command, deadline: float) -> bool:
        """Send; False if it could not be sent before `deadline`."""

    def stop(self) -> None:
        """Ask the arm to brake and hold."""

    def clear_fault(self) -> None:
        """Ask the arm to leave its fault state. Called by an operator's decision only."""

    def explain(self, fault: int) -> str:
        """The arm's safety word in words."""

    def close(self) -> None: ...
