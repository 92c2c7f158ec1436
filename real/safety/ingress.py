"""Stage `ingress`: a chunk is refused as a whole or taken as a whole; nothing in it is repaired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from real.chunk import Chunk
from real.safety.limits import MotionLimits
from real.safety.verdict import PASS, Reaction, Stage, Verdict


@dataclass(frozen=True)
class IngressLimits:
    dof: int
    spec_hash: bytes  # of the PolicySpec that was matched before the start
    dt: float  # [s] between waypoints, from that spec
    max_waypoints: int = 256
    beyond: float = 0.1  # [rad] past a joint's end that is saturated; more is refused
    seam: float = 0.6  # [rad] between what is commanded and where the chunk wants the arm to be now
    speed: float = 3.0  # times the speed limit between two waypoints
    late: float = 1.0  # [s] from the observation to the arrival of its chunk


def ingress(chunk: Chunk, now: float, commanded: np.ndarray, limits: IngressLimits, motion: MotionLimits) -> Verdict:
    """commanded: (n,) where the arm is commanded to be [rad].

    A chunk that was made for another spec, has the wrong shape, or holds a value that is not finite stops the arm:
    a policy that produced one cannot be relied on for the next. A chunk that came too late is dropped; if no better
    one comes, liveness stops the arm.
    """

    def refuse(why: str) -> Verdict:
        return Verdict(Stage.INGRESS, Reaction.STOP, f"action chunk {chunk.seq} refused: {why}")

    if chunk.spec_hash != limits.spec_hash:
        return refuse("it was made for another spec than the one that was matched")
    n = len(chunk.q)
    if chunk.q.shape != (n, limits.dof) or chunk.width.shape != (n,) or not 2 <= n <= limits.max_waypoints:
        return refuse(f"shapes {chunk.q.shape} and {chunk.width.shape}; wanted (n, {limits.dof}) and (n,)")
    if chunk.q.dtype != np.float64 or chunk.width.dtype != np.float64:
        return refuse(f"dtypes {chunk.q.dtype} and {chunk.width.dtype}; wanted float64")
    if not (np.isfinite(chunk.q).all() and np.isfinite(chunk.width).all()):
        return refuse("it holds values that are not finite")
    if not abs(chunk.dt - limits.dt) <= 1e-9:
        return refuse(f"waypoints every {chunk.dt!r} s; the spec says {limits.dt!r} s")
    age = now - chunk.t_obs
    if not -1e-6 <= age <= limits.late:
        return Verdict(Stage.INGRESS, Reaction.LOG, f"chunk {chunk.seq} dropped: it answers what was seen {age:.3f} s ago")
    low, high = motion.q_min - limits.beyond, motion.q_max + limits.beyond
    if not ((chunk.q >= low) & (chunk.q <= high)).all():
        return refuse(f"a waypoint lies more than {limits.beyond} rad beyond a joint's end")
    slack = 0.1 * motion.width_max
    if not ((chunk.width >= -slack) & (chunk.width <= motion.width_max + slack)).all():
        return refuse(
            f"gripper widths from {chunk.width.min():.4f} to {chunk.width.max():.4f} m; the gripper has 0 to {motion.width_max} m"
        )
    if not (np.abs(np.diff(chunk.q, axis=0)) <= limits.speed * motion.v_max * chunk.dt).all():
        return refuse(f"waypoints further apart than {limits.speed} times the speed limit")
    place = min(max(age / chunk.dt, 0.0), n - 1.0)
    before = min(int(place), n - 2)
    wanted = chunk.q[before] + (place - before) * (chunk.q[before + 1] - chunk.q[before])
    gap = float(np.abs(wanted - commanded).max())
    if not gap <= limits.seam:
        return refuse(f"it starts {gap:.3f} rad from where the arm is commanded to be; allowed {limits.seam}")
    return PASS
