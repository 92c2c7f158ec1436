"""Run demonstrators, many side by side: what they saw and did, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from data.config import locate
from data.errors import ConfigError
from sim.base import Obs, VecEnv
from sim.env import ArmVecEnv

IMAGES = "observation.images."
BY_ENV = "hook"  # env.expert of an environment that brings its own demonstrator


class Crew(Protocol):
    """Who demonstrates in the rows of one environment."""

    def begin(self, seeds: np.ndarray, styles: Sequence[str], obs: Obs) -> None:
        """The episodes of `seeds` start with `obs`."""

    def act(self, obs: Obs, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions (R, A) of the given rows, and which of them have nothing more to do (R,) bool."""


@dataclass(frozen=True)
class Demonstration:
    """One episode of T control steps."""

    seed: int
    style: str
    columns: dict[str, np.ndarray]  # observations without pictures, action, next.*: (T, ...)
    states: np.ndarray  # (T, S) from which an ArmVecEnv draws its pictures
    images: dict[str, np.ndarray] = field(default_factory=dict)  # (T, H, W, 3) that another environment gave at once
    error: str = ""  # how the simulation broke, if it did

    @property
    def success(self) -> bool:
        return bool(self.columns["next.success"].any())


def crew_of(env: VecEnv) -> Crew:
    """The demonstrators of an environment, from `env.expert` of its configuration. Raises ConfigError if it has none."""
    expert = str(getattr(getattr(env, "config", None), "expert", ""))
    if expert == BY_ENV and getattr(env, "has_expert", False):
        return _Hired(env)
    if expert and isinstance(env, ArmVecEnv):
        return _Scripted(env, expert)
    raise ConfigError(f"environment {env.spec.task} has no scripted expert (env.expert={expert!r})")


class _Scripted:
    """Scripts of sim.tasks, one per row."""

    def __init__(self, env: ArmVecEnv, expert: str) -> None:
        self._env, self._expert, self._make = env, expert, locate(expert)

    def begin(self, seeds: np.ndarray, styles: Sequence[str], obs: Obs) -> None:
        env = self._env
        self._people = [
            self._make(np.random.default_rng([int(seed), 1]), style, env.task, env.robot, env.spec.rate_hz, len(env.arms))
            for seed, style in zip(seeds, styles, strict=True)
        ]
        self._scripts = [person.script() for person in self._people]

    def act(self, obs: Obs, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        action, done = np.zeros((len(rows), self._env.spec.action.dim), np.float32), np.zeros(len(rows), bool)
        for k, i in enumerate(rows):
            self._people[i].obs = {name: values[i] for name, values in obs.items()}
            pose = next(self._scripts[i], None)
            if pose is None:  # done, or given up
                done[k] = True
            else:
                action[k] = pose if self._env.config.action == "ee_pose" else self._env.as_joints(pose, int(i))
        return action, done


class _Hired:
    """The demonstrator that an environment of others brings along; it knows one way of doing things."""

    def __init__(self, env: Any) -> None:
        self._env = env

    def begin(self, seeds: np.ndarray, styles: Sequence[str], obs: Obs) -> None:
        if odd := sorted(set(styles) - {"clean"}):
            raise ConfigError(f"the expert of {self._env.spec.task} knows only the style clean, found {', '.join(odd)}")

    def act(self, obs: Obs, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._env.expert_actions(rows), np.zeros(len(rows), bool)


def demonstrate(
    env: VecEnv,
    seeds: Sequence[int] | np.ndarray,
    styles: Sequence[str],
    watch: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> Iterator[Demonstration]:
    """One demonstration per seed, in their order; styles: one per seed, of sim.experts.STYLES.

    watch: called before every control step with the seeds that run and their rows, to look at the environment.
    Raises ConfigError for an environment without an expert, or an expert that does nothing.
    """
    crew = crew_of(env)
    for start in range(0, len(seeds), env.num_envs):
        part = slice(start, start + env.num_envs)
        yield from _group(env, crew, np.asarray(seeds[part]), styles[part], watch)


def _group(
    env: VecEnv, crew: Crew, seeds: np.ndarray, styles: Sequence[str], watch: Callable[[np.ndarray, np.ndarray], None] | None
) -> list[Demonstration]:
    obs = env.reset(seeds)
    crew.begin(seeds, styles, obs)
    rows: list[list[dict[str, Any]]] = [[] for _ in seeds]
    states: list[list[np.ndarray]] = [[] for _ in seeds]
    errors: dict[int, str] = {}
    action = np.zeros((env.num_envs, env.spec.action.dim), np.float32)
    active = np.arange(env.num_envs) < len(seeds)
    while active.any():
        running = np.flatnonzero(active)
        wanted, done = crew.act(obs, running)
        for i in running[done]:
            if not rows[i]:
                raise ConfigError(f"the expert of {env.spec.task} did nothing")
            rows[i][-1]["next.terminated"] = np.True_
        action[running[~done]] = wanted[~done]
        active[running[done]] = False
        running = running[~done]
        if not len(running):
            break
        if watch is not None:
            watch(seeds[running], running)
        drawn = env.physics.state() if isinstance(env, ArmVecEnv) else None
        before = obs
        obs, reward, terminated, truncated, info = env.step(action, active)
        errors |= info.get("error", {})
        for i in running:
            signals = {
                "next.reward": reward[i],
                "next.success": info["success"][i],
                "next.terminated": terminated[i],
                "next.truncated": truncated[i],
            }
            rows[i].append({**{name: values[i].copy() for name, values in before.items()}, "action": action[i].copy(), **signals})
            if drawn is not None:
                states[i].append(drawn[i])
        active &= ~(terminated | truncated)
    return [_finished(int(seed), styles[i], rows[i], np.array(states[i]), errors.get(i, "")) for i, seed in enumerate(seeds)]


def _finished(seed: int, style: str, rows: list[dict[str, Any]], states: np.ndarray, error: str) -> Demonstration:
    columns = {name: _column([row[name] for row in rows]) for name in rows[0] if not name.startswith(IMAGES)}
    images = {} if len(states) else {name: np.stack([row[name] for row in rows]) for name in rows[0] if name.startswith(IMAGES)}
    return Demonstration(seed, style, columns, states, images, error)


def mixture(count: int, shares: Mapping[str, float]) -> list[str]:
    """`count` styles in the given shares, spread evenly. The first named takes what the others leave.

    Raises ConfigError for shares that are none.
    """
    if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
        raise ConfigError(f"styles={dict(shares)}: shares of the styles of demonstrating, none negative, not all 0")
    whole = sum(shares.values())
    (first, _), *rest = shares.items()
    others = {name: share / whole for name, share in rest}
    together, given, chosen = sum(others.values()), dict.fromkeys(others, 0), []
    for i in range(count):
        name = first
        if int((i + 1) * together) > int(i * together):
            name = max(others, key=lambda other: others[other] * (i + 1) - given[other])
            given[name] += 1
        chosen.append(name)
    return chosen


def _column(values: list[np.ndarray]) -> np.ndarray:
    column = np.array(values)
    if column.dtype == bool:
        return column.reshape(len(values), 1)
    return column.astype(np.float32).reshape(len(values), -1)
