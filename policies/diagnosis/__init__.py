"""What a check of a policy is given, `Study`, and what it returns, `Alarm`s.

A check is one file policies/diagnosis/NAME.py (it needs a policy and its data; those that need an environment are in waldo/diagnosis).
Its docstring says what it looks for, and it has

    def check(study: Study) -> list[Alarm]

It is found by its file name; nothing is registered. Every threshold says why it is what it is.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from data.windows import observed
from policies.base import Sampler
from policies.inputs import Inputs
from policies.normalize import Normalizer

# How an alarm came about, the strongest first. certain: two things that have to be equal are not. likely: what was measured fits this
# cause and is improbable otherwise. symptom: how it fails, which something else has caused.
WEIGHTS = ("certain", "likely", "symptom")
SAMPLES = 4  # chunks that are drawn per observation
FRAMES = 192  # observations that a policy is asked about: a mean over these is good to 7 %
EPISODES = 24  # that they come from
TILE = 32  # rows per network call, as in a rollout
CERTAIN = 99.0  # log10 of odds that need no counting


@dataclass(frozen=True)
class Alarm:
    """One thing that is wrong.

    cause      a word for it, e.g. "wrong normalisation"; check   the file that found it
    weight     one of WEIGHTS; odds   -log10 of the probability of such evidence where nothing is wrong
    found      the evidence, with numbers; why   what it does to the policy; next   the command or the step to try
    """

    cause: str
    check: str
    weight: str
    odds: float
    found: str
    why: str
    next: str

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts alarms, the strongest evidence first."""
        return WEIGHTS.index(self.weight), -self.odds


def ranked(alarms: list[Alarm]) -> list[Alarm]:
    return sorted(alarms, key=lambda alarm: alarm.rank)


def sign_test(wins: int, n: int) -> float:
    """-log10 of the probability that a fair coin gives at least `wins` of n; capped at CERTAIN."""
    from scipy.stats import binom

    return float(min(CERTAIN, -binom.logsf(wins - 1, n, 0.5) / np.log(10))) if n else 0.0


@dataclass(frozen=True)
class Frames:
    """n observations out of the data, with what was done next.

    episode (n,)   observations   name -> (n, n_obs_steps, ...)   actions (n, horizon, A) in SI units, inside (n, horizon) bool
    """

    episode: np.ndarray
    frame: np.ndarray
    observations: dict[str, np.ndarray]
    actions: np.ndarray
    inside: np.ndarray


class Study:
    """A policy beside the data that it was trained on.

    policy     a policy or an artefact; inputs   the data as training reads it, of the policy's observations
    normalizer the policy's own
    seen       how many of inputs.episodes it was trained on, 0 for all; exact   whether these are known to be the very data of its training
    place      the folder of the policy
    settings   words of a command line that name the data, for the commands that are proposed
    """

    def __init__(
        self,
        policy: Sampler,
        inputs: Inputs,
        normalizer: Normalizer,
        seen: int = 0,
        exact: bool = True,
        place: str = "",
        settings: str = "",
    ) -> None:
        self.policy, self.inputs, self.normalizer, self.exact = policy, inputs, normalizer, exact
        self.place, self.settings = place, settings
        self.part = inputs.parts[0]
        self.dataset = self.part.dataset
        episodes = self.part.episodes
        self.trained = episodes[: seen or len(episodes)]
        left = np.setdiff1d(np.arange(self.dataset.num_episodes), self.trained)
        # Episodes that failed are no example of what should have been done.
        self.held_out = np.intersect1d(left, episodes) if len(np.intersect1d(left, episodes)) else np.zeros(0, np.int64)
        self.ends = self.dataset.episode_ends
        self.starts = self.ends - self.dataset.lengths

    @functools.cached_property
    def ranges(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Least and greatest value of each vector over what it was trained on."""
        names = [*self.vectors, "action"]
        if len(self.inputs.parts) > 1 or len(self.trained) == len(self.part.episodes):
            return dict(self.inputs.normalizer.ranges)
        table = self.dataset.table(names)
        return {
            name: (
                np.minimum.reduceat(values, self.starts)[self.trained].min(0),
                np.maximum.reduceat(values, self.starts)[self.trained].max(0),
            )
            for name, values in table.items()
        }

    @functools.cached_property
    def true_normalizer(self) -> Normalizer:
        """By the data, whatever the checkpoint says."""
        return Normalizer(self.policy.spec, self.ranges)

    @property
    def vectors(self) -> tuple[str, ...]:
        """The observations that are vectors."""
        return tuple(f.name for f in self.policy.spec.observations if not f.is_image)

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.policy.spec.observations if f.is_image)

    @functools.cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Everything that the policy sees and does, as recorded: (N, ...)."""
        return self.part.columns(self.policy.spec)

    def table(self, names: list[str], episode: int) -> dict[str, np.ndarray]:
        """Columns of one episode, any that were recorded."""
        rows = slice(int(self.starts[episode]), int(self.ends[episode]))
        return {name: values[rows] for name, values in self.dataset.table(names).items()}

    def frames(self, episodes: np.ndarray, count: int = FRAMES, most: int = EPISODES) -> Frames:
        """Frames spread evenly over these episodes, at most `most` of them."""
        chosen = episodes[np.unique(np.linspace(0, len(episodes) - 1, min(most, len(episodes))).round().astype(int))]
        each = max(1, count // len(chosen))
        t, of = [], []
        for e in chosen.tolist():
            length = int(self.ends[e] - self.starts[e])
            at = np.unique(np.linspace(0, length - 1, min(each, length)).round().astype(int))
            t.append(self.starts[e] + at)
            of.append(np.full(len(at), e))
        frame, episode = np.concatenate(t), np.concatenate(of)
        spec = self.policy.spec
        first, last = self.starts[episode], self.ends[episode] - 1
        past = observed(frame, first, spec.n_obs_steps)
        future = frame[:, None] + np.arange(spec.horizon)
        inside = future <= last[:, None]
        names = [f.name for f in spec.observations]
        seen = {name: np.asarray(self.columns[name][past]) for name in names}
        return Frames(episode, frame, seen, np.asarray(self.columns["action"][np.minimum(future, last[:, None])]), inside)

    @functools.cached_property
    def familiar(self) -> Frames:
        """Frames that the policy was trained on."""
        return self.frames(self.trained)

    @functools.cached_property
    def proposed(self) -> np.ndarray:
        """(n, K, horizon, A): what the policy would do in the familiar frames."""
        return propose(self.policy, self.familiar.observations)


def propose(policy: Sampler, observations: dict[str, np.ndarray], samples: int = SAMPLES) -> np.ndarray:
    """(n, K, horizon, A) in SI units, the same every time."""
    n = len(next(iter(observations.values())))
    parts = []
    for start in range(0, n, TILE):
        rows = slice(start, start + TILE)
        part = {name: values[rows] for name, values in observations.items()}
        parts.append(policy.sample(part, samples, np.arange(start, min(n, start + TILE), dtype=np.uint64)))
    return np.concatenate(parts)
