"""Write a policy, and the critic that steers it, into one artefact folder for the robot.

The artefact runs with numpy and onnxruntime alone: networks as ONNX, the sampler's loop, normalisation statistics, the
robot's limits, provenance, a model card, and the sha256 of every file. It is checked against the policy before it is kept.

examples:
  waldo export checkpoint=outputs/flow/checkpoint artefact=outputs/artefact
  waldo export checkpoint=outputs/flow/checkpoint critic=outputs/critic/checkpoint steer=best_of_n artefact=outputs/artefact
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from data.errors import CheckpointError, ConfigError
from data.results import Figure
from policies import checkpoint
from policies.artifact import Artifact
from policies.checkpoint import replace_folder
from policies.export import export
from waldo import provenance
from waldo.policy import load_sampler

TOLERANCE = 1e-4  # of the action's own range, per chunk; the networks agree to about 1e-6


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if (Path(cfg.checkpoint) / "artifact.json").exists():
        raise ConfigError(f"{cfg.checkpoint} is an artefact already; export the checkpoint that it was made from")
    sampler: Any = load_sampler(cfg.checkpoint, cfg.critic, cfg.steer, trust=cfg.trust)
    origin = {**provenance.collect(), "trained": checkpoint.provenance(Path(cfg.checkpoint))}
    origin["dataset"] = origin["trained"].get("dataset", "unknown")
    folder = Path(cfg.artefact)
    draft = folder.with_name(folder.name + ".unchecked")
    try:
        export(sampler, draft, _limits(sampler.spec.robot), origin)
        difference, torch_ms, onnx_ms = parity(sampler, Artifact.load(draft))
        if not difference <= TOLERANCE:
            raise CheckpointError(f"the artefact differs from the policy by {difference:.2g} of the action's range; allowed: {TOLERANCE}")
        replace_folder(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    print(f"next: waldo run artefact={folder}")
    return [
        Figure("parity/max_difference", difference, "of the range"),
        Figure("latency/torch", torch_ms, "ms"),
        Figure("latency/artefact", onnx_ms, "ms"),
    ]


def _limits(robot: str) -> dict[str, Any]:
    """The limits of real.robots.<robot>, {} for what is no robot of ours (Push-T's agent)."""
    from sim.arms.build import robot_spec

    try:
        spec = robot_spec(robot)
    except Exception:  # noqa: BLE001  a task without an arm has no limits to carry
        return {}
    return {**dataclasses.asdict(spec), "hash": spec.hash()}


def parity(sampler: Any, artefact: Artifact, calls: int = 20) -> tuple[float, float, float]:
    """(largest difference as a share of the action's range, ms per chunk in torch, ms per chunk in the artefact)."""
    rng = np.random.default_rng(0)
    base = getattr(sampler, "sampler", sampler)
    worst, spent = 0.0, [0.0, 0.0]
    low, high = base.normalizer.ranges["action"]
    for i in range(calls):
        obs = {}
        for f in base.spec.observations:
            if f.is_image:
                obs[f.name] = rng.integers(0, 256, (1, base.spec.n_obs_steps, *f.shape), dtype=np.uint8)
                continue
            lo, hi = base.normalizer.ranges[f.name]
            values = rng.uniform(lo, hi, (1, base.spec.n_obs_steps, *f.shape))
            for q in f.quaternions:
                quat = rng.normal(size=(1, base.spec.n_obs_steps, 4))
                values[..., q : q + 4] = quat / np.linalg.norm(quat, axis=-1, keepdims=True)
            obs[f.name] = values.astype(np.float32)
        seeds = np.array([i], np.uint64)
        chunks = []
        for j, one in enumerate((sampler, artefact)):
            start = time.perf_counter()
            chunks.append(one.sample(obs, 1, seeds))
            spent[j] += time.perf_counter() - start if i else 0.0
        scale = np.maximum(high - low, 1e-3)
        for q in base.spec.action.quaternions:
            scale[q : q + 4] = 1.0
        worst = max(worst, float(np.max(np.abs(chunks[0] - chunks[1]) / scale)))
    return worst, 1e3 * spent[0] / (calls - 1), 1e3 * spent[1] / (calls - 1)
