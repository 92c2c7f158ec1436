"""`Arc`: motion of n joints made of pieces of constant jerk, and the exact extremes of such a motion.

Everything a limit is checked against comes from here and not from the planner: Ruckig only says which jerks to use,
its own `position_extrema` is not trusted (known to be wrong for some motions).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Arc:
    """Motion from one instant on. k pieces per joint, played one after the other; past the last one jerk is zero.

    position, velocity, acceleration   (n,) at its start [rad, rad/s, rad/s^2]
    durations                          (k, n) [s], >= 0
    jerks                              (k, n) [rad/s^3]
    """

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    durations: np.ndarray
    jerks: np.ndarray

    @property
    def duration(self) -> float:
        """When the last joint has played its last piece [s]."""
        return float(self.durations.sum(0).max())

    @cached_property
    def knots(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, velocity and acceleration (k + 1, n) at the start, between the pieces and at the end."""
        k, n = self.durations.shape
        p, v, a = np.empty((k + 1, n)), np.empty((k + 1, n)), np.empty((k + 1, n))
        p[0], v[0], a[0] = self.position, self.velocity, self.acceleration
        for i in range(k):
            t, j = self.durations[i], self.jerks[i]
            p[i + 1] = p[i] + t * (v[i] + t * (a[i] / 2 + t * (j / 6)))
            v[i + 1] = v[i] + t * (a[i] + t * (j / 2))
            a[i + 1] = a[i] + t * j
        return p, v, a

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(m,) times >= 0 [s] -> position, velocity, acceleration (m, n)."""
        left = np.asarray(times, float)[:, None]
        p, v, a = self.position, self.velocity, self.acceleration
        for i in range(len(self.durations)):
            t, j = np.minimum(left, self.durations[i]), self.jerks[i]
            left = left - t
            p, v, a = p + t * (v + t * (a / 2 + t * (j / 6))), v + t * (a + t * (j / 2)), a + t * j
        return p + left * (v + left * (a / 2)), v + left * a, a + left * 0.0

    def peaks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Largest |velocity|, |acceleration| and |jerk| (n,) over the pieces, exact: a velocity turns where a = 0."""
        _, v, a = self.knots
        start, end, j = a[:-1], a[1:], self.jerks
        crosses = start * end < 0  # then j != 0 and the velocity turns inside the piece
        turn = v[:-1] - np.divide(start * start, 2 * j, out=np.zeros_like(start), where=crosses)
        velocity = np.maximum(np.abs(v).max(0), np.where(crosses, np.abs(turn), 0.0).max(0))
        played = self.durations > 0
        return velocity, np.abs(a).max(0), np.where(played, np.abs(j), 0.0).max(0)


def cut(arc: Arc, duration: float) -> Arc:
    """The first `duration` [s] of an arc; a shorter one is continued with zero jerk."""
    ends = np.minimum(arc.durations.cumsum(0), duration)
    durations = np.concatenate([ends[:1], ends[1:] - ends[:-1], duration - ends[-1:]])
    played = durations.any(1)
    jerks = np.concatenate([arc.jerks, np.zeros((1, arc.jerks.shape[1]))])
    return Arc(arc.position, arc.velocity, arc.acceleration, durations[played], jerks[played])


def stop(position: np.ndarray, velocity: np.ndarray, acceleration: np.ndarray, a_max: np.ndarray, j_max: np.ndarray) -> Arc:
    """The fastest way of each joint to velocity 0 and acceleration 0, jerk- and acceleration-limited: three pieces.

    In the frame where the needed change of velocity is positive the acceleration rises with j_max to
    sqrt(j_max * dv + a^2 / 2) or to a_max, stays there, and falls to zero.
    """
    settled = velocity + acceleration * np.abs(acceleration) / (2 * j_max)  # the velocity left once a has been brought to 0
    sign = np.where(settled > 0, -1.0, 1.0)
    v, a = sign * velocity, sign * acceleration
    top = np.sqrt(np.maximum(a * a / 2 - j_max * v, 0.0))
    top = np.minimum(np.maximum(top, a), np.maximum(a_max, a))
    rise, fall = (top - a) / j_max, top / j_max
    rest = -v - (top * top - a * a) / (2 * j_max) - top * top / (2 * j_max)
    hold = np.divide(rest, top, out=np.zeros_like(top), where=top > 0)
    hold = np.where(hold > 1e-12, hold, 0.0)
    jerk = sign * j_max
    return Arc(position, velocity, acceleration, np.stack([rise, hold, fall]), np.stack([jerk, 0 * jerk, -jerk]))


def reach(arc: Arc) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest position (n,) on the way of a stop, exact.

    A stop turns back at most once: while the acceleration that it starts with still pushes against its first piece.
    """
    p, _, _ = arc.knots
    v, a, j = arc.velocity, arc.acceleration, arc.jerks[0]
    square = a * a - 2 * j * v
    # First root of v + a t + j t^2 / 2 = 0, in the form that does not cancel: 2 v / (-a + sign(-a) sqrt(...)).
    root = np.sqrt(np.maximum(square, 0.0))
    below = -a + np.where(a < 0, root, -root)
    turns = (v * a < 0) & (square >= 0) & (below != 0)
    t = np.divide(2 * v, below, out=np.zeros_like(v), where=turns)
    t = np.where(turns & (t > 0) & (t < arc.durations[0]), t, 0.0)
    turn = arc.position + t * (v + t * (a / 2 + t * (j / 6)))
    every = np.concatenate([p, turn[None]])
    return every.min(0), every.max(0)
