"""A contact sheet: pictures in rows under headings, each with its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

PAPER, INK, SOFT = "#fbfaf8", "#1f2328", "#6a717b"
COLUMNS = 6
DPI = 100


@dataclass(frozen=True)
class Tile:
    part: str  # heading that it stands under
    name: str
    note: str  # smaller, beside the name
    picture: np.ndarray  # (H, W, 3) uint8


def sheet(tiles: Sequence[Tile], together: int, path: Path, shown: int = 300) -> None:
    """Write a PNG. together: so many neighbours belong to each other, and are never parted by a line's end; shown: width of a tile [px]."""
    from matplotlib.figure import Figure

    columns = max(together, COLUMNS // together * together)
    gap, label, heading, margin = 10, 26, 52, 26
    height = round(shown * tiles[0].picture.shape[0] / tiles[0].picture.shape[1])
    parts = [(part, list(group)) for part, group in groupby(tiles, key=lambda tile: tile.part)]
    lines = [-(-len(group) // columns) for _, group in parts]
    width = 2 * margin + columns * shown + (columns - 1) * gap
    whole = margin + sum(heading + count * (height + label + gap) for count in lines)
    plot = Figure(figsize=(width / DPI, whole / DPI), dpi=DPI, facecolor=PAPER)
    y = float(margin)
    for part, group in parts:
        plot.text(margin / width, 1 - (y + 24) / whole, part, fontsize=17, color=INK, weight="bold", va="baseline")
        y += heading - 8
        for i, tile in enumerate(group):
            x = margin + (i % columns) * (shown + gap)
            top = y + (i // columns) * (height + label + gap)
            ax = plot.add_axes((x / width, 1 - (top + height) / whole, shown / width, height / whole))
            ax.imshow(tile.picture, interpolation="lanczos", aspect="auto")
            ax.axis("off")
            base = 1 - (top + height + 17) / whole
            if i % together == 0:
                plot.text((x + 2) / width, base, tile.name, fontsize=10.5, color=INK, va="baseline")
            plot.text((x + shown - 2) / width, base, tile.note, fontsize=9, color=SOFT, va="baseline", ha="right")
        y += -(-len(group) // columns) * (height + label + gap) + 8
    path.parent.mkdir(parents=True, exist_ok=True)
    plot.savefig(path, dpi=DPI, facecolor=PAPER)
