"""A recording that lies in memory and has everything a format may have: last observations, simulator states, a still camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.source import Clip, Header, Source, Table
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, LENGTHS, TASKS, TOP, make_arrays, make_images

MODEL = "<mujoco/>"


def final_of(episode: int) -> dict[str, np.ndarray]:
    """The observation after the last action: frame T of an episode that goes on for one frame more."""
    rng = np.random.default_rng(100 + episode)
    return {"observation.state": rng.normal(size=2).astype(np.float32), "observation.force": rng.normal(size=1).astype(np.float32)}


def states_of(episode: int) -> np.ndarray:
    return np.random.default_rng(200 + episode).normal(size=(LENGTHS[episode], 9))


class MemorySource(Source):
    """The episodes of `tests.data.conftest.record`, with `final` and `extras` if `rich`, without the columns in `without`.

    more   episode -> further columns, or other values; header   fields of the header that are to be others
    """

    def __init__(
        self,
        root: Path,
        without: Sequence[str] = (),
        rich: bool = True,
        more: Callable[[int], Table] = lambda episode: {},
        **header: Any,
    ) -> None:
        self.rich, self.more = rich, more
        features: dict[str, dict[str, Any]] = {}
        for feature in FEATURES:
            features[feature.name] = {"dtype": feature.dtype, "shape": list(feature.shape), "names": list(feature.names) or None}
            if feature.units:
                features[feature.name]["units"] = list(feature.units)
        features[TOP] = {"dtype": "image", "shape": [*CAMERAS["top"], 3], "names": ["height", "width", "channels"]}
        told: dict[str, Any] = {
            "root": root,
            "format": "memory",
            "fps": 10,
            "robot_type": "dummy",
            "features": {name: feature for name, feature in features.items() if name not in without},
            "lengths": np.array(LENGTHS),
            "tasks": ("push", "lift"),
            "task_of": tuple((("push", "lift").index(task),) for task in TASKS),
            "provenance": {"maker": "a test"},
        }
        self.header = Header(**(told | header))

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        arrays = [make_arrays(LENGTHS[i], i) | self.more(i) for i in episodes.tolist()]
        return {name: np.concatenate([each[name] for each in arrays]) for name in names}

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        ends = np.cumsum([LENGTHS[i] for i in episodes.tolist()])
        return [
            Clip(str(i), np.arange(end - LENGTHS[i], end), lambda size, i=i: iter(make_images(LENGTHS[i], i)))
            for i, end in zip(episodes.tolist(), ends.tolist(), strict=True)
        ]

    def files(self) -> tuple[list[Path], list[Path]]:
        return [], []

    def final(self, episode: int) -> Table:
        return final_of(episode) if self.rich else {}

    def extras(self, episode: int) -> dict[str, Any]:
        return {"states": states_of(episode), "model_file": MODEL} if self.rich else {}


def rich(root: Path, **options: Any) -> Dataset:
    return Dataset(MemorySource(root, **options))
