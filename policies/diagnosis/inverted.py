"""A policy that does the opposite of what its demonstrators did in an element of the action."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import CERTAIN, Alarm, Study

OPPOSITE = -0.5  # correlation over all training frames; a policy that learned nothing has about 0
FEWEST = 50


def check(study: Study) -> list[Alarm]:
    frames, spec = study.familiar, study.policy.spec
    steps = spec.n_action_steps
    inside = frames.inside[:, :steps]
    made, done = study.proposed.mean(1)[:, :steps][inside], frames.actions[:, :steps][inside]
    turning = {first + k for first in spec.action.quaternions for k in range(4)}
    found = []
    for i in (i for i in range(spec.action.dim) if i not in turning):
        if len(made) < FEWEST or np.ptp(made[:, i]) == 0 or np.ptp(done[:, i]) == 0:
            continue
        fit = float(np.corrcoef(made[:, i], done[:, i])[0, 1])
        if fit < OPPOSITE:
            name = spec.action.names[i]
            text = f"its {name} goes the other way than the recorded one on the training frames: correlation {fit:.2f}"
            step = f"look for a sign or for open and closed that were exchanged, then train again: waldo train {study.settings}"
            found.append(Alarm(f"{name} inverted", "inverted", "certain", 0.7 * CERTAIN, text, "it opens where it should close", step))
    return found
