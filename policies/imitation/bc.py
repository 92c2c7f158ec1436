"""Behaviour cloning of action chunks by regression: the baseline every other policy has to beat.

The mean of two ways round an obstacle leads into the obstacle: that is what it cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data.spec import PolicySpec
from policies.base import Batch, Info
from policies.denoising import DenoisingPolicy
from policies.networks import ChunkMLP
from policies.normalize import Normalizer
from policies.schedule import REGRESSION


@dataclass
class BCConfig:
    width: int = 512  # width of the residual blocks
    depth: int = 4  # residual blocks
    image_dim: int = 128  # features per camera
    shift: int = 4  # random shift of training images [px]


class BCPolicy(DenoisingPolicy):
    """The flow network's body with its noise input at zero; its K samples are K times the same chunk."""

    Config = BCConfig
    schedule = REGRESSION

    def __init__(self, config: BCConfig, spec: PolicySpec, normalizer: Normalizer) -> None:
        super().__init__(config, spec, normalizer, config.image_dim, config.shift)
        self.net = ChunkMLP(self.action_dim, spec.horizon, self.encoder.dim, config.width, config.depth)

    def loss(self, batch: Batch) -> tuple[Tensor, Info]:
        """Mean squared error of the chunk in network space."""
        x1 = batch["action"]  # (B, T, A)
        predicted = self.net(torch.zeros_like(x1), x1.new_zeros(len(x1)), self.condition(batch))
        loss = (predicted - x1).square().mean()
        return loss, {"loss": float(loss.detach())}
