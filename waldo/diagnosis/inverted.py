"""An element of the action that means the opposite here: what opened a gripper in the recording closes it in the environment."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import Alarm, sign_test
from waldo.diagnosis import Trial, replay
from waldo.diagnosis.hypotheses import LEFT, MOST

# A gripper that finds nothing between its fingers, where the recorded one held something, is off by the width of that; turned round it
# is off by more. What is less than a frame's motion away needs no explanation.
OFF = 1.0


def check(trial: Trial) -> list[Alarm]:
    if trial.asis is None:
        return []
    alarms = []
    for j, partner in enumerate(trial.asis.partners):
        before = trial.asis.apart()[:, j]
        if not np.isfinite(before).any() or not np.nanmedian(before) > OFF:
            continue
        after = trial.play(change=replay.mirrored(trial.asis, partner.element)).apart()[:, j]
        known = np.isfinite(before) & np.isfinite(after)
        wins, n = int((after[known] < LEFT * before[known]).sum()), int(known.sum())
        if n == 0 or wins < MOST * n:
            continue
        text = (
            f"done again, {partner.name} goes the other way than in the recording: {np.median(before[known]):.2g} frames of motion apart, "
        )
        text += f"turned round {np.median(after[known]):.2g} ({wins} of {n} episodes)"
        why = "it opens where it should close" if "grip" in partner.name else "it moves away from where it should go"
        step = f"turn {partner.name} of the recorded actions round and train again: waldo train {trial.study.settings}"
        ratio = float(np.median(before[known]) / max(float(np.median(after[known])), 1e-6))
        alarms.append(
            Alarm(
                f"{_spoken(partner.name)} inverted",
                "inverted",
                "certain",
                sign_test(wins, n) * max(1.0, float(np.log2(ratio))),
                text,
                why,
                step,
            )
        )
    return alarms


def _spoken(name: str) -> str:
    return "gripper" if "grip" in name.lower() or "finger" in name.lower() or "jaw" in name.lower() else f"action {name}"
