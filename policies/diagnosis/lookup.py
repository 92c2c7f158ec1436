"""A pupil without a network: what to do by a straight line through all demonstrations, mended by the five that are nearest.

It is cross-validated over episodes: it never saw the episode that it is asked about. A network that was trained on that very episode
and still knows it less well has not learned what there is to learn. And near-identical observations of different demonstrations say
how much their actions differ there.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from policies.diagnosis import Frames, Study

FOLDS = 4
NEAREST = 5
FRAMES, EPISODES = 5000, 200  # that it is made of
RIDGE = 1e-3  # of the variance of an input
PIXELS = 8  # pictures are averaged down to so many each way


@dataclass(frozen=True)
class Answers:
    """In network space, of the executed actions, per frame of study.familiar: (n, n_action_steps * A').

    true        what was done; policy   the mean of the policy's samples; samples   (n, K, ...)
    looked_up   the lookup's answer; spread   (n,) how far apart the demonstrations' actions are in near-identical observations
    weight      1 where the action lies inside of the episode; typical   what an action is away from the mean of all
    """

    true: np.ndarray
    samples: np.ndarray
    looked_up: np.ndarray
    straight: np.ndarray
    spread: np.ndarray
    weight: np.ndarray
    episode: np.ndarray
    typical: float

    @property
    def policy(self) -> np.ndarray:
        return np.asarray(self.samples.mean(1))

    def per_episode(self, answer: np.ndarray) -> np.ndarray:
        """(E,) root mean square error of an answer."""
        error = ((answer - self.true) ** 2 * self.weight).sum(1) / np.maximum(self.weight.sum(1), 1)
        return np.array([np.sqrt(error[self.episode == e].mean()) for e in np.unique(self.episode)])

    def best(self) -> np.ndarray:
        """(E,) error of the better of the straight line and the lookup."""
        return np.minimum(self.per_episode(self.straight), self.per_episode(self.looked_up))


@functools.lru_cache(maxsize=2)
def answers(study: Study) -> Answers:
    asked, known = study.familiar, study.frames(study.trained, FRAMES, EPISODES)
    encode = functools.partial(_actions, study)
    x, q, y, true = _inputs(study, known), _inputs(study, asked), encode(known.actions), encode(asked.actions)
    center, scale = x.mean(0), x.std(0)
    moving = scale > 1e-3
    x, q = ((part[:, moving] - center[moving]) / scale[moving] for part in (x, q))
    x, q = (np.concatenate([part, np.ones((len(part), 1))], 1) for part in (x, q))
    straight, looked_up, spread = np.zeros_like(true), np.zeros_like(true), np.zeros(len(true))
    episodes = np.unique(asked.episode)
    for fold in range(min(FOLDS, len(episodes))):
        out = np.isin(known.episode, episodes[fold::FOLDS])
        mine = np.isin(asked.episode, episodes[fold::FOLDS])
        if out.all():
            continue
        a = x[~out]
        line = np.linalg.solve(a.T @ a + RIDGE * len(a) * np.eye(a.shape[1]), a.T @ y[~out])
        rest = y[~out] - a @ line
        far = (q[mine] ** 2).sum(1)[:, None] - 2 * q[mine] @ a.T + (a**2).sum(1)
        near = np.argpartition(far, min(NEAREST, far.shape[1] - 1), 1)[:, :NEAREST]
        straight[mine] = q[mine] @ line
        looked_up[mine] = straight[mine] + rest[near].mean(1)
        spread[mine] = np.sqrt(rest[near].var(1).mean(1))
    steps = study.policy.spec.n_action_steps
    weight = np.repeat(asked.inside[:, :steps], true.shape[1] // steps, 1).astype(float)
    samples = np.stack([encode(study.proposed[:, k]) for k in range(study.proposed.shape[1])], 1)
    typical = float(np.sqrt((((true - y.mean(0)) ** 2) * weight).sum() / weight.sum()))
    return Answers(true, samples, looked_up, straight, spread, weight, asked.episode, typical)


def _actions(study: Study, actions: np.ndarray) -> np.ndarray:
    """(n, horizon, A) -> (n, n_action_steps * A') scaled by the ranges of the data, whatever the checkpoint's say."""
    steps = study.policy.spec.n_action_steps
    return study.true_normalizer.encode("action", actions[:, :steps]).reshape(len(actions), -1).astype(float)


def _inputs(study: Study, frames: Frames) -> np.ndarray:
    parts = [study.true_normalizer.encode(name, frames.observations[name]).reshape(len(frames.frame), -1) for name in study.vectors]
    for name in study.cameras:
        images = frames.observations[name][:, -1].astype(np.float32) / 127.5 - 1
        n, height, width, _ = images.shape
        k = max(1, min(height, width) // PIXELS)
        small = images[:, : height // k * k, : width // k * k].reshape(n, height // k, k, width // k, k, 3).mean((2, 4))
        parts.append(small.reshape(n, -1))
    return np.concatenate(parts, 1).astype(float)
