"""Run scripted demonstrators, many side by side: what they saw and did, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.config import locate
from data.errors import ConfigError
from sim.env import ArmVecEnv


@dataclass(frozen=True)
class Demonstration:
    """One episode of T control steps."""

    seed: int
    style: str
    columns: dict[str, np.ndarray]  # observations, action, next.*: (T, ...)
    states: np.ndarray  # (T, S) to draw the images from
    error: str = ""  # how the simulation broke, if it did

    @property
    def success(self) -> bool:
        return bool(self.columns["next.success"].any())


def demonstrate(env: ArmVecEnv, expert: str, seeds: Sequence[int] | np.ndarray, styles: Sequence[str]) -> Iterator[Demonstration]:
    """One demonstration per seed, in their order. expert: dotted path of a sim.experts.Demonstrator; styles: one per seed.

    Raises ConfigError for an expert that does nothing.
    """
    for start in range(0, len(seeds), env.num_envs):
        part = slice(start, start + env.num_envs)
        yield from _group(env, expert, np.asarray(seeds[part]), styles[part])


def _group(env: ArmVecEnv, expert: str, seeds: np.ndarray, styles: Sequence[str]) -> list[Demonstration]:
    make = locate(expert)
    obs = env.reset(seeds)
    arms = len(env.arms)
    people = [
        make(np.random.default_rng([int(seed), 1]), style, env.task, env.robot, env.spec.rate_hz, arms)
        for seed, style in zip(seeds, styles, strict=True)
    ]
    scripts = [person.script() for person in people]
    rows: list[list[dict[str, np.ndarray]]] = [[] for _ in seeds]
    states: list[list[np.ndarray]] = [[] for _ in seeds]
    errors: dict[int, str] = {}
    action = np.zeros((env.num_envs, env.spec.action.dim), np.float32)
    active = np.arange(env.num_envs) < len(seeds)
    while active.any():
        for i in np.flatnonzero(active):
            people[i].obs = {name: values[i] for name, values in obs.items()}
            pose = next(scripts[i], None)
            if pose is None:  # done, or given up
                active[i] = False
                if not rows[i]:
                    raise ConfigError(f"the expert {expert} did nothing")
                rows[i][-1]["next.terminated"] = np.True_
                continue
            action[i] = pose if env.config.action == "ee_pose" else env.as_joints(pose, int(i))
        running = np.flatnonzero(active)
        if not len(running):
            break
        drawn = env.physics.state()
        before = obs
        obs, reward, terminated, truncated, info = env.step(action, active)
        errors |= info.get("error", {})
        for i in running:
            vectors = {name: values[i].copy() for name, values in before.items() if not name.startswith("observation.images.")}
            signals = {
                "next.reward": reward[i],
                "next.success": info["success"][i],
                "next.terminated": terminated[i],
                "next.truncated": truncated[i],
            }
            rows[i].append({**vectors, "action": action[i].copy(), **signals})
            states[i].append(drawn[i])
        active &= ~(terminated | truncated)
    return [
        Demonstration(int(seed), styles[i], {name: _column([row[name] for row in rows[i]]) for name in rows[i][0]}, np.array(states[i]), errors.get(i, ""))
        for i, seed in enumerate(seeds)
    ]


def mixture(count: int, shares: dict[str, float]) -> list[str]:
    """`count` styles in the given shares, spread evenly. The first named takes what the others leave.

    Raises ConfigError for shares that are none.
    """
    if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
        raise ConfigError(f"styles={shares}: shares of the styles of demonstrating, none negative, not all 0")
    whole = sum(shares.values())
    (first, _), *rest = shares.items()
    others = {name: share / whole for name, share in rest}
    together, chosen = sum(others.values()), []
    for i in range(count):
        if int((i + 1) * together) > int(i * together):
            chosen.append(max(others, key=lambda name: others[name] * (i + 1) - chosen.count(name)))
        else:
            chosen.append(first)
    return chosen


def _column(values: list[np.ndarray]) -> np.ndarray:
    column = np.array(values)
    if column.dtype == bool:
        return column.reshape(len(values), 1)
    return column.astype(np.float32).reshape(len(values), -1)
