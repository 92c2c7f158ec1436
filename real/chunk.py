"""`Chunk`: time-stamped joint waypoints, and the smooth path through them from which setpoints are taken by time.

    t_obs        +dt        +2 dt               +(n-1) dt
      |----------|----------|------- ... -------|
     w[0]       w[1]       w[2]                w[n-1]       then: rest at w[n-1]

w[0] is the target that was in force when the observation was taken; action k of the policy is reached at
t_obs + (k + 1) dt, as in the simulator, where it is the target of the step that follows the observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from real.safety.limits import Setpoint


@dataclass(frozen=True)
class Chunk:
    """What a policy asks for. Nothing in it is trusted before `real.safety.ingress` has looked at it."""

    seq: int  # the publisher's own counter
    episode: int  # which start of the arm it answers
    obs_seq: int  # the state that it answers
    t_obs: float  # [s], loop time of that state
    t_pub: float  # [s], when it was published
    dt: float  # [s] between waypoints
    q: np.ndarray  # (n, dof) [rad]
    width: np.ndarray  # (n,) [m]
    spec_hash: bytes  # 32 bytes, sha256 of the PolicySpec it was made for

    @property
    def end(self) -> float:
        return self.t_obs + (len(self.q) - 1) * self.dt


def _curvature(waypoints: np.ndarray, dt: float, velocity: np.ndarray) -> np.ndarray:
    """Second derivatives (n, d) at the knots of the cubic spline through (n, d) equally spaced waypoints, n >= 2.

    It starts with `velocity` (d,) and ends without curvature.
    """
    n = len(waypoints)
    matrix = 4.0 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
    right = np.zeros_like(waypoints)
    right[1:-1] = np.diff(waypoints, 2, axis=0)
    matrix[0, 0], right[0] = 2.0, waypoints[1] - waypoints[0] - velocity * dt
    matrix[-1] = 0.0
    matrix[-1, -1] = 1.0
    return np.linalg.solve(matrix, 6.0 * right / dt**2)


class Path:
    """A checked chunk as a path: twice continuously differentiable in between, at rest past its end.

    before: the path that was followed so far. The new one leaves t_obs with its velocity, so that a policy which goes on
    with what it had planned makes no seam.
    """

    def __init__(self, chunk: Chunk, before: Path | None = None) -> None:
        self.chunk = chunk
        velocity = before.at(chunk.t_obs).v if before is not None else np.zeros(chunk.q.shape[1])
        self._second = _curvature(chunk.q, chunk.dt, velocity)

    def at(self, t: float) -> Setpoint:
        """The setpoint of time t [s]. Before the first waypoint: at rest there."""
        chunk = self.chunk
        x = (t - chunk.t_obs) / chunk.dt
        last = len(chunk.q) - 1
        if not 0.0 <= x < last:
            i = 0 if x < 0 else last
            zero = np.zeros(chunk.q.shape[1])
            return Setpoint(chunk.q[i], zero, zero, float(chunk.width[i]))
        i = int(x)
        h, s = chunk.dt, x - i
        r = 1.0 - s
        a, b = chunk.q[i], chunk.q[i + 1]
        ma, mb = self._second[i], self._second[i + 1]
        q = r * a + s * b + ((r**3 - r) * ma + (s**3 - s) * mb) * h * h / 6
        v = (b - a) / h + ((1 - 3 * r * r) * ma + (3 * s * s - 1) * mb) * h / 6
        # The gripper follows its own speed limit: it is sent to the waypoint ahead at once.
        return Setpoint(q, v, r * ma + s * mb, float(chunk.width[i + 1]))
