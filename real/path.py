"""`Path`: from where the arm is commanded to be, smoothly past the waypoints of a chunk, within what the arm can follow.

    minimise   sum_i |p(t_i) - w_i|^2 dt  +  lambda  integral |p'''|^2  +  e^T P e      p(t0), p'(t0), p''(t0) = the commanded state

subject to |p''| and |p'| within a share of the arm's limits. A chunk never begins where the last one led, and waypoints
50 ms apart hold tremor and jumps that a simulator without acceleration limits obeys and an arm cannot. Both would drive
the commit stage into saturation, joint by joint, and the tool far off its way. The minimum is a zero-phase low-pass of the
waypoints (cut-off lambda^(-1/6) rad/s) that cuts corners only where the limits ask for it. e is the distance at the last
waypoint from a target that goes on with the speed it had, P the exact price of closing it later (the Riccati solution of
the triple integrator), so that a short chunk is followed as closely as a long one.

The constraints are met by a fixed number of steps of ADMM (Boyd et al. 2011, section 5.2), to within a tenth. Nothing is
guaranteed by all this: that is what `real.safety.commit` is for.
"""

from __future__ import annotations

from math import ceil, pi

import numpy as np

from real.chunk import Chunk
from real.safety.limits import MotionLimits, Setpoint

CUTOFF = 4.0  # [Hz]
PIECES = 2  # of constant jerk per waypoint
STEPS, PENALTY, RELAX = 25, 0.3, 1.6  # of ADMM
SPEED = 4.0  # [1/s]: weight of the velocity rows beside the acceleration rows
SHARE = 0.95  # of the limits that a path may use


