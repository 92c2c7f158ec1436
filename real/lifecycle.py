"""The states of an arm under waldo, and the only ways between them.

    CLOSED -> CONNECTED -> CHECKED -> READY -> ACTIVE -> STOPPING -> HOLD -> READY | CHECKED
                              ^                                        any but CLOSED -> FAULT
                              +------------------- clear(token) --------------------------+

Only start(), READY -> ACTIVE, begins motion, and only an operator calls it: nothing that was stopped resumes by itself.
FAULT is latched: the token that was issued with it has to be given back.
"""

from __future__ import annotations

import enum
import secrets
from dataclasses import dataclass

from data.errors import RobotError


class Phase(enum.IntEnum):
    CLOSED = 0
    CONNECTED = 1  # readings come in, nothing is sent
    CHECKED = 2  # specs match, the arm's watchdog is armed, the log can be written
    READY = 3  # the measured pose is held
    ACTIVE = 4  # the policy's setpoints are followed
    STOPPING = 5  # braking along the verified stop
    HOLD = 6  # at rest after a stop
    FAULT = 7


_NEXT = {
    Phase.CLOSED: {Phase.CONNECTED},
    Phase.CONNECTED: {Phase.CHECKED, Phase.CLOSED, Phase.FAULT},
    Phase.CHECKED: {Phase.READY, Phase.CLOSED, Phase.FAULT},
    Phase.READY: {Phase.ACTIVE, Phase.HOLD, Phase.CHECKED, Phase.CLOSED, Phase.FAULT},
    Phase.ACTIVE: {Phase.STOPPING, Phase.FAULT},
    Phase.STOPPING: {Phase.HOLD, Phase.FAULT},
    Phase.HOLD: {Phase.READY, Phase.CHECKED, Phase.CLOSED, Phase.FAULT},
    Phase.FAULT: {Phase.CHECKED, Phase.CLOSED},
}


@dataclass(frozen=True)
class Event:
    """One change of phase."""

    t: float  # loop time [s]
    before: Phase
    after: Phase
    why: str


class Lifecycle:
    """The current phase and how it came about."""

    def __init__(self) -> None:
        self.phase = Phase.CLOSED
        self.events: list[Event] = []
        self._token = ""

    def to(self, phase: Phase, t: float, why: str) -> None:
        """Raises RobotError for a way that does not exist, or out of FAULT without clear()."""
        if phase not in _NEXT[self.phase] or (self.phase == Phase.FAULT and phase == Phase.CHECKED):
            allowed = ", ".join(p.name for p in sorted(_NEXT[self.phase]))
            raise RobotError(f"the arm is {self.phase.name} and cannot become {phase.name}; allowed: {allowed}")
        self._change(phase, t, why)

    def fault(self, t: float, why: str) -> None:
        """Latch a fault; a second one is only recorded."""
        if self.phase == Phase.FAULT:
            self.events.append(Event(t, Phase.FAULT, Phase.FAULT, why))
        elif self.phase != Phase.CLOSED:
            self._token = secrets.token_hex(4)
            self._change(Phase.FAULT, t, why)

    @property
    def token(self) -> str:
        """What an operator has to give to clear(), shown beside the fault."""
        return self._token

    def clear(self, token: str, t: float) -> None:
        """FAULT -> CHECKED. Raises RobotError unless `token` is the one issued with the fault."""
        if self.phase != Phase.FAULT or not secrets.compare_digest(token, self._token):
            raise RobotError(f"nothing cleared: the arm is {self.phase.name}, or the token is not the one shown with the fault")
        self._change(Phase.CHECKED, t, "cleared by the operator")

    def _change(self, phase: Phase, t: float, why: str) -> None:
        self.events.append(Event(t, self.phase, phase, why))
        self.phase = phase
