"""Flow matching over action chunks (Lipman et al. 2023; rectified flow, Liu et al. 2023).

Convention: t = 0 is noise, t = 1 is data (the reverse of diffusion's clock, and of openpi's).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data.errors import ConfigError
from data.spec import PolicySpec
from policies.base import Batch, Info
from policies.denoising import DenoisingPolicy
from policies.networks import chunk_network
from policies.normalize import Normalizer
from policies.schedule import euler


@dataclass
class FlowConfig:
    network: str = "mlp"  # mlp or unet
    width: int = 512  # mlp: width of its blocks; unet: channels of its widest level
    depth: int = 4  # mlp: residual blocks; unet: levels, each half as long and twice as wide as the one before
    kernel: int = 3  # unet: kernel of its convolutions
    steps: int = 10  # network evaluations per chunk
    noise_draws: int = 1  # (noise, t) pairs per encoded observation in training: cheap when the encoder is not
    image_dim: int = 128  # features per camera
    shift: int = 4  # random shift of training images [px]


class FlowPolicy(DenoisingPolicy):
    Config = FlowConfig

    def __init__(self, config: FlowConfig, spec: PolicySpec, normalizer: Normalizer) -> None:
        super().__init__(config, spec, normalizer, config.image_dim, config.shift)
        if config.steps < 1 or config.noise_draws < 1:
            raise ConfigError(f"policy.steps and policy.noise_draws must be positive; found {config.steps} and {config.noise_draws}")
        self.net = chunk_network(config.network, self.action_dim, spec.horizon, self.encoder.dim, config.width, config.depth, config.kernel)
        self.schedule = euler(config.steps)

    def loss(self, batch: Batch) -> tuple[Tensor, Info]:
        """Mean squared error of the velocity x1 - x0 along straight paths (Lipman et al. 2023, eq. 23)."""
        cond = self.condition(batch).repeat_interleave(self.config.noise_draws, 0)  # (B * draws, C)
        x1 = batch["action"].repeat_interleave(self.config.noise_draws, 0)  # (B * draws, T, A)
        x0 = torch.randn_like(x1)
        t = torch.rand(len(x1), device=x1.device)
        xt = torch.lerp(x0, x1, t[:, None, None])
        loss = (self.net(xt, t, cond) - (x1 - x0)).square().mean()
        return loss, {"loss": float(loss.detach())}
