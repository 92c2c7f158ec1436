"""Diffusion Policy (Chi et al. 2023): DDPM training (Ho et al. 2020), DDIM sampling (Song et al. 2021).

The noise schedule and the solver are diffusers'; the solver's coefficients are read off it once, so that the artefact
needs no diffusers. The network's clock runs like flow's: 0 = noise, 1 = data.

The network predicts v, not the noise: at the noisiest level x is noise, the chunk is (x - noise) / sqrt(alpha), and an
error of 1 % in the noise would be an error of three times the action's range.
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
from policies.schedule import Schedule


@dataclass
class DiffusionConfig:
    network: str = "unet"  # mlp or unet
    width: int = 256  # mlp: width of its blocks; unet: channels of its widest level
    depth: int = 3  # mlp: residual blocks; unet: levels
    kernel: int = 3  # unet: kernel of its convolutions
    levels: int = 100  # noise levels of training
    beta_schedule: str = "squaredcos_cap_v2"  # a name that diffusers knows
    steps: int = 10  # network evaluations per chunk
    image_dim: int = 128  # features per camera
    shift: int = 4  # random shift of training images [px]


class DiffusionPolicy(DenoisingPolicy):
    Config = DiffusionConfig
    alphas: Tensor

    def __init__(self, config: DiffusionConfig, spec: PolicySpec, normalizer: Normalizer) -> None:
        super().__init__(config, spec, normalizer, config.image_dim, config.shift)
        if not 1 <= config.steps <= config.levels:
            raise ConfigError(f"policy.steps={config.steps} must lie between 1 and policy.levels={config.levels}")
        self.net = chunk_network(config.network, self.action_dim, spec.horizon, self.encoder.dim, config.width, config.depth, config.kernel)
        self.schedule = ddim(config)
        self.register_buffer("alphas", _scheduler(config).alphas_cumprod.float(), persistent=False)  # (levels,)

    def loss(self, batch: Batch) -> tuple[Tensor, Info]:
        """Mean squared error of v = sqrt(alpha) noise - sqrt(1 - alpha) x1 at a random level (Salimans and Ho 2022, appendix D)."""
        x1 = batch["action"]  # (B, T, A)
        level = torch.randint(0, self.config.levels, (len(x1),), device=x1.device)
        alpha = self.alphas[level][:, None, None]
        noise = torch.randn_like(x1)
        xt = alpha.sqrt() * x1 + (1 - alpha).sqrt() * noise
        v = alpha.sqrt() * noise - (1 - alpha).sqrt() * x1
        t = 1 - (level.float() + 1) / self.config.levels
        loss = (self.net(xt, t, self.condition(batch)) - v).square().mean()
        return loss, {"loss": float(loss.detach())}


def ddim(config: DiffusionConfig) -> Schedule:
    """DDIM without its random term is affine; diffusers is asked for its answer to (x = 1, v = 0) and to (0, 1)."""
    scheduler = _scheduler(config)
    scheduler.set_timesteps(config.steps)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    times, keep, gain, hat_keep, hat_gain = [], [], [], [], []
    for level in scheduler.timesteps:
        kept, gained = scheduler.step(zero, level, one), scheduler.step(one, level, zero)
        times.append(1 - (float(level) + 1) / config.levels)
        keep.append(float(kept.prev_sample))
        gain.append(float(gained.prev_sample))
        hat_keep.append(float(kept.pred_original_sample))
        hat_gain.append(float(gained.pred_original_sample))
    return Schedule(tuple(times), tuple(keep), tuple(gain), tuple(hat_keep), tuple(hat_gain))


def _scheduler(config: DiffusionConfig):  # type: ignore[no-untyped-def]  # diffusers is imported late: it takes seconds
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    plain = {"clip_sample": False, "timestep_spacing": "trailing"}
    try:
        return DDIMScheduler(config.levels, beta_schedule=config.beta_schedule, prediction_type="v_prediction", **plain)
    except NotImplementedError as error:
        raise ConfigError(f"policy.beta_schedule={config.beta_schedule!r}: {error}") from error
