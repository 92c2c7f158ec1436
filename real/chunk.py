"""`Chunk`: time-stamped joint waypoints.

    t_obs        +dt        +2 dt               +(n-1) dt
      |----------|----------|------- ... -------|
     w[0]       w[1]       w[2]                w[n-1]

w[0] is where the arm was commanded to be when the observation was taken; action k of the policy is reached at
t_obs + (k + 1) dt, as in the simulator, where it is the target of the step that follows the observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
