"""Stage `timing`: a tick that came late. Monotonic time only; the wall clock has no say."""

from __future__ import annotations

from dataclasses import dataclass

from real.safety.verdict import PASS, Reaction, Stage, Verdict


@dataclass(frozen=True)
class TimingLimits:
    late: float  # [s] after its due time at which a tick counts as late
    stop: float  # [s] at which one late tick is reason enough to stop
    window: int = 10  # ticks
    allowed: int = 3  # late ticks in the window before it is said in the log


def timing(lateness: float, late_before: int, limits: TimingLimits) -> Verdict:
    """lateness: [s] of this tick; late_before: late ticks among the last `window`, this one not counted."""
    if not lateness <= limits.stop:
        return Verdict(Stage.TIMING, Reaction.STOP, f"the control tick came {lateness * 1e3:.1f} ms late")
    if not lateness <= limits.late and late_before + 1 >= limits.allowed:
        return Verdict(Stage.TIMING, Reaction.LOG, f"{late_before + 1} late ticks of {limits.window}")
    return PASS
