"""What the cameras show in the recording and in the environment, at the start of the same demonstrations and while they are done again."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from data.errors import RenderError
from waldo.diagnosis import Trial

SIDE = 16  # pixels: pictures are averaged down, so that neither noise nor the renderer matters
STEPS = 24  # that are done again and looked at
EVERY = 4
LOOKED = 8  # demonstrations


@dataclass(frozen=True)
class Views:
    """camera -> (E, T, SIDE, SIDE, 3) grey levels, of the recording and of the environment; moved (E, T): how far the arm has come, as a
    share of the range of what it does.
    """

    recorded: dict[str, np.ndarray]
    shown: dict[str, np.ndarray]
    moved: np.ndarray


@functools.lru_cache(maxsize=2)
def views(trial: Trial) -> Views | None:
    """None where the policy has no cameras, or nothing can be drawn or compared."""
    study, env = trial.study, trial.env
    cameras = list(study.cameras)
    if env is None or not cameras or not trial.partners or not {*cameras} <= {f.name for f in env.spec.observations}:
        return None
    chosen = trial.sample[:LOOKED][: env.num_envs]
    seeds = trial.seeds[: len(chosen)]
    lengths = study.dataset.lengths[chosen]
    count = int(min(STEPS, lengths.min(), env.max_steps))
    if hasattr(env, "config") and hasattr(env.config, "images"):
        env.config.images = True
    try:
        return _look(trial, cameras, chosen, seeds, count)
    except RenderError:
        return None


def _look(trial: Trial, cameras: list[str], chosen: np.ndarray, seeds: np.ndarray, count: int) -> Views:
    study, env = trial.study, trial.env
    assert env is not None
    env.drawing = True
    obs = env.reset(seeds)
    rows = np.arange(env.num_envs) < len(chosen)
    actions = np.stack([study.table(["action"], int(e))["action"][:count] for e in chosen])
    low, high = study.ranges["action"]
    moved = (np.abs(actions - actions[:, :1]) / np.maximum(high - low, 1e-6)).max(-1)
    shown: dict[str, list[np.ndarray]] = {name: [] for name in cameras}
    order = np.zeros((env.num_envs, actions.shape[2]), np.float32)
    for t in range(count):
        if t % EVERY == 0:
            for name in cameras:
                shown[name].append(small(obs[name][: len(chosen)]))
        order[: len(chosen)] = actions[:, t]
        env.drawing = (t + 1) % EVERY == 0
        obs = env.step(order, rows)[0]
    env.drawing = True
    times = np.arange(0, count, EVERY)
    recorded = {name: np.stack([small(np.asarray(study.columns[name][study.starts[e] + times])) for e in chosen]) for name in cameras}
    return Views(recorded, {name: np.stack(images, 1) for name, images in shown.items()}, moved[:, times])


def small(images: np.ndarray) -> np.ndarray:
    """(n, H, W, 3) uint8 -> (n, SIDE, SIDE, 3) float32."""
    import cv2

    return np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]).astype(np.float32)
