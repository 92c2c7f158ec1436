"""The one training loop: any module with `loss(batch)`, any source of batches that is a function of row numbers.

Every step's randomness (rows, noise) is a function of (seed, step), and the optimiser's state is saved with the
weights, so a run that was killed and resumed equals the uninterrupted one bit for bit on the CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm

from data.batches import Batches, Rows
from data.errors import CheckpointError, ConfigError
from policies import checkpoint
from policies.module import SpecModule


@dataclass
class TrainConfig:
    steps: int = 5000  # gradient steps
    batch_size: int = 256
    lr: float = 1e-3  # peak of the cosine schedule
    warmup: int = 200  # steps of linear warm-up
    weight_decay: float = 1e-4
    grad_clip: float = 1.0  # global norm
    ema: float = 0.999  # decay of the averaged weights, which are the ones saved; reached gradually
    save_every: int = 1000  # steps between checkpoints
    log_every: int = 50  # steps between rows of metrics.jsonl
    evaluate_every: int = 0  # steps between evaluations, 0 for none
    keep: bool = False  # also keep every checkpoint, as checkpoint-<step>
    threads: int = 0  # CPU threads, 0 for torch's default
    workers: int = 1  # threads that prepare batches ahead; the result does not depend on it
    order: str = "random"  # random: rows are drawn anew each time; epoch: every row once before any comes twice
    device: str = "auto"  # auto, cuda, mps or cpu
    precision: str = "auto"  # of the matrix products: fp32, bf16, or auto = bf16 where the processor has it; weights stay fp32


def pick_device(name: str) -> str:
    """auto takes CUDA, then MPS, then the CPU. Raises ConfigError for a device that is not there."""
    available = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in available:
        raise ConfigError(f"device={name!r} is unknown; allowed: {', '.join(sorted(available))}")
    if not available[name]:
        raise ConfigError(f"device={name!r} is not available here; auto takes what there is")
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def matmul_dtype(precision: str, device: str) -> torch.dtype:
    """The type that autocast turns matrix products into. Raises ConfigError for a word it does not know.

    On a CPU without bf16 instructions bf16 is emulated and slow, so `auto` takes it only where they are.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"train.precision={precision!r} is unknown; allowed: auto, bf16, fp32")
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else device == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and fast) else torch.float32


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then cosine to zero at the last step."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as zero while this lasts: an untrained network makes them, and they are slow on a CPU."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # the flag belongs to the whole process: what comes after wants IEEE arithmetic


