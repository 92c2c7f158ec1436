"""Numbers, figures and short texts as HTML: what the cells, tiles and captions of a report are made of."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from data.results import Figure


def is_rate(figure: Figure) -> bool:
    """A fraction with an interval, or a success rate; a loss of 0.3 is neither."""
    share = figure.name.split("/")[0] in ("success", "rate") or (figure.low is not None and (figure.high or 0) <= 1)
    return figure.unit == "" and share and 0 <= figure.value <= 1


def value(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "&ndash;"
    if is_rate(figure):
        return f"{100 * figure.value:.1f}&nbsp;%"
    return number(figure.value) + (f"&nbsp;{escape(figure.unit)}" if figure.unit else "")


def interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    if is_rate(figure):
        return f"{100 * figure.low:.1f} &ndash; {100 * figure.high:.1f}"
    return f"{number(figure.low)} &ndash; {number(figure.high)}"


def number(value: float) -> str:
    """Four digits, more before the point where there are more."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def bar(figure: Figure) -> str:
    if not is_rate(figure):
        return ""
    low = 100 * (figure.value if figure.low is None else figure.low)
    high = 100 * (figure.value if figure.high is None else figure.high)
    return (
        '<svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="0" y="7" width="100" height="2" style="fill: var(--line)"/>'
        f'<rect x="{low:.2f}" y="3" width="{max(0.4, high - low):.2f}" height="10" style="fill: var(--accent); opacity: 0.32"/>'
        f'<rect x="{min(99.2, max(0.0, 100 * figure.value - 0.4)):.2f}" y="1" width="0.8" height="14" style="fill: var(--accent)"/></svg>'
    )


def tile(label: str, figure: Figure, note: str = "") -> str:
    shown = re.sub(r"&nbsp;(.+)$", r"<small>&nbsp;\1</small>", value(figure))
    count = f"n&nbsp;=&nbsp;{figure.n:,}" if figure.n is not None else ""
    between = f'<span title="95 % interval">{interval(figure)}</span>' if figure.low is not None else ""
    return _tile(label, "number", shown, ", ".join(part for part in (between, count, inline(note)) if part))


def text_tile(label: str, text: str, below: str = "") -> str:
    """A tile whose middle is words."""
    return _tile(label, "words", inline(text), inline(below))


def _tile(label: str, kind: str, middle: str, below: str) -> str:
    return (
        f'<div class="tile"><div class="label">{inline(label)}</div><div class="{kind}">{middle}</div>'
        f'<div class="interval">{below}</div></div>'
    )


def origin(provenance: Mapping[str, Any]) -> str:
    """One line: when, from which commit, with which seed, by which command."""
    git = provenance.get("git") or {}
    commit = str(git.get("commit") or "")[:10] + (" with changes" if git.get("dirty") else "")
    seed = provenance.get("seed")
    when = str(provenance.get("time_utc", "")).replace("T", " ").replace("+00:00", " UTC")
    parts = [when, f"commit {commit}" if commit.strip() else "", f"seed {seed}" if seed is not None else ""]
    line = " · ".join(escape(part) for part in parts if part)
    command = provenance.get("command_line")
    return line + (f"{' · ' if line else ''}<code>{escape(str(command))}</code>" if command else "")


def footer(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return ""
    full = escape(json.dumps(provenance, indent=2, ensure_ascii=False, default=str))
    title = "Where this comes from: versions, machine, command"
    return f"<footer><details><summary>{title}</summary><pre><code>{full}</code></pre></details></footer>"


def is_number(value: Any) -> bool:
    """A number, a text that begins with one and may have a unit and an interval, or nothing."""
    text = isinstance(value, str) and re.fullmatch(r"[-+−]?\d[\d.,]*( ?[%A-Za-z/]{1,3})?( \[[^]]*\])?|", value)
    return value is None or bool(text) or isinstance(value, int | float | np.number)


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return "&ndash;" if math.isnan(value) else number(float(value))
    return inline(str(value))


def inline(text: str) -> str:
    safe = escape(text, quote=True)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
    return re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', safe)


def uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
