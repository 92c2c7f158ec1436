"""Stage `egress`: the numbers about to be written, against the robot's own limits, by another formula than `commit`.

Finite differences of the positions that were really written, in plain Python, no numpy, no planner, nothing shared with
the stages before: a mistake there is caught here. The k-th difference of positions dt apart is an average of the k-th
derivative, so a profile inside its limits passes; at 1 kHz rounding of the jerk, 3e-6 rad/s^3, is still below TOLERANCE of an arm's.
"""

from __future__ import annotations

from math import inf, isfinite

from real.base import RobotSpec
from real.safety.verdict import PASS, Reaction, Stage, Verdict

TOLERANCE = 1e-9  # relative


class Egress:
    """Remembers the last four positions written. `seed()` before the first."""

    def __init__(self, spec: RobotSpec, dt: float) -> None:
        self._spec = spec
        self._ends = list(zip(spec.q_min, spec.q_max, strict=True))
        loose = 1 + TOLERANCE
        self._bounds = [(v * loose, a * loose, j * loose) for v, a, j in zip(spec.dq_max, spec.ddq_max, spec.dddq_max, strict=True)]
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
            v_max, a_max, j_max = self._bounds[i]
            speed = (x - one[i]) / dt
            acceleration = (x - 2 * one[i] + two[i]) / dt**2
            jerk = (x - 3 * one[i] + 3 * two[i] - three[i]) / dt**3
            if not abs(speed) <= v_max:
                return self._cut(f"joint {i} at {speed!r} rad/s; limit {self._spec.dq_max[i]}")
            if not abs(acceleration) <= a_max:
                return self._cut(f"joint {i} at {acceleration!r} rad/s^2; limit {self._spec.ddq_max[i]}")
            if not abs(jerk) <= j_max:
                return self._cut(f"joint {i} at {jerk!r} rad/s^3; limit {self._spec.dddq_max[i]}")
        if not 0.0 <= width <= self._spec.gripper_max_width:
            return self._cut(f"gripper to {width!r} m, outside [0, {self._spec.gripper_max_width}]")
        speed = (width - self._width) / dt
        if not abs(speed) <= self._spec.gripper_speed * (1 + TOLERANCE):
            return self._cut(f"gripper at {speed!r} m/s; limit {self._spec.gripper_speed}")
        return PASS

    def sent(self, q: list[float], width: float) -> None:
        assert self._past is not None
        self._past = [*self._past[1:], list(q)]
        self._width = width

    @staticmethod
    def _cut(what: str) -> Verdict:
        return Verdict(Stage.EGRESS, Reaction.CUT, f"refused to write: {what}")
