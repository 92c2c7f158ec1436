"""The sampler's loop as a table, so that training code and artefact run the same one and a new solver changes neither.

Every deterministic one-step solver of a denoising policy is affine in what the network says:

    x  <-  keep[i] * x + gain[i] * net(x, t[i], condition)          from x = noise * N(0, 1)

flow, Euler:   t = i/n, keep = 1, gain = 1/n        diffusion, DDIM: from the noise schedule        regression: keep = 0, gain = 1
The clean chunk that the network has in mind at step i, which steering looks at, is hat_keep[i] * x + hat_gain[i] * net.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Schedule:
    """n network evaluations; every tuple has n entries."""

    times: tuple[float, ...]
    keep: tuple[float, ...]
    gain: tuple[float, ...]
    hat_keep: tuple[float, ...]
    hat_gain: tuple[float, ...]
    noise: float = 1.0

    def __len__(self) -> int:
        return len(self.times)

    def as_dict(self) -> dict[str, Any]:
        """For the artefact's manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Schedule:
        """Raises TypeError, KeyError or ValueError if `raw` is none."""
        columns = {name: tuple(float(v) for v in raw[name]) for name in ("times", "keep", "gain", "hat_keep", "hat_gain")}
        if len({len(c) for c in columns.values()}) != 1:
            raise ValueError("the columns of the schedule differ in length")
        return cls(**columns, noise=float(raw["noise"]))


def euler(steps: int) -> Schedule:
    """Flow matching from t = 0 (noise) to 1 (data) in `steps` equal steps."""
    times = tuple(i / steps for i in range(steps))
    ones = (1.0,) * steps
    return Schedule(times, ones, (1 / steps,) * steps, ones, tuple(1 - t for t in times))


REGRESSION = Schedule((0.0,), (0.0,), (1.0,), (0.0,), (1.0,), noise=0.0)
