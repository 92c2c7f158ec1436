"""Stage `sample`: is there a fresh reading, does the arm itself report a fault, and can the reading be true?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from real.base import RobotSpec, Sample
from real.safety.verdict import PASS, Reaction, Stage, Verdict


@dataclass(frozen=True)
class SampleLimits:
    age: float = 0.05  # [s] without a new reading before the arm is stopped
    tolerance: float = 0.02  # [rad] of jump beyond what the joint's speed limit explains
    tracking: float = 0.25  # [rad] between command and reading
    strayed: float = 0.05  # [s] for which it may be more before the arm is stopped
    rejected: int = 3  # implausible readings in a row before the arm is stopped
    frozen: float = 0.1  # [s] of a moving command with a bit-identical reading
    moved: float = 0.02  # [rad] the command must have moved meanwhile
    settled: float = 0.5  # [s] after which an arm in HOLD has to stand still
    still: float = 0.1  # [rad/s] that counts as standing still


def reading(sample: Sample, previous: Sample, spec: RobotSpec, limits: SampleLimits) -> Verdict:
    """One new reading against the one before; jumps and unheard-of values are rejected, not clamped."""
    if sample.fault:
        return Verdict(Stage.SAMPLE, Reaction.CUT, f"the arm reports fault {sample.fault:#x}")
    values = np.concatenate([sample.q, sample.dq, [sample.width, sample.t_device]])
    if sample.q.shape != (spec.dof,) or not np.isfinite(values).all():
        return Verdict(Stage.SAMPLE, Reaction.LOG, "the reading is not finite or has the wrong shape")
    elapsed = sample.t_device - previous.t_device
    if not elapsed > 0:
        return Verdict(Stage.SAMPLE, Reaction.LOG, f"the arm's clock went from {previous.t_device} to {sample.t_device}")
    allowed = np.array(spec.dq_max) * elapsed * 1.5 + limits.tolerance
    jump = np.abs(sample.q - previous.q)
    if not (jump <= allowed).all():
        joint = int(np.argmax(jump - allowed))
        return Verdict(Stage.SAMPLE, Reaction.LOG, f"joint {joint} jumped by {jump[joint]:.3f} rad in {elapsed * 1e3:.1f} ms")
    q_min, q_max = np.array(spec.q_min) - 0.05, np.array(spec.q_max) + 0.05
    if not ((sample.q >= q_min) & (sample.q <= q_max)).all():
        return Verdict(Stage.SAMPLE, Reaction.FAULT, f"a joint is read outside its range: {np.round(sample.q, 3).tolist()}")
    return PASS


def strayed(sample: Sample, commanded: np.ndarray, since: float, limits: SampleLimits) -> Verdict:
    """since: [s] that the arm has been further from its command than it should; a contact, a payload, a lost brake."""
    if not since <= limits.strayed:
        error = np.abs(commanded - sample.q)
        joint = int(np.argmax(error))
        why = f"joint {joint} has been {error[joint]:.3f} rad from its command for {since * 1e3:.0f} ms"
        return Verdict(Stage.SAMPLE, Reaction.FAULT, why)
    return PASS


def silence(now: float, last: Sample, rejected: int, limits: SampleLimits) -> Verdict:
    """When no reading was accepted in this tick: how long that may go on."""
    if rejected >= limits.rejected:
        return Verdict(Stage.SAMPLE, Reaction.FAULT, f"{rejected} implausible readings in a row")
    age = now - last.t
    if not age <= limits.age:
        return Verdict(Stage.SAMPLE, Reaction.FAULT, f"no reading from the arm for {age * 1e3:.0f} ms")
    return PASS


def frozen(still: float, moved: float, limits: SampleLimits) -> Verdict:
    """still: [s] that readings have been bit-identical; moved: [rad] the command moved in that time."""
    if still > limits.frozen and moved > limits.moved:
        return Verdict(Stage.SAMPLE, Reaction.FAULT, f"readings are frozen while the command moved by {moved:.3f} rad")
    return PASS


def standstill(sample: Sample, held: float, limits: SampleLimits) -> Verdict:
    """Monitored standstill. held: [s] since the arm was told to hold."""
    fastest = float(np.abs(sample.dq).max())
    if held > limits.settled and not fastest <= limits.still:
        return Verdict(Stage.SAMPLE, Reaction.FAULT, f"the arm moves at {fastest:.2f} rad/s while it should hold")
    return PASS
