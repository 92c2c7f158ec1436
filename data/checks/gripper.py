"""A gripper that never opens or closes, in the whole recording or in single episodes."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

# 1 mm, 1 mrad or a thousandth of open, whichever its unit is: above the noise of a sensor, below any grasp.
STILL = 1e-3
# The share of its travel that makes a grasp; a gripper that is shaken by the arm moves less.
SHARE = 0.05


def check(recording: Recording) -> list[Finding]:
    found = []
    for name in recording.vectors:
        for i in recording.grippers(name):
            values = recording.column(name)[:, i].astype(np.float64)
            said, unit = recording.say(name, (i,)), recording.unit(name, i)
            if np.ptp(values) <= STILL:
                text = f"{said} never moves: always {values[0]:.4g}{unit}"
                mend = "record it again with the gripper connected, or train without it"
                found.append(Finding("gripper", "warning", text, "a policy cannot learn to grasp from it", mend, name, (i,)))
                continue
            still = recording.numbers[(recording.spans(values) < SHARE * np.ptp(values)) & (recording.lengths > 1)]
            if len(still) and name.startswith("action"):
                episodes = tuple(still.tolist())
                text = f"{said} neither opens nor closes in {count(len(episodes), 'episode', len(recording.numbers))}"
                why = "these may be tries that were given up before the grasp"
                found.append(Finding("gripper", "note", text, why, recording.delete(episodes), name, (i,), episodes[0], 0, episodes))
    return found
