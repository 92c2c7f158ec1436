"""Pictures of many episodes in one: how a randomised scene varies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sim.env import ArmVecEnv


def first_pictures(env: ArmVecEnv, seeds: np.ndarray, camera: str, size: tuple[int, int] = (192, 256)) -> np.ndarray:
    """(N, height, width, 3) uint8: each episode at its start."""
    frames = []
    for start in range(0, len(seeds), env.num_envs):
        group = np.asarray(seeds[start : start + env.num_envs])
        env.reset(group)
        frames.append(env.render(camera, np.arange(len(group)), size))
    return np.concatenate(frames)


def tiled(pictures: np.ndarray, columns: int, gap: int = 4) -> np.ndarray:
    """(N, height, width, 3) -> one picture, row by row, on white."""
    count, height, width, _ = pictures.shape
    lines = -(-count // columns)
    sheet = np.full((lines * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
