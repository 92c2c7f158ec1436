"""`Follower`: what the policy wants, by time, and whether it can still be relied on. Stages `liveness` and `ingress`."""

from __future__ import annotations

from collections import deque
from math import inf

from data.spec import PolicySpec
from real.chunk import Chunk
from real.path import Path
from real.policy_link import PolicyLink
from real.safety.commit import Motion
from real.safety.ingress import IngressLimits, ingress
from real.safety.limits import MotionLimits, Setpoint
from real.safety.liveness import Alive, liveness
from real.safety.verdict import PASS, Verdict
from real.settings import LoopSettings


class Follower:
    """`match()` once, then per episode `begin()` and per tick `liveness()`, `take()`, `setpoint()`.

    In lock-step a chunk arrives exactly `settings.latency` after its observation, and time waits for it.
    """

    def __init__(self, policy: PolicyLink, limits: MotionLimits, settings: LoopSettings, lockstep: bool) -> None:
        self._policy, self._limits, self._settings, self._lockstep = policy, limits, settings, lockstep
        self._wanted: IngressLimits | None = None
        self.path: Path | None = None
        self._coming: deque[Chunk] = deque(maxlen=64)  # published, but in lock-step not yet arrived
        self._episode, self._started = 0, 0.0
        self._beats, self._beat_at = 0, 0.0  # the newest count, and when it changed

    def match(self, spec: PolicySpec, dof: int) -> None:
        """Only chunks that were made for this spec will be taken."""
        self._wanted = IngressLimits(dof, bytes.fromhex(spec.hash()), 1.0 / spec.rate_hz)

    def begin(self, episode: int, t: float) -> None:
        self._episode, self._started, self._beat_at = episode, t, t
        self.end()

    def end(self) -> None:
        self.path = None
        self._coming.clear()

    def liveness(self, t: float) -> Verdict:
        beat = self._policy.beat()
        if beat is not None and beat.count != self._beats:
            self._beats, self._beat_at = beat.count, t
        silent = t - self._beat_at
        if self._lockstep:  # virtual time waits for the policy, real time does not wait for ever
            answered = t - self._settings.latency
            silent = 0.0 if answered < self._started or self._policy.caught_up(self._episode, answered) else inf
        chunk = self.path.chunk if self.path else None
        known = Alive(
            process=(alive := self._policy.alive()),
            message="" if alive else self._policy.obituary(),
            silent=silent,
            started=self._started,
            chunk_end=chunk.end if chunk else None,
            observed=chunk.t_obs if chunk else None,
        )
        return liveness(t, known, self._settings.liveness)

    def take(self, t: float, motion: Motion) -> Verdict:
        """Look for a new chunk; one that is accepted is followed from where the arm is commanded to be."""
        assert self._wanted is not None
        chunk = self._arrived(t)
        if chunk is None or chunk.episode != self._episode:
            return PASS
        verdict = ingress(chunk, t, motion.q, self._wanted, self._limits)
        if verdict.ok:
            self.path = Path(chunk, t, motion.q, motion.v, motion.a, self._limits)
        return verdict

    def _arrived(self, t: float) -> Chunk | None:
        """The newest chunk that has arrived by now and was not taken before."""
        newest = self._policy.newest()
        if not self._lockstep:
            return newest
        if newest is not None:
            self._coming.append(newest)
        found = None
        while self._coming and not t < self._coming[0].t_obs + self._settings.latency:
            found = self._coming.popleft()
        return found

    def setpoint(self, t: float) -> Setpoint | None:
        """Selected by time; before the first chunk there is none, and the arm rests where it is."""
        return self.path.at(t) if self.path else None
