"""What every exporter needs to know of a dataset: which columns leave it, what describes them, and how an episode ended."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from data.episode import Episode
from data.errors import DatasetError, SpecError
from data.lerobot import layout
from data.spec import PolicySpec
from data.store import Dataset

TARDY = 0.05  # share of a frame's duration by which a time may differ from frame_index / fps and still count as that


def columns(dataset: Dataset) -> tuple[str, ...]:
    """Every column of numbers but the automatic ones (index, episode_index, frame_index, timestamp, task_index)."""
    return tuple(name for name in dataset.column_keys if name not in layout.DEFAULT_FEATURES)


def observations(dataset: Dataset) -> tuple[str, ...]:
    """The columns that were observed, without cameras."""
    return tuple(name for name in columns(dataset) if name.startswith("observation."))


def require_action(dataset: Dataset, format: str) -> None:
    """Raises DatasetError where there is no column `action`."""
    if "action" not in dataset.column_keys:
        raise DatasetError(
            f"{dataset.root} has no column 'action', which {format} cannot do without; found {', '.join(columns(dataset))}. "
            "Rename the one that holds the actions by a mapping"
        )


def episodes(dataset: Dataset, what: str, progress: bool, first: int = 0) -> Iterator[Episode]:
    """Episodes `first`, `first` + 1, ..., one in memory at a time, with a bar of frames that says `what` is made."""
    with tqdm(total=dataset.num_frames, desc=what, unit="frame", disable=not progress) as bar:
        bar.update(int(dataset.lengths[:first].sum()))
        for i in range(first, dataset.num_episodes):
            episode = dataset.episode(i)
            yield episode
            bar.update(len(episode))


def origin(dataset: Dataset) -> dict[str, Any]:
    """Where an export comes from, JSON-able: the source's name, format and content, and what it said about itself."""
    told: dict[str, Any] = {
        "imported_from": dataset.root.name,
        "format": dataset.format,
        "content_hash": dataset.content_hash,
        "source": plain(dict(dataset.provenance)),
    }
    spec = _spec(dataset)
    return told | ({"spec": spec.to_json()} if spec else {})


def _spec(dataset: Dataset) -> PolicySpec | None:
    """What a policy that learns from this sees and does, as the recording says it, less what a mapping or selection took away."""
    try:
        spec = PolicySpec.from_json(dataset.provenance["spec"])
    except (KeyError, TypeError, SpecError):
        return None
    if not _is_that(dataset, "action", (spec.action.dim,), spec.action.names, spec.action.units):
        return None
    seen = tuple(f for f in spec.observations if _is_that(dataset, f.name, f.shape, f.names, f.units))
    return dataclasses.replace(spec, observations=seen, rate_hz=float(dataset.fps))


def _is_that(dataset: Dataset, name: str, shape: tuple[int, ...], names: tuple[str, ...], units: tuple[str, ...]) -> bool:
    """Whether a feature is the one that a spec speaks of; what it does not say of itself is not held against it."""
    entry = dataset.features.get(name)
    if entry is None or tuple(entry["shape"]) != tuple(shape):
        return False
    found = (layout.element_names(entry), tuple(entry.get("units") or ()))
    return name in dataset.camera_keys or all(not mine or mine == said for mine, said in zip(found, (names, units), strict=True))


def description(dataset: Dataset, **places: Any) -> dict[str, Any]:
    """What a format without room for it is given as one JSON object called "waldo", so that our reader can restore it.

    places   where the format put what, e.g. arrays={feature: name of its array}
    """
    features = {name: dict(dataset.features[name]) for name in columns(dataset)}
    for key in dataset.camera_keys:
        features[key] = {"dtype": "image", "shape": list(dataset.features[key]["shape"]), "names": ["height", "width", "channels"]}
    return {
        "fps": dataset.fps,
        "robot_type": dataset.robot_type,
        "features": plain(features),
        "tasks": list(dataset.tasks),
        "provenance": origin(dataset),
        **places,
    }


def plain(content: Any) -> Any:
    """`content` as JSON would give it back: lists for tuples and arrays, numbers for numpy's."""
    return json.loads(layout.dump_json(content))


def lateness(dataset: Dataset) -> float:
    """The largest difference between a frame's recorded time and frame_index / fps [s]; 0 where it is only rounding."""
    frame = np.arange(dataset.num_frames) - np.repeat(dataset.episode_ends - dataset.lengths, dataset.lengths)
    late = float(np.abs(dataset.table(["timestamp"])["timestamp"] - frame / dataset.fps).max())
    return late if late > TARDY / dataset.fps else 0.0


def last_of(episode: Episode, name: str, values: np.ndarray) -> np.ndarray:
    """(...): what was observed after the last action, where it is known, else the last of `values` (T, ...) once more."""
    return np.asarray(episode.final.get(name, values[-1]), values.dtype).reshape(values.shape[1:])


@dataclass(frozen=True)
class Outcome:
    """What came of each action. rewards (T,); terminated, truncated (T,) bool: the episode ended of itself, was cut off."""

    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def outcome(episode: Episode) -> Outcome:
    """From next.reward, next.terminated, next.truncated and next.done, as far as there are any; `assumed` says what was not.

    An episode that did not terminate was truncated, at the latest after its last frame.
    """
    arrays, none = episode.arrays, np.zeros(len(episode), np.bool_)
    done, cut = (np.asarray(arrays.get(name, none), np.bool_).reshape(-1) for name in ("next.done", "next.truncated"))
    terminated = np.asarray(arrays.get("next.terminated", done & ~cut), np.bool_).reshape(-1)
    if "next.truncated" not in arrays:
        cut = none.copy()
        cut[-1] = not terminated[-1]
    rewards = np.asarray(arrays.get("next.reward", np.zeros(len(episode), np.float32))).reshape(-1)
    return Outcome(rewards, terminated, cut)


def assumed(dataset: Dataset) -> list[str]:
    """What `outcome` had to assume, in sentences."""
    has = set(dataset.column_keys)
    found = []
    if "next.reward" not in has:
        found.append("The recording has no next.reward: rewards are 0.")
    if not has & {"next.terminated", "next.done"}:
        found.append("The recording does not say whether its episodes terminated: they count as cut off after their last frame.")
    return found


class Beside:
    """What episodes hold beside their frames, collected while they pass, and said in the end."""

    def __init__(self, *written: str) -> None:
        """written: what the format does keep: "final" (the observation after the last action), "extras" (all that readers offer)."""
        self._written = written
        self._final = False
        self._extras: dict[str, None] = {}

    def add(self, episode: Episode) -> None:
        self._final = self._final or bool(episode.final)
        self._extras |= dict.fromkeys(episode.extras)

    def lost(self, dataset: Dataset) -> list[str]:
        """In sentences."""
        said = []
        if self._final and "final" not in self._written:
            said.append("The observation after the last action of each episode.")
        if self._extras and "extras" not in self._written:
            said.append(f"What was kept per episode beside its frames: {', '.join(self._extras)}.")
        texts = [name for name, feature in dataset.features.items() if feature["dtype"] == "string"]
        if texts:
            said.append(f"The text columns {', '.join(texts)}: only numbers and pictures are written.")
        return said