@flushed_denormals()
def train(
    module: SpecModule,
    rows: Rows,
    config: TrainConfig,
    out: Path,
    seed: int,
    provenance: Mapping[str, Any],
    evaluate: Callable[[SpecModule, int], dict[str, float]] | None = None,
    label: str = "train",
) -> Path:
    """Train, or go on where `out` stops. Returns the folder of the checkpoint, `out/checkpoint`.

    rows      what batches are drawn from, in network space
    evaluate  called every `evaluate_every` steps with the averaged module; its numbers go to metrics.jsonl
    """
    if config.steps < 1 or config.batch_size < 1:
        raise ConfigError(f"steps and batch_size must be positive; found {config.steps} and {config.batch_size}")
    device = pick_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    module.to(device).train()
    params = {name: p for name, p in module.named_parameters() if p.requires_grad}
    average = {name: p.detach().clone() for name, p in params.items()}
    decay = [p for p in params.values() if p.ndim >= 2]
    rest = [p for p in params.values() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)
    dtype = matmul_dtype(config.precision, device)
    run = _description(module, rows, config, seed, provenance)
    batches = Batches(rows, config.batch_size, seed, config.order)
    start = _restore(out, module, params, average, optimizer, config, run)
    _cut_log(out / "metrics.jsonl", start)
    began, since = time.perf_counter(), time.process_time()
    with tqdm(total=config.steps, initial=start, desc=label, unit="step", smoothing=0.05, mininterval=0.5) as bar:
        for step, (arrays, noise) in enumerate(batches.run(start, config.steps, config.workers), start):
            torch.manual_seed(noise)
            batch = {k: torch.from_numpy(np.ascontiguousarray(v)).to(device) for k, v in arrays.items()}
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, config)
            with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
                loss, info = module.loss(batch)  # type: ignore[operator]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(list(params.values()), config.grad_clip)
            _require_finite({"loss": info["loss"], "gradient": float(norm)}, step + 1, out)
            optimizer.step()
            after = getattr(module, "after_step", None)
            if after is not None:
                after()
            weight = 1 - min(config.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(average.values()), [p.detach() for p in params.values()], weight)
            done = step + 1
            bar.update()
            row: dict[str, float] = {}
            if done % config.log_every == 0 or done == config.steps:
                row = {**info, "grad_norm": float(norm), "lr": learning_rate(step, config)}
                bar.set_postfix(loss=f"{info['loss']:.4f}", refresh=False)
            if done % config.save_every == 0 or done == config.steps:
                _save(out, module, params, average, optimizer, done, seed, provenance, config, run)
            if evaluate is not None and config.evaluate_every and (done % config.evaluate_every == 0 or done == config.steps):
                row |= _evaluate(module, params, average, evaluate, done)
            if row:
                row |= {"step": done, "wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - since}
                with (out / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
    with torch.no_grad():
        for name, p in params.items():
            p.copy_(average[name])
    module.eval()
    return out / "checkpoint"


def _require_finite(values: dict[str, float], step: int, out: Path) -> None:
    """At every step, before the weights move: what is saved stays good."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise CheckpointError(f"the {name} became {value} at step {step}; a checkpoint from before, if there was one, is kept in {out}")


def _evaluate(
    module: SpecModule,
    params: dict[str, Any],
    average: dict[str, Tensor],
    evaluate: Callable[[SpecModule, int], dict[str, float]],
    step: int,
) -> dict[str, float]:
    """Run `evaluate` on the averaged weights, then put the raw ones back."""
    raw = {name: p.detach().clone() for name, p in params.items()}
    with torch.no_grad():
        for name, p in params.items():
            p.copy_(average[name])
    module.eval()
    try:
        return evaluate(module, step)
    finally:
        with torch.no_grad():
            for name, p in params.items():
                p.copy_(raw[name])
        module.train()


def _save(
    out: Path,
    module: SpecModule,
    params: dict[str, Any],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
    seed: int,
    provenance: Mapping[str, Any],
    config: TrainConfig,
    run: Mapping[str, Any],
) -> None:
    notes = {**provenance, "step": step, "seed": seed}
    checkpoint.save(module, out / "checkpoint", notes, average)
    if config.keep:
        checkpoint.save(module, out / f"checkpoint-{step:06d}", notes, average)
    state: dict[str, Tensor] = {"step": torch.tensor([step])}
    for name, p in params.items():
        state[f"raw/{name}"], state[f"average/{name}"] = p.detach(), average[name]
        for key, value in optimizer.state[p].items():
            state[f"optimizer/{name}/{key}"] = value.reshape(1) if value.ndim == 0 else value
    state |= {f"frozen/{name}": value for name, value in module.state_dict().items() if name not in params}
    fresh = out / "train_state.safetensors.new"
    safetensors.torch.save_file({k: v.cpu().contiguous().clone() for k, v in state.items()}, fresh, {"run": json.dumps(run)})
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(out / "train_state.safetensors")


def _description(module: SpecModule, rows: Rows, config: TrainConfig, seed: int, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same for a run to be continued: all that decides its result but the number of steps."""
    free = ("steps", "save_every", "log_every", "evaluate_every", "keep", "threads", "workers", "device")
    settings = {f"train.{key}": value for key, value in dataclasses.asdict(config).items() if key not in free}
    statistics = hashlib.sha256(b"".join(values.tobytes() for _, values in sorted(module.normalizer.state().items()))).hexdigest()
    weights = getattr(rows, "weights", None)
    drawn = "alike" if weights is None else hashlib.sha256(np.asarray(weights).tobytes()).hexdigest()
    data = {"dataset": provenance.get("dataset"), "rows": len(rows), "drawn": drawn, "statistics": statistics, "spec": module.spec.hash()}
    return json.loads(json.dumps({"seed": seed, **checkpoint.config_node(module), **settings, **data}))


def _restore(
    out: Path,
    module: SpecModule,
    params: dict[str, Any],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    run: Mapping[str, Any],
) -> int:
    """Load the saved state into everything and return the step to go on with, 0 if there is none."""
    path = out / "train_state.safetensors"
    if not path.exists():
        return 0
    try:
        state = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            before = json.loads((file.metadata() or {}).get("run", "{}"))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged ({error}): choose another `out` or delete it") from error
    different = [f"{key}={before.get(key)!r}" for key in run if before.get(key) != run[key]]
    step = int(state["step"][0])
    if step > config.steps:
        different.append(f"{step} steps")
    if different:
        raise CheckpointError(f"{out} holds another run, with {', '.join(different)}: choose another `out` or delete it")
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name not in params:  # e.g. a critic's target network
                value.copy_(state[f"frozen/{name}"])
        for name, p in params.items():
            p.copy_(state[f"raw/{name}"])
            average[name].copy_(state[f"average/{name}"])
            prefix = f"optimizer/{name}/"
            moments = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            optimizer.state[p] = {k: v.reshape(()) if k == "step" else v.to(p.device) for k, v in moments.items()}
    return step


def _cut_log(path: Path, step: int) -> None:
    """Drop the rows after the checkpoint that training resumes from."""
    if not path.exists():
        return
    rows = [line for line in path.read_text().splitlines() if line.endswith("}") and json.loads(line)["step"] <= step]
    path.write_text("".join(row + "\n" for row in rows))
