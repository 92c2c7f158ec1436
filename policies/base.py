"""The contracts of learning: `Policy`, `Critic`, `Sampler`, and the words and shapes used everywhere.

B batch · K samples · T time · O observation dim · A action dim · E ensemble

    time        t-1   t   t+1  ...  t+n_action_steps-1  ...  t+horizon-1
    observed     o    o                                              n_obs_steps frames, the last one is `t`
    predicted         a    a    a   ...        a        ...   a      horizon actions, the first one is for `t`
    executed          a    a    a   ...        a                     n_action_steps actions, then observe again

Flow time runs from 0 = noise to 1 = data. mask = 1 - terminated.

Outside a policy everything is in SI units as in the dataset (quaternions w first). `policies.normalize` turns it into
network space and back: scaled to about [-1, 1], quaternions as 6-D rotations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch

from data.spec import PolicySpec

Obs = Mapping[str, np.ndarray]  # name -> (B, n_obs_steps, ...): float32 vectors or uint8 images
Batch = Mapping[str, torch.Tensor]  # one training batch: see data.windows and data.transitions for its keys
Info = dict[str, float]
# Called at every denoising step with (x_t, t, x1_hat), each (B * K, horizon, A) in network space and t in [0, 1);
# returns the x_t to go on with.
Guide = Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor]


class Sampler(Protocol):
    """Anything that proposes action chunks. Steering needs nothing more: any callable of any library can be wrapped."""

    spec: PolicySpec

    def sample(self, obs: Obs, num_samples: int, seeds: np.ndarray, guide: Guide | None = None) -> np.ndarray:
        """Proposals (B, K, horizon, A) in SI units.

        seeds: (B,) uint64, one independent noise stream per row: a row's result does not depend on its neighbours.
        """


class Policy(Sampler, Protocol):
    """A sampler that can be trained."""

    def loss(self, batch: Batch) -> tuple[torch.Tensor, Info]:
        """The scalar to minimise and what to log."""


class Critic(Protocol):
    """Values of executed chunks."""

    spec: PolicySpec

    def loss(self, batch: Batch) -> tuple[torch.Tensor, Info]: ...

    def q(self, obs: Obs, actions: np.ndarray) -> np.ndarray:
        """actions (B, K, n_action_steps, A) in SI units -> (E, B, K)."""

    def v(self, obs: Obs) -> np.ndarray:
        """(B,)"""
