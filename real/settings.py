"""`LoopSettings`: the times and tolerances of the control loop. None of them can switch a stage off."""

from __future__ import annotations

from dataclasses import dataclass, field

from real.safety.liveness import LivenessLimits
from real.safety.plausible import SampleLimits
from real.safety.timing import TimingLimits


@dataclass(frozen=True)
class LoopSettings:
    dt: float = 0.002  # [s]
    watchdog: float = 0.1  # [s] without a command after which the arm brakes by itself
    latency: float = 0.03  # [s], lock-step only: how long a chunk takes from its observation to its arrival
    timing: TimingLimits = field(default_factory=lambda: TimingLimits(late=0.002, stop=0.05))
    sample: SampleLimits = field(default_factory=SampleLimits)
    liveness: LivenessLimits = field(default_factory=LivenessLimits)
