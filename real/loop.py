"""The control loop: one tick, its stages in one fixed order, in wall time or in virtual time.

     1 timing   2 read, sample   5 liveness   6 ingress   7 shape   8-9 commit   10 egress   11 write   13 record

Every stage leaves its bit in the command that is written; the arm's own watchdog is fed only by commands that carry all
of them, so a stage that was skipped stops the arm. Any verdict worse than LOG takes the setpoint away: what is left is
the stop that was verified when the present state was committed, and it needs no policy, no planner and no solver.

Not a safety-rated system: a software stop is not an emergency stop.
"""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from data.errors import RobotError
from data.spec import PolicySpec, require_match
from real.base import Command, Driver, Sample
from real.clock import Clock, StepClock
from real.follower import Follower
from real.lifecycle import Event, Lifecycle, Phase
from real.log import LogWriter, TickRow
from real.messages import State
from real.policy_link import PolicyLink
from real.safety.commit import Committer, Motion
from real.safety.egress import Egress
from real.safety.limits import Setpoint, next_width, shape
from real.safety.timing import timing
from real.safety.verdict import PASS, Reaction, Stage, Verdict
from real.safety.watch import Watch
from real.settings import LoopSettings

COMPLETE = Stage.TIMING | Stage.SAMPLE | Stage.LIVENESS | Stage.INGRESS | Stage.SHAPE | Stage.COMMIT | Stage.EGRESS


