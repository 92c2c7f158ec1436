"""From datasets on disk to what training draws from: a spec, a normaliser, and batches in network space."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.batches import Drawn, Mixture, Rows
from data.config import typed
from data.errors import DatasetError, SpecError, did_you_mean
from data.goals import Hindsight
from data.source import Given
from data.spec import ActionSpec, Feature, PolicySpec, match
from data.store import Dataset
from data.transitions import Transitions
from data.windows import Windows, stored_name
from policies.normalize import Normalizer

Weigh = Callable[[Dataset], np.ndarray]  # (N,) how often each frame is drawn: see data.weights


@dataclass
class DataConfig:
    path: str = ""  # a folder or file, a name under $WALDO_DATASETS or ./datasets, or a Hugging Face Hub id
    url: str = ""  # where it can be had, for who does not have it
    observations: list[str] = field(default_factory=lambda: ["observation.state", "observation.environment_state"])
    image_size: list[int] = field(default_factory=list)  # [height, width] in pixels that the policy sees; as recorded if empty
    task: str = ""  # for recordings that do not say it themselves
    robot_type: str = ""  # likewise
    action_kind: str = ""  # likewise: joint, ee_pose or position
    fps: float = 0.0  # likewise, in Hz; it contradicts no recording that says another
    mapping: dict[str, Any] = field(default_factory=dict)  # other names, elements and units: see data.mapping
    resample: float = 0.0  # Hz to resample to, 0 for none: see data.resample
    sums: list[str] = field(default_factory=list)  # with resample: columns that are changes (deltas) and not targets
    only_success: bool = False  # imitate only episodes that succeeded; critics always learn from all
    max_episodes: int = 0  # use only the first ones, 0 for all
    share: float = 0.0  # of several datasets: how much of a batch comes from this one; 0 for all: by their size
    also: list[dict[str, Any]] = field(default_factory=list)  # further datasets; each says what is different from the first


def open_dataset(config: DataConfig) -> Dataset:
    """Raises DatasetError saying where it was looked for and how to get it."""
    given = Given(config.fps, config.task, config.robot_type)
    try:
        return Dataset.open(config.path, given=given, mapping=config.mapping, fps=config.resample, sums=config.sums)
    except DatasetError as error:
        if config.url and str(error).startswith("no dataset"):
            raise DatasetError(f"{error}. It can be had from {config.url}") from error
        raise


def offered_spec(dataset: Dataset, config: DataConfig) -> PolicySpec:
    """Everything that the dataset lets a policy see and do, from what was recorded with it or from the config."""
    size = tuple(config.image_size)
    if size and (len(size) != 2 or min(size) < 1):
        raise SpecError(f"data.image_size={config.image_size}: it wants [height, width] in pixels")
    recorded = dataset.provenance.get("spec")
    if recorded:
        spec = PolicySpec.from_json(recorded)
        seen = tuple(dataclasses.replace(f, shape=(*size, 3)) if size and f.is_image else f for f in spec.observations)
        return dataclasses.replace(spec, observations=seen)
    if not config.action_kind or not config.task:
        raise DatasetError(f"{dataset.root} does not say what its actions mean; set data.action_kind and data.task")
    features = tuple(_feature(name, entry, size) for name, entry in dataset.features.items() if name.startswith("observation."))
    if "action" not in dataset.features:
        raise DatasetError(f"{dataset.root} has no column 'action'; it has: {', '.join(dataset.features)}")
    action = _feature("action", dataset.features["action"], size)
    order = ActionSpec(config.action_kind, action.names, action.units, quaternions=action.quaternions)
    return PolicySpec(config.task, dataset.robot_type, features, order, float(dataset.fps))


def _feature(name: str, entry: Mapping[str, Any], size: tuple[int, ...]) -> Feature:
    if entry["dtype"] in ("video", "image"):
        return Feature(name, (*size, 3) if size else tuple(entry["shape"]), "uint8")
    parts = {key: tuple(entry.get(key) or ()) for key in ("names", "units", "quaternions", "angles")}
    count = int(entry["shape"][0])
    parts["names"] = parts["names"] or tuple(f"{name.rpartition('.')[2]}_{i}" for i in range(count))  # recorded without names
    parts["units"] = parts["units"] or ("",) * count  # not said: whoever wants to use the policy has to say the same
    return Feature(name, tuple(entry["shape"]), "float32", **parts)


class Part:
    """One dataset of those that are trained on together.

    dataset     all of it; episodes   those that are imitated; offer   what it lets a policy see and do
    """

    def __init__(self, config: DataConfig) -> None:
        self.config, self.dataset = config, open_dataset(config)
        self.offer = offered_spec(self.dataset, config)
        self.episodes = np.arange(self.dataset.num_episodes)
        if config.only_success:
            self.episodes = self.episodes[self._success()]
        if config.max_episodes:
            self.episodes = self.episodes[: config.max_episodes]
        if len(self.episodes) == 0:
            raise DatasetError(f"{self.dataset.root} has no episode that succeeded")

    def _success(self) -> np.ndarray:
        """(E,) bool"""
        if "next.success" not in self.dataset.features:
            raise DatasetError(f"data.only_success needs the column 'next.success', which {self.dataset.root} does not have")
        return np.logical_or.reduceat(np.asarray(self.dataset.table(["next.success"])["next.success"], bool).reshape(-1), self._starts)

    @property
    def _starts(self) -> np.ndarray:
        return self.dataset.episode_ends - self.dataset.lengths

    def columns(self, spec: PolicySpec) -> dict[str, np.ndarray]:
        """What a policy of `spec` sees and does, as recorded: (N, D) float vectors, (N, H, W, 3) uint8 memory-mapped images."""
        vectors = [f.name for f in spec.observations if not f.is_image] + ["action"]
        size = tuple(self.config.image_size)
        images = {f.name: self.dataset.images(f.name, (size[0], size[1]) if size else None) for f in spec.observations if f.is_image}
        return {**self.dataset.table(vectors), **images}

    def ranges(self, names: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Least and greatest value of each element over the episodes that are imitated."""
        table = self.dataset.table(names)
        starts, chosen = self._starts, self.episodes
        return {
            name: (np.minimum.reduceat(values, starts)[chosen].min(0), np.maximum.reduceat(values, starts)[chosen].max(0))
            for name, values in table.items()
        }


