"""One telling picture of a task or a robot: a scripted episode, stopped in the middle of the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.config import build
from sim.demonstrate import demonstrate
from sim.env import ArmVecEnv

TRIES = 6  # episodes, until one succeeds


def portrait(
    node: Mapping[str, Any], engine: str, seed: int, moment: float, size: tuple[int, int], **options: Any
) -> tuple[np.ndarray, bool]:
    """(height, width, 3) uint8 of the task of an environment's YAML, and whether its expert succeeded in that episode.

    moment: share of the episode, 0 to 1. Raises RenderError.
    """
    env: ArmVecEnv = build(node, num_envs=1, threads=1, engine=engine, **options)
    try:
        for attempt in range(seed, seed + TRIES):
            (done,) = demonstrate(env, np.array([attempt]), ["clean"])
            if done.success:
                break
        state = done.states[round(moment * (len(done.states) - 1))]
        return env.physics.show(state, env.task.film_camera, size, beautiful=True), done.success
    finally:
        env.close()