class Path:
    """q, v, a: the commanded state (n,) at time t0 [s]."""

    def __init__(self, chunk: Chunk, t0: float, q: np.ndarray, v: np.ndarray, a: np.ndarray, limits: MotionLimits) -> None:
        self.chunk, self.t0 = chunk, t0
        times = chunk.t_obs + chunk.dt * np.arange(len(chunk.q)) - t0  # (n,) from now
        ahead = times > 1e-6
        self._length = float(times[-1])
        self._q, self._v, self._a = q[None], v[None], a[None]
        if not ahead.any():
            return
        self._h = chunk.dt / PIECES
        count = ceil(self._length / self._h - 1e-9)
        times, waypoints = times[ahead], chunk.q[ahead]
        basis = _positions(times, self._h, count)  # (m, count) per unit of jerk
        wanted = waypoints - (q + times[:, None] * v + (times**2 / 2)[:, None] * a)
        end, missing = self._end(chunk.q, chunk.dt, count)
        w = 2 * pi * CUTOFF
        price = end.T @ _riccati(w)
        square = basis.T @ basis * chunk.dt + price @ end + w**-6 * self._h * np.eye(count)
        top = SHARE * limits.a_max  # in its unit all joints have the same problem, but for the bounds
        linear = (basis.T @ wanted * chunk.dt + price @ missing) / top
        rows, low, high = self._bounds(count, top, SHARE * limits.v_max)
        self._knots(top * _bounded_least_squares(square, linear, rows, low, high))

    def at(self, t: float) -> Setpoint:
        """The setpoint of time t [s]; past the last waypoint at rest, before t0 as at t0."""
        t -= self.t0
        width = self._width(t + self.t0)
        if len(self._q) == 1 or t >= self._length:
            zero = np.zeros_like(self._q[-1])
            return Setpoint(self._q[-1], zero, zero, width)
        i = min(max(int(t / self._h), 0), len(self._jerk) - 1)
        s = max(t, 0.0) - i * self._h
        q, v, a, j = self._q[i], self._v[i], self._a[i], self._jerk[i]
        return Setpoint(q + s * (v + s * (a / 2 + s * (j / 6))), v + s * (a + s * (j / 2)), a + s * j, width)

    def _end(self, waypoints: np.ndarray, dt: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        """At the last waypoint: position, velocity and acceleration per unit of jerk (3, count), and what is missing (3, n)."""
        t, h = self._length, self._h
        since = np.maximum(t - h * np.arange(count), 0.0)
        after = np.maximum(since - h, 0.0)
        matrix = np.stack([(since**3 - after**3) / 6, (since**2 - after**2) / 2, since - after])
        q, v, a = self._q[0], self._v[0], self._a[0]
        span = min(3, len(waypoints) - 1)
        speed = (waypoints[-1] - waypoints[-1 - span]) / (span * dt)
        return matrix, np.stack([waypoints[-1] - (q + t * v + t * t / 2 * a), speed - (v + t * a), -a])

    def _width(self, t: float) -> float:
        """The gripper follows its own speed limit: it is sent to the waypoint ahead at once."""
        x = (t - self.chunk.t_obs) / self.chunk.dt
        return float(self.chunk.width[min(max(int(x) + 1, 0), len(self.chunk.width) - 1)])

    def _knots(self, jerk: np.ndarray) -> None:
        """Position, velocity and acceleration where the jerk changes."""
        h, zero = self._h, np.zeros((1, jerk.shape[1]))
        self._jerk = jerk
        a = self._a[0] + h * np.concatenate([zero, jerk.cumsum(0)])
        v = self._v[0] + np.concatenate([zero, (h * a[:-1] + h * h / 2 * jerk).cumsum(0)])
        q = self._q[0] + np.concatenate([zero, (h * v[:-1] + h * h / 2 * a[:-1] + h**3 / 6 * jerk).cumsum(0)])
        self._q, self._v, self._a = q, v, a

    def _bounds(self, count: int, a_max: np.ndarray, v_max: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows (2 count, count) of acceleration and velocity at the ends of the pieces per unit of jerk, and their bounds."""
        h, k = self._h, np.arange(count)
        older = k[:, None] >= k
        rows = np.concatenate([h * older, SPEED * np.where(older, h * h * (k[:, None] - k + 0.5), 0.0)])
        v, a = self._v[0] / a_max, self._a[0] / a_max
        free = np.concatenate([np.broadcast_to(a, (count, len(a))), SPEED * (v + h * (k[:, None] + 1) * a)])
        bound = np.concatenate([np.ones((count, len(a))), np.broadcast_to(SPEED * v_max / a_max, (count, len(a)))])
        return rows, -bound - free, bound - free


def _bounded_least_squares(square: np.ndarray, linear: np.ndarray, rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """x (k, n) that minimises x^T square x / 2 - linear^T x with low <= rows x <= high, column by column."""
    x = np.linalg.solve(square, linear)
    z = rows @ x
    if ((z >= low) & (z <= high)).all():
        return x
    penalty = PENALTY * np.trace(square) / float((rows * rows).sum())
    inverse = np.linalg.inv(square + penalty * rows.T @ rows)
    pull, push = penalty * rows.T, np.zeros_like(z)
    z = np.minimum(np.maximum(z, low), high)
    for _ in range(STEPS):
        x = inverse @ (linear + pull @ (z - push))
        y = RELAX * (rows @ x) + (1 - RELAX) * z
        z = np.minimum(np.maximum(y + push, low), high)
        push += y - z
    return x


def _riccati(w: float) -> np.ndarray:
    """(3, 3): least cost of bringing position, velocity and acceleration to zero, jerk weighted by w^-6."""
    p = np.array([[2.0, 2.0, 1.0], [2.0, 3.0, 2.0], [1.0, 2.0, 2.0]])
    order = np.arange(3)
    return p * w ** -(1.0 + order[:, None] + order)


def _positions(times: np.ndarray, h: float, count: int) -> np.ndarray:
    """(m, count): what a unit of jerk during piece k contributes to the position at each time."""
    start = h * np.arange(count)
    since = np.maximum(times[:, None] - start, 0.0)
    after = np.maximum(times[:, None] - start - h, 0.0)
    return (since**3 - after**3) / 6
