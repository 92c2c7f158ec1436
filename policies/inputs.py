"""From a dataset on disk to what training draws from: a spec, a normaliser, and columns in network space."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.config import locate
from data.errors import DatasetError, SpecError, did_you_mean
from data.spec import ActionSpec, Feature, PolicySpec
from data.store import Dataset
from data.transitions import Transitions
from data.windows import Windows
from policies.normalize import Normalizer


@dataclass
class DataConfig:
    path: str = ""  # a folder, or a name under $WALDO_DATASETS or ./datasets
    importer: str = ""  # function (source, root) -> Dataset that makes ./datasets/<path> when it is not there
    observations: list[str] = field(default_factory=lambda: ["observation.state", "observation.environment_state"])
    task: str = ""  # for datasets that do not say it themselves
    action_kind: str = ""  # likewise: joint, ee_pose or position
    only_success: bool = False  # imitate only episodes that succeeded; critics always learn from all
    max_episodes: int = 0  # use only the first ones, 0 for all


def open_dataset(config: DataConfig) -> Dataset:
    """Raises DatasetError saying where it was looked for and how to make it."""
    if config.importer:
        imported: Dataset = locate(config.importer)(None, Path("datasets") / config.path)
        return imported
    return Dataset.open(config.path)


def offered_spec(dataset: Dataset, config: DataConfig) -> PolicySpec:
    """Everything that the dataset lets a policy see and do, from what was recorded with it or from the config."""
    recorded = dataset.provenance.get("spec")
    if recorded:
        return PolicySpec.from_json(recorded)
    if not config.action_kind or not config.task:
        raise DatasetError(f"{dataset.root} does not say what its actions mean; set data.action_kind and data.task")
    features = tuple(_feature(name, entry) for name, entry in dataset.features.items() if name.startswith("observation."))
    if "action" not in dataset.features:
        raise DatasetError(f"{dataset.root} has no column 'action'; it has: {', '.join(dataset.features)}")
    action = _feature("action", dataset.features["action"])
    order = ActionSpec(config.action_kind, action.names, action.units, quaternions=action.quaternions)
    return PolicySpec(config.task, dataset.robot_type, features, order, float(dataset.fps))


def _feature(name: str, entry: Mapping[str, Any]) -> Feature:
    if entry["dtype"] in ("video", "image"):
        return Feature(name, tuple(entry["shape"]), "uint8")
    parts = {key: tuple(entry.get(key) or ()) for key in ("names", "units", "quaternions", "angles")}
    return Feature(name, tuple(entry["shape"]), "float32", **parts)


class Inputs:
    """A dataset ready for training: `spec`, `normalizer`, and batches by row number.

    spec    what the policy will be asked for; normalizer fitted on the episodes that are imitated
    """

    def __init__(self, config: DataConfig, n_obs_steps: int, horizon: int, n_action_steps: int) -> None:
        self.dataset = open_dataset(config)
        self.episode_ends = self.dataset.episode_ends
        offer = offered_spec(self.dataset, config)
        known = [f.name for f in offer.observations]
        for name in config.observations:
            if name not in known:
                raise SpecError(f"data.observations: {name!r} is not in {self.dataset.root}; {did_you_mean(name, known)}")
        if not 1 <= n_action_steps <= horizon:
            raise SpecError(f"n_action_steps must lie between 1 and horizon={horizon}, found {n_action_steps}")
        if n_obs_steps < 1:
            raise SpecError(f"n_obs_steps must be at least 1, found {n_obs_steps}")
        self.spec = dataclasses.replace(
            offer,
            observations=tuple(offer.feature(name) for name in config.observations),
            n_obs_steps=n_obs_steps,
            horizon=horizon,
            n_action_steps=n_action_steps,
        )
        self.success = self._success()
        self.episodes = self._choose(config)
        vectors = [f.name for f in self.spec.observations if not f.is_image] + ["action"]
        table = self.dataset.table(vectors)
        frames = self._frames(self.episodes)
        self.normalizer = Normalizer.fit(self.spec, {name: values[frames] for name, values in table.items()})
        self._fit(table)

    def _fit(self, table: Mapping[str, np.ndarray]) -> None:
        self.columns = {name: self.normalizer.encode(name, values) for name, values in table.items()}
        for feature in self.spec.observations:
            if feature.is_image:
                self.columns[feature.name] = self.dataset.images(feature.name)

    def renormalize(self, normalizer: Normalizer) -> None:
        """Encode the data with another fit, e.g. the policy's own when a critic is learned for it."""
        self.normalizer = normalizer
        self._fit(self.dataset.table([name for name in self.columns if not self._is_image(name)]))

    def _is_image(self, name: str) -> bool:
        return name != "action" and self.spec.feature(name).is_image

    def _success(self) -> np.ndarray | None:
        """(E,) bool, None where the dataset does not say."""
        if "next.success" not in self.dataset.features:
            return None
        done = np.asarray(self.dataset.table(["next.success"])["next.success"], bool).reshape(-1)
        starts = np.concatenate([[0], self.episode_ends[:-1]])
        return np.logical_or.reduceat(done, starts)

    def _choose(self, config: DataConfig) -> np.ndarray:
        episodes = np.arange(len(self.episode_ends))
        if config.only_success:
            if self.success is None:
                raise DatasetError(f"data.only_success needs the column 'next.success', which {self.dataset.root} does not have")
            episodes = episodes[self.success]
        if config.max_episodes:
            episodes = episodes[: config.max_episodes]
        if len(episodes) == 0:
            raise DatasetError(f"{self.dataset.root} has no episode that succeeded")
        return episodes

    def _frames(self, episodes: np.ndarray) -> np.ndarray:
        starts = np.concatenate([[0], self.episode_ends[:-1]])
        return np.concatenate([np.arange(starts[e], self.episode_ends[e]) for e in episodes])

    def windows(self) -> Windows:
        """For imitation: the chosen episodes."""
        return Windows(self.columns, self.episode_ends, self.spec.n_obs_steps, self.spec.horizon, self.episodes)

    def transitions(self, gamma: float) -> Transitions:
        """For offline RL: every episode, success or not."""
        signals = self.dataset.table(["next.reward", "next.terminated"])
        columns = {**self.columns, **{k: np.asarray(v).reshape(-1) for k, v in signals.items()}}
        return Transitions(columns, self.episode_ends, self.spec.n_obs_steps, self.spec.n_action_steps, gamma)
