"""Several clips in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def contact_sheet(clips: Sequence[np.ndarray], columns: int = 8, gap: int = 2) -> np.ndarray:
    """One row per clip, `columns` frames evenly spread over it: uint8 (H, W, 3).

    clips: each uint8 (T, h, w, 3), all of one size. Raises ValueError if they are not.
    """
    shapes = {clip.shape[1:] for clip in clips}
    if len(shapes) != 1 or any(clip.dtype != np.uint8 or len(clip) == 0 for clip in clips):
        raise ValueError(f"a contact sheet needs uint8 clips of one size, none empty; found {sorted(shapes)}")
    height, width, depth = shapes.pop()
    sheet = np.full((len(clips) * (height + gap) - gap, columns * (width + gap) - gap, depth), 255, dtype=np.uint8)
    for row, clip in enumerate(clips):
        for column, frame in enumerate(np.linspace(0, len(clip) - 1, columns).round().astype(int)):
            y, x = row * (height + gap), column * (width + gap)
            sheet[y : y + height, x : x + width] = clip[frame]
    return sheet
