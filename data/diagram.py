"""The picture of the whole way, from demonstrations to the arm, with a run's own figures in its boxes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from html import escape

WIDTH, HEIGHT, GAP = 150, 88, 24  # of a box and between columns [px]
_TOP, _MIDDLE, _BOTTOM = 4, 66, 128  # y of the three rows
# name: (column, y, CSS variable of its colour); a column is a stage in time
BOXES = {
    "demonstrations": (0, _TOP, "--series-5"),
    "dataset": (0, _BOTTOM, "--series-5"),
    "policy": (1, _TOP, "--series-1"),
    "critic": (1, _BOTTOM, "--series-1"),
    "steering": (2, _MIDDLE, "--series-1"),
    "evaluation": (3, _TOP, "--series-3"),
    "artefact": (3, _BOTTOM, "--series-2"),
    "control loop": (4, _BOTTOM, "--series-2"),
    "arm": (5, _BOTTOM, "--series-2"),
}
ARROWS = (
    ("demonstrations", "dataset"),
    ("dataset", "policy"),
    ("dataset", "critic"),
    ("policy", "steering"),
    ("critic", "steering"),
    ("steering", "evaluation"),
    ("steering", "artefact"),
    ("artefact", "control loop"),
    ("control loop", "arm"),
)


def path_diagram(notes: Mapping[str, str] | None = None) -> str:
    """Inline SVG. notes: a few words per box, e.g. {"dataset": "200 episodes, 31k frames"}; boxes without one stay pale.

    Raises ValueError for a box that does not exist.
    """
    notes = notes or {}
    unknown = sorted(set(notes) - set(BOXES))
    if unknown:
        raise ValueError(f"no such box: {', '.join(unknown)}; allowed: {', '.join(BOXES)}")
    width = 6 * WIDTH + 5 * GAP
    parts = [
        f'<svg viewBox="-2 0 {width + 4} {_BOTTOM + HEIGHT + 4}" role="img" xmlns="http://www.w3.org/2000/svg">',
        "<title>demonstrations, dataset, policy and critic, steering, evaluation, artefact, control loop, arm</title>",
        '<defs><marker id="path-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.5 L7.5 4 L0 7.5 z" style="fill: var(--soft)"/></marker></defs>',
    ]
    parts += [_arrow(a, b) for a, b in ARROWS]
    parts += [_box(name, notes.get(name, "")) for name in BOXES]
    return "".join([*parts, "</svg>"])


def _corner(name: str) -> tuple[int, int]:
    column, y, _ = BOXES[name]
    return column * (WIDTH + GAP), y


def _arrow(a: str, b: str) -> str:
    (ax, ay), (bx, by) = _corner(a), _corner(b)
    if ax == bx:
        curve = f"M{ax + WIDTH // 2} {ay + HEIGHT} V{by - 1}"
    else:
        start, end = (ax + WIDTH, ay + HEIGHT // 2), (bx - 1, by + HEIGHT // 2)
        middle = (start[0] + end[0]) // 2
        curve = f"M{start[0]} {start[1]} C{middle} {start[1]} {middle} {end[1]} {end[0]} {end[1]}"
    return f'<path d="{curve}" style="fill: none; stroke: var(--soft); stroke-width: 1.3" marker-end="url(#path-tip)"/>'


def _box(name: str, note: str) -> str:
    x, y = _corner(name)
    color = BOXES[name][2]
    opacity = "1" if note else "0.55"
    lines = textwrap.wrap(note, 21, max_lines=3, placeholder=" …")
    text = "".join(
        f'<text x="{x + 12}" y="{y + 43 + 16 * i}" style="font: 12px var(--sans); fill: var(--soft)">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    return (
        f'<g opacity="{opacity}"><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="9" '
        f'style="fill: var(--raised); stroke: var(--line)"/>'
        f'<rect x="{x}" y="{y + 10}" width="3" height="14" rx="1.5" style="fill: var({color})"/>'
        f'<text x="{x + 12}" y="{y + 23}" style="font: 600 14px var(--sans); fill: var(--ink)">{escape(name)}</text>{text}</g>'
    )
