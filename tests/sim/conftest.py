"""Small arms, and whether this machine can render."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from data.errors import RenderError
from sim.env import ArmConfig, ArmVecEnv

TASK = {"_target_": "sim.tasks.pick_place.PickPlace"}


def make_arm(num_envs: int = 1, **options: Any) -> ArmVecEnv:
    return ArmVecEnv(ArmConfig(**{"task": TASK, "threads": 1, "num_envs": num_envs, **options}))


@pytest.fixture
def arm() -> Iterator[Callable[..., ArmVecEnv]]:
    """Makes environments and closes them."""
    made: list[ArmVecEnv] = []

    def make(num_envs: int = 1, **options: Any) -> ArmVecEnv:
        made.append(make_arm(num_envs, **options))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture(scope="session")
def gl() -> None:
    """Skips, and says why, where there is no OpenGL library."""
    env = make_arm()
    try:
        env.render("front", np.array([0]), (16, 16))
        if env.physics.drawn_by == "software":
            pytest.skip("no OpenGL: pictures come from PyBullet's software renderer")
    except RenderError as error:
        pytest.skip(str(error))
    finally:
        env.close()


def wander(seeds: np.ndarray, steps: int, start: np.ndarray) -> np.ndarray:
    """(B, steps, A): poses that drift away from `start` (B, A), each a function of its seed; the gripper closes and opens."""
    actions = np.repeat(start[:, None].astype(np.float64), steps, 1)
    for i, seed in enumerate(seeds):
        rng = np.random.default_rng([int(seed), 7])
        actions[i, :, :3] += np.cumsum(rng.normal(0, 0.01, (steps, 3)), 0)
        actions[i, :, -1] = 0.04 + 0.04 * np.sin(np.arange(steps) / 5 + seed)
    return actions.astype(np.float32)


def episodes(
    make: Callable[..., ArmVecEnv], seeds: np.ndarray, num_envs: int, steps: int, render: bool = False, **options: Any
) -> dict[int, np.ndarray]:
    """seed -> everything that was seen, (steps + 1, D), running them `num_envs` at a time."""
    env, out = make(num_envs, **options), {}
    for first in range(0, len(seeds), num_envs):
        group = seeds[first : first + num_envs]
        obs = env.reset(group)
        plan = wander(group, steps, obs["observation.state"][: len(group)])
        plan = np.concatenate([plan, np.repeat(plan[:1], num_envs - len(group), 0)])
        seen = [obs]
        for t in range(steps):
            if render:
                env.render("front", np.array([0]), (16, 16))
            seen.append(env.step(plan[:, t])[0])
        for i, seed in enumerate(group):
            out[int(seed)] = np.concatenate([np.stack([frame[name][i] for frame in seen]) for name in obs], 1)
    return out
