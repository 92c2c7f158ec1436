"""Best of N: draw N chunks, execute the one the critic values most (V-GPS, Nakamoto et al. 2024; BFN, Li et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.errors import SpecError
from policies.base import Critic, Guide, Obs, Sampler


@dataclass
class BestOfNConfig:
    num_samples: int = 8  # chunks drawn for every one executed
    pessimism: float = 1.0  # score = mean - pessimism * standard deviation of the ensemble


def scores(q: np.ndarray, pessimism: float) -> np.ndarray:
    """(E, B, K) -> (B, K): a lower confidence bound, so that doubt counts against a chunk."""
    return q.mean(0) - pessimism * q.std(0)


class BestOfN:
    Config = BestOfNConfig

    def __init__(self, config: BestOfNConfig, sampler: Sampler, critic: Critic) -> None:
        if critic.spec.n_action_steps != sampler.spec.n_action_steps or critic.spec.action != sampler.spec.action:
            raise SpecError(
                f"the critic values chunks of {critic.spec.n_action_steps} steps of {critic.spec.action.kind}, "
                f"the policy executes {sampler.spec.n_action_steps} of {sampler.spec.action.kind}"
            )
        self.config, self.sampler, self.critic = config, sampler, critic
        self.spec = sampler.spec

    def sample(self, obs: Obs, num_samples: int, seeds: np.ndarray, guide: Guide | None = None) -> np.ndarray:
        """The `num_samples` best of num_samples * N proposals, best first: (B, K, horizon, A)."""
        proposals = self.sampler.sample(obs, num_samples * self.config.num_samples, seeds, guide)  # (B, K * N, T, A)
        value = scores(self.critic.q(obs, proposals[:, :, : self.spec.n_action_steps]), self.config.pessimism)
        best = np.argsort(-value, axis=1, kind="stable")[:, :num_samples]
        return np.take_along_axis(proposals, best[:, :, None, None], 1)