class Inputs:
    """Datasets ready for training: `spec`, `normalizer`, and rows to draw batches from.

    spec    what the policy will be asked for; normalizer   fitted on the episodes that are imitated, of all datasets
    """

    def __init__(self, config: DataConfig, n_obs_steps: int, horizon: int, n_action_steps: int) -> None:
        same = {key: value for key, value in dataclasses.asdict(config).items() if key not in ("also", "share")}
        others = [typed(DataConfig, {**same, **other}, f"data.also[{i}]") for i, other in enumerate(config.also)]
        self.parts = [Part(config), *(Part(other) for other in others)]
        self.dataset = self.parts[0].dataset
        offer = self.parts[0].offer
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
        for part in self.parts[1:]:
            if found := match(self.spec, part.offer):
                raise SpecError(
                    f"{part.dataset.root} cannot be trained on together with {self.dataset.root}: {'; '.join(found)}. "
                    "Say what is what with data.also[].mapping and data.also[].resample"
                )
        self.normalizer = Normalizer(self.spec, self._ranges())

    @property
    def episodes(self) -> np.ndarray:
        """The episodes that are imitated, numbered within each dataset."""
        return np.concatenate([part.episodes for part in self.parts])

    @property
    def content_hash(self) -> str:
        """Of the one dataset, or of all together."""
        hashes = [part.dataset.content_hash for part in self.parts]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def _ranges(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        names = [f.name for f in self.spec.observations if not f.is_image] + ["action"]
        each = [part.ranges(names) for part in self.parts]
        return {name: (np.min([r[name][0] for r in each], 0), np.max([r[name][1] for r in each], 0)) for name in names}

    def renormalize(self, normalizer: Normalizer) -> None:
        """Encode the data with another fit, e.g. the policy's own when a critic is learned for it."""
        self.normalizer = normalizer

    def windows(self, weigh: Weigh | None = None, goals: Hindsight | None = None) -> Rows:
        """For imitation: the chosen episodes."""
        return self._mixed([self._windows(part, weigh, goals) for part in self.parts])

    def _windows(self, part: Part, weigh: Weigh | None, goals: Hindsight | None) -> Rows:
        ends = part.dataset.episode_ends
        windows = Windows(part.columns(self.spec), ends, self.spec.n_obs_steps, self.spec.horizon, part.episodes, goals)
        return self._encoded(windows, part, weigh)

    def transitions(self, gamma: float, weigh: Weigh | None = None) -> Rows:
        """For offline RL: every episode, success or not."""
        return self._mixed([self._transitions(part, gamma, weigh) for part in self.parts])

    def _transitions(self, part: Part, gamma: float, weigh: Weigh | None) -> Rows:
        columns = {**part.columns(self.spec), **part.dataset.table(["next.reward", "next.terminated"])}
        transitions = Transitions(columns, part.dataset.episode_ends, self.spec.n_obs_steps, self.spec.n_action_steps, gamma)
        return self._encoded(transitions, part, weigh)

    def _mixed(self, rows: list[Rows]) -> Rows:
        shares = [part.config.share for part in self.parts]
        return rows[0] if len(rows) == 1 else Mixture(rows, shares if any(shares) else None)

    def _encoded(self, rows: Windows | Transitions, part: Part, weigh: Weigh | None) -> Rows:
        """`rows` in network space. Only what was drawn is encoded: the data stays where it is."""
        normalizer = self.normalizer

        def draw(numbers: np.ndarray, seed: int) -> dict[str, np.ndarray]:
            batch = rows.batch(numbers, seed)
            return {name: normalizer.encode(stored_name(name), values) for name, values in batch.items()}

        return Drawn(draw, len(rows), None if weigh is None else weigh(part.dataset)[rows.anchors.frames()])
