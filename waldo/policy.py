"""From what a user names to something that can be sampled: a checkpoint or an artefact, steered or not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from data.config import build
from data.errors import CheckpointError, ConfigError
from data.spec import PolicySpec, require_match
from policies import checkpoint
from policies.base import Sampler
from policies.module import SpecModule
from sim.base import NO_MATTER
from waldo import provenance


def load_sampler(path: str, critic: str = "", steer: DictConfig | None = None, untrained: bool = False, trust: str = "") -> Sampler:
    """Raises CheckpointError for what cannot be loaded, ConfigError for what does not go together."""
    folder = Path(path)
    if steer is not None and not steer.get("_target_"):
        steer = None
    if (folder / "artifact.json").exists():
        if critic or steer is not None or untrained:
            raise ConfigError(f"{folder} is an artefact: its steering is exported with it; give neither critic nor steer nor untrained")
        from policies.artifact import Artifact

        return Artifact.load(folder)
    policy = load_policy(folder, trust)
    if untrained:
        torch.manual_seed(0)
        policy = build(checkpoint.config_node(policy), policy.spec, policy.normalizer).eval()
    if steer is None:
        return policy
    if not critic:
        raise ConfigError("steering needs a critic: critic=<folder that waldo refine wrote>/checkpoint")
    values = checkpoint.load(Path(critic), trust)
    if not hasattr(values, "q"):
        raise CheckpointError(f"{critic} holds a {type(values).__name__}, which is not a critic; `waldo refine` makes one")
    return build(steer, policy, values)


def load_policy(folder: Path, trust: str = "") -> Any:
    """Raises CheckpointError for what cannot be loaded or cannot be sampled."""
    policy = checkpoint.load(folder, trust)
    if not hasattr(policy, "sample"):
        raise CheckpointError(f"{folder} holds a {type(policy).__name__}, which is not a policy; `waldo train` makes one")
    return policy


def build_env(node: DictConfig) -> Any:
    """Raises ConfigError for env=none."""
    if not node.get("_target_"):
        raise ConfigError("this needs an environment: env=pick_place")
    return build(node)


def open_env(node: DictConfig, spec: PolicySpec) -> Any:
    """The environment for a policy of this spec, with its cameras on if the policy looks through them. Raises SpecError if they do not fit,
    ConfigError for env=none.
    """
    env = build_env(node)
    require_match(spec, env.spec, f"environment {env.spec.task}")
    if any(f.is_image for f in spec.observations) and hasattr(env.config, "images"):
        env.config.images = True
    return env


def place(env: DictConfig) -> str:
    """All of an environment that decides an episode's result, our code included."""
    settings = OmegaConf.to_container(env)
    assert isinstance(settings, dict)
    return f"{provenance.git_state()['commit']} { {key: value for key, value in settings.items() if key not in NO_MATTER} }"


def identity(sampler: Sampler, env: DictConfig) -> str:
    """sha256 (hex) of all that decides an episode's result: the policy's parts with their weights, the environment, our code."""
    digest = hashlib.sha256(place(env).encode())
    for part in (sampler, getattr(sampler, "sampler", None), getattr(sampler, "critic", None)):
        if part is None:
            continue
        digest.update(f"{type(part)} {part.spec.hash()} {getattr(part, 'config', '')}".encode())
        if isinstance(part, SpecModule):
            for values in (
                *(v.cpu().numpy() for v in part.state_dict().values()),
                *(v for _, v in sorted(part.normalizer.state().items())),
            ):
                digest.update(values.tobytes())
        elif hasattr(part, "folder"):  # an artefact: its manifest holds the hash of every file
            digest.update((part.folder / "artifact.json").read_bytes())
    return digest.hexdigest()
