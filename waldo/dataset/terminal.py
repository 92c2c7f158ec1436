"""How the data commands write figures for a reader at a terminal: aligned tables, sizes, durations, small histograms."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Sequence

import numpy as np

BARS = "▁▂▃▄▅▆▇█"


def width() -> int:
    """Columns of the terminal, as far as lines should use them."""
    return min(max(shutil.get_terminal_size((120, 24)).columns, 60), 160)


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = (), indent: int = 2) -> list[str]:
    """Rows of cells in columns, two blanks apart. The columns in `right` end at the same place. The last column is cut where the
    terminal ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [text.rjust(wide) if i in right else text.ljust(wide) for i, (text, wide) in enumerate(zip(row, widths, strict=True))]
        lines.append(cut(" " * indent + "  ".join(cells).rstrip(), width()))
    return lines


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(length - 1, 1)].rstrip() + "…"


def paragraph(text: str, indent: int) -> str:
    """Wrapped at the end of the terminal; every line but the first begins after `indent` blanks."""
    return textwrap.fill(text, width(), initial_indent=" " * indent, subsequent_indent=" " * indent, break_on_hyphens=False).lstrip()


def count(number: int, what: str) -> str:
    """`1 episode`, `25,650 frames`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size(count: float) -> str:
    """Bytes as people say them: 0 B, 31.4 kB, 2.1 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """12.3 s, 19 min 59 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float, digits: int = 4) -> str:
    """So many significant digits; whole numbers without a point."""
    value = float(value)
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def histogram(values: np.ndarray, bins: int = 32) -> str:
    """One bar per bin, as high as the fullest one allows; a blank where nothing is. "" where all values are equal."""
    low, high = values.min(), values.max()
    if low == high:
        return ""
    counts, _ = np.histogram(values, min(bins, int(high - low) + 1), (low, high))
    heights = np.ceil(counts / counts.max() * len(BARS)).astype(int)
    return "".join(" " if height == 0 else BARS[height - 1] for height in heights)
