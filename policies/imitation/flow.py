"""Flow matching over action chunks (Lipman et al. 2023; rectified flow, Liu et al. 2023).

Convention: t = 0 is noise, t = 1 is data (the reverse of diffusion's clock, and of openpi's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.errors import ConfigError
from data.noise import normal
from data.spec import PolicySpec
from policies.base import Batch, Guide, Info, Obs
from policies.module import SpecModule
from policies.networks import ChunkMLP, ChunkUNet
from policies.normalize import Normalizer


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


class FlowPolicy(SpecModule):
    Config = FlowConfig

    def __init__(self, config: FlowConfig, spec: PolicySpec, normalizer: Normalizer) -> None:
        super().__init__(config, spec, normalizer, config.image_dim, config.shift)
        self.net: ChunkMLP | ChunkUNet
        if config.network == "mlp":
            self.net = ChunkMLP(self.action_dim, spec.horizon, self.encoder.dim, config.width, config.depth)
        elif config.network == "unet":
            widths = tuple(config.width // 2 ** (config.depth - 1 - i) for i in range(config.depth))
            self.net = ChunkUNet(self.action_dim, spec.horizon, self.encoder.dim, widths, config.kernel)
        else:
            raise ConfigError(f"policy.network={config.network!r} is unknown; allowed: mlp, unet")

    def loss(self, batch: Batch) -> tuple[Tensor, Info]:
        """Mean squared error of the velocity x1 - x0 along straight paths (Lipman et al. 2023, eq. 23)."""
        cond = self.condition(batch).repeat_interleave(self.config.noise_draws, 0)  # (B * draws, C)
        x1 = batch["action"].repeat_interleave(self.config.noise_draws, 0)  # (B * draws, T, A)
        x0 = torch.randn_like(x1)
        t = torch.rand(len(x1), device=x1.device)
        xt = torch.lerp(x0, x1, t[:, None, None])
        loss = (self.net(xt, t, cond) - (x1 - x0)).square().mean()
        return loss, {"loss": float(loss.detach())}

    def velocity(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """(B, T, A), (B,), (B, C) -> (B, T, A): what the artefact exports."""
        return self.net(x, t, cond)

    @torch.no_grad()
    def sample(self, obs: Obs, num_samples: int, seeds: np.ndarray, guide: Guide | None = None) -> np.ndarray:
        """(B, K, horizon, A) in SI units: Euler steps from noise."""
        cond = self.condition(self.inputs(obs)).repeat_interleave(num_samples, 0)
        noise = normal(seeds, (num_samples, self.spec.horizon, self.action_dim))
        x = torch.from_numpy(noise).to(self.device).flatten(0, 1)  # (B * K, T, A)
        n = self.config.steps
        for i in range(n):
            t = i / n
            v = self.velocity(x, torch.full((len(x),), t, device=x.device), cond)
            if guide is not None:
                x = guide(x, t, x + (1 - t) * v)
            x = x + v / n
        chunks = self.normalizer.decode_action(x.cpu().numpy())
        return chunks.reshape(len(seeds), num_samples, *chunks.shape[1:])
