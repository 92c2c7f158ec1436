"""Measure a policy in simulation: success on held-out seeds, with its 95 % interval.

Episodes run side by side; every seed's result is independent of the others. Rows are kept as they finish: an
interrupted evaluation goes on where it stopped. Give the folder of an artefact as `checkpoint` to evaluate exactly what
the robot will run.

Instead of a checkpoint, policy=random plays uniform actions and policy=expert the environment's scripted demonstrators.

examples:
  waldo evaluate checkpoint=outputs/flow/checkpoint episodes=100 out=outputs/eval_flow
  waldo evaluate checkpoint=outputs/flow/checkpoint env.engine=pybullet          the same policy in the other physics engine
  waldo evaluate policy=expert env=stack env.engine=pybullet episodes=300
  waldo evaluate policy=random env=pusht episodes=10
  waldo evaluate checkpoint=outputs/flow/checkpoint critic=outputs/critic/checkpoint steer=best_of_n
  waldo evaluate checkpoint=outputs/flow/checkpoint env.task.cube_half=0.025
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from data.config import build, locate
from data.errors import ConfigError
from data.results import Figure
from data.statistics import mean_interval
from sim.evaluate import evaluate, success_figure
from sim.players import Experts, RandomPolicy
from waldo.policy import build_env, identity, load_sampler, open_env, place


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    if cfg.policy.get("_target_"):
        if not issubclass(locate(cfg.policy._target_), RandomPolicy | Experts):
            raise ConfigError(
                f"{cfg.policy._target_} has to be trained first: waldo train, then checkpoint=FOLDER; untrained: policy=random or expert"
            )
        env = build_env(cfg.env)
        player = build(cfg.policy, env)
        named = hashlib.sha256(f"{cfg.policy} {place(cfg.env)}".encode()).hexdigest()
    else:
        player = load_sampler(cfg.checkpoint, cfg.critic, cfg.steer, cfg.untrained, cfg.trust)
        env = open_env(cfg.env, player.spec)
        named = identity(player, cfg.env)
    rows = evaluate(env, player, cfg.seed + np.arange(cfg.episodes), out, named, label=f"evaluate {out.name}", videos=cfg.videos)
    env.close()
    score = mean_interval([row["max_reward"] for row in rows])
    length = mean_interval([row["length"] for row in rows])
    return [
        success_figure("success", rows),
        Figure("mean_max_reward", score[0], "", len(rows), score[1], score[2]),
        Figure("mean_length", length[0], "steps", len(rows), length[1], length[2]),
    ]
