"""A small dataset that has one of everything: vectors, a scalar, a boolean, an integer, two tasks, a camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.record import Recorder
from data.spec import Feature
from data.store import Dataset

FEATURES = (
    Feature("observation.state", (2,), names=("x", "y"), units=("m", "m")),
    Feature("observation.force", (1,), names=("grip",), units=("N",)),
    Feature("action", (3,), names=("a", "b", "c"), units=("rad", "rad", "1")),
    Feature("next.reward", (1,)),
    Feature("next.terminated", (1,), "bool"),
    Feature("stage", (1,), "int64"),
)
CAMERAS = {"top": (32, 48)}
TOP = "observation.images.top"
LENGTHS = (7, 12, 5)
TASKS = ("push", "lift", "push")


def make_arrays(length: int, seed: int) -> dict[str, np.ndarray]:
    """One episode's columns, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return {
        "observation.state": rng.normal(size=(length, 2)).astype(np.float32),
        "observation.force": rng.normal(size=(length, 1)).astype(np.float32),
        "action": rng.normal(size=(length, 3)).astype(np.float32),
        "next.reward": rng.normal(size=length).astype(np.float32),
        "next.terminated": np.arange(length) == length - 1,
        "stage": rng.integers(0, 2**40, length),
    }


def make_images(length: int, seed: int) -> np.ndarray:
    """A bright square that moves over a smooth background, uint8 (T, 32, 48, 3): what lossy video keeps well."""
    frames = np.zeros((length, *CAMERAS["top"], 3), np.uint8)
    frames[..., 0] = np.linspace(30, 90, CAMERAS["top"][1]).astype(np.uint8)
    frames[..., 2] = 60 + 10 * (seed % 8)
    for t in range(length):
        x = (3 * t + 5 * seed) % 32
        frames[t, 8:24, x : x + 16] = 200
    return frames


def record(root: Path, lengths: tuple[int, ...] = LENGTHS, cameras: bool = True) -> Path:
    """Episodes with the seeds 0, 1, 2, ..."""
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS if cameras else {}) as recorder:
        for i, length in enumerate(lengths):
            images = {"top": make_images(length, i)} if cameras else None
            assert recorder.add_episode(make_arrays(length, i), TASKS[i % 3], images) == i
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A recorded dataset with a camera."""
    return record(tmp_path / "demo")


@pytest.fixture
def state_root(tmp_path: Path) -> Path:
    """A recorded dataset without cameras."""
    return record(tmp_path / "demo", cameras=False)


@pytest.fixture
def holds() -> Callable[[Path, int], Dataset]:
    """Check that a dataset has exactly the first `count` episodes of `record`, and nothing that is only half there."""

    def check(folder: Path, count: int) -> Dataset:
        dataset = Dataset.open(folder)
        assert dataset.num_episodes == count
        for i in range(count):
            episode = dataset.episode(i)
            for name, expected in make_arrays(len(episode), i).items():
                np.testing.assert_array_equal(episode[name], expected, err_msg=f"{name} of episode {i}")
        return dataset

    return check


def litter(folder: Path) -> list[str]:
    """Temporaries that somebody forgot."""
    return [p.name for p in folder.glob("**/*") if p.name.endswith(".tmp")]
