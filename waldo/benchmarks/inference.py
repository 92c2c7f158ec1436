"""Milliseconds per action chunk of the default flow policy in the artefact, against the same policy in torch.

The parts stand beside the whole: encoder, one network evaluation, the rest (noise, normalisation).
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from omegaconf import OmegaConf

from data.config import build
from data.results import Figure
from policies.artifact import Artifact
from policies.export import export
from policies.normalize import Normalizer
from policies.offline.iql import IQLConfig, IQLCritic
from policies.steering.best_of_n import BestOfN, BestOfNConfig
from waldo.bench import Measurement
from waldo.manual import CONFIGS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def median_ms(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, tuple[float, int]]:
    """Median milliseconds and number of calls of each, measured in turns so that all see the same machine."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: (float(np.median(values)), len(values)) for name, values in times.items()}


def measure(cfg: DictConfig) -> Measurement:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    env = build({"_target_": "sim.env.ArmVecEnv", "task": {"_target_": "sim.tasks.pick_place.PickPlace"}}, num_envs=1)
    wanted = ("observation.state", "observation.environment_state")
    spec = dataclasses.replace(
        env.spec, observations=tuple(env.spec.feature(name) for name in wanted), n_obs_steps=2, horizon=16, n_action_steps=8
    )
    env.close()
    sizes = {f.name: f.shape[0] for f in spec.observations} | {"action": spec.action.dim}
    normalizer = Normalizer(spec, {name: (-np.ones(n), np.ones(n)) for name, n in sizes.items()})
    torch.manual_seed(cfg.seed)
    policy = build(OmegaConf.load(CONFIGS / "policy" / "flow.yaml"), spec, normalizer).eval()  # type: ignore[arg-type]
    critic = IQLCritic(IQLConfig(), spec, normalizer).eval()
    obs = {f.name: np.full((1, 2, *f.shape), 0.5, np.float32) for f in spec.observations}
    seeds = np.array([cfg.seed], np.uint64)
    with tempfile.TemporaryDirectory() as folder:
        plain = Artifact.load(export(policy, Path(folder) / "plain", {}, {}))
        steered = Artifact.load(export(BestOfN(BestOfNConfig(), policy, critic), Path(folder) / "steered", {}, {}))
        inputs = {name: plain._input(obs, f) for name, f in zip(plain._obs_inputs, spec.observations, strict=True)}
        x, cond = np.zeros((1, spec.horizon, policy.action_dim), np.float32), plain._encoder.run(None, inputs)[0]
        found = median_ms(
            {
                "artefact": lambda: plain.sample(obs, 1, seeds),
                "torch": lambda: policy.sample(obs, 1, seeds),
                "steered artefact, best of 8": lambda: steered.sample(obs, 1, seeds),
                "part: encoder": lambda: plain._encoder.run(None, inputs),
                "part: one network evaluation": lambda: plain._denoise.run(None, {"x": x, "t": np.zeros(1, np.float32), "cond": cond}),
            },
            cfg.seconds,
        )
    figures = {name: Figure(name, value, "ms", n) for name, (value, n) in found.items()}
    steps = len(policy.schedule)
    parts = found["part: encoder"][0] + steps * found["part: one network evaluation"][0]
    rest = [Figure(f"sum of the parts: encoder + {steps} evaluations", parts, "ms"), Figure("whole / sum", found["artefact"][0] / parts)]
    return Measurement(figures.pop("artefact"), figures.pop("torch"), lower_is_better=True, others=[*figures.values(), *rest])
