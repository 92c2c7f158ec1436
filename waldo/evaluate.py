"""Measure a policy in simulation: success on held-out seeds, with its 95 % interval.

Episodes run side by side; every seed's result is independent of the others. Rows are kept as they finish: an
interrupted evaluation goes on where it stopped. Give the folder of an artefact as `checkpoint` to evaluate exactly what
the robot will run.

examples:
  waldo evaluate checkpoint=outputs/flow/checkpoint episodes=100 out=outputs/eval_flow
  waldo evaluate checkpoint=outputs/flow/checkpoint critic=outputs/critic/checkpoint steer=best_of_n
  waldo evaluate checkpoint=outputs/flow/checkpoint env.task.cube_half=0.025
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from data.results import Figure
from data.statistics import mean_interval
from sim.evaluate import evaluate, success_figure
from waldo.policy import identity, load_sampler, open_env


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    sampler = load_sampler(cfg.checkpoint, cfg.critic, cfg.steer, cfg.untrained, cfg.trust)
    env = open_env(cfg.env, sampler.spec)
    rows = evaluate(
        env, sampler, cfg.seed + np.arange(cfg.episodes), out, identity(sampler, cfg.env), label=f"evaluate {out.name}", videos=cfg.videos
    )
    env.close()
    score = mean_interval([row["max_reward"] for row in rows])
    length = mean_interval([row["length"] for row in rows])
    return [
        success_figure("success", rows),
        Figure("mean_max_reward", score[0], "", len(rows), score[1], score[2]),
        Figure("mean_length", length[0], "steps", len(rows), length[1], length[2]),
    ]
