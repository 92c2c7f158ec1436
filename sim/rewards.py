"""How well something is done, from 0 to 1: the tolerance function of dm_control (Tassa et al. 2018, arXiv 1801.00690, section 3)."""

from __future__ import annotations

import numpy as np

AT_MARGIN = 0.1  # value one margin away from the bounds


def tolerance(x: np.ndarray, low: float = 0.0, high: float = 0.0, margin: float = 0.0, shape: str = "gaussian") -> np.ndarray:
    """(B,) -> (B,): 1 inside [low, high], falling to AT_MARGIN at `margin` outside of it.

    shape: "gaussian", "linear" (reaches 0 a little past the margin) or "long_tail" (1 / (1 + d^2), never flat).
    With margin 0 it is 1 inside and 0 outside. Raises ValueError for bounds or shapes that are none.
    """
    if low > high or margin < 0:
        raise ValueError(f"tolerance needs low <= high and margin >= 0, found {low}, {high}, {margin}")
    x = np.asarray(x, float)
    outside = np.maximum(np.maximum(low - x, x - high), 0.0)
    if margin == 0:
        return (outside == 0).astype(float)
    d = outside / margin
    if shape == "gaussian":
        return np.exp(d**2 * np.log(AT_MARGIN))
    if shape == "linear":
        return np.clip(1 - d * (1 - AT_MARGIN), 0.0, 1.0)
    if shape == "long_tail":
        return 1 / (1 + d**2 * (1 / AT_MARGIN - 1))
    raise ValueError(f"shape {shape!r}; allowed: gaussian, linear, long_tail")
