"""A dataset with everything that the format allows, recorded by waldo; and a plan by which lerobot records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.record import Recorder
from data.spec import Feature

FPS = 10
FEATURES = (
    Feature("observation.state", (2,), names=("x", "y"), units=("m", "m")),
    Feature("observation.force", (1,), names=("grip",), units=("N",)),
    Feature("observation.keypoints", (3, 2)),
    Feature("observation.cloud", (2, 3, 2), "float64"),
    Feature("observation.größe", (2,), "float64", names=("Länge", "幅")),
    Feature("observation.buttons", (4,), "uint8"),
    Feature("observation.contacts", (3,), "bool"),
    Feature("action", (3,), names=("a", "b", "c"), units=("rad", "rad", "1")),
    Feature("next.reward", (1,)),
    Feature("next.terminated", (1,), "bool"),
    Feature("stage", (1,), "int64"),
    Feature("subtask", (1,), "string"),
)
FLAT = tuple(feature for feature in FEATURES if len(feature.shape) == 1)
NUMBERS = tuple(feature.name for feature in FEATURES if feature.dtype != "string")  # waldo writes texts, and reads numbers and pictures
CAMERAS = {"top": (32, 48), "wrist": (64, 40)}
TOP, WRIST = (f"observation.images.{name}" for name in CAMERAS)
LENGTHS = (7, 12, 5)
TASKS = ("push the T", "schiebe den Würfel 推", "push the T")
LOSSY = 4.0  # mean error of video, out of 255


def make_arrays(length: int, seed: int) -> dict[str, np.ndarray]:
    """One episode's columns, the same for the same seed."""
    rng = np.random.default_rng(seed)
    columns = {}
    for feature in FEATURES:
        shape = (length, *feature.shape)
        match feature.dtype:
            case "bool":
                values = rng.random(shape) < 0.5
            case "uint8":
                values = rng.integers(0, 256, shape)
            case "string":
                values = np.array(["reach", "schieben", "押す"])[rng.integers(0, 3, length)]
            case "int64":
                values = rng.integers(-(2**40), 2**40, shape)
            case _:
                values = rng.normal(size=shape)
        columns[feature.name] = values.astype("str" if feature.dtype == "string" else feature.dtype)
    return columns


def make_images(length: int, seed: int, camera: str = "top") -> np.ndarray:
    """A bright square that moves over a smooth background, uint8 (T, H, W, 3): what lossy video keeps well."""
    height, width = CAMERAS[camera]
    frames = np.zeros((length, height, width, 3), np.uint8)
    frames[..., 0] = np.linspace(30, 90, width).astype(np.uint8)
    frames[..., 2] = 60 + 10 * (seed % 8)
    for t in range(length):
        x = (3 * t + 5 * seed) % (width - 16)
        frames[t, 8:24, x : x + 16] = 200
    return frames


def film(camera: str = "top", lengths: Sequence[int] = LENGTHS) -> np.ndarray:
    """All frames that `record` writes of a camera."""
    return np.concatenate([make_images(length, i, camera) for i, length in enumerate(lengths)])


def columns(lengths: Sequence[int] = LENGTHS) -> dict[str, np.ndarray]:
    """All values that `record` writes, (N, ...) each."""
    episodes = [make_arrays(length, i) for i, length in enumerate(lengths)]
    return {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}


def record(
    root: Path,
    lengths: Sequence[int] = LENGTHS,
    tasks: Sequence[str] = TASKS,
    cameras: bool = True,
    first: int = 0,
    features: Sequence[Feature] = FEATURES,
    codec: str = "h264",
) -> Path:
    """Episodes with the seeds first, first + 1, ...; appended where there is a dataset."""
    with Recorder(root, FPS, features, "dummy", CAMERAS if cameras else {}, codec=codec) as recorder:
        for i, (length, task) in enumerate(zip(lengths, tasks, strict=True), first):
            images = {name: make_images(length, i, name) for name in CAMERAS} if cameras else None
            arrays = make_arrays(length, i)
            assert recorder.add_episode({f.name: arrays[f.name] for f in features}, task, images) == i
    return root


def make_plan(
    folder: Path, features: dict[str, Any], episodes: Sequence[tuple[dict[str, np.ndarray], Sequence[str]]], robot_type: str = "dummy"
) -> Path:
    """What `scripts/lerobot_record.py` reads. features: as in info.json; episodes: (arrays (T, ...) with cameras, task of each frame)."""
    folder.mkdir()
    plan: dict[str, Any] = {"fps": FPS, "robot_type": robot_type, "features": features, "episodes": []}
    for i, (arrays, tasks) in enumerate(episodes):
        np.savez(folder / f"{i}.npz", **arrays)
        plan["episodes"].append({"file": f"{i}.npz", "tasks": list(tasks)})
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return folder


def same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Equal in dtype and value; (N,) may be (N, 1), and texts may be of any width."""
    assert found.dtype == expected.dtype or found.dtype.kind == expected.dtype.kind == "U", (
        f"{what} is {found.dtype}, wanted {expected.dtype}"
    )
    np.testing.assert_array_equal(found.reshape(expected.shape), expected, err_msg=what)


def alike(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Frames that differ by no more than video loses."""
    assert found.shape == expected.shape and found.dtype == np.uint8, f"{what}: {found.dtype}{found.shape}"
    error = np.abs(found.astype(int) - expected).mean(axis=tuple(range(1, expected.ndim)))
    assert error.max() < LOSSY, f"{what}: frame {error.argmax()} is off by {error.max():.1f} of 255 on average"
