"""An environment that does not do what was recorded, and no delay, speed or direction explains it: other control, another arm, another scale."""

from __future__ import annotations

from policies.diagnosis import Alarm
from waldo.diagnosis import Trial
from waldo.diagnosis.hypotheses import best, distance

# Whole frames of motion; servos that are half as stiff again make less.
OFF = 2.0


def check(trial: Trial) -> list[Alarm]:
    if not distance(trial) > OFF or best(trial) is not None:
        return []
    text = f"the recorded actions, done again, end {distance(trial):.2g} frames of motion away from the recorded path"
    why = "the policy's actions do something else here than where they were learned"
    step = "compare units, control mode and robot of the recording and the environment: waldo data info, waldo evaluate --cfg"
    return [Alarm("another response", "response", "likely", 2.0, text, why, step)]
