"""One recorded episode in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np


@dataclass(frozen=True, repr=False)
class Episode:
    """T frames at `fps`. Frame t holds what was observed, the action chosen then, and what came of it (`next.*`).

        frame            0        1        2    ...   T-1
        observation.*   o_0      o_1      o_2        o_T-1
        action          a_0      a_1      a_2        a_T-1
        next.*          of a_0   of a_1   of a_2     of a_T-1 (terminated or truncated)

    arrays    read-only, (T, ...) each, under LeRobot's names
    names     element names of each vector, where known; units likewise
    final     what was observed after the last action, name -> (...), where the format keeps it
    extras    what the format keeps of an episode beside frames, e.g. a simulator's states
    Images are not here: `Dataset.images` maps those of all episodes.
    """

    arrays: Mapping[str, np.ndarray]
    fps: float
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    task: str = ""
    index: int = 0
    final: Mapping[str, np.ndarray] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frozen = {}
        for name, array in self.arrays.items():
            view = np.asarray(array).view()
            view.flags.writeable = False
            frozen[name] = view
        lengths = {len(array) for array in frozen.values()}
        if len(lengths) > 1:
            raise ValueError(f"arrays of one episode differ in length: { {k: len(v) for k, v in frozen.items()} }")
        object.__setattr__(self, "arrays", MappingProxyType(frozen))

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in self.arrays.items())
        return f"Episode({self.index}, {self.task!r}, {len(self)} frames at {self.fps:g} Hz: {shapes})"
