"""Train a policy on demonstrations.

Shows loss and time left, writes checkpoints, goes on where it stopped when it is started again with the same `out`,
and, if an environment is given, evaluates the result on held-out seeds.

examples:
  waldo train policy=flow data=pick_place env=pick_place seed=1
  waldo train policy=flow,bc seed=0,1,2 -m                             a sweep
  waldo train data=pusht_human policy=flow env=pusht                   206 human demonstrations, from state
  waldo train data=pusht_human_image policy=flow env=pusht_image       the same from images
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from data.config import build, locate, typed
from data.errors import ConfigError
from data.results import Figure
from data.statistics import mean_interval
from policies.inputs import DataConfig, Inputs
from policies.train import TrainConfig, train
from waldo import provenance
from waldo.policy import identity, open_env


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if not (cfg.policy.get("_target_") and hasattr(locate(cfg.policy._target_), "loss")):
        raise ConfigError(f"policy={cfg.policy.get('_target_') or 'none'} cannot be trained; `waldo train --help` lists those that can")
    inputs = Inputs(typed(DataConfig, cfg.data, "data"), cfg.n_obs_steps, cfg.horizon, cfg.n_action_steps)
    env = open_env(cfg.env, inputs.spec) if cfg.env.get("_target_") else None  # before an hour of training, not after
    torch.manual_seed(cfg.seed)
    policy = build(cfg.policy, inputs.spec, inputs.normalizer)
    windows = inputs.windows(build(cfg.weight) if cfg.weight.get("_target_") else None)
    origin = {**provenance.collect(seed=cfg.seed), "dataset": inputs.content_hash, "episodes": len(inputs.episodes)}
    settings = typed(TrainConfig, cfg.train, "train")
    train(policy, windows, settings, out, cfg.seed, origin, label=f"train {cfg.out}")
    figures = [Figure("parameters", float(sum(p.numel() for p in policy.parameters()))), Figure("windows", float(len(windows)))]
    if env is None:
        print(f"next: waldo evaluate checkpoint={out}/checkpoint")
        return figures
    from sim.evaluate import describe, evaluate, success_figure

    seeds = cfg.evaluate.seed + np.arange(cfg.evaluate.episodes)
    manifest = describe(env, policy, out.name, identity(policy, cfg.env), str(provenance.git_state()["commit"] or ""))
    rows = evaluate(env, policy, seeds, out / "evaluation", videos=cfg.evaluate.videos, manifest=manifest)
    env.close()
    score = mean_interval([row["max_reward"] for row in rows])
    return [success_figure("success", rows), Figure("mean_max_reward", score[0], "", len(rows), score[1], score[2]), *figures]