class ControlLoop:
    """connect(), check(), then per episode ready(), start(), tick() ..., stop(), release()."""

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        committer: Committer,
        policy: PolicyLink,
        log: LogWriter | None = None,
        settings: LoopSettings | None = None,
    ) -> None:
        self.driver, self.clock, self.policy, self.log = driver, clock, policy, log
        self.committer = committer
        self.limits = committer.limits
        self.settings = settings or LoopSettings(committer.dt)
        self.lifecycle = Lifecycle()
        self.ticks = 0
        self.episode = 0
        self.stop_reason: Verdict | None = None
        self.motion: Motion | None = None
        self.width = 0.0
        self._egress = Egress(driver.spec, self.settings.dt)
        self._follower = Follower(policy, self.limits, self.settings, isinstance(clock, StepClock))
        self._row = TickRow(driver.spec.dof)
        nothing = np.full(driver.spec.dof, np.nan)
        self._nothing = Setpoint(nothing, nothing, nothing, np.nan)
        self._followed = False
        self._late: deque[bool] = deque([False] * 10, maxlen=10)
        self._due = 0.0
        self._seed = self._segment = 0
        self._since = 0.0  # when the present phase began
        self._cut = False
        self._watch = Watch(driver.spec, self.settings.sample)

    @property
    def sample(self) -> Sample | None:
        """The newest accepted reading."""
        return self._watch.sample

    @property
    def at_rest(self) -> bool:
        """Whether the command stands still, or nothing is commanded."""
        return self._cut or self.motion is None or self.motion.at_rest

    # What an operator does.

    def connect(self) -> None:
        """Open the driver and see one reading; nothing is sent. Raises RobotError."""
        self.driver.open()
        self._await_sample()
        self._to(Phase.CONNECTED, self.clock.now(), "connected")

    def check(self, spec: PolicySpec, offered: PolicySpec, robot_hash: str = "") -> None:
        """Whether this policy may move this arm. Raises SpecError or RobotError; nothing has moved."""
        require_match(spec, offered, f"robot {self.driver.spec.name} at task {offered.task}")
        if robot_hash and robot_hash != self.driver.spec.hash():
            raise RobotError("the artefact was made for an arm with other limits or kinematics than this one")
        if self.log is not None and self.log.failed:
            raise RobotError(self.log.failed)
        sample = self._await_sample()
        if sample.fault:
            raise RobotError(f"the arm reports: {self.driver.explain(sample.fault)}; nothing is started until that is cleared")
        self._follower.match(spec, self.driver.spec.dof)
        self.driver.arm_watchdog(self.settings.watchdog)
        self._to(Phase.CHECKED, self.clock.now(), "checked; watchdog armed")

    def ready(self) -> None:
        """Hold the measured pose. Raises RobotError if the arm is not there, not at rest, or not where it may be."""
        self._await_sample()  # what lay in the line may be from before somebody moved the arm
        sample = self._await_sample()
        if sample.fault:
            raise RobotError(f"the arm reports: {self.driver.explain(sample.fault)}")
        if not np.abs(sample.dq).max() < 0.05:
            raise RobotError(f"the arm moves at {np.abs(sample.dq).max():.3f} rad/s; it has to stand still")
        if not self.committer.inside(sample.q):
            raise RobotError(f"the arm stands outside its limits or its workspace: {np.round(sample.q, 3).tolist()}")
        self.motion = self.committer.rest(sample.q)
        self.width = min(max(sample.width, 0.0), self.limits.width_max)
        self._egress.seed(sample.q.tolist(), self.width)
        self._watch.begin(sample)
        self._segment += 1
        self._cut, self.stop_reason = False, None
        self._follower.end()
        self._due = self.clock.now()
        self._to(Phase.READY, self._due, "holding the measured pose")

    def start(self, seed: int) -> None:
        """Hand the arm to the policy. The only thing that begins motion."""
        self._to(Phase.ACTIVE, self._due, f"started, seed {seed}")
        self.episode += 1
        self._seed = seed
        self._follower.begin(self.episode, self._due)

    def stop(self, why: str) -> None:
        """Brake and hold. From any phase; does nothing where nothing moves."""
        self._stop(Verdict(Stage.NONE, Reaction.STOP, why), self.clock.now())

    def cut(self, why: str) -> None:
        """Send nothing more and ask the arm to stop by itself; a latched fault. For an operator who cannot wait."""
        self._react([Verdict(Stage.NONE, Reaction.CUT, why)], self.clock.now())

    def release(self) -> None:
        """HOLD or READY -> CHECKED: commands cease until the next ready()."""
        self.driver.arm_watchdog(self.settings.watchdog)  # which sleeps until the next command feeds it
        self._to(Phase.CHECKED, self.clock.now(), "released")

    def clear(self, token: str) -> None:
        """Leave FAULT, with the token that was issued with it."""
        self.lifecycle.clear(token, self.clock.now())
        self.driver.clear_fault()
        self._note(self.lifecycle.events[-1])

    def close(self) -> None:
        self.driver.close()
        if self.lifecycle.phase in (Phase.CONNECTED, Phase.CHECKED, Phase.READY, Phase.HOLD, Phase.FAULT):
            self._to(Phase.CLOSED, self.clock.now(), "closed")

    # What the clock does.

    def tick(self) -> Verdict:
        """One tick; returns the most severe verdict. In a phase in which nothing is commanded it only waits and reads."""
        lateness = self.clock.wait(self._due)
        began = time.perf_counter()
        t = self._due
        missed = int(lateness / self.settings.dt)
        self._due += (missed + 1) * self.settings.dt
        self.ticks += 1
        ran = 0
        verdicts: list[Verdict] = []

        def hear(stage: Stage, *said: Verdict) -> None:
            nonlocal ran
            ran |= stage.value
            verdicts.extend(v for v in said if not v.ok)

        hear(Stage.TIMING, self._timing(lateness))
        fresh, said = self._read(t + lateness)
        hear(Stage.SAMPLE, *said)
        active, motion = self.lifecycle.phase == Phase.ACTIVE, self.motion
        hear(Stage.LIVENESS, self._follower.liveness(t) if active else PASS)
        hear(Stage.INGRESS, self._follower.take(t, motion) if active and motion else PASS)
        if self.log is not None and self.log.failed:
            hear(Stage.NONE, Verdict(Stage.WRITE, Reaction.STOP, self.log.failed))
        self._react(verdicts, t)
        setpoint = self._follower.setpoint(t + self.settings.dt) if self.lifecycle.phase == Phase.ACTIVE else None
        shaped, verdict = shape(setpoint, self.limits)
        shaped, fenced = (shaped, PASS) if shaped is None else self.committer.fence.apply(shaped)
        hear(Stage.SHAPE, verdict, fenced)
        self._react([verdict], t)
        if self.lifecycle.phase != Phase.ACTIVE:
            shaped = None
        motion, verdict = self._advance(shaped)
        hear(Stage.COMMIT, verdict)
        wrote = False
        if motion is not None and not self._cut:
            q = motion.q.tolist()
            verdict = self._egress.check(q, self.width)
            hear(Stage.EGRESS, verdict)
            self._react([verdict], t)
            if verdict.ok:
                wrote = self._write(Command(t, self.ticks, motion.q, self.width, ran), verdicts, t)
        self._settle(t)
        self._publish(t)
        self._log_tick(t, lateness, began, fresh, wrote, setpoint, verdicts)
        return max(verdicts, key=lambda v: v.reaction, default=PASS)

    def _timing(self, lateness: float) -> Verdict:
        if self.lifecycle.phase in (Phase.CONNECTED, Phase.CHECKED):
            return PASS
        limits = self.settings.timing
        verdict = timing(lateness, sum(self._late), limits)
        self._late.append(not lateness <= limits.late)
        return verdict

    def _read(self, now: float) -> tuple[bool, list[Verdict]]:
        """The newest reading, and what is wrong with it. A reading that was rejected is not kept."""
        found = self.driver.read(now)
        if self.motion is None or self._cut:
            self._watch.sample = found or self._watch.sample
            return found is not None, []
        held = now - self._since if self.lifecycle.phase == Phase.HOLD else None
        return self._watch.look(found, now, self.motion.q, held)

    def _advance(self, setpoint: Setpoint | None) -> tuple[Motion | None, Verdict]:
        self._followed = setpoint is not None
        if self.motion is None:
            return None, PASS
        self.motion, verdict = self.committer.step(self.motion, setpoint)
        if setpoint is not None:
            self.width = next_width(self.width, setpoint.width, self.limits, self.settings.dt)
        return self.motion, verdict

    def _write(self, command: Command, verdicts: list[Verdict], t: float) -> bool:
        if self.driver.write(command, t + self.settings.dt):
            self._egress.sent(command.q.tolist(), command.width)
            return True
        verdict = Verdict(Stage.WRITE, Reaction.CUT, "a command could not be written: the arm's own watchdog stops it")
        verdicts.append(verdict)
        self._react([verdict], t)
        return False

    def _react(self, verdicts: list[Verdict], t: float) -> None:
        for verdict in verdicts:
            if verdict.reaction == Reaction.STOP:
                self._stop(verdict, t)
            elif verdict.reaction >= Reaction.FAULT and self.lifecycle.phase not in (Phase.CONNECTED, Phase.CHECKED):
                self.stop_reason = self.stop_reason or verdict
                if self.lifecycle.phase != Phase.FAULT:
                    self._since = t
                    self.lifecycle.fault(t, verdict.why)
                    self._note(self.lifecycle.events[-1])
                if verdict.reaction == Reaction.CUT and not self._cut:
                    self._cut = True
                    self.driver.stop()

    def _stop(self, verdict: Verdict, t: float) -> None:
        if self.lifecycle.phase == Phase.ACTIVE:
            self.stop_reason = verdict
            self._to(Phase.STOPPING, t, verdict.why)

    def _settle(self, t: float) -> None:
        if self.lifecycle.phase == Phase.STOPPING and self.motion is not None and self.motion.at_rest:
            self._to(Phase.HOLD, t, "at rest")

    def _publish(self, t: float) -> None:
        if self.sample is None or self.motion is None:
            return
        active = self.lifecycle.phase == Phase.ACTIVE
        s = self.sample
        self.policy.publish(
            State(t, self.ticks, self.episode, self._seed, active, self._since, s.width, self.width, s.q, s.dq, self.motion.q)
        )

    def _await_sample(self) -> Sample:
        for _ in range(50):
            found = self.driver.read(self.clock.now() + 0.02)
            if found is not None:
                if isinstance(self.clock, StepClock):
                    self.clock.advance(found.t_device)  # the arm's time is the only one there is
                return found
        raise RobotError("the arm sends no readings")

    def _to(self, phase: Phase, t: float, why: str) -> None:
        self.lifecycle.to(phase, t, why)
        self._since = t
        self._note(self.lifecycle.events[-1])

    def _note(self, event: Event) -> None:
        if self.log is not None:
            self.log.event({"t": event.t, "tick": self.ticks, "from": event.before.name, "to": event.after.name, "why": event.why})

    def _log_tick(
        self, t: float, lateness: float, began: float, fresh: bool, wrote: bool, wanted: Setpoint | None, said: list[Verdict]
    ) -> None:
        if self.log is None or self.sample is None or self.motion is None:
            return
        s, m, chunk = self.sample, self.motion, self._follower.path.chunk if self._follower.path else None
        sp = self._nothing if wanted is None else wanted
        row = self._row.pack(
            t=t, tick=self.ticks, episode=self.episode, segment=self._segment, phase=self.lifecycle.phase,
            reaction=max((v.reaction for v in said), default=Reaction.PASS), stages=sum({int(v.stage) for v in said}),
            wrote=wrote, fresh=fresh, lateness=lateness, chunk=chunk.seq if chunk else 0, chunk_age=t - chunk.t_obs if chunk else 0.0,
            t_device=s.t_device, sample_seq=s.seq, fault=s.fault, q=s.q, dq=s.dq, width=s.width,
            setpoint=sp.q, setpoint_v=sp.v, setpoint_a=sp.a, setpoint_width=sp.width, followed=self._followed,
            q_wire=m.q, v=m.v, a=m.a, width_wire=self.width, compute=time.perf_counter() - began,
        )  # fmt: skip
        self.log.tick(row)
