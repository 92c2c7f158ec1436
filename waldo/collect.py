"""Record demonstrations from a scripted expert into a LeRobotDataset v3.0.

Episodes run side by side in simulation; proprioception, object poses (the simulator's ground truth) and the cameras
are recorded at the control rate. Some demonstrators are sloppy, slow, trembling or make mistakes: `styles` says how many,
`next.success` which episodes succeeded. Environments of others are recorded too, where they bring an expert.
A collection that was interrupted goes on where it stopped; every finished episode is safe at any instant.

examples:
  waldo collect episodes=200 dataset=datasets/pick_place
  waldo collect env=stack env.engine=pybullet env.task.level=hard dataset=datasets/stack
  waldo collect styles.noisy=0.2 styles.wrong=0.2 dataset=datasets/mixed          mixed quality, for offline RL
  waldo collect env.action=joint dataset=datasets/pick_place_joint     joint positions instead of tool poses
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from data.config import build
from data.errors import ConfigError
from data.results import Figure
from sim.collect import collect
from sim.env import ArmVecEnv
from waldo import provenance


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.episodes < 1:
        raise ConfigError(f"episodes={cfg.episodes}: at least one demonstration is needed")
    if not cfg.env.get("_target_"):
        raise ConfigError("this needs an environment: env=pick_place")
    env = build(cfg.env)
    seeds = cfg.seed + np.arange(cfg.episodes)
    styles = {str(name): float(share) for name, share in cfg.styles.items() if share}
    if not isinstance(env, ArmVecEnv):
        styles = {"clean": 1.0}  # who comes with an environment of others has one way
    origin = {"seed": int(cfg.seed), "versions": provenance.collect().get("versions")}
    root = Path(cfg.dataset or Path("datasets") / env.spec.task)
    counts = collect(env, root, seeds, styles, origin, cfg.overwrite, cfg.images)
    env.close()
    if counts["no_images"]:
        print(f"recorded without images: {counts['no_images']}")
    print(f"dataset: {root}\nnext: waldo train data.path={root} policy=flow env=...")
    return [Figure(f"collect/{name}", float(counts[name])) for name in ("episodes", "success", "frames")]
