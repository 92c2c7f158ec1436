"""What every policy shares that makes a chunk by evaluating a network along a schedule: the loop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data.noise import normal
from policies.base import Guide, Obs
from policies.module import SpecModule
from policies.networks import ChunkMLP, ChunkUNet
from policies.schedule import Schedule


class DenoisingPolicy(SpecModule):
    """Has `net(x, t, condition)` and `schedule`; the artefact exports both and repeats this loop in numpy."""

    net: ChunkMLP | ChunkUNet
    schedule: Schedule

    def denoise(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """(B, T, A), (B,), (B, C) -> (B, T, A): what the artefact exports."""
        return self.net(x, t, cond)

    @torch.no_grad()
    def sample(self, obs: Obs, num_samples: int, seeds: np.ndarray, guide: Guide | None = None) -> np.ndarray:
        """(B, K, horizon, A) in SI units."""
        cond = self.condition(self.inputs(obs)).repeat_interleave(num_samples, 0)
        s = self.schedule
        noise = normal(seeds, (num_samples, self.spec.horizon, self.action_dim))
        x = s.noise * torch.from_numpy(noise).to(self.device).flatten(0, 1)  # (B * K, T, A)
        for i, t in enumerate(s.times):
            out = self.denoise(x, torch.full((len(x),), t, device=x.device), cond)
            if guide is not None:
                x = guide(x, t, s.hat_keep[i] * x + s.hat_gain[i] * out)
            x = s.keep[i] * x + s.gain[i] * out
        chunks = self.normalizer.decode_action(x.cpu().numpy())
        return chunks.reshape(len(seeds), num_samples, *chunks.shape[1:])
