"""`Report`: one HTML file that opens anywhere, offline, and prints well. No script, nothing fetched, no temporary files.

    report = Report("Pick and place", "What the run found", provenance)
    report.finding("82 of 100 episodes succeed; most failures drop the cube.")
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

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data import markup
from data.charts import svg
from data.clips import WHOLE, embeddable, encode
from data.diagram import path_diagram
from data.results import Figure, write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

CLIPS_TOTAL = 14_000_000  # what all videos of one report may weigh before base64, which adds a third [bytes]
JPEG_QUALITY = 82


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
        self._finding = ""
        self._tiles: list[str] = []
        self._body: list[str] = []
        self._sections: list[str] = []
        self._clip_bytes = 0

    def headline(self, figures: Sequence[Figure], labels: Sequence[str] | None = None, notes: Sequence[str] | None = None) -> None:
        """The numbers at the top. labels: what to call them; None takes their names. notes: a few words below each."""
        names = labels if labels is not None else [figure.name for figure in figures]
        below = notes if notes is not None else [""] * len(figures)
        self._tiles += [markup.tile(name, figure, note) for name, figure, note in zip(names, figures, below, strict=True)]

    def headword(self, label: str, text: str, below: str = "") -> None:
        """Words among the numbers at the top."""
        self._tiles.append(markup.text_tile(label, text, below))

    def finding(self, text: str) -> None:
        """The one sentence to read if there is time for one; it stands above the numbers."""
        self._finding = text

    def section(self, title: str, text: str = "") -> None:
        self._sections.append(title)
        self._body.append(f'<h2 id="s{len(self._sections)}">{escape(title)}</h2>')
        self.text(text)

    def subsection(self, title: str, text: str = "") -> None:
        self._body.append(f"<h3>{escape(title)}</h3>")
        self.text(text)

    def text(self, text: str) -> None:
        """Paragraphs, separated by empty lines."""
        self._body += [f"<p>{markup.inline(part)}</p>" for part in re.split(r"\n\s*\n", text.strip()) if part]

    def note(self, text: str) -> None:
        """A paragraph that stands out: a limit of the result, a warning."""
        self._body.append(f'<div class="note"><p>{markup.inline(text)}</p></div>')

    def code(self, text: str) -> None:
        self._body.append(f"<pre><code>{escape(text.strip())}</code></pre>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """Numbers, also `13 %` and `8.2 s`, are aligned to the right; floats are shown with four digits. Raises ValueError for a row of another length."""
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"a row has {len(row)} cells, the table {len(columns)} columns: {row}")
        numeric = [bool(rows) and all(markup.is_number(row[i]) for row in rows) for i in range(len(columns))]
        classes = ['class="num"' if right else "" for right in numeric]
        head = "".join(f"<th {c}>{markup.inline(str(name))}</th>" for name, c in zip(columns, classes, strict=True))
        self._table(head, ["".join(f"<td {c}>{markup.cell(v)}</td>" for v, c in zip(row, classes, strict=True)) for row in rows], caption)

    def figures(
        self,
        figures: Sequence[Figure],
        caption: str = "",
        labels: Sequence[str] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """A table of figures; a rate shows its 95 % interval as a bar from 0 to 100 %. columns: more of them, name -> one cell per figure."""
        names = labels if labels is not None else [figure.name for figure in figures]
        bars = any(map(markup.is_rate, figures))
        head = ["<th></th>", '<th class="num">value</th>']
        rows = [
            [f"<td>{markup.inline(name)}</td>", f'<td class="num"><strong>{markup.value(f)}</strong></td>']
            for name, f in zip(names, figures, strict=True)
        ]
        for title, wanted, cell in (
            ("95 % interval", any(figure.low is not None for figure in figures), markup.interval),
            ("n", any(figure.n is not None for figure in figures), lambda figure: "" if figure.n is None else f"{figure.n:,}"),
        ):
            if wanted:
                head.append(f'<th class="num">{title}</th>')
                for row, figure in zip(rows, figures, strict=True):
                    row.append(f'<td class="num">{cell(figure)}</td>')
        for title, cells in (columns or {}).items():
            head.append(f'<th class="num">{markup.inline(title)}</th>')
            for row, content in zip(rows, cells, strict=True):
                row.append(f'<td class="num">{markup.cell(content)}</td>')
        if bars:
            head.append('<th class="bar"></th>')
            for row, figure in zip(rows, figures, strict=True):
                row.append(f'<td class="bar">{markup.bar(figure)}</td>')
        self._table("".join(head), ["".join(row) for row in rows], caption, "bars" if bars else "")

    def plot(self, plot: Plot | str, caption: str = "") -> None:
        """plot: a matplotlib figure, or SVG text as data.charts makes it."""
        self._figure(f'<div class="scroll">{plot if isinstance(plot, str) else svg(plot)}</div>', caption, "plot")

    def plots(self, plots: Sequence[tuple[str, str]], caption: str = "") -> None:
        """Small plots beside each other where there is room: (SVG text, title) each."""
        parts = "".join(f'<div><div class="title">{markup.inline(title)}</div>{drawn}</div>' for drawn, title in plots)
        self._figure(f'<div class="beside">{parts}</div>', caption)

    def strip(self, title: str, stills: Sequence[tuple[np.ndarray, str]], mark: int = -1) -> None:
        """Pictures in a row, uint8 (H, W, 3) with a caption each, as JPEG. mark: the index of the one that matters."""
        parts = "".join(
            f'<div class="{"mark" * (i == mark)}"><img alt="{escape(text, quote=True)}" src="{_jpeg(pixels)}"><span>{markup.inline(text)}</span></div>'
            for i, (pixels, text) in enumerate(stills)
        )
        self._body.append(
            f'<figure class="strip"><div class="title">{markup.inline(title)}</div><div class="frames">{parts}</div></figure>'
        )

    def image(self, pixels: np.ndarray, caption: str = "") -> None:
        """uint8 (H, W, 3), e.g. a contact sheet, as PNG."""
        from matplotlib.image import imsave

        buffer = io.BytesIO()
        imsave(buffer, np.ascontiguousarray(pixels), format="png")
        self._figure(f'<img alt="{escape(caption, quote=True)}" src="{markup.uri("image/png", buffer.getvalue())}">', caption, "pixels")

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
            text = f"<figcaption{mark}>{markup.inline(video.caption)}</figcaption>" if video.caption or mark else ""
            source = markup.uri("video/mp4", content)
            clips.append(f'<figure class="clip"><video autoplay muted loop playsinline controls src="{source}"></video>{text}</figure>')
        self._body.append(f'<div class="clips" style="--clip: {width}px">{"".join(clips)}</div>')
        if caption:
            self._body.append(f'<p class="caption">{markup.inline(caption)}</p>')

    def html(self) -> str:
        """The whole page."""
        style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
        tiles = "".join(self._tiles)
        links = "".join(f'<a href="#s{i}">{escape(name)}</a>' for i, name in enumerate(self._sections, start=1))
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>\n{style}</style></head>\n<body><main>\n<header><h1>{escape(self.title)}</h1>"
            + (f'<p class="subtitle">{markup.inline(self.subtitle)}</p>' if self.subtitle else "")
            + (f'<p class="origin">{markup.origin(self.provenance)}</p>' if self.provenance else "")
            + (f'<p class="finding">{markup.inline(self._finding)}</p>' if self._finding else "")
            + (f'<div class="tiles">{tiles}</div>' if tiles else "")
            + (f"<nav>{links}</nav>" if len(self._sections) > 3 else "")
            + "</header>\n"
            + "\n".join(self._body)
            + f"\n{markup.footer(self.provenance)}</main></body></html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page in one step and return its path."""
        write_atomic(Path(path), self.html())
        return Path(path)

    def _table(self, head: str, rows: Sequence[str], caption: str, kind: str = "") -> None:
        kind += " many" * (head.count("<th") > 3)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        table = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        self._figure(f'<div class="scroll">{table}</div>', caption)

    def _figure(self, content: str, caption: str, kind: str = "") -> None:
        text = f"<figcaption>{markup.inline(caption)}</figcaption>" if caption else ""
        self._body.append(f'<figure class="{kind}">{content}{text}</figure>')


def _jpeg(pixels: np.ndarray) -> str:
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="jpg", pil_kwargs={"quality": JPEG_QUALITY})
    return markup.uri("image/jpeg", buffer.getvalue())
