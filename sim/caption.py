"""Words on film frames, so that a clip tells by itself what it shows."""

from __future__ import annotations

import cv2
import numpy as np


def caption(frames: np.ndarray, rate_hz: float, outcome: str = "") -> np.ndarray:
    """(T, H, W, 3) uint8 -> the same with the time, and with `outcome` over the last half second."""
    out = np.ascontiguousarray(frames).copy()
    size = out.shape[1] / 480
    for i, frame in enumerate(out):
        _write(frame, f"{i / rate_hz:4.1f} s", (10, out.shape[1] - 12), size)
        if outcome and i >= len(out) - round(rate_hz / 2):
            _write(frame, outcome, (10, round(34 * size) + 6), 1.3 * size)
    return out


def _write(frame: np.ndarray, text: str, place: tuple[int, int], size: float) -> None:
    for color, width in (((20, 20, 20), 4), ((245, 245, 245), 1)):  # a dark rim keeps it legible on anything
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.1 * size, color, max(1, round(width * size * 1.6)), cv2.LINE_AA)
