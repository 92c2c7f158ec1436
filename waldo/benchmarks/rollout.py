"""Closed-loop policy steps per second of pick_place, batched, against the same episodes one at a time.

The parts stand beside the whole: physics alone, rendering alone, network alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from omegaconf import OmegaConf

from data.config import build
from data.errors import RenderError
from data.results import Figure
from policies.normalize import Normalizer
from sim.rollout import rollout
from waldo.bench import Measurement
from waldo.manual import CONFIGS

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sim.env import ArmVecEnv

BATCH = 64


def _env(num_envs: int, max_steps: int) -> ArmVecEnv:
    task = {"_target_": "sim.tasks.pick_place.PickPlace"}
    env: ArmVecEnv = build({"_target_": "sim.env.ArmVecEnv", "task": task, "max_steps": max_steps}, num_envs=num_envs)
    return env


def _rate(call: object, count: int, seconds: float) -> tuple[float, int]:
    """Things per second of a call that does `count` of them: the median of repeated calls."""
    assert callable(call)
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return count / float(np.median(times)), len(times)


def measure(cfg: DictConfig) -> Measurement:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    steps = 48
    many, one = _env(BATCH, steps), _env(1, steps)
    wanted = ("observation.state", "observation.environment_state")
    import dataclasses

    spec = dataclasses.replace(
        many.spec, observations=tuple(many.spec.feature(name) for name in wanted), n_obs_steps=2, horizon=16, n_action_steps=8
    )
    sizes = {f.name: f.shape[0] for f in spec.observations} | {"action": spec.action.dim}
    normalizer = Normalizer(spec, {name: (-np.ones(n), np.ones(n)) for name, n in sizes.items()})
    torch.manual_seed(cfg.seed)
    policy = build(OmegaConf.load(CONFIGS / "policy" / "flow_mlp.yaml"), spec, normalizer).eval()  # type: ignore[arg-type]
    whole = _rate(lambda: list(rollout(many, policy, np.arange(BATCH))), BATCH * steps, cfg.seconds)
    single = _rate(lambda: list(rollout(one, policy, np.arange(1))), steps, cfg.seconds)

    q = np.tile(many.robot.q_home, (BATCH, many.substeps, 1))
    width = np.full((BATCH, many.substeps), 0.08)
    physics = _rate(lambda: many.physics.step(q, np.zeros_like(q[:, 0]), width), BATCH, cfg.seconds)
    action = np.zeros((BATCH, spec.action.dim), np.float32)
    action[:, :7] = many.observe()["observation.state"][:, :7]
    environment = _rate(lambda: many.step(action), BATCH, cfg.seconds)
    obs = {f.name: np.full((32, 2, *f.shape), 0.5, np.float32) for f in spec.observations}
    network = _rate(lambda: policy.sample(obs, 1, np.arange(32, dtype=np.uint64)), 32 * spec.n_action_steps, cfg.seconds)
    parts = 1 / (1 / environment[0] + 1 / network[0])
    others = [
        Figure("part: physics alone", physics[0], "steps/s", physics[1]),
        Figure("part: environment (physics, IK, observation)", environment[0], "steps/s", environment[1]),
        Figure("part: network alone", network[0], "steps/s", network[1]),
        Figure("sum of the parts: environment + network", parts, "steps/s"),
        Figure("whole / sum", whole[0] / parts),
    ]
    try:
        render = _rate(lambda: many.render("front", np.arange(8)), 8, cfg.seconds)
        others.append(Figure("beside it: rendering 96x96", render[0], "frames/s", render[1]))
    except RenderError as error:
        print(f"rendering not measured: {error}")
    many.close()
    one.close()
    return Measurement(
        Figure(f"batched, {BATCH} at once", whole[0], "steps/s", whole[1]),
        Figure("one at a time", single[0], "steps/s", single[1]),
        others=others,
    )
