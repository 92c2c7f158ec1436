"""Evaluations written by hand: rows, traces and films of a make-believe arm that fails in ways that are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.evaluation import LATENCY, ROWS, TRACES, VIDEOS, Evaluation, Manifest, read
from data.lerobot.video import write_mp4

STEPS = ("at the cube", "cube lifted", "cube in the bin")
RATE, LIMIT = 20.0, 100
FEATURES = {"observation.state": ("x", "y"), "observation.environment_state": ("cube_x", "cube_y", "cube_z", "bin_x")}


def manifest(n: int, **other: Any) -> Manifest:
    given: dict[str, Any] = {
        "policy": "outputs/flow/checkpoint",
        "identity": "f00d",
        "task": "pick_place",
        "robot": "panda",
        "environment": {"engine": "mujoco"},
        "seeds": tuple(range(100, 100 + n)),
        "rate_hz": RATE,
        "max_steps": LIMIT,
        "n_action_steps": 8,
        "milestones": STEPS,
        "features": FEATURES,
        "instruction": "Put the cube into the bin.",
    }
    return Manifest(**{**given, **other})


def row(seed: int, reached: int, length: int = LIMIT, **other: Any) -> dict[str, Any]:
    """An episode that reaches the first `reached` of STEPS, ten control steps apart from step 10 on; all of them: it succeeds."""
    success = reached == len(STEPS)
    base = {"seed": seed, "success": success, "total_reward": float(success), "max_reward": float(success), "wall_s": 1.0}
    steps = {name: 10 * (i + 1) for i, name in enumerate(STEPS[:reached])}
    return base | {"length": 40 if success else length} | ({"milestones": steps} if steps else {}) | other


def trace(length: int, first: Sequence[float], last: Sequence[float], unnamed: bool = False) -> dict[str, np.ndarray]:
    """A straight way from the first to the last of FEATURES' six numbers."""
    way = np.linspace(first, last, length).astype(np.float32)
    seen = {"observation.state": way} if unnamed else {"observation.state": way[:, :2], "observation.environment_state": way[:, 2:]}
    no = np.zeros(length, bool)
    return {**seen, "action": way[:, :2], "reward": np.zeros(length, np.float32), "limited": no, "decided": no}


def film(path: Path, length: int, shade: int) -> None:
    """Every second control step; the brightness of a frame tells its number."""
    frames = np.zeros((length // 2, 48, 64, 3), np.uint8)
    frames[:, :, :, 1] = shade
    frames[:, :, :, 0] = (4 * np.arange(len(frames)))[:, None, None]
    write_mp4(path, frames, RATE / 2)


def write(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    traces: dict[int, dict[str, np.ndarray]] | None = None,
    films: Sequence[int] = (),
    latency: Sequence[float] = (),
    **other: Any,
) -> Evaluation:
    folder.mkdir(parents=True, exist_ok=True)
    manifest(len(rows), **other).write(folder)
    (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_seed = {row["seed"]: row for row in rows}
    for place in (TRACES, VIDEOS):
        (folder / place).mkdir(exist_ok=True)
    for seed, arrays in (traces or {}).items():
        np.savez(folder / TRACES / f"seed_{seed}.npz", **arrays)  # type: ignore[arg-type]
    for seed in films:
        outcome = "success" if by_seed[seed]["success"] else "failure"
        film(folder / VIDEOS / f"seed_{seed}_{outcome}.mp4", by_seed[seed]["length"], 40 + seed % 100)
    if latency:
        (folder / LATENCY).write_text(json.dumps(list(latency)))
    return read(folder, complete=False)


def left_is_hard(folder: Path, n: int = 60, films: int = 8) -> Evaluation:
    """Episodes whose cube starts on the left (cube_y < 0) fail: every other one lets it fall far away, the rest never lift it but stay near."""
    rng = np.random.default_rng(0)
    rows, traces = [], {}
    for seed in range(100, 100 + n):
        cube = rng.uniform([0.4, -0.3], [0.6, 0.3])
        reached = 3 if cube[1] > 0 else 1
        far = seed % 2 == 0
        rows.append(row(seed, reached, limited=seed % 7))
        start = [0.3, 0.0, *cube, 0.02, 0.5]
        end = [0.3 + 0.3 * far, 0.1, cube[0] + 1.0 * far, cube[1] + 1.0 * far, -0.5 * far, 0.5] + rng.normal(0, 0.01, 6)
        traces[seed] = trace(rows[-1]["length"], start, end)
    return write(folder, rows, traces, range(100, 100 + films), latency=[5.0, 6.0, 7.0])
