"""What the policy would have done in recorded observations, beside what was done: per element of the action."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from policies.diagnosis import Frames, Study, propose


@dataclass(frozen=True)
class Row:
    """error   root mean square over the executed actions, of the mean of the samples; spread   what was done differs from its own mean"""

    name: str
    unit: str
    error: float
    spread: float
    n: int


@functools.lru_cache(maxsize=2)
def errors(study: Study) -> dict[str, list[Row]]:
    """ "trained": the frames it was trained on; "held_out": of episodes that it never saw, where there are some."""
    found = {"trained": _rows(study, study.familiar, study.proposed)}
    if len(study.held_out):
        frames = study.frames(study.held_out)
        found["held_out"] = _rows(study, frames, propose(study.policy, frames.observations))
    return found


def _rows(study: Study, frames: Frames, chunks: np.ndarray) -> list[Row]:
    spec = study.policy.spec
    steps = spec.n_action_steps
    inside = frames.inside[:, :steps]
    chunks, done = chunks[:, :, :steps].copy(), frames.actions[:, :steps].copy()
    for q in (slice(first, first + 4) for first in spec.action.quaternions):  # q and -q are the same rotation
        done[..., q] *= _sign(done[..., q], done[:1, :1, q])
        chunks[..., q] *= _sign(chunks[..., q], done[:, None, :, q])
    made, done = chunks.mean(1)[inside], done[inside]
    error, spread = np.sqrt(((made - done) ** 2).mean(0)), done.std(0)
    return [
        Row(name, unit, float(error[i]), float(spread[i]), len(done))
        for i, (name, unit) in enumerate(zip(spec.action.names, spec.action.units))
    ]


def _sign(q: np.ndarray, like: np.ndarray) -> np.ndarray:
    """1 or -1, (..., 1): what brings quaternions to the side of others."""
    return np.where((q * like).sum(-1, keepdims=True) < 0, -1.0, 1.0).astype(q.dtype)
