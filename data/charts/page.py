"""A matplotlib figure as SVG text that takes its colours from the page.

The colours here are placeholders that become CSS variables, so that one picture is right on a light page, on a dark page and
on paper. Text stays text.
"""

from __future__ import annotations

import io
import itertools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

INK, SOFT, LINE, PAPER = "#0a0001", "#0a0002", "#0a0003", "#0a0004"
SERIES = tuple(f"#0a000{i}" for i in "56789a")
_VARIABLES = {INK: "--ink", SOFT: "--soft", LINE: "--line", PAPER: "--paper", "#000000": "--ink", "#ffffff": "--paper"} | {
    color: f"--series-{i}" for i, color in enumerate(SERIES, start=1)
}
_serial = itertools.count(1)


def svg(plot: Plot) -> str:
    """Any matplotlib figure as inline SVG: black and white follow the page, other colours stay. Closes nothing."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "waldo"}):
        plot.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}, bbox_inches="tight", pad_inches=0.04)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    prefix = f"c{next(_serial)}-"  # several plots share one page, and matplotlib repeats its ids
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r"url\(#", f"url(#{prefix}", text)
    text = re.sub(r'href="#', f'href="#{prefix}', text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    text = re.sub(r"font: ((?:\w+ )?[\d.]+px) [^;\"]*", r"font: \1 var(--sans)", text)
    # A path without a fill of its own is black in SVG, which a dark page hides.
    return text.replace("<svg ", '<svg role="img" style="fill: var(--ink)" ', 1)


def axes(width: float = 8.4, height: float = 3.0) -> tuple[Plot, Any]:
    """A figure and its one pair of axes [inch], in the report's style; made without pyplot, so that nothing global changes."""
    from matplotlib.figure import Figure as Plot

    plot = Plot(figsize=(width, height))
    ax = plot.add_subplot()
    ax.set_facecolor("none")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(LINE)
    ax.tick_params(which="both", colors=SOFT, length=0, labelsize=9)
    ax.grid(axis="y", color=LINE, linewidth=0.8)
    ax.set_axisbelow(True)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=SOFT, fontsize=9)
    return plot, ax


def legend(ax: Any, outside: bool = False) -> None:
    """outside: to the right of the axes, top to bottom, where lines fill them."""
    place = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "handlelength": 1.2} if outside else {"loc": "best"}
    box = ax.legend(frameon=False, fontsize=9, **place)
    for text in box.get_texts():
        text.set_color(INK)
