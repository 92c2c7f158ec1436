"""From what a user names to something that can be sampled: a checkpoint or an artefact, steered or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from data.config import build
from data.errors import ConfigError
from policies import checkpoint
from policies.base import Sampler


def load_sampler(path: str, critic: str, steer: DictConfig, untrained: bool = False, trust: str = "") -> Sampler:
    """Raises CheckpointError for what cannot be loaded, ConfigError for what does not go together."""
    folder = Path(path)
    if (folder / "artifact.json").exists():
        if critic or steer.get("_target_") or untrained:
            raise ConfigError(f"{folder} is an artefact: its steering is exported with it; give neither critic nor steer nor untrained")
        from policies.artifact import Artifact

        return Artifact.load(folder)
    policy: Any = checkpoint.load(folder, trust)
    if untrained:
        torch.manual_seed(0)
        policy = build(checkpoint.config_node(policy), policy.spec, policy.normalizer).eval()
    if not steer.get("_target_"):
        return policy
    if not critic:
        raise ConfigError("steering needs a critic: critic=<folder that waldo refine wrote>/checkpoint")
    return build(steer, policy, checkpoint.load(Path(critic), trust))
