"""Learn a critic by offline RL from the same data, successes and failures alike, to steer a policy with.

The critic sees what the policy sees, in the policy's own normalisation, and values the chunks it executes.

example:
  waldo refine checkpoint=outputs/flow/checkpoint data=pick_place out=outputs/critic
"""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from data.config import build, typed
from data.results import Figure
from data.spec import require_match
from policies.inputs import DataConfig, Inputs
from policies.train import TrainConfig, train
from waldo import provenance
from waldo.policy import load_policy


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    policy = load_policy(Path(cfg.checkpoint))
    spec = policy.spec
    inputs = Inputs(typed(DataConfig, cfg.data, "data"), spec.n_obs_steps, spec.horizon, spec.n_action_steps)
    require_match(spec, inputs.spec, f"dataset {inputs.dataset.root}")
    inputs.renormalize(policy.normalizer)
    torch.manual_seed(cfg.seed)
    critic = build(cfg.offline, spec, policy.normalizer)
    transitions = inputs.transitions(critic.config.gamma, build(cfg.weight) if cfg.weight.get("_target_") else None)
    origin = {**provenance.collect(seed=cfg.seed), "dataset": inputs.content_hash}
    train(critic, transitions, typed(TrainConfig, cfg.train, "train"), out, cfg.seed, origin, label=f"train {cfg.out}")
    print(f"next: waldo evaluate checkpoint={cfg.checkpoint} critic={out}/checkpoint steer=best_of_n")
    return [Figure("transitions", float(len(transitions)))]
