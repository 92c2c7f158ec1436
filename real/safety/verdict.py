"""What a stage has to say: `Stage`, one bit each in the log, and `Verdict`."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Stage(enum.IntFlag):
    """Which stage intervened in a tick; several can. The order is the order in which they run."""

    NONE = 0
    TIMING = 1
    SAMPLE = 2
    LIVENESS = 4
    INGRESS = 8
    SHAPE = 16
    COMMIT = 32
    EGRESS = 64
    WRITE = 128


class Reaction(enum.IntEnum):
    """What follows from a verdict, mild to severe."""

    PASS = 0
    LOG = 1  # an intervention that changes at most this tick's command
    STOP = 2  # brake along the verified stop, hold, wait for an operator's start
    FAULT = 3  # the same, and latched until an operator clears it
    CUT = 4  # nothing more is sent: the arm is asked to stop by itself, and the fault is latched


@dataclass(frozen=True)
class Verdict:
    stage: Stage
    reaction: Reaction
    why: str = ""

    @property
    def ok(self) -> bool:
        return self.reaction == Reaction.PASS


PASS = Verdict(Stage.NONE, Reaction.PASS)
