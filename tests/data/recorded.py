"""A clean recording in memory that a test may spoil, and the look at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.checks import Finding
from data.doctor import examine
from data.source import Clip, Header, Source, Table
from tests.data.conftest import make_images

FPS, EPISODES, LENGTH = 20.0, 6, 80
NAMES = ("x", "y", "z", "qw", "qx", "qy", "qz", "gripper")
UNITS = ("m", "m", "m", "1", "1", "1", "1", "m")
CAMERA = "observation.images.top"
VECTOR: dict[str, Any] = {"dtype": "float32", "shape": [8], "names": list(NAMES), "units": list(UNITS), "quaternions": [3]}
SCALAR: dict[str, Any] = {"dtype": "float32", "shape": [1], "names": None}
COUNTED: dict[str, Any] = {"dtype": "int64", "shape": [1], "names": None}


def motion(episode: int) -> np.ndarray:
    """A smooth reach and a grasp, (LENGTH + 1, 8): no two episodes alike."""
    t = np.arange(LENGTH + 1) / FPS
    phases = np.random.default_rng(episode).uniform(0, 2 * np.pi, 4)
    position = np.stack([0.3 * np.sin((1 + 0.3 * i) * t + phases[i]) for i in range(3)], 1)
    half = 0.4 * np.sin(t + phases[3])
    quaternion = np.stack([np.cos(half), np.zeros_like(t), np.zeros_like(t), np.sin(half)], 1)
    gripper = 0.04 + 0.04 * np.tanh(4 * (2 - t))
    return np.concatenate([position, quaternion, gripper[:, None]], 1).astype(np.float32)


def columns_of(episode: int) -> Table:
    path = motion(episode)
    last = np.arange(LENGTH) == LENGTH - 1
    return {
        "observation.state": path[:-1].copy(),
        "action": path[1:].copy(),
        "next.reward": last.astype(np.float32),
        "next.success": last.copy(),
        "next.terminated": last.copy(),
        "next.truncated": np.zeros(LENGTH, bool),
        "timestamp": (np.arange(LENGTH) / FPS).astype(np.float32),
        "frame_index": np.arange(LENGTH),
        "episode_index": np.full(LENGTH, episode),
        "index": np.arange(LENGTH) + LENGTH * episode,
        "task_index": np.zeros(LENGTH, np.int64),
    }


class Recorded(Source):
    """A recording in memory that a test may spoil: `arrays` holds the columns of each episode, `films` its frames."""

    def __init__(self) -> None:
        self.arrays = [columns_of(i) for i in range(EPISODES)]
        self.films: list[np.ndarray] = []
        self.stored: dict[str, dict[str, np.ndarray]] = {}
        self.features: dict[str, dict[str, Any]] = {"observation.state": dict(VECTOR), "action": dict(VECTOR), "next.reward": dict(SCALAR)}
        self.features |= {f"next.{name}": {**SCALAR, "dtype": "bool"} for name in ("success", "terminated", "truncated")}
        self.features |= {"timestamp": dict(SCALAR)}
        self.features |= {name: dict(COUNTED) for name in ("frame_index", "episode_index", "index", "task_index")}
        self.tasks: tuple[str, ...] = ("pick up the cube",)
        self.task_of: tuple[tuple[int, ...], ...] = ((0,),) * EPISODES
        self.format, self.fps = "LeRobotDataset in memory", FPS

    @property
    def header(self) -> Header:  # type: ignore[override]
        lengths = np.array([len(table["observation.state"]) for table in self.arrays])
        return Header(Path("demo"), self.format, self.fps, "panda", self.features, lengths, self.tasks, self.task_of)

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        return {name: np.concatenate([self.arrays[i][name] for i in episodes.tolist()]) for name in names}

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        return [Clip(str(i), np.arange(len(self.films[i])), lambda size, i=i: iter(self.films[i])) for i in episodes.tolist()]  # type: ignore[misc]

    def files(self) -> tuple[list[Path], list[Path]]:
        return [], []

    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        return self.stored

    def add_column(self, name: str, values: Callable[[Table], np.ndarray], **feature: Any) -> None:
        for table in self.arrays:
            table[name] = values(table).astype(feature.get("dtype", "float32"))
        width = self.arrays[0][name].shape[1] if self.arrays[0][name].ndim > 1 else 1
        self.features[name] = {"dtype": "float32", "shape": [width], "names": None, **feature}

    def renumber(self) -> None:
        """Counting columns after episodes were cut or added."""
        first = 0
        for i, table in enumerate(self.arrays):
            n = len(table["observation.state"])
            table |= {"frame_index": np.arange(n), "episode_index": np.full(n, i), "index": first + np.arange(n)}
            first += n
        self.task_of = ((0,),) * len(self.arrays)

    def add_camera(self, make: Callable[[int], np.ndarray] = lambda i: make_images(LENGTH, i)) -> None:
        self.films = [make(i) for i in range(EPISODES)]
        self.features[CAMERA] = {"dtype": "image", "shape": [32, 48, 3], "names": ["height", "width", "channels"]}


def only(source: Source, **options: Any) -> Finding:
    """The one and only finding."""
    findings = examine(source, **options).findings
    assert len(findings) == 1, "\n".join(f"{f.severity} {f.check}: {f.found}" for f in findings)
    return findings[0]
