"""What every torch policy and critic shares: a spec, a normaliser, an observation encoder. Algorithms are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.errors import SpecError
from data.spec import PolicySpec
from policies.base import Obs
from policies.encoders import ObsEncoder
from policies.normalize import Normalizer


class SpecModule(nn.Module):
    """A network that reads the observations of `spec`. `config` is the dataclass of the class that inherits."""

    def __init__(self, config: Any, spec: PolicySpec, normalizer: Normalizer, image_dim: int = 128, shift: int = 4) -> None:
        super().__init__()
        self.config, self.spec, self.normalizer = config, spec, normalizer
        vectors = {f.name: normalizer.dim(f.name) for f in spec.observations if not f.is_image}
        images = {f.name: (f.shape[0], f.shape[1]) for f in spec.observations if f.is_image}
        self.encoder = ObsEncoder(vectors, images, spec.n_obs_steps, image_dim, shift)
        self.action_dim = normalizer.dim("action")

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def inputs(self, obs: Obs) -> dict[str, Tensor]:
        """Observations in SI units (B, n_obs_steps, ...) -> tensors in network space.

        Raises SpecError if one is missing, has another shape, or is not finite.
        """
        out = {}
        for feature in self.spec.observations:
            if feature.name not in obs:
                raise SpecError(f"observation {feature.name!r} is missing; found: {', '.join(sorted(obs))}")
            values = np.asarray(obs[feature.name])
            if values.shape[1:] != (self.spec.n_obs_steps, *feature.shape):
                raise SpecError(
                    f"observation {feature.name!r} has shape {values.shape}, "
                    f"wanted (B, {self.spec.n_obs_steps}, {', '.join(map(str, feature.shape))})"
                )
            if not feature.is_image and not np.isfinite(values).all():
                raise SpecError(f"observation {feature.name!r} holds a value that is not finite")
            out[feature.name] = torch.from_numpy(np.ascontiguousarray(self.normalizer.encode(feature.name, values)))
        return {name: value.to(self.device) for name, value in out.items()}

    def condition(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B, C) from tensors in network space."""
        return self.encoder(inputs)
