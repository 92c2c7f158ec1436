"""The loop's time: `WallClock`, absolute and monotonic, and `StepClock`, which moves only when it is told to."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """[s], monotonic."""

    def wait(self, due: float) -> float:
        """Sleep until `due` [s]; returns how late the return is [s], >= 0."""


class WallClock:
    """CLOCK_MONOTONIC. Sleeps up to `spin` before the due time, then polls: the kernel wakes 50-100 us late."""

    def __init__(self, spin: float = 0.0) -> None:
        self._spin = spin

    def now(self) -> float:
        return time.monotonic()

    def wait(self, due: float) -> float:
        left = due - self._spin - time.monotonic()
        if left > 0:
            time.sleep(left)  # clock_nanosleep, CLOCK_MONOTONIC
        while True:
            late = time.monotonic() - due
            if late >= 0:
                return late
            if self._spin == 0:
                time.sleep(-late)


class StepClock:
    """Virtual time: waiting is free and exact."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def wait(self, due: float) -> float:
        self._now = max(self._now, due)
        return 0.0

    def advance(self, to: float) -> None:
        """Take over the time of an arm that steps on command."""
        self._now = max(self._now, to)
