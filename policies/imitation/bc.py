"""Behaviour cloning of action chunks by regression: the baseline every other policy has to beat.

The mean of two ways round an obstacle leads into the obstacle: that is what it cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.spec import PolicySpec
from policies.base import Batch, Guide, Info, Obs
from policies.module import SpecModule
from policies.networks import ChunkMLP
from policies.normalize import Normalizer


@dataclass
class BCConfig:
    width: int = 512  # width of the residual blocks
    depth: int = 4  # residual blocks
    image_dim: int = 128  # features per camera
    shift: int = 4  # random shift of training images [px]


class BCPolicy(SpecModule):
    Config = BCConfig

    def __init__(self, config: BCConfig, spec: PolicySpec, normalizer: Normalizer) -> None:
        super().__init__(config, spec, normalizer, config.image_dim, config.shift)
        self.net = ChunkMLP(self.action_dim, spec.horizon, self.encoder.dim, config.width, config.depth)

    def loss(self, batch: Batch) -> tuple[Tensor, Info]:
        """Mean squared error of the chunk in network space."""
        loss = (self.chunk(self.condition(batch)) - batch["action"]).square().mean()
        return loss, {"loss": float(loss.detach())}

    def chunk(self, cond: Tensor) -> Tensor:
        """(B, C) -> (B, T, A): the flow network's body with its noise input at zero."""
        zeros = cond.new_zeros(len(cond), self.spec.horizon, self.action_dim)
        return self.net(zeros, cond.new_zeros(len(cond)), cond)

    @torch.no_grad()
    def sample(self, obs: Obs, num_samples: int, seeds: np.ndarray, guide: Guide | None = None) -> np.ndarray:
        """(B, K, horizon, A) in SI units: K times the same chunk. There is no denoising for `guide` to steer."""
        chunks = self.normalizer.decode_action(self.chunk(self.condition(self.inputs(obs))).cpu().numpy())
        return np.repeat(chunks[:, None], num_samples, 1)
