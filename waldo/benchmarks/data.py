"""Diffusion windows per second from a LeRobotDataset with a camera, beside lerobot 0.4.4 on the same files.

Two pictures, two states, sixteen actions to a window, 64 windows to a batch, in random order. waldo decodes every video once
into a memory-mapped cache (its time and size stand in the table) and gathers whole batches from it; lerobot decodes what a
sample needs, with 0 to 4 worker processes. The two take turns; each figure is the median of its turns.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from data.batches import Batches
from data.cache import cache_folders
from data.record import Recorder
from data.results import Figure
from data.spec import Feature
from data.store import Dataset
from data.windows import Windows
from waldo.bench import Measurement
from waldo.rival import lerobot

if TYPE_CHECKING:
    from omegaconf import DictConfig

CAMERA = "observation.images.top"
SIZES = {"96x96": (96, 96, 20, 200), "480x640": (480, 640, 8, 150)}  # height, width [px], episodes, frames each
WORKERS = (0, 1, 2, 4)
ROUNDS = 3
BATCH, OBSERVED, HORIZON = 64, 2, 16
LARGE = 1_000_000  # frames of the dataset that is only opened


def film(frames: int, height: int, width: int, seed: int) -> np.ndarray:
    """A noisy scene in which something moves: what video neither gets for nothing nor cannot hold. uint8 (T, H, W, 3)."""
    rng = np.random.default_rng(seed)
    scene = rng.integers(40, 200, (height // 16, width // 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    images = np.repeat(scene[None], frames, 0)
    side = height // 6
    for t in range(frames):
        x, y = (7 * t + 31 * seed) % (width - side), (3 * t) % (height - side)
        images[t, y : y + side, x : x + side] = 255 - scene[y : y + side, x : x + side]
    noise = rng.integers(0, 12, (8, *images.shape[1:]), np.uint8)
    for t in range(frames):
        images[t] += noise[t % 8]
    return images


def record(root: Path, height: int, width: int, episodes: int, frames: int) -> None:
    features = [Feature("observation.state", (7,)), Feature("action", (7,))]
    with Recorder(root, 30, features, "arm", {CAMERA: (height, width)}) as recorder:
        for i in range(episodes):
            rng = np.random.default_rng(i)
            columns = {name: rng.normal(size=(frames, 7)).astype(np.float32) for name in ("observation.state", "action")}
            recorder.add_episode(columns, "bench", {CAMERA: film(frames, height, width, i)})


def draw(dataset: Dataset, workers: int, seconds: float) -> float:
    """Windows per second, as tensors."""
    columns = {**dataset.table(["observation.state", "action"]), CAMERA: dataset.images(CAMERA)}
    batches = Batches(Windows(columns, dataset.episode_ends, OBSERVED, HORIZON), BATCH, 0)
    drawn, begun = -8, time.perf_counter()
    for arrays, _ in batches.run(0, 10**9, workers):
        tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
        assert tensors[CAMERA].shape[:2] == (BATCH, OBSERVED)
        drawn += 1
        if drawn == 0:
            begun = time.perf_counter()
        elif drawn > 0 and time.perf_counter() - begun > seconds:
            break
    return drawn * BATCH / (time.perf_counter() - begun)


def measure(cfg: DictConfig) -> Measurement:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    others: list[Figure] = []
    best: dict[str, tuple[Figure, Figure | None]] = {}
    with tempfile.TemporaryDirectory(prefix="waldo-bench-") as folder:
        for name, (height, width, episodes, frames) in SIZES.items():
            root = Path(folder) / name
            record(root, height, width, episodes, frames)
            best[name] = _compare(name, root, cfg.seconds, others)
            shutil.rmtree(root)
        others += _opening(Path(folder) / "large")
    headline, baseline = best["96x96"]
    others += [figure for figure in best["480x640"] if figure is not None]
    return Measurement(headline, baseline, others=others)


def _compare(name: str, root: Path, seconds: float, others: list[Figure]) -> tuple[Figure, Figure | None]:
    dataset = Dataset.open(root)
    unit = "windows/s" if name == "96x96" else f"windows/s of {name}"  # figures of one unit are compared in the table
    begun = time.perf_counter()
    dataset.images(CAMERA)
    took = time.perf_counter() - begun
    size = sum(path.stat().st_size for path in cache_folders(root)[0].glob("*.npy"))
    others.append(Figure(f"{name}: decoding once into the cache", took, "s", dataset.num_frames))
    others.append(Figure(f"{name}: its size", size / 1e6, "MB"))
    ours: dict[int, list[float]] = {workers: [] for workers in (0, 1)}
    theirs: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    missing = ""
    for _ in range(ROUNDS):
        for workers, rates in ours.items():
            rates.append(draw(dataset, workers, seconds))
        for workers in () if missing else WORKERS:
            found, missing = lerobot(
                *("windows", root, CAMERA, "--n-obs-steps", OBSERVED, "--horizon", HORIZON),
                *("--batch-size", BATCH, "--num-workers", workers, "--seconds", seconds),
            )
            if missing:
                break
            theirs[workers].append(found["windows_per_s"])
    if missing:
        print(f"{name}: no baseline, {missing}")
    rows = {workers: Figure(f"{name}: waldo, {workers} threads beside", float(np.median(r)), unit, len(r)) for workers, r in ours.items()}
    headline = max(rows.values(), key=lambda figure: figure.value)
    others += [figure for figure in rows.values() if figure is not headline]
    if not theirs[0]:
        return headline, None
    peers = {w: Figure(f"{name}: lerobot, {w} workers", float(np.median(r)), unit, len(r)) for w, r in theirs.items() if r}
    fastest = max(peers.values(), key=lambda figure: figure.value)
    others += [figure for figure in peers.values() if figure is not fastest]
    others.append(Figure(f"{name}: waldo / lerobot at its fastest", headline.value / fastest.value))
    others.append(Figure(f"{name}: waldo / lerobot without workers", headline.value / peers[0].value))
    return headline, fastest


def _opening(root: Path) -> list[Figure]:
    """Seconds to open a dataset of a million frames in five thousand episodes, one file each, as a recorder leaves it."""
    episodes, length = 5000, LARGE // 5000
    columns = {name: np.zeros((length, 7), np.float32) for name in ("observation.state", "action")}
    with Recorder(root, 30, [Feature(name, (7,)) for name in columns], "arm") as recorder:
        for _ in range(episodes):
            recorder.add_episode(columns, "bench")
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        dataset = Dataset.open(root)
        times.append(time.perf_counter() - begun)
    assert dataset.num_frames == LARGE
    shutil.rmtree(cache_folders(root)[0])
    begun = time.perf_counter()
    Dataset.open(root)
    return [
        Figure("opening 1,000,000 frames in 5,000 files", float(np.median(times)), "s", len(times)),
        Figure("the same after its index was deleted", time.perf_counter() - begun, "s", 1),
    ]
