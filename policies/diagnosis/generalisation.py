"""A policy that knows the episodes it was trained on, and others of the same recording much less well: too few demonstrations."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import Alarm, Frames, Study, propose

# Of a policy that has learned what its demonstrations have in common an unseen one is a little harder; half as much again, and beyond
# chance (rank-sum test, so many decimal orders), it is what they do not have in common that was learned.
WORSE = 1.5
ODDS = 3.0
FEWEST = 4  # episodes on each side


def check(study: Study) -> list[Alarm]:
    from scipy.stats import mannwhitneyu

    if min(len(study.trained), len(study.held_out)) < FEWEST:
        return []
    others = study.frames(study.held_out)
    known = _errors(study, study.familiar, study.proposed)
    unseen = _errors(study, others, propose(study.policy, others.observations))
    ratio = float(np.median(unseen) / max(float(np.median(known)), 1e-9))
    odds = float(-np.log10(max(float(mannwhitneyu(unseen, known, alternative="greater").pvalue), 1e-99)))
    if ratio < WORSE or odds < ODDS:
        return []
    found = f"on {len(unseen)} episodes that it never saw it is {ratio:.2g} times as far off as on those of its training ({len(study.trained)} episodes)"
    why = "it learned single episodes by heart, and not what they have in common"
    return [
        Alarm(
            "too few demonstrations", "generalisation", "likely", odds, found, why, f"train on more episodes: waldo train {study.settings}"
        )
    ]


def _errors(study: Study, frames: Frames, chunks: np.ndarray) -> np.ndarray:
    """(E,) of the executed actions in network space."""
    steps, encode = study.policy.spec.n_action_steps, study.true_normalizer.encode
    off = ((encode("action", chunks[:, :, :steps]).mean(1) - encode("action", frames.actions[:, :steps])) ** 2).mean(-1)
    inside = frames.inside[:, :steps]
    each = (off * inside).sum(1) / np.maximum(inside.sum(1), 1)
    return np.array([np.sqrt(each[frames.episode == e].mean()) for e in np.unique(frames.episode)])
