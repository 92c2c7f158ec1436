"""Datasets that minari makes under MINARI_DATASETS_PATH: python minari_write.py cartpole-v0 | rooms-v0.

cartpole-v0   two episodes of Gymnasium's CartPole with random actions: a Box, discrete actions
rooms-v0      noise in a Dict space with a vector, a nested matrix and a camera; continuous actions, one episode cut off

From whole buffers: minari's DataCollector fills the same ones, and needs jax for it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import gymnasium
import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer


def cartpole() -> minari.MinariDataset:
    env = gymnasium.make("CartPole-v1")
    env.action_space.seed(0)
    buffers = []
    for seed in range(2):
        told: dict[str, list[Any]] = {name: [] for name in ("observations", "actions", "rewards", "terminations", "truncations")}
        told["observations"].append(env.reset(seed=seed)[0])
        over = False
        while not over:
            action = env.action_space.sample()
            observation, reward, terminated, truncated, _ = env.step(action)
            for name, value in zip(told, (observation, action, reward, terminated, truncated), strict=True):
                told[name].append(value)
            over = terminated or truncated
        buffers.append(EpisodeBuffer(id=seed, seed=seed, **told))
    return minari.create_dataset_from_buffers("cartpole-v0", buffers, env=env, description="random actions")


def rooms() -> minari.MinariDataset:
    eye, pose = spaces.Box(0, 255, (48, 64, 3), np.uint8), spaces.Box(-np.inf, np.inf, (3,), np.float64)
    observed = spaces.Dict({"pose": pose, "map": spaces.Dict({"walls": spaces.Box(-1, 1, (2, 4), np.float32)}), "eye": eye})
    rng, buffers = np.random.default_rng(0), []
    for i, length in enumerate((5, 8)):
        last = np.arange(length) == length - 1
        buffers.append(
            EpisodeBuffer(
                id=i,
                observations={
                    "pose": rng.normal(size=(length + 1, 3)),
                    "map": {"walls": rng.uniform(-1, 1, (length + 1, 2, 4)).astype(np.float32)},
                    "eye": rng.integers(0, 256, (length + 1, 48, 64, 3), np.uint8),
                },
                actions=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
                rewards=rng.random(length).tolist(),
                terminations=(last & (i == 0)).tolist(),
                truncations=(last & (i == 1)).tolist(),
            )
        )
    acted = spaces.Box(-1, 1, (2,), np.float32)
    return minari.create_dataset_from_buffers("rooms-v0", buffers, observation_space=observed, action_space=acted)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["cartpole-v0", "rooms-v0"])
    dataset = cartpole() if parser.parse_args().name == "cartpole-v0" else rooms()
    print(json.dumps({"episodes": dataset.total_episodes, "steps": dataset.total_steps}))


if __name__ == "__main__":
    main()
