"""Record demonstrations from a scripted expert into a LeRobotDataset v3.0.

Episodes run side by side in simulation; proprioception, object poses (the simulator's ground truth) and two cameras
are recorded at the control rate. Some demonstrators are sloppy or fail: `next.success` says which episodes succeeded.
A collection that was interrupted goes on where it stopped; every finished episode is safe at any instant.

examples:
  waldo collect episodes=200 dataset=datasets/pick_place
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
from waldo import provenance


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.episodes < 1:
        raise ConfigError(f"episodes={cfg.episodes}: at least one demonstration is needed")
    if not 0 <= cfg.sloppy <= 1:
        raise ConfigError(f"sloppy={cfg.sloppy} is a share; allowed: 0 to 1")
    if not cfg.env.get("_target_"):
        raise ConfigError("this needs an environment: env=pick_place")
    env = build(cfg.env)
    if not getattr(env.config, "expert", ""):
        raise ConfigError("this environment has no scripted expert (env.expert)")
    seeds = cfg.seed + np.arange(cfg.episodes)
    origin = {"seed": int(cfg.seed), "sloppy": float(cfg.sloppy), "versions": provenance.collect().get("versions")}
    counts = collect(env, env.config.expert, Path(cfg.dataset), seeds, cfg.sloppy, origin, cfg.overwrite, cfg.images)
    env.close()
    if counts["no_images"]:
        print(f"recorded without images: {counts['no_images']}")
    return [Figure(f"collect/{name}", float(counts[name])) for name in ("episodes", "success", "frames")]
