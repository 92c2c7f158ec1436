"""`Session`: a virtual arm's episodes from reset to standstill. The only caller of `ControlLoop.start()`."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from types import FrameType, TracebackType

import numpy as np

from data.errors import RobotError
from real.lifecycle import Phase
from real.loop import ControlLoop
from real.operator import Operator
from real.policy_link import PolicyProcess
from real.safety.verdict import Stage

HELD = 0.1  # [s] that the start pose is held before the policy is put in charge
AFTER = 0.3  # [s] that the log goes on after standstill
STILL = 0.02  # [rad/s] measured, that counts as standstill


@dataclass(frozen=True)
class Episode:
    """How one episode went. Times in ticks of the control loop."""

    seed: int
    success: bool
    ticks: int  # from start to stop
    seconds: float
    stopped_by: str  # why it ended
    stage: str  # which safety stage ended it, "" if it was the operator
    fault: bool  # a fault was latched
    stop_ticks: int  # from the stop to a commanded standstill
    still_ticks: int  # from the stop to a measured standstill


class Session:
    """Runs episodes; a `with` block turns SIGINT and SIGTERM into a controlled stop, a second one into the arm's own stop."""

    def __init__(self, loop: ControlLoop, operator: Operator, policy: PolicyProcess, lockstep: bool) -> None:
        self.loop, self.operator, self.policy, self.lockstep = loop, operator, policy, lockstep
        self.interrupted = False
        self.killed = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Session:
        self._before = {s: signal.signal(s, self._signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if kind is not None and not self.loop.at_rest:
            self.loop.cut(f"the session broke off: {kind.__name__}")  # nobody ticks any more: the arm brakes by itself

    def _signal(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            self.loop.cut("interrupted twice")
        self.interrupted = True

    def episode(self, seed: int, time_limit: float, kill_after: float = 0.0) -> Episode:
        """One episode; ends with the arm at rest, in HOLD or in FAULT.

        time_limit, kill_after: [s]; the policy process is killed after so long if kill_after is positive.
        Raises RobotError if the arm cannot be made ready.
        """
        loop, dt = self.loop, self.loop.settings.dt
        self.operator.reset(seed)
        loop.ready()
        self._ticks(HELD)
        if self._phase() == Phase.FAULT:
            return self._finish(seed, False, loop.ticks)
        loop.start(seed)
        first = loop.ticks
        success = False
        while self._phase() == Phase.ACTIVE:
            loop.tick()
            elapsed = (loop.ticks - first) * dt
            success = self._done()
            if success:
                loop.stop("the task is done")
            elif self.interrupted:
                loop.stop("interrupted")
            elif elapsed >= time_limit:
                loop.stop("time limit")
            if 0 < kill_after <= elapsed and not self.killed:
                self.killed = True
                os.kill(self.policy.pid, signal.SIGKILL)
        return self._finish(seed, success, first)

    def _done(self) -> bool:
        """Whether the task is done. A link that broke is a reason to brake, not to drop everything in motion."""
        try:
            return self.operator.done(self.loop.clock.now(), self.lockstep)
        except RobotError as error:
            self.loop.stop(f"nobody can say whether the task is done: {error}")
            return False

    def _finish(self, seed: int, success: bool, first: int) -> Episode:
        """Tick until the arm stands still, then a little longer."""
        loop, dt = self.loop, self.loop.settings.dt
        ended, commanded, measured = loop.ticks, -1, -1
        for _ in range(round(2.0 / dt)):
            if loop.at_rest and commanded < 0:
                commanded = loop.ticks - ended
            sample = loop.sample
            if commanded >= 0 and measured < 0 and sample is not None and np.abs(sample.dq).max() < STILL:
                measured = loop.ticks - ended
            if commanded >= 0 and measured >= 0:
                break
            loop.tick()
        self._ticks(AFTER)
        reason = loop.stop_reason
        stage = reason.stage.name if reason is not None and reason.stage != Stage.NONE else ""
        return Episode(
            seed=seed,
            success=success,
            ticks=ended - first,
            seconds=(ended - first) * dt,
            stopped_by=reason.why if reason is not None else "",
            stage=(stage or "").lower(),
            fault=loop.lifecycle.phase == Phase.FAULT,
            stop_ticks=commanded,
            still_ticks=measured,
        )

    def between(self, clear_faults: bool) -> None:
        """From the end of one episode to where the next can begin. Raises RobotError for a fault that may not be cleared."""
        loop = self.loop
        if loop.lifecycle.phase == Phase.FAULT:
            why = loop.stop_reason.why if loop.stop_reason is not None else "unknown"
            if not clear_faults:
                raise RobotError(f"a fault is latched: {why}; clear_faults=true lets the run go on")
            loop.clear(loop.lifecycle.token)
        elif loop.lifecycle.phase != Phase.CHECKED:
            loop.release()

    def _phase(self) -> Phase:
        return self.loop.lifecycle.phase

    def _ticks(self, seconds: float) -> None:
        for _ in range(round(seconds / self.loop.settings.dt)):
            self.loop.tick()
