"""Episodes per second of a whole `waldo evaluate` on all cores, its start included, against a plain loop in one process.

The plain loop is what one writes first: a group of environments, one network call for those that still run, the next group when the
last of them has ended. Both play the same seeds with the same policy; the loop plays a share of them. Also: the most memory that a
process took, for a quarter of the episodes and for all.

    waldo bench evaluate checkpoint=outputs/pusht/checkpoint environment=pusht episodes=1000
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from data.errors import ConfigError, WaldoError, did_you_mean
from data.evaluation import read
from data.machine import ONE_THREAD, cores
from data.noise import fold
from data.results import Figure
from policies.base import Sampler
from sim.players import RandomConfig, RandomPolicy
from waldo.bench import Measurement
from waldo.manual import CONFIGS
from waldo.policy import build_env, load_sampler, open_env

FIRST = 100_000
SHARE = 5  # the plain loop plays one in so many episodes
GROUP = 50  # environments of the plain loop
MEASURE = "import resource, sys; from waldo.cli import main; status = main(sys.argv[2:]); kind = resource.RUSAGE_CHILDREN; \
open(sys.argv[1], 'w').write(str(max(resource.getrusage(kind).ru_maxrss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))); sys.exit(status)"


def measure(cfg: DictConfig) -> Measurement:
    """cfg: checkpoint, environment, episodes. Raises ConfigError for an environment that is not there."""
    known = {path.stem: path for path in (CONFIGS / "env").glob("*.yaml")}
    if cfg.environment not in known:
        raise ConfigError(f"environment={cfg.environment}: {did_you_mean(cfg.environment, known)}")
    n = int(cfg.episodes)
    with tempfile.TemporaryDirectory() as folder:
        _, _, small = _evaluated(cfg, max(n // 4, 1), Path(folder) / "few")
        seconds, rate, large = _evaluated(cfg, n, Path(folder) / "all")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plain = max(n // SHARE, 1)
    spent, wins = plain_loop(cfg.checkpoint, known[cfg.environment], np.arange(FIRST, FIRST + plain))
    torch.set_num_threads(threads)
    others = [
        Figure(f"seconds for {n} episodes", seconds, "s", n),
        Figure(f"seconds for {n} episodes in the plain loop, from {plain}", spent * n / plain, "s", plain),
        Figure("success", rate, "", n),
        Figure("success of the plain loop", wins, "", plain),
        Figure(f"memory of a process, {max(n // 4, 1)} episodes", small / 1024, "MiB"),
        Figure(f"memory of a process, {n} episodes", large / 1024, "MiB"),
    ]
    headline = Figure(f"episodes of {cfg.environment} per second, {cores()} processes", n / seconds, "1/s", n)
    return Measurement(headline, Figure(f"plain loop, {GROUP} at once", plain / spent, "1/s", plain), others=others)


def _evaluated(cfg: DictConfig, episodes: int, out: Path) -> tuple[float, float, float]:
    """Seconds, success rate, and the most memory of a process [KiB]."""
    note = out.with_suffix(".kib")
    player = f"checkpoint={cfg.checkpoint}" if cfg.checkpoint else "policy=random"
    words = [player, f"env={cfg.environment}", f"episodes={episodes}", f"seed={FIRST}", f"workers={cores()}"]
    call = [sys.executable, "-c", MEASURE, str(note), "evaluate", *words, "videos=0", "report=false", f"out={out}"]
    began = time.perf_counter()
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, check=False)
    spent = time.perf_counter() - began
    if done.returncode:
        raise WaldoError(f"waldo {' '.join(call[4:])} ended with status {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return spent, float(read(out).success.mean()), float(json.loads(note.read_text(encoding="utf-8")))


def plain_loop(checkpoint: str, environment: Path, seeds: np.ndarray) -> tuple[float, float]:
    """Seconds and success rate of one episode per seed."""
    node = OmegaConf.load(environment)
    assert isinstance(node, DictConfig)
    sampler: Sampler | RandomPolicy
    if checkpoint:
        sampler = load_sampler(checkpoint)
        env = open_env(node, sampler.spec)
    else:
        env = build_env(node)
        sampler = RandomPolicy(RandomConfig(), env)
    spec = sampler.spec
    group, wins, began = env.num_envs if env.num_envs < GROUP else GROUP, 0, time.perf_counter()
    for start in range(0, len(seeds), group):
        part = seeds[start : start + group]
        obs = env.reset(part)
        n = env.num_envs
        history = {f.name: np.repeat(obs[f.name][:, None], spec.n_obs_steps, 1) for f in spec.observations}
        running, won = np.arange(n) < len(part), np.zeros(n, bool)
        chunk = np.zeros((n, spec.horizon, spec.action.dim), np.float32)
        for step in range(env.max_steps):
            if step % spec.n_action_steps == 0:
                rows = np.flatnonzero(running)
                streams = fold(part[rows].astype(np.uint64), step // spec.n_action_steps)
                chunk[rows] = sampler.sample({name: values[rows] for name, values in history.items()}, 1, streams)[:, 0]
            obs, _, terminated, truncated, info = env.step(chunk[:, step % spec.n_action_steps], running)
            won |= info["success"] & running
            running = running & ~(terminated | truncated)
            history = {name: np.concatenate([values[:, 1:], obs[name][:, None]], 1) for name, values in history.items()}
            if not running.any():
                break
        wins += int(won[: len(part)].sum())
    spent = time.perf_counter() - began
    env.close()
    return spent, wins / len(seeds)
