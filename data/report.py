"""`Report`: one HTML file that opens anywhere, offline, and prints well. No script, nothing fetched, no temporary files.

    report = Report("Pick and place", "What the run found", provenance)
    report.headline([Figure("success/flow", 0.82, n=100, low=0.73, high=0.88)])
    report.path({"dataset": "200 episodes"})
    report.section("Success", "Every policy saw the same 100 seeds.")
    report.figures(figures)
    report.plot(success_bars(figures), "Bars are 95 % intervals.")
    report.videos([Video(path, "seed 3", success=True)])
    report.write(out / "report.html")

Text may hold `code`, **bold** and [links](https://...); everything else is escaped, so that any string may be shown.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.charts import svg
from data.clips import WHOLE, embeddable, encode
from data.diagram import path_diagram
from data.results import Figure, write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

CLIPS_TOTAL = 14_000_000  # what all videos of one report may weigh before base64, which adds a third [bytes]


@dataclass(frozen=True)
class Video:
    """One clip of a report.

    source   an mp4, or uint8 (T, H, W, 3) RGB frames
    caption  e.g. "seed 1007"
    success  marks the caption; None for neither
    fps      of frames given as an array [Hz]
    """

    source: Path | np.ndarray
    caption: str = ""
    success: bool | None = None
    fps: float = 20.0


class Report:
    """Collects sections and writes them as one file."""

    def __init__(self, title: str, subtitle: str = "", provenance: Mapping[str, Any] | None = None) -> None:
        self.title, self.subtitle, self.provenance = title, subtitle, dict(provenance or {})
        self._tiles: list[Figure] = []
        self._labels: list[str] = []
        self._body: list[str] = []
        self._sections: list[str] = []
        self._clip_bytes = 0

    def headline(self, figures: Sequence[Figure], labels: Sequence[str] | None = None) -> None:
        """The numbers at the top. labels: what to call them; None takes their names."""
        self._tiles += figures
        self._labels += labels if labels is not None else [figure.name for figure in figures]

    def section(self, title: str, text: str = "") -> None:
        self._sections.append(title)
        self._body.append(f'<h2 id="s{len(self._sections)}">{escape(title)}</h2>')
        self.text(text)

    def subsection(self, title: str, text: str = "") -> None:
        self._body.append(f"<h3>{escape(title)}</h3>")
        self.text(text)

    def text(self, text: str) -> None:
        """Paragraphs, separated by empty lines."""
        self._body += [f"<p>{_inline(part)}</p>" for part in re.split(r"\n\s*\n", text.strip()) if part]

    def note(self, text: str) -> None:
        """A paragraph that stands out: a limit of the result, a warning."""
        self._body.append(f'<div class="note"><p>{_inline(text)}</p></div>')

    def code(self, text: str) -> None:
        self._body.append(f"<pre><code>{escape(text.strip())}</code></pre>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """Numbers are aligned to the right; floats are shown with four digits. Raises ValueError for a row of another length."""
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"a row has {len(row)} cells, the table {len(columns)} columns: {row}")
        numeric = [bool(rows) and all(isinstance(row[i], int | float | np.number | None) for row in rows) for i in range(len(columns))]
        classes = ['class="num"' if right else "" for right in numeric]
        head = "".join(f"<th {c}>{_inline(str(name))}</th>" for name, c in zip(columns, classes, strict=True))
        self._table(head, ["".join(f"<td {c}>{_cell(v)}</td>" for v, c in zip(row, classes, strict=True)) for row in rows], caption)

    def figures(self, figures: Sequence[Figure], caption: str = "", labels: Sequence[str] | None = None) -> None:
        """A table of figures; a rate shows its 95 % interval as a bar from 0 to 100 %."""
        names = labels if labels is not None else [figure.name for figure in figures]
        bars = any(map(_is_rate, figures))
        head = ["<th></th>", '<th class="num">value</th>']
        rows = [
            [f"<td>{_inline(name)}</td>", f'<td class="num"><strong>{_value(f)}</strong></td>']
            for name, f in zip(names, figures, strict=True)
        ]
        for title, wanted, cell in (
            ("95 % interval", any(figure.low is not None for figure in figures), _interval),
            ("n", any(figure.n is not None for figure in figures), lambda figure: "" if figure.n is None else f"{figure.n:,}"),
        ):
            if wanted:
                head.append(f'<th class="num">{title}</th>')
                for row, figure in zip(rows, figures, strict=True):
                    row.append(f'<td class="num">{cell(figure)}</td>')
        if bars:
            head.append('<th class="bar"></th>')
            for row, figure in zip(rows, figures, strict=True):
                row.append(f'<td class="bar">{_bar(figure)}</td>')
        self._table("".join(head), ["".join(row) for row in rows], caption, "bars" if bars else "")

    def plot(self, plot: Plot | str, caption: str = "") -> None:
        """plot: a matplotlib figure, or SVG text as data.charts makes it."""
        self._figure(plot if isinstance(plot, str) else svg(plot), caption)

    def image(self, pixels: np.ndarray, caption: str = "") -> None:
        """uint8 (H, W, 3), e.g. a contact sheet, as PNG."""
        from matplotlib.image import imsave

        buffer = io.BytesIO()
        imsave(buffer, np.ascontiguousarray(pixels), format="png")
        self._figure(f'<img alt="{escape(caption, quote=True)}" src="{_uri("image/png", buffer.getvalue())}">', caption, "pixels")

    def path(self, notes: Mapping[str, str], caption: str = "") -> None:
        """The picture of the whole way, with this run's own figures. Raises ValueError for a box that does not exist."""
        self._figure(f'<div class="scroll">{path_diagram(notes)}</div>', caption, "wide")

    def videos(self, videos: Sequence[Video], caption: str = "", width: int = 180) -> None:
        """A grid of clips. width: the least width of one [px]. Large files are written anew, smaller.

        Raises DatasetError if a video cannot be read.
        """
        largest = max(40_000, (CLIPS_TOTAL - self._clip_bytes) // max(1, len(videos)))
        clips = []
        for video in videos:
            if isinstance(video.source, np.ndarray):
                content = encode(video.source, video.fps)
            else:
                content = embeddable(Path(video.source), min(largest, WHOLE))
            self._clip_bytes += len(content)
            mark = "" if video.success is None else ' class="good"' if video.success else ' class="bad"'
            text = f"<figcaption{mark}>{_inline(video.caption)}</figcaption>" if video.caption or mark else ""
            source = _uri("video/mp4", content)
            clips.append(f'<figure class="clip"><video autoplay muted loop playsinline controls src="{source}"></video>{text}</figure>')
        self._body.append(f'<div class="clips" style="--clip: {width}px">{"".join(clips)}</div>')
        if caption:
            self._body.append(f'<p class="caption">{_inline(caption)}</p>')

    def html(self) -> str:
        """The whole page."""
        style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
        tiles = "".join(_tile(label, figure) for label, figure in zip(self._labels, self._tiles, strict=True))
        links = "".join(f'<a href="#s{i}">{escape(name)}</a>' for i, name in enumerate(self._sections, start=1))
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>\n{style}</style></head>\n<body><main>\n<header><h1>{escape(self.title)}</h1>"
            + (f'<p class="subtitle">{_inline(self.subtitle)}</p>' if self.subtitle else "")
            + (f'<p class="origin">{_origin(self.provenance)}</p>' if self.provenance else "")
            + (f'<div class="tiles">{tiles}</div>' if tiles else "")
            + (f"<nav>{links}</nav>" if len(self._sections) > 3 else "")
            + "</header>\n"
            + "\n".join(self._body)
            + f"\n{_footer(self.provenance)}</main></body></html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page in one step and return its path."""
        write_atomic(Path(path), self.html())
        return Path(path)

    def _table(self, head: str, rows: Sequence[str], caption: str, kind: str = "") -> None:
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        table = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        self._figure(f'<div class="scroll">{table}</div>', caption)

    def _figure(self, content: str, caption: str, kind: str = "") -> None:
        text = f"<figcaption>{_inline(caption)}</figcaption>" if caption else ""
        self._body.append(f'<figure class="{kind}">{content}{text}</figure>')


def _is_rate(figure: Figure) -> bool:
    """A fraction with an interval, or a success rate; a loss of 0.3 is neither."""
    share = figure.name.split("/")[0] in ("success", "rate") or (figure.low is not None and (figure.high or 0) <= 1)
    return figure.unit == "" and share and 0 <= figure.value <= 1


def _value(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "&ndash;"
    if _is_rate(figure):
        return f"{100 * figure.value:.1f}&nbsp;%"
    return _number(figure.value) + (f"&nbsp;{escape(figure.unit)}" if figure.unit else "")


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    if _is_rate(figure):
        return f"{100 * figure.low:.1f} &ndash; {100 * figure.high:.1f}"
    return f"{_number(figure.low)} &ndash; {_number(figure.high)}"


def _number(value: float) -> str:
    """Four digits, more before the point where there are more."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _bar(figure: Figure) -> str:
    if not _is_rate(figure):
        return ""
    low = 100 * (figure.value if figure.low is None else figure.low)
    high = 100 * (figure.value if figure.high is None else figure.high)
    return (
        '<svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="0" y="7" width="100" height="2" style="fill: var(--line)"/>'
        f'<rect x="{low:.2f}" y="3" width="{max(0.4, high - low):.2f}" height="10" style="fill: var(--accent); opacity: 0.32"/>'
        f'<rect x="{min(99.2, max(0.0, 100 * figure.value - 0.4)):.2f}" y="1" width="0.8" height="14" style="fill: var(--accent)"/></svg>'
    )


def _tile(label: str, figure: Figure) -> str:
    value = _value(figure).replace("&nbsp;%", "<small>&nbsp;%</small>")
    count = f"n&nbsp;=&nbsp;{figure.n:,}" if figure.n is not None else ""
    interval = f'<span title="95 % interval">{_interval(figure)}</span>' if figure.low is not None else ""
    below = ", ".join(part for part in (interval, count) if part)
    return (
        f'<div class="tile"><div class="label">{_inline(label)}</div><div class="number">{value}</div>'
        f'<div class="interval">{below}</div></div>'
    )


def _origin(provenance: Mapping[str, Any]) -> str:
    """One line: when, from which commit, with which seed, by which command."""
    git = provenance.get("git") or {}
    commit = str(git.get("commit") or "")[:10] + (" with changes" if git.get("dirty") else "")
    seed = provenance.get("seed")
    when = str(provenance.get("time_utc", "")).replace("T", " ").replace("+00:00", " UTC")
    parts = [when, f"commit {commit}" if commit.strip() else "", f"seed {seed}" if seed is not None else ""]
    line = " · ".join(escape(part) for part in parts if part)
    command = provenance.get("command_line")
    return line + (f"{' · ' if line else ''}<code>{escape(str(command))}</code>" if command else "")


def _footer(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return ""
    full = escape(json.dumps(provenance, indent=2, ensure_ascii=False, default=str))
    title = "Where this comes from: versions, machine, command"
    return f"<footer><details><summary>{title}</summary><pre><code>{full}</code></pre></details></footer>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return "&ndash;" if math.isnan(value) else _number(float(value))
    return _inline(str(value))


def _inline(text: str) -> str:
    safe = escape(text, quote=True)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
    return re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', safe)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
