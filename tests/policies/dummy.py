"""A spec with one of everything (position, quaternion, wrapping angle, camera), and modules on it that build in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from data.spec import ActionSpec, Feature, PolicySpec
from policies.base import Obs
from policies.imitation.flow import FlowConfig, FlowPolicy
from policies.module import SpecModule
from policies.normalize import Normalizer

STATE = Feature(
    "observation.state",
    (8,),
    names=("x", "y", "z", "qw", "qx", "qy", "qz", "width"),
    units=("m",) * 3 + ("1",) * 4 + ("m",),
    quaternions=(3,),
)
TURN = Feature("observation.environment_state", (3,), names=("a", "b", "angle"), units=("m", "m", "rad"), angles=(2,))
CAMERA = Feature("observation.images.front", (32, 32, 3), "uint8")
POSE = ActionSpec("ee_pose", ("x", "y", "z", "qw", "qx", "qy", "qz", "width"), ("m",) * 3 + ("1",) * 4 + ("m",), quaternions=(3,))
POINT = ActionSpec("position", ("x", "y"), ("m", "m"))


def make_spec(
    action: ActionSpec = POSE,
    camera: bool = False,
    n_obs_steps: int = 2,
    horizon: int = 8,
    n_action_steps: int = 4,
    vectors: tuple = (STATE, TURN),
) -> PolicySpec:
    return PolicySpec("dummy", "dummy", (*vectors, CAMERA) if camera else vectors, action, 10.0, n_obs_steps, horizon, n_action_steps)


def make_normalizer(spec: PolicySpec) -> Normalizer:
    """Ranges that differ per dimension, none of them symmetric, so that a forgotten shift or scale shows."""
    ranges = {}
    for name, dim in [(f.name, f.shape[0]) for f in spec.observations if not f.is_image] + [("action", spec.action.dim)]:
        ranges[name] = (-1.0 - 0.1 * np.arange(dim), 2.0 + 0.2 * np.arange(dim))
    return Normalizer(spec, ranges)


def make_obs(spec: PolicySpec, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Observations in SI units, (B, n_obs_steps, ...), quaternions of unit length."""
    rng = np.random.default_rng(seed)
    obs: dict[str, np.ndarray] = {}
    for feature in spec.observations:
        shape = (batch, spec.n_obs_steps, *feature.shape)
        if feature.is_image:
            obs[feature.name] = rng.integers(0, 256, shape, dtype=np.uint8)
            continue
        values = rng.uniform(-1, 2, shape)
        for first in feature.quaternions:
            values[..., first : first + 4] = unit_quats(rng, shape[:-1])
        obs[feature.name] = values.astype(np.float32)
    return obs


def make_chunks(spec: PolicySpec, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Actions in SI units, (*shape, A)."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 2, (*shape, spec.action.dim))
    for first in spec.action.quaternions:
        values[..., first : first + 4] = unit_quats(rng, shape)
    return values.astype(np.float32)


def unit_quats(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Uniformly distributed rotations, w >= 0."""
    quat = rng.normal(size=(*shape, 4))
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    return np.where(quat[..., :1] < 0, -quat, quat)


def make_batch(module: SpecModule, batch: int, critic: bool = False, seed: int = 0) -> dict[str, torch.Tensor]:
    """One training batch in network space: what Windows.batch, or Transitions.batch for a critic, would give."""
    spec, encode = module.spec, module.normalizer.encode
    steps = spec.n_action_steps if critic else spec.horizon
    out = {name: encode(name, values) for name, values in make_obs(spec, batch, seed).items()}
    out["action"] = encode("action", make_chunks(spec, (batch, steps), seed))
    if critic:
        out |= {"next." + name: encode(name, values) for name, values in make_obs(spec, batch, seed + 1).items()}
        out["reward"] = np.linspace(0, 1, batch, dtype=np.float32)
        out["discount"] = np.where(np.arange(batch) % 3 == 0, 0.0, 0.9).astype(np.float32)
    else:
        out["action_is_pad"] = np.zeros((batch, steps), bool)
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in out.items()}


def tiny_flow(spec: PolicySpec | None = None, seed: int = 0, **options: Any) -> FlowPolicy:
    """A flow policy that has learned nothing but whose output depends on everything it is given."""
    spec = spec or make_spec()
    torch.manual_seed(seed)
    return stir(FlowPolicy(FlowConfig(**{"width": 16, "depth": 1, "steps": 4, **options}), spec, make_normalizer(spec)), seed)


def stir(module: Any, seed: int = 0) -> Any:
    """Random values for every weight: layers that start at zero would hide a wrong condition."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return module.eval()


def seeds_of(batch: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + batch, dtype=np.uint64)


class Scripted:
    """A sampler that proposes what it was given, whatever it sees: (B, K, horizon, A) by seed."""

    def __init__(self, spec: PolicySpec, chunks: np.ndarray) -> None:
        self.spec, self.chunks = spec, chunks  # (P, horizon, A)

    def sample(self, obs: Obs, num_samples: int, seeds: np.ndarray, guide: Any = None) -> np.ndarray:
        picked = (seeds.astype(np.int64)[:, None] + np.arange(num_samples)) % len(self.chunks)
        return self.chunks[picked]
