"""Write the artefact: everything a robot needs from a policy and its critic, and nothing that needs torch.

encoder.onnx   observations in network space -> condition
denoise.onnx   x_t, t, condition -> velocity (flow), or the chunk itself (regression)
critic.onnx    observations, chunks -> ensemble of values (steered policies)
artifact.json  how to sample, how to steer, limits, provenance, sha256 of every file
spec.json, stats.npz, MODEL_CARD.md
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.errors import ConfigError
from policies.artifact import FORMAT, MANIFEST
from policies.base import Critic
from policies.checkpoint import replace_folder
from policies.denoising import DenoisingPolicy
from policies.module import SpecModule
from policies.steering.best_of_n import BestOfN


class _Encoder(nn.Module):
    def __init__(self, module: SpecModule) -> None:
        super().__init__()
        self.encoder, self.names = module.encoder, [f.name for f in module.spec.observations]

    def forward(self, *observations: Tensor) -> Tensor:
        return self.encoder(dict(zip(self.names, observations, strict=True)))


class _Denoise(nn.Module):
    def __init__(self, policy: DenoisingPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return self.policy.denoise(x, t, cond)


class _Values(nn.Module):
    def __init__(self, critic: Any) -> None:
        super().__init__()
        self.critic = critic
        self.encoder = _Encoder(critic)

    def forward(self, chunks: Tensor, *observations: Tensor) -> Tensor:
        return self.critic.values(self.encoder(*observations), chunks)


def export(
    policy: Any, folder: Path, limits: Mapping[str, Any], provenance: Mapping[str, Any], figures: list[dict[str, Any]] | None = None
) -> Path:
    """Write `policy` (a DenoisingPolicy, or one steered by BestOfN) to `folder`.

    limits   of the robot the policy was made for, as plain numbers
    figures  what was measured, for the model card
    Raises ConfigError for a policy that has no export yet, and for a critic that was learned for another policy.
    """
    steer: dict[str, Any] = {"rule": "none"}
    critic = None
    base = policy
    if isinstance(policy, BestOfN):
        steer = {"rule": "best_of_n", **dataclasses.asdict(policy.config)}
        base, critic = policy.sampler, policy.critic
    if not isinstance(base, DenoisingPolicy):
        raise ConfigError(f"{type(base).__name__} cannot be exported; allowed: a DenoisingPolicy, and one steered by BestOfN")
    if critic is not None and not _sees_the_same(base, critic):
        raise ConfigError(f"{type(critic).__name__} was not learned for this policy: its observations or their normalisation differ")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    spec = base.spec
    example = {
        f.name: torch.zeros(2, spec.n_obs_steps, *f.shape, dtype=torch.uint8)
        if f.is_image
        else torch.zeros(2, spec.n_obs_steps, base.normalizer.dim(f.name))
        for f in spec.observations
    }
    names = [f"obs_{i}" for i in range(len(example))]
    observations = tuple(example.values())
    cond = torch.zeros(2, base.encoder.dim)
    chunk = torch.zeros(2, spec.horizon, base.action_dim)
    _onnx(_Encoder(base), observations, names, ["cond"], fresh / "encoder.onnx")
    _onnx(_Denoise(base), (chunk, torch.zeros(2), cond), ["x", "t", "cond"], ["out"], fresh / "denoise.onnx")
    if critic is not None:
        inputs = (chunk[:, : spec.n_action_steps], *observations)
        _onnx(_Values(critic), inputs, ["chunks", *names], ["q"], fresh / "critic.onnx", batch_axis=1)
    (fresh / "spec.json").write_text(spec.to_json())
    arrays: dict[str, Any] = base.normalizer.state()
    np.savez(fresh / "stats.npz", **arrays)
    (fresh / "MODEL_CARD.md").write_text(_card(spec, len(base.schedule), type(base).__name__, steer, provenance, figures or []))
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(fresh.iterdir())}
    manifest = {
        "format": FORMAT,
        "schedule": base.schedule.as_dict(),
        "steer": steer,
        "limits": dict(limits),
        "provenance": dict(provenance),
        "sha256": hashes,
    }
    (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    replace_folder(fresh, folder)
    return folder


def _sees_the_same(policy: SpecModule, critic: Critic) -> bool:
    """Whether one encoding of an observation and of a chunk serves both, as it does in the artefact."""
    if not isinstance(critic, SpecModule):
        return False
    mine, other = policy.normalizer.state(), critic.normalizer.state()
    return policy.spec.observations == critic.spec.observations and all(np.array_equal(mine[name], other[name]) for name in mine)


def _onnx(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str], path: Path, batch_axis: int = 0) -> None:
    """One graph whose batch size stays free."""
    batch = torch.export.Dim("batch")
    forward = tuple({0: batch} for _ in inputs)
    shapes: Any = (forward,) if isinstance(module, _Encoder) else (forward[0], forward[1:]) if isinstance(module, _Values) else forward
    noise = io.StringIO()  # the exporter talks to stdout
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), inputs, path, input_names=names, output_names=outputs, dynamo=True, dynamic_shapes=shapes, external_data=False
        )


def _card(
    spec: Any, evaluations: int, policy: str, steer: dict[str, Any], provenance: Mapping[str, Any], figures: list[dict[str, Any]]
) -> str:
    observed = "\n".join(f"- `{f.name}` {list(f.shape)} {f.dtype}" for f in spec.observations)
    measured = "\n".join(
        f"- {f['name']}: {f['value']:.3g}" + (f" [{f['low']:.3g}, {f['high']:.3g}], n = {f['n']}" if f.get("low") is not None else "")
        for f in figures
    )
    action = ", ".join(f"{n} [{u}]" for n, u in zip(spec.action.names, spec.action.units, strict=True))
    return f"""# {spec.task} on {spec.robot}

Policy: {policy}, {evaluations} network evaluation(s) per chunk. Steering: {steer["rule"]}.
Runs at {spec.rate_hz:g} Hz: sees {spec.n_obs_steps} frame(s), predicts {spec.horizon} actions, executes {spec.n_action_steps}.

## Observations
{observed}

## Action ({spec.action.kind}, {"absolute" if spec.action.absolute else "relative"})
{action}

## Measured
{measured or "Nothing was measured when this was exported."}

## Made from
commit {provenance.get("git_commit", provenance.get("commit", "unknown"))}, dataset {provenance.get("dataset", "unknown")}

Object poses that a simulator offers as observations are its ground truth: on a real arm something has to estimate them.
This is not a safety-rated component. The control loop checks every command whatever this policy says.
"""
