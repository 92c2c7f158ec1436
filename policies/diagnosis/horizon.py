"""Chunks so short that a policy without memory stands still where its demonstrators paused, and trembles between their ways."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import Alarm, Study

# A person takes 0.2 s to react, so that nothing in a demonstration was decided faster. Policies that decide anew at every frame lose
# most of their success: ACT (Zhao et al. 2023, fig. 8) from 44 % to 1 % at 50 Hz, Diffusion Policy (Chi et al. 2023, fig. 6) at 10 Hz.
REACTION = 0.2  # [s]
STILL = 0.05  # of the 90th percentile of the steps of an action: no motion


def check(study: Study) -> list[Alarm]:
    spec = study.policy.spec
    executed, predicted = spec.n_action_steps / spec.rate_hz, spec.horizon / spec.rate_hz
    if executed >= REACTION:
        return []
    rests = pauses(study)
    longer = int((rests > spec.n_action_steps).sum())
    found = f"a chunk is {spec.n_action_steps} action{'s' * (spec.n_action_steps > 1)}, {executed:.2g} s of the {predicted:.2g} s that are "
    found += "predicted, less than a person's reaction time"
    if len(rests):
        found += f"; {longer} of {len(rests)} pauses of the demonstrators outlast it, the longest {rests.max() / spec.rate_hz:.2g} s"
    why = "a policy without memory that sees a pause copies it again and again, and changes its mind at every step"
    n = max(8, int(np.ceil(0.5 * spec.rate_hz)))
    step = f"waldo train {study.settings} horizon={2 * n} n_action_steps={n}"
    odds = 3.0 + 3.0 * (spec.horizon / spec.rate_hz < REACTION)
    return [Alarm("too short a horizon", "horizon", "likely", odds, found, why, step)]


def pauses(study: Study) -> np.ndarray:
    """Frames of every pause within the demonstrations."""
    actions = study.true_normalizer.encode("action", study.columns["action"])
    sizes = np.linalg.norm(np.diff(actions, axis=0), axis=1)
    limit = STILL * np.quantile(sizes, 0.9)
    found = []
    for e in study.trained.tolist():
        still = sizes[study.starts[e] : study.ends[e] - 1] < limit
        edges = np.flatnonzero(np.diff(np.concatenate([[0], still.astype(np.int8), [0]])))
        found.append(edges[1::2] - edges[::2])
    every = np.concatenate(found)
    return every[every > 1]
