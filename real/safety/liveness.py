"""Stage `liveness`: is the policy's process there, does it work, and does it act on what it saw lately?"""

from __future__ import annotations

from dataclasses import dataclass

from real.safety.verdict import PASS, Reaction, Stage, Verdict


@dataclass(frozen=True)
class LivenessLimits:
    heartbeat: float = 0.4  # [s] without a sign of life of the policy's process
    first_chunk: float = 3.0  # [s] from the start to the first chunk
    chunk_end: float = 0.1  # [s] past the last waypoint of the newest chunk
    observation: float = 1.5  # [s] age of the observation that the newest chunk answers


@dataclass(frozen=True)
class Alive:
    """What is known of the policy at this tick; times on the loop's clock [s]."""

    process: bool  # the process exists
    silent: float  # [s] since its heartbeat changed; infinite if lock-step has waited for it in vain
    started: float  # when the arm was set ACTIVE
    chunk_end: float | None  # when the newest chunk has no waypoints left; None before the first
    observed: float | None  # when what it answers was observed
    message: str = ""  # how the process ended, if it did


def liveness(now: float, alive: Alive, limits: LivenessLimits) -> Verdict:
    """Every reason to stop is a stop with a name; nothing resumes by itself."""

    def late(why: str) -> Verdict:
        return Verdict(Stage.LIVENESS, Reaction.STOP, why)

    if not alive.process:
        return late("the policy process has died" + (f" ({alive.message})" if alive.message else ""))
    if not alive.silent <= limits.heartbeat:
        return late(f"the policy process hangs: no sign of life for {alive.silent * 1e3:.0f} ms")
    if alive.chunk_end is None or alive.observed is None:
        waited = now - alive.started
        return PASS if waited <= limits.first_chunk else late(f"no action chunk within {waited:.1f} s of the start")
    if not now - alive.chunk_end <= limits.chunk_end:
        return late(f"the last action chunk ended {(now - alive.chunk_end) * 1e3:.0f} ms ago")
    if not now - alive.observed <= limits.observation:
        return late(f"the policy acts on what it saw {now - alive.observed:.2f} s ago")
    return PASS
