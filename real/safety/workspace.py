"""The box that the tool centre point may not leave, proven for a whole path and not only for sampled points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.errors import RobotError
from real.kinematics import Kinematics


@dataclass(frozen=True)
class Workspace:
    """An axis-aligned box in the robot's base frame [m]. Build with `of()`."""

    low: np.ndarray  # (3,)
    high: np.ndarray  # (3,)

    @classmethod
    def of(cls, low: tuple[float, ...], high: tuple[float, ...]) -> Workspace:
        """Raises RobotError unless both are three finite numbers and low < high."""
        low_, high_ = np.array(low, float), np.array(high, float)
        if low_.shape != (3,) or high_.shape != (3,) or not np.isfinite([low_, high_]).all() or not (low_ < high_).all():
            raise RobotError(f"workspace: wanted three finite numbers low < high, found {list(low)} and {list(high)}")
        return cls(low_, high_)

    def room(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) -> (...,): distance [m] to the nearest face, negative outside."""
        return np.minimum(points - self.low, self.high - points).min(-1)


class ToolBound:
    """How far the tool's path can bulge out between sampled instants.

    For a revolute chain, d2x/dq_i dq_j (i <= j) is at most the distance r_j from joint j's axis to the tool, hence

        |x''| <= sum_i r_i |q_i''| + sum_i r_i q_i'^2 + 2 sum_{i<j} r_j |q_i'| |q_j'|

    and a path with |x''| <= c stays within c dt^2 / 8 of the chord between two instants dt apart. A box is convex: if
    both ends lie inside the box shrunk by that much, so does all that is between them.
    """

    def __init__(self, kinematics: Kinematics) -> None:
        # r_j is at most the length of the links that follow joint j, whatever the pose.
        origins = kinematics.joint_origins(np.zeros((1, kinematics.spec.dof)))[0]
        links = np.linalg.norm(np.diff(origins, axis=0), axis=1)
        self.reach = np.cumsum(links[::-1])[::-1]  # (n,) [m]
        n = len(self.reach)
        self._pairs = self.reach[np.maximum.outer(np.arange(n), np.arange(n))]

    def bulge(self, v_max: np.ndarray, a_max: np.ndarray, dt: float) -> float:
        """v_max, a_max: bounds (n,) on |q'| and |q''| over the path. Returns [m]."""
        return float(self.reach @ a_max + v_max @ self._pairs @ v_max) * dt * dt / 8
