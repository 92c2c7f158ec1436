"""Stage `shape`, second part: a setpoint whose tool lies outside the workspace is moved to the nearest face.

Not what keeps the arm inside: `commit` does that, whatever the setpoint. But an arm that is sent through a wall can only
stop in front of it; one that is sent along the wall can go on with the part of its task that lies inside.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from real.kinematics import Kinematics
from real.safety.limits import MotionLimits, Setpoint
from real.safety.verdict import PASS, Reaction, Stage, Verdict
from real.safety.workspace import Workspace

INSET = 0.002  # [m] between the face and where setpoints are moved to: room for the way a stop takes
STEPS = 3  # of position-only differential IK
DAMPING = 0.02  # [m]


class Fence:
    def __init__(self, kinematics: Kinematics, limits: MotionLimits, workspace: Workspace) -> None:
        self._kinematics, self._limits = kinematics, limits
        self._low, self._high = workspace.low + INSET, workspace.high - INSET

    def apply(self, setpoint: Setpoint) -> tuple[Setpoint, Verdict]:
        """A finite setpoint, unchanged if its tool is inside; otherwise without speed towards the faces it was beyond."""
        place = self._kinematics.tool(setpoint.q)[0]
        nearest = np.minimum(np.maximum(place, self._low), self._high)
        beyond = place != nearest
        if not beyond.any():
            return setpoint, PASS
        q = setpoint.q
        for _ in range(STEPS):
            jacobian = self._kinematics.jacobian(q)[0, :3]  # (3, n)
            q = q + self._pseudo(jacobian) @ (nearest - self._kinematics.tool(q)[0])
            q = np.minimum(np.maximum(q, self._limits.q_min), self._limits.q_max)
        jacobian = self._kinematics.jacobian(q)[0, :3][beyond]  # (faces, n)
        v = setpoint.v - self._pseudo(jacobian) @ (jacobian @ setpoint.v)
        moved = dataclasses.replace(setpoint, q=q, v=v, a=np.zeros_like(v))
        axes = "".join(axis for axis, out in zip("xyz", beyond, strict=True) if out)
        return moved, Verdict(Stage.SHAPE, Reaction.LOG, f"the setpoint's tool lay outside the workspace in {axes}")

    @staticmethod
    def _pseudo(jacobian: np.ndarray) -> np.ndarray:
        """(m, n) -> (n, m), damped."""
        square = jacobian @ jacobian.T + DAMPING**2 * np.eye(len(jacobian))
        return np.linalg.solve(square, jacobian).T
