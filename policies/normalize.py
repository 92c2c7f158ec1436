"""Between SI units and network space, numpy only: the training data goes through it once, the robot every chunk.

Vectors are scaled to [-1, 1] by the range seen in the data (a dimension that never moves maps to 0), quaternions
become 6-D rotations and angles become (cos, sin), which are in [-1, 1] already. Images stay uint8: the encoder
scales them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data.errors import DatasetError, SpecError
from data.rotations import quat_from_sixd, sixd_from_quat
from data.spec import PolicySpec

_STILL = 1e-4  # a range below this [unit of the dimension] is a constant, not a signal: do not blow up its noise


_Part = tuple[slice, str]  # consecutive elements of a vector, and what they are: "scaled", "quat" or "angle"
_WIDTH = {"quat": 6, "angle": 2}


def _layout(dim: int, quaternions: tuple[int, ...], angles: tuple[int, ...] = ()) -> list[_Part]:
    special = sorted([(i, 4, "quat") for i in quaternions] + [(i, 1, "angle") for i in angles])
    parts: list[_Part] = []
    start = 0
    for first, size, kind in [*special, (dim, 0, "end")]:
        if first > start:
            parts.append((slice(start, first), "scaled"))
        if size:
            parts.append((slice(first, first + size), kind))
        start = first + size
    return parts


class Normalizer:
    """Ranges of every vector of a spec, and the maps to and from network space."""

    def __init__(self, spec: PolicySpec, ranges: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self.spec = spec
        self._parts: dict[str, list[_Part]] = {}
        self._center: dict[str, np.ndarray] = {}
        self._scale: dict[str, np.ndarray] = {}
        self.ranges = {name: (np.asarray(lo, np.float32), np.asarray(hi, np.float32)) for name, (lo, hi) in ranges.items()}
        shapes = {f.name: (f.shape[0], _layout(f.shape[0], f.quaternions, f.angles)) for f in spec.observations if not f.is_image}
        shapes["action"] = (spec.action.dim, _layout(spec.action.dim, spec.action.quaternions))
        for name, (dim, parts) in shapes.items():
            if name not in self.ranges or self.ranges[name][0].shape != (dim,):
                raise SpecError(f"statistics for {name!r} must have {dim} elements; found statistics: {', '.join(self.ranges)}")
            low, high = self.ranges[name]
            self._parts[name] = parts
            self._center[name] = (low + high) / 2
            self._scale[name] = np.where(high - low < _STILL, np.float32(1.0), (high - low) / 2)

    @classmethod
    def fit(cls, spec: PolicySpec, columns: Mapping[str, np.ndarray]) -> Normalizer:
        """From whole columns (N, D). Raises DatasetError on values that are not finite."""
        ranges = {}
        for name in [f.name for f in spec.observations if not f.is_image] + ["action"]:
            values = columns[name]
            if not np.isfinite(values).all():
                frame = int(np.argwhere(~np.isfinite(values))[0][0])
                raise DatasetError(f"{name!r} holds a value that is not finite at frame {frame}")
            ranges[name] = (values.min(0), values.max(0))
        return cls(spec, ranges)

    def encode(self, name: str, values: np.ndarray) -> np.ndarray:
        """(..., D) in SI units -> (..., D') float32 in network space; images unchanged."""
        if name not in self._parts:
            return values
        scaled = (values - self._center[name]) / self._scale[name]
        pieces = []
        for part, kind in self._parts[name]:
            if kind == "quat":
                pieces.append(sixd_from_quat(values[..., part]))
            elif kind == "angle":
                pieces += [np.cos(values[..., part]), np.sin(values[..., part])]
            else:
                pieces.append(scaled[..., part])
        return np.concatenate(pieces, -1).astype(np.float32)

    def decode_action(self, values: np.ndarray) -> np.ndarray:
        """(..., A') in network space -> (..., A) float32 in SI units, rotations made orthonormal again.

        Scaled elements are held inside the range of the demonstrations: a sampler's noise must not ask for what nobody did.
        """
        pieces, start = [], 0
        for part, kind in self._parts["action"]:
            width = _WIDTH.get(kind, part.stop - part.start)
            piece = values[..., start : start + width]
            start += width
            if kind == "scaled":
                low, high = (end[part] for end in self.ranges["action"])
                pieces.append(np.clip(piece * self._scale["action"][part] + self._center["action"][part], low, high))
            else:
                pieces.append(quat_from_sixd(piece))
        return np.concatenate(pieces, -1).astype(np.float32)

    def dim(self, name: str) -> int:
        """D' of a vector in network space."""
        return sum(_WIDTH.get(kind, part.stop - part.start) for part, kind in self._parts[name])

    def state(self) -> dict[str, np.ndarray]:
        """Flat arrays for `stats.safetensors`."""
        return {f"{name}/{end}": r[i] for name, r in self.ranges.items() for i, end in enumerate(("min", "max"))}

    @classmethod
    def from_state(cls, spec: PolicySpec, state: Mapping[str, np.ndarray]) -> Normalizer:
        names = sorted({key.rpartition("/")[0] for key in state})
        return cls(spec, {name: (state[f"{name}/min"], state[f"{name}/max"]) for name in names})
