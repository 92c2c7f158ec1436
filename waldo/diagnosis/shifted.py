"""Recorded actions that belong to another frame: the environment answers them some frames earlier or later than the recording."""

from __future__ import annotations

from policies.diagnosis import Alarm
from waldo.diagnosis import Trial
from waldo.diagnosis.hypotheses import best


def check(trial: Trial) -> list[Alarm]:
    found = best(trial)
    if found is None or found.kind != "lag":
        return []
    frames = abs(int(found.value))
    side = "later" if found.value > 0 else "earlier"
    text = f"the recorded actions, done again, are answered {frames} frame{'s' * (frames > 1)} {side} than in the recording: "
    text += f"{found.asis:.2g} frames of motion apart as they are, {found.errors:.2g} with that shift ({found.wins} of {found.n} episodes)"
    why = "the policy learned to do at each moment what belongs to another one"
    step = f"record the action that was commanded at the frame whose observation led to it, or move the column `action` by {frames} and train again"
    return [Alarm("action shifted", "shifted", "certain", found.odds, text, why, f"{step}: waldo train {trial.study.settings}")]
