"""Closed-loop episodes, many at once: batched inference, chunked execution, one row per episode.

An episode's result is a function of its seed: its noise comes from its own counter-based stream, and inference runs on
tiles of a fixed number of rows, so that neither its neighbours nor rounding can change it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    """What came of one episode; data.evaluation says what the columns of its row are, and those of its trace."""

    seed: int
    success: bool
    total_reward: float
    max_reward: float
    length: int  # control steps
    wall_s: float  # of its group, shared by the episodes that ran beside it
    error: str = ""  # how the environment broke in the middle; such an episode has failed
    milestones: Mapping[str, int] = field(default_factory=dict)  # name -> control step at which it was first reached, from 1
    limited: int = 0  # control steps in which the environment did not do all that was asked
    frames: tuple[np.ndarray, ...] = field(default=(), repr=False)  # (H, W, 3) uint8, if it was filmed
    trace: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)  # one row per control step

    def row(self) -> dict[str, Any]:
        row = {k: getattr(self, k) for k in ("seed", "success", "total_reward", "max_reward", "length", "wall_s")}
        row |= {k: value for k in ("milestones", "limited", "error") if (value := getattr(self, k))}
        return row


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


class Record:
    """What happens in a group of episodes, written down step by step; B rows, the first len(seeds) of them count."""

    def __init__(self, env: VecEnv, seeds: np.ndarray) -> None:
        n = env.num_envs
        self._began, self._seeds = time.perf_counter(), seeds
        self._names = [f.name for f in env.spec.observations if not f.is_image]
        self._milestones: tuple[str, ...] = tuple(getattr(env, "milestones", ()))
        self._first = np.zeros((n, len(self._milestones)), int)  # 0: not yet
        self._success, self._limited = np.zeros(n, bool), np.zeros(n, int)
        self._total, self._best, self.length = np.zeros(n), np.full(n, -np.inf), np.zeros(n, int)
        self._errors: dict[int, str] = {}
        self._steps: dict[str, list[np.ndarray]] = {name: [] for name in (*self._names, "action", "reward", "limited", "decided")}

    def add(self, before: Obs, action: np.ndarray, decided: bool, active: np.ndarray, reward: np.ndarray, info: Mapping[str, Any]) -> None:
        """One control step of the rows in `active` (B,) bool: what was seen before it, what was done, what came of it."""
        broken = info.get("error", {})
        self._errors |= {i: text for i, text in broken.items() if active[i]}
        sound = active & ~np.isin(np.arange(len(active)), list(broken)) if broken else active
        self._total[sound] += reward[sound]
        self._best[sound] = np.maximum(self._best[sound], reward[sound])
        self.length[active] += 1
        self._success[sound] |= info["success"][sound]
        limited = np.asarray(info.get("limited", np.zeros(len(active), bool)))
        self._limited[sound] += limited[sound]
        if self._milestones:
            new = info["milestones"] & (self._first == 0) & sound[:, None]
            self._first[new] = np.broadcast_to(self.length[:, None], new.shape)[new]
        seen = {name: before[name] for name in self._names}
        for name, values in (*seen.items(), ("action", action), ("reward", reward.astype(np.float32)), ("limited", limited)):
            self._steps[name].append(values)
        self._steps["decided"].append(np.full(len(active), decided))

    def results(self, frames: Mapping[int, Sequence[np.ndarray]]) -> list[EpisodeResult]:
        wall = time.perf_counter() - self._began
        columns = {name: np.stack(values) for name, values in self._steps.items()}  # (T, B, ...)
        return [
            EpisodeResult(
                seed=int(seed),
                success=bool(self._success[i]) and i not in self._errors,
                total_reward=float(self._total[i]),
                max_reward=float(self._best[i]) if np.isfinite(self._best[i]) else 0.0,  # broken in the first step
                length=int(self.length[i]),
                wall_s=wall,
                error=self._errors.get(i, ""),
                milestones={name: int(at) for name, at in zip(self._milestones, self._first[i], strict=True) if at},
                limited=int(self._limited[i]),
                frames=tuple(frames.get(i, ())),
                trace={name: values[: self.length[i], i].copy() for name, values in columns.items()},
            )
            for i, seed in enumerate(self._seeds)
        ]


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
    n = env.num_envs
    names = [f.name for f in spec.observations]
    record = Record(env, seeds)
    env.drawing = True
    obs = env.reset(seeds)
    history = {name: np.repeat(obs[name][:, None], spec.n_obs_steps, 1) for name in names}  # (B, n_obs_steps, ...)
    active = np.arange(n) < len(seeds)
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
        before, action = obs, chunk[:, within].copy()
        obs, reward, terminated, truncated, info = env.step(action, active)
        record.add(before, action, within == 0, active, reward, info)
        active = active & ~(terminated | truncated)
        for name in names:
            history[name] = np.concatenate([history[name][:, 1:], obs[name][:, None]], 1)
        if on_step is not None:
            on_step(int(active.sum()))
        if not active.any():
            break
    return record.results(frames)
