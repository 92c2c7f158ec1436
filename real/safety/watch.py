"""The memory of stage `sample`: what was read last, and for how long what has been wrong. The rules are in plausible.py."""

from __future__ import annotations

import numpy as np

from real.base import RobotSpec, Sample
from real.safety.plausible import SampleLimits, frozen, reading, silence, standstill, strayed
from real.safety.verdict import Reaction, Verdict


class Watch:
    """`begin()` with a reading that is trusted, then `look()` once per tick."""

    def __init__(self, spec: RobotSpec, limits: SampleLimits) -> None:
        self._spec, self._limits = spec, limits
        self.sample: Sample | None = None  # the newest that was accepted
        self._rejected = 0
        self._still_since = 0.0  # when readings were last seen to change
        self._commanded_then = np.zeros(spec.dof)
        self._on_track = 0.0  # when the arm was last near its command

    def begin(self, sample: Sample) -> None:
        self.sample, self._rejected = sample, 0
        self._still_since, self._commanded_then = sample.t, sample.q
        self._on_track = sample.t

    def look(self, found: Sample | None, now: float, commanded: np.ndarray, held: float | None) -> tuple[bool, list[Verdict]]:
        """Whether a new reading was accepted, and what there is to say.

        commanded: (dof,) [rad]. held: [s] since the arm was told to hold, None while it may move.
        """
        last = self.sample
        assert last is not None
        if found is None or found.seq == last.seq:
            return False, [silence(now, last, self._rejected, self._limits)]
        verdict = reading(found, last, self._spec, self._limits)
        if verdict.reaction == Reaction.LOG:
            self._rejected += 1
            return False, [verdict, silence(now, last, self._rejected, self._limits)]
        self._rejected = 0
        if not np.array_equal(found.q, last.q):
            self._still_since, self._commanded_then = found.t, commanded
        moved = float(np.abs(commanded - self._commanded_then).max())
        if (np.abs(commanded - found.q) <= self._limits.tracking).all():
            self._on_track = found.t
        self.sample = found
        said = [
            verdict,
            strayed(found, commanded, found.t - self._on_track, self._limits),
            frozen(found.t - self._still_since, moved, self._limits),
        ]
        if held is not None:
            said.append(standstill(found, held, self._limits))
        return True, said
