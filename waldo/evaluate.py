"""Measure a policy in simulation: success on held-out seeds, with its 95 % interval.

Episodes run side by side; every seed's result is independent of the others, of `workers`, and of the order. Rows are kept
as they finish: an interrupted evaluation goes on where it stopped. Give the folder of an artefact as `checkpoint` to
evaluate exactly what the robot will run. What is left behind is a folder that other commands read, with report.html in it.

Instead of a checkpoint, policy=random plays uniform actions and policy=expert the environment's scripted demonstrators.

examples:
  waldo evaluate checkpoint=outputs/flow/checkpoint episodes=100 out=outputs/eval_flow
  waldo evaluate checkpoint=outputs/flow/checkpoint episodes=1000 workers=2      in two processes
  waldo evaluate -m checkpoint=outputs/flow/checkpoint shard=0/4,1/4,2/4,3/4     in four jobs of any Hydra launcher
  waldo evaluate checkpoint=outputs/flow/checkpoint env.engine=pybullet          the same policy in the other physics engine
  waldo evaluate policy=expert env=stack env.engine=pybullet episodes=300
  waldo evaluate policy=random env=pusht episodes=10
  waldo evaluate checkpoint=outputs/flow/checkpoint critic=outputs/critic/checkpoint steer=best_of_n
  waldo evaluate checkpoint=outputs/flow/checkpoint env.task.cube_half=0.025
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from data.config import build, locate
from data.errors import ConfigError, WaldoError
from data.evaluation import LATENCY, Manifest, read
from data.results import Figure, write_atomic
from data.statistics import mean_interval
from policies.base import Sampler
from sim.base import VecEnv
from sim.evaluate import describe, evaluate, film_failures, success_figure, tell_broken
from sim.players import Experts, RandomPolicy
from waldo import provenance
from waldo.policy import build_env, identity, load_sampler, open_env, place
from waldo.shards import evaluate_in_processes

DECISIONS = 60  # that are timed


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    seeds = chosen_seeds(cfg)
    if cfg.workers < 1:
        raise ConfigError(f"workers={cfg.workers}; wanted is at least 1")
    env, player, manifest = opened(cfg)
    try:
        if cfg.workers > 1:
            rows = evaluate_in_processes(cfg, manifest, seeds, out)
            tell_broken(rows, out)
        else:
            rows = evaluate(env, player, seeds, out, label=f"evaluate {out.name}", videos=cfg.videos, manifest=manifest, traces=cfg.traces)
        if cfg.videos:
            film_failures(env, player, rows, out, cfg.failure_videos)
    finally:
        env.close()
    score = mean_interval([row["max_reward"] for row in rows])
    length = mean_interval([row["length"] for row in rows])
    figures = [
        success_figure("success", rows),
        Figure("mean_max_reward", score[0], "", len(rows), score[1], score[2]),
        Figure("mean_length", length[0], "steps", len(rows), length[1], length[2]),
    ]
    if not isinstance(player, Experts | RandomPolicy):
        took = decision_times(player)
        write_atomic(out / LATENCY, json.dumps([round(value, 4) for value in took]))
        figures += [Figure(f"latency/p{q}", float(np.quantile(took, q / 100)), "ms", len(took)) for q in (50, 99)]
    if cfg.report:
        from waldo.reports.evaluation import write_report

        print(f"report: {write_report(read(out))}")
    return figures


def chosen_seeds(cfg: DictConfig) -> list[int]:
    """Raises ConfigError for none, a seed that is named twice, or a shard that does not exist."""
    seeds = [int(seed) for seed in cfg.seeds] if cfg.seeds else list(range(cfg.seed, cfg.seed + cfg.episodes))
    if not seeds:
        raise ConfigError(f"episodes={cfg.episodes}: there is nothing to evaluate; wanted is at least 1")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: {next(seed for seed in seeds if seeds.count(seed) > 1)} is named twice")
    if not cfg.shard:
        return seeds
    index, _, count = str(cfg.shard).partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count) <= len(seeds)):
        raise ConfigError(f"shard={cfg.shard}; wanted is I/N, I from 0 to N - 1, with at most as many shards as the {len(seeds)} episodes")
    return seeds[int(index) :: int(count)]


def opened(cfg: DictConfig) -> tuple[VecEnv, Sampler | Experts, Manifest]:
    """The environment, who plays in it, and what that is called, without its seeds."""
    commit = str(provenance.git_state()["commit"] or "")
    player: Sampler | Experts
    if cfg.policy.get("_target_"):
        if not issubclass(locate(cfg.policy._target_), RandomPolicy | Experts):
            raise ConfigError(
                f"{cfg.policy._target_} has to be trained first: waldo train, then checkpoint=FOLDER; untrained: policy=random or expert"
            )
        env = build_env(cfg.env)
        player = build(cfg.policy, env)
        named, policy = hashlib.sha256(f"{cfg.policy} {place(cfg.env)}".encode()).hexdigest(), type(player).__name__
    else:
        player = load_sampler(cfg.checkpoint, cfg.critic, cfg.steer, cfg.untrained, cfg.trust)
        env = open_env(cfg.env, player.spec)
        named, policy = identity(player, cfg.env), called(cfg)
    return env, player, describe(env, player, policy, named, commit)


def called(cfg: DictConfig) -> str:
    """What people call a policy: the folder of its run, and what was done to it."""
    folder = Path(cfg.checkpoint)
    name = folder.parent.name if folder.name == "checkpoint" and folder.parent.name else folder.name
    steered = str(cfg.steer.get("_target_") or "").rpartition(".")[2]
    return f"{name}{' untrained' if cfg.untrained else ''}{f' + {steered}' if steered else ''}"


def decision_times(sampler: Sampler) -> list[float]:
    """[ms] of single decisions for one robot, one after the other; what is observed does not matter to them."""
    spec = sampler.spec
    obs = {f.name: np.zeros((1, spec.n_obs_steps, *f.shape), np.uint8 if f.is_image else np.float32) for f in spec.observations}
    for f in spec.observations:
        for start in f.quaternions:
            obs[f.name][..., start] = 1.0
    took = []
    for number in range(DECISIONS + 5):
        began = time.perf_counter()
        sampler.sample(obs, 1, np.array([number], np.uint64))
        took.append(1e3 * (time.perf_counter() - began))
    return took[5:]


def play(cfg: DictConfig, seeds: list[int], out: Path, expected: str) -> list[dict[str, Any]]:
    """The rows of some of the seeds, in this process. Raises WaldoError unless what is evaluated has the expected identity."""
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    env, player, manifest = opened(cfg)
    try:
        if manifest.identity != expected:
            raise WaldoError("the checkpoint or the code was changed while the evaluation began; give the same command again")
        return evaluate(env, player, seeds, out, videos=cfg.videos, manifest=manifest, traces=cfg.traces)
    finally:
        env.close()
