"""Runs the stages again on a tick log and compares: every command on the wire has to follow from what the log says.

From the recorded setpoints the shape, commit and gripper stages are computed anew, starting at rest where the arm was made
ready, and must give the recorded commands to the last bit. What the policy did, and what was read, is not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from real.log import Log
from real.safety.commit import Committer
from real.safety.limits import Setpoint, next_width, shape


@dataclass(frozen=True)
class Replay:
    ticks: int  # that were computed again
    differ: int  # whose command came out differently
    first: int | None  # the number of the first of these


def replay(log: Log, committer: Committer) -> Replay:
    """committer: with the limits and the workspace of the run, which are in the log's header."""
    count, wrong = 0, []
    for segment in np.unique(log.ticks["segment"]):
        ticks = log.ticks[log.ticks["segment"] == segment]
        motion, width = committer.rest(ticks["q_wire"][0]), float(ticks["width_wire"][0])
        for row in ticks:
            setpoint = None
            if row["followed"]:
                found = Setpoint(row["setpoint"].copy(), row["setpoint_v"].copy(), row["setpoint_a"].copy(), float(row["setpoint_width"]))
                setpoint, _ = shape(found, committer.limits)
                if setpoint is not None:
                    setpoint, _ = committer.fence.apply(setpoint)
                    width = next_width(width, setpoint.width, committer.limits, committer.dt)
            motion, _ = committer.step(motion, setpoint)
            count += 1
            if not (np.array_equal(motion.q, row["q_wire"]) and width == row["width_wire"]):
                wrong.append(int(row["tick"]))
    return Replay(count, len(wrong), wrong[0] if wrong else None)
