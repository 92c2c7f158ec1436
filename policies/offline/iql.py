"""Implicit Q-learning (Kostrikov et al. 2021) of an ensemble, over executed chunks (Q-chunking, Li et al. 2025).

Nothing outside the data is ever queried: V is an upper expectile of Q over the data's own chunks, Q regresses on
r + gamma^n V(next). With a sparse success reward, V is the discounted chance that a demonstrator, at their better, gets there.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.spec import PolicySpec
from policies.base import Batch, Info, Obs
from policies.module import SpecModule
from policies.networks import mlp
from policies.normalize import Normalizer


@dataclass
class IQLConfig:
    ensemble: int = 4  # Q networks; their spread is the doubt
    width: int = 256
    depth: int = 3  # hidden layers
    expectile: float = 0.7  # 0.5 = mean of the demonstrators, towards 1 = the best of them
    gamma: float = 0.99  # discount per control step
    target_rate: float = 0.005  # Polyak rate of the target networks
    image_dim: int = 128
    shift: int = 4


class Ensemble(nn.Module):
    """E independent MLPs as batched GEMMs: (B, D) -> (E, B)."""

    def __init__(self, members: int, sizes: list[int]) -> None:
        super().__init__()
        nets = [mlp([*sizes, 1]) for _ in range(members)]
        linears = [[layer for layer in net if isinstance(layer, nn.Linear)] for net in nets]
        self.weights = nn.ParameterList(torch.stack([net[i].weight.detach().T for net in linears]) for i in range(len(sizes)))
        self.biases = nn.ParameterList(torch.stack([net[i].bias.detach()[None] for net in linears]) for i in range(len(sizes)))

    def forward(self, x: Tensor) -> Tensor:
        h = x.expand(len(self.weights[0]), *x.shape)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, h, weight)
            if i < len(self.weights) - 1:
                h = F.silu(F.layer_norm(h, h.shape[-1:]))
        return h[..., 0]


class IQLCritic(SpecModule):
    Config = IQLConfig

    def __init__(self, config: IQLConfig, spec: PolicySpec, normalizer: Normalizer) -> None:
        super().__init__(config, spec, normalizer, config.image_dim, config.shift)
        hidden = [config.width] * config.depth
        self.q_nets = Ensemble(config.ensemble, [self.encoder.dim + spec.n_action_steps * self.action_dim, *hidden])
        self.v_net = mlp([self.encoder.dim, *hidden, 1], norm=True)
        self.target = copy.deepcopy(self.q_nets).requires_grad_(False)

    def loss(self, batch: Batch) -> tuple[Tensor, Info]:
        """L_V + L_Q: Kostrikov et al. 2021, eq. 5 and 6, with the executed chunk as the action."""
        c = self.config
        cond = self.condition(batch)
        after = {name.removeprefix("next."): value for name, value in batch.items() if name.startswith("next.")}
        pair = torch.cat([cond, batch["action"].flatten(1)], -1)
        with torch.no_grad():
            q_target = self.target(pair.detach()).min(0).values  # (B,)
            goal = batch["reward"] + batch["discount"] * self.v_net(self.condition(after))[:, 0]
        v = self.v_net(cond.detach())[:, 0]
        error = q_target - v
        v_loss = (torch.where(error > 0, c.expectile, 1 - c.expectile) * error.square()).mean()
        q = self.q_nets(pair)  # (E, B)
        q_loss = (q - goal).square().mean()
        loss = v_loss + q_loss
        info = {"loss": float(loss.detach()), "q_loss": float(q_loss.detach()), "v_loss": float(v_loss.detach())}
        return loss, info | {
            "q": float(q.detach().mean()),
            "v": float(v.detach().mean()),
            "doubt": float(q.detach().std(0, correction=0).mean()),
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the targets: Kostrikov et al. 2021, algorithm 1."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.q_nets.parameters()), self.config.target_rate)

    def values(self, cond: Tensor, chunks: Tensor) -> Tensor:
        """(B, C), (B, n, A') in network space -> (E, B): what the artefact exports."""
        return self.q_nets(torch.cat([cond, chunks.flatten(1)], -1))

    @torch.no_grad()
    def q(self, obs: Obs, actions: np.ndarray) -> np.ndarray:
        """actions (B, K, n_action_steps, A) in SI units -> (E, B, K)."""
        k = actions.shape[1]
        chunks = torch.from_numpy(self.normalizer.encode("action", actions)).to(self.device).flatten(0, 1)
        cond = self.condition(self.inputs(obs)).repeat_interleave(k, 0)
        return self.values(cond, chunks).view(-1, len(actions), k).cpu().numpy()

    @torch.no_grad()
    def v(self, obs: Obs) -> np.ndarray:
        """(B,)"""
        return self.v_net(self.condition(self.inputs(obs)))[:, 0].cpu().numpy()
