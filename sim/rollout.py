"""Closed-loop episodes, many at once: batched inference, chunked execution, one row per episode.

An episode's result is a function of its seed: its noise comes from its own counter-based stream, and inference runs on
tiles of a fixed number of rows, so that neither its neighbours nor rounding can change it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.errors import WaldoError
from data.noise import fold
from data.spec import PolicySpec, require_match
from policies.base import Sampler
from sim.base import Obs, VecEnv

TILE = 32  # rows per network call
FILM_EVERY = 2  # control steps per frame of a film


@dataclass(frozen=True)
class EpisodeResult:
    seed: int
    success: bool
    total_reward: float
    max_reward: float
    length: int  # control steps
    wall_s: float  # of its group, shared by the episodes that ran beside it
    error: str = ""  # how the environment broke in the middle; such an episode has failed
    frames: tuple[np.ndarray, ...] = field(default=(), repr=False)  # (H, W, 3) uint8, if it was filmed

    def row(self) -> dict[str, Any]:
        row = {k: getattr(self, k) for k in ("seed", "success", "total_reward", "max_reward", "length", "wall_s")}
        return row | ({"error": self.error} if self.error else {})


def sample_in_tiles(sampler: Sampler, obs: Obs, seeds: np.ndarray, tile: int = TILE) -> np.ndarray:
    """One chunk per row, (B, horizon, A), from calls of exactly `tile` rows; the last one is filled up with its first row."""
    chunks = []
    for start in range(0, len(seeds), tile):
        rows = np.arange(start, min(start + tile, len(seeds)))
        padded = np.concatenate([rows, np.full(tile - len(rows), start)])
        part = {name: values[padded] for name, values in obs.items()}
        chunks.append(sampler.sample(part, 1, seeds[padded])[: len(rows), 0])
    return np.concatenate(chunks)


def rollout(
    env: VecEnv,
    sampler: Sampler,
    seeds: Sequence[int] | np.ndarray,
    film: Iterable[int] = (),
    camera: str = "",
    film_size: tuple[int, int] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Iterator[EpisodeResult]:
    """Run one episode per seed and yield each as its group ends.

    film     seeds to record frames of, one every FILM_EVERY steps
    on_step  called with the number of episodes still running after every control step
    """
    spec = sampler.spec
    require_match(spec, env.spec, f"environment {env.spec.task}")
    seeds = np.asarray(seeds, np.int64)
    filmed = set(film)
    for start in range(0, len(seeds), env.num_envs):
        yield from _group(env, sampler, spec, seeds[start : start + env.num_envs], filmed, camera, film_size, on_step)


def _group(
    env: VecEnv,
    sampler: Sampler,
    spec: PolicySpec,
    seeds: np.ndarray,
    filmed: set[int],
    camera: str,
    film_size: tuple[int, int] | None,
    on_step: Callable[[int], None] | None,
) -> list[EpisodeResult]:
    began = time.perf_counter()
    n, count = env.num_envs, len(seeds)
    names = [f.name for f in spec.observations]
    env.drawing = True
    obs = env.reset(seeds)
    history = {name: np.repeat(obs[name][:, None], spec.n_obs_steps, 1) for name in names}  # (B, n_obs_steps, ...)
    active = np.arange(n) < count
    success, ended = np.zeros(n, bool), np.zeros(n, bool)
    total, best, length = np.zeros(n), np.full(n, -np.inf), np.zeros(n, int)
    errors: dict[int, str] = {}
    frames: dict[int, list[np.ndarray]] = {i: [] for i, seed in enumerate(seeds) if int(seed) in filmed}
    chunk = np.zeros((n, spec.horizon, spec.action.dim), np.float32)
    seen = {-k % spec.n_action_steps for k in range(spec.n_obs_steps)}
    for step in range(env.max_steps):
        within = step % spec.n_action_steps
        if within == 0:
            rows = np.flatnonzero(active)
            streams = fold(seeds[rows].astype(np.uint64), step // spec.n_action_steps)
            chunk[rows] = sample_in_tiles(sampler, {k: v[rows] for k, v in history.items()}, streams)
            if not np.isfinite(chunk[rows]).all():
                raise WaldoError(f"the policy returned a value that is not finite at step {step}")
        film_rows = np.array([i for i in frames if active[i] and step % FILM_EVERY == 0], int)
        if len(film_rows):
            for i, image in zip(film_rows, env.render(camera, film_rows, film_size), strict=True):
                frames[int(i)].append(image)
        # Pictures are drawn for the observations that the policy will be shown, and for no others.
        env.drawing = (step + 1) % spec.n_action_steps in seen
        obs, reward, terminated, truncated, info = env.step(chunk[:, within], active)
        broken = info.get("error", {})
        errors |= {i: text for i, text in broken.items() if active[i]}
        sound = active & ~np.isin(np.arange(n), list(broken))
        total[sound] += reward[sound]
        best[sound] = np.maximum(best[sound], reward[sound])
        length[active] += 1
        success[sound] |= info["success"][sound]
        ended |= active & (terminated | truncated)
        active &= ~ended
        for name in names:
            history[name] = np.concatenate([history[name][:, 1:], obs[name][:, None]], 1)
        if on_step is not None:
            on_step(int(active.sum()))
        if not active.any():
            break
    wall = time.perf_counter() - began
    best = np.where(np.isfinite(best), best, 0.0)  # broken in the first step
    return [
        EpisodeResult(
            int(seeds[i]),
            bool(success[i]) and i not in errors,
            float(total[i]),
            float(best[i]),
            int(length[i]),
            wall,
            errors.get(i, ""),
            tuple(frames.get(i, ())),
        )
        for i in range(count)
    ]
