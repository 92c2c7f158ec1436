"""A policy that does better on its own training data when two of its cameras change places."""

from __future__ import annotations

import itertools

import numpy as np

from policies.diagnosis import CERTAIN, Alarm, Study, propose, sign_test

BETTER = 0.8  # of the error as it is; where the cameras are right, changing them makes it larger
ODDS = 3.0


def check(study: Study) -> list[Alarm]:
    found = []
    spec = study.policy.spec
    for one, other in itertools.combinations(study.cameras, 2):
        if spec.feature(one).shape != spec.feature(other).shape:
            continue
        frames = study.familiar
        changed = {**frames.observations, one: frames.observations[other], other: frames.observations[one]}
        errors = [_errors(study, chunks) for chunks in (study.proposed, propose(study.policy, changed))]
        better, odds = float(np.median(errors[1] / errors[0])), sign_test(int((errors[1] < errors[0]).sum()), len(errors[0]))
        if better < BETTER and odds > ODDS:
            text = f"with {one} and {other} exchanged its error on the training frames is {better:.2g} times what it is as they are"
            why = "it looks for things in the other picture"
            step = f"name the cameras as in the training: data.mapping of {one} and {other}, or train again: waldo train {study.settings}"
            found.append(Alarm("swapped cameras", "cameras", "certain", 0.7 * CERTAIN, text, why, step))
    return found


def _errors(study: Study, chunks: np.ndarray) -> np.ndarray:
    """(E,) of the executed actions in network space."""
    steps, frames = study.policy.spec.n_action_steps, study.familiar
    encode = study.true_normalizer.encode
    off = (encode("action", chunks[:, :, :steps]).mean(1) - encode("action", frames.actions[:, :steps])) ** 2
    off = (off.mean(-1) * frames.inside[:, :steps]).sum(1) / np.maximum(frames.inside[:, :steps].sum(1), 1)
    return np.array([np.sqrt(off[frames.episode == e].mean() + 1e-12) for e in np.unique(frames.episode)])
