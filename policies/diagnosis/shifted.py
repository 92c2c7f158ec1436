"""A policy whose chunks fit its training data better some frames earlier or later."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import CERTAIN, Alarm, Study, sign_test

SHIFTS = (-2, -1, 1, 2)  # frames
# Neighbouring actions of a slow motion are alike, and a policy's own error hides a frame. Half of the error, in nearly all episodes, is
# what only the right place takes away.
BETTER = 0.5
ODDS = 3.0
TINY = 1e-12  # a copy of the data is not infinitely better than another one


def check(study: Study) -> list[Alarm]:
    frames, spec = study.familiar, study.policy.spec
    encode = study.true_normalizer.encode
    steps = min(spec.n_action_steps, spec.horizon)
    made = encode("action", study.proposed[:, :, :steps]).mean(1)  # (n, steps, A')
    done = encode("action", study.columns["action"])
    first, last = study.starts[frames.episode], study.ends[frames.episode] - 1

    def errors(shift: int) -> np.ndarray:
        at = frames.frame[:, None] + np.arange(steps) + shift
        inside = (at >= first[:, None]) & (at <= last[:, None])
        off = ((made - done[at.clip(first[:, None], last[:, None])]) ** 2).mean(-1) * inside
        each = off.sum(1) / np.maximum(inside.sum(1), 1)
        return np.array([np.sqrt(each[frames.episode == e].mean() + TINY) for e in np.unique(frames.episode)])

    asis = errors(0)
    curve = {shift: errors(shift) for shift in SHIFTS}
    best = min(SHIFTS, key=lambda shift: float(np.median(curve[shift])))
    ratio, odds = float(np.median(curve[best] / asis)), sign_test(int((curve[best] < asis).sum()), len(asis))
    if ratio > BETTER or odds < ODDS:
        return []
    side = "earlier" if best < 0 else "later"
    found = f"its chunks fit the recorded actions {abs(best)} frame{'s' * (abs(best) > 1)} {side} {1 / ratio:.2g} times better than where they belong"
    why = "it was trained on pairs of observations and actions that do not belong together"
    return [
        Alarm("action shifted", "shifted", "certain", 0.6 * CERTAIN, found, why, f"train again on these data: waldo train {study.settings}")
    ]
