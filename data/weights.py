"""How often each frame is drawn: rules that look at a dataset and give (N,) weights >= 0, one file entry each in configs/weight/.

A rule is any callable `(dataset) -> (N,)`; only ratios matter. Episodes are weighted by giving each of their frames the weight.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data.errors import ConfigError, DatasetError, did_you_mean
from data.store import Dataset


def returns(dataset: Dataset, column: str = "next.reward") -> np.ndarray:
    """(E,) float64: the sum of a column over each episode. Raises DatasetError if it is not there."""
    values = np.asarray(dataset.table([column])[column], np.float64).reshape(-1)
    return np.add.reduceat(values, dataset.episode_ends - dataset.lengths)


@dataclass
class ReturnWeightsConfig:
    temperature: float = 0.1  # of the returns scaled to 0..1: small trusts the best episodes only
    column: str = "next.reward"  # what is summed over an episode


class ReturnWeights:
    """exp(return / temperature), returns scaled to [0, 1] over the dataset (Hong et al. 2023, arXiv 2306.13085, eq. 10)."""

    Config = ReturnWeightsConfig

    def __init__(self, config: ReturnWeightsConfig) -> None:
        if not config.temperature > 0:
            raise ConfigError(f"weight.temperature={config.temperature}: it must be positive")
        self.config = config

    def __call__(self, dataset: Dataset) -> np.ndarray:
        total = returns(dataset, self.config.column)
        span = total.max() - total.min()
        scaled = (total - total.max()) / span if span > 0 else np.zeros_like(total)
        return np.repeat(np.exp(scaled / self.config.temperature), dataset.lengths)


@dataclass
class TrustWeightsConfig:
    policy: float = 0.25  # weight of a frame in which a policy acted
    human: float = 1.0  # a person
    expert: float = 1.0  # a script or a planner


class TrustWeights:
    """By who acted (the column `actor`), e.g. to learn from a person's corrections more than from the policy that was corrected."""

    Config = TrustWeightsConfig

    def __init__(self, config: TrustWeightsConfig) -> None:
        self.config = config

    def __call__(self, dataset: Dataset) -> np.ndarray:
        feature = dataset.features.get("actor")
        names = list(feature.get("categories") or ()) if feature else []
        if not names:
            raise DatasetError(f"{dataset.root} does not say who acted; it needs the column 'actor' with its categories")
        unknown = [name for name in names if not hasattr(self.config, name)]
        if unknown:
            raise DatasetError(f"{dataset.root}: actor may be {', '.join(unknown)}; {did_you_mean(unknown[0], vars(self.config))}")
        table = np.array([getattr(self.config, name) for name in names])
        actor = dataset.table(["actor"])["actor"].reshape(-1)
        if actor.max() >= len(table):
            raise DatasetError(f"{dataset.root}: actor is {actor.max()} somewhere, but it has only {len(table)} categories")
        return table[actor]


@dataclass
class QualityWeightsConfig:
    column: str = "quality"  # a number >= 0 per frame, e.g. from a reward model or an annotator
    episodes: dict[int, float] = field(default_factory=dict)  # instead, or besides: a weight per episode; 1 for all others


class QualityWeights:
    """By a quality that was recorded with every frame, or that is said for single episodes."""

    Config = QualityWeightsConfig

    def __init__(self, config: QualityWeightsConfig) -> None:
        self.config = config

    def __call__(self, dataset: Dataset) -> np.ndarray:
        weights = np.ones(dataset.num_frames)
        if self.config.column in dataset.features:
            weights = np.asarray(dataset.table([self.config.column])[self.config.column], np.float64).reshape(-1).copy()
        elif not self.config.episodes:
            raise DatasetError(
                f"{dataset.root} has no column {self.config.column!r}; {did_you_mean(self.config.column, dataset.column_keys)}"
            )
        for number, weight in self.config.episodes.items():
            if number not in dataset.numbers:
                raise DatasetError(f"weight.episodes: {dataset.root} has no episode {number}; allowed: 0 to {dataset.numbers.max()}")
            i = int(np.searchsorted(dataset.numbers, number))
            weights[int(dataset.episode_ends[i] - dataset.lengths[i]) : int(dataset.episode_ends[i])] *= weight
        return weights


@dataclass
class TaskWeightsConfig:
    power: float = 1.0  # 1: every task equally often; 0: by its number of frames


class TaskWeights:
    """Every task equally often, whatever its number of frames."""

    Config = TaskWeightsConfig

    def __init__(self, config: TaskWeightsConfig) -> None:
        self.config = config

    def __call__(self, dataset: Dataset) -> np.ndarray:
        task = dataset.table(["task_index"])["task_index"].reshape(-1)
        return np.bincount(task)[task] ** -float(self.config.power)
