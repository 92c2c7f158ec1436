"""Stage `egress`: the numbers about to be written, against the robot's own limits, by another formula than `commit`.

Finite differences of the positions that were really written, in plain Python, no numpy, no planner, nothing shared with
the stages before: a mistake there is caught here. The k-th difference of positions dt apart is an average of the k-th
derivative, so a profile inside its limits passes, and rounding needs (2^k ulp) / dt^k of room, no more.
"""

from __future__ import annotations

from math import inf, isfinite

from real.base import RobotSpec
from real.safety.verdict import PASS, Reaction, Stage, Verdict

TOLERANCE = 1e-9  # relative
ULP = 5e-16  # [rad], of a joint position


class Egress:
    """Remembers the last four positions written. `seed()` before the first."""

    def __init__(self, spec: RobotSpec, dt: float) -> None:
        self._spec = spec
        self._ends = list(zip(spec.q_min, spec.q_max, strict=True))
        self._bounds = [
            (
                v * (1 + TOLERANCE) + 2 * ULP / dt,
                a * (1 + TOLERANCE) + 4 * ULP / dt**2,
                j * (1 + TOLERANCE) + 8 * ULP / dt**3,
            )
            for v, a, j in zip(spec.dq_max, spec.ddq_max, spec.dddq_max, strict=True)
        ]
        self._dt = dt
        self._past: list[list[float]] | None = None
        self._width = inf

    def seed(self, q: list[float], width: float) -> None:
        """The arm is at rest at `q`, the gripper at `width`."""
        self._past = [list(q)] * 3
        self._width = width

    def check(self, q: list[float], width: float) -> Verdict:
        """Whether `q`, `width` may be written next. Does not remember them: see `sent()`."""
        if self._past is None:
            return self._cut("nothing has been seeded")
        if len(q) != len(self._ends):
            return self._cut(f"{len(q)} joints; the robot has {len(self._ends)}")
        dt = self._dt
        three, two, one = self._past
        for i, x in enumerate(q):
            low, high = self._ends[i]
            if not (isfinite(x) and low <= x <= high):
                return self._cut(f"joint {i} to {x!r}, outside [{low}, {high}]")
            d1, d2, d3 = x - one[i], one[i] - two[i], two[i] - three[i]
            v_max, a_max, j_max = self._bounds[i]
            if not abs(d1) / dt <= v_max:
                return self._cut(f"joint {i} at {d1 / dt!r} rad/s; limit {self._spec.dq_max[i]}")
            if not abs(d1 - d2) / dt**2 <= a_max:
                return self._cut(f"joint {i} at {(d1 - d2) / dt**2!r} rad/s^2; limit {self._spec.ddq_max[i]}")
            if not abs(d1 - 2 * d2 + d3) / dt**3 <= j_max:
                return self._cut(f"joint {i} at {(d1 - 2 * d2 + d3) / dt**3!r} rad/s^3; limit {self._spec.dddq_max[i]}")
        if not 0.0 <= width <= self._spec.gripper_max_width:
            return self._cut(f"gripper to {width!r} m, outside [0, {self._spec.gripper_max_width}]")
        if not abs(width - self._width) <= self._spec.gripper_speed * dt * (1 + TOLERANCE) + ULP:
            return self._cut(f"gripper by {width - self._width!r} m in one tick")
        return PASS

    def sent(self, q: list[float], width: float) -> None:
        assert self._past is not None
        self._past = [*self._past[1:], list(q)]
        self._width = width

    @staticmethod
    def _cut(what: str) -> Verdict:
        return Verdict(Stage.EGRESS, Reaction.CUT, f"refused to write: {what}")
