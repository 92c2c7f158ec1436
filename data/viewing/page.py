"""`write_view(dataset, out)`: one HTML file to look through a recording, offline: films, plots of every column, all episodes.

    page      what is drawn where (data.viewing.panels) and the list of episodes, as JSON
    episode   its columns, base64 of little-endian numbers (T, width), and its films, base64 of an mp4

Everything is in the file, or, with single=False, in a folder: `index.html`, `columns/*.js`, `films/*.mp4`. The page's own
script, style and markup lie in data/viewing/assets; nothing is fetched, and a policy in the page forbids it to be.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.durable import replacing
from data.store import Dataset
from data.viewing.films import film
from data.viewing.panels import drawn_columns, sections

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "plots.js", "films.js", "episodes.js")
FILMS_TOTAL = 18_000_000  # all films of one file, before base64, which adds a third [bytes]
COLUMNS_TOTAL = 3_000_000  # all columns of one file; what is more is kept with 16 bits [bytes]
FILM_BESIDE = 20_000_000  # one film that lies beside the page
SAMPLE = 10  # episodes of one file when none are named
SAMPLE_BESIDE = 100  # the same where films lie beside the page


@dataclass(frozen=True)
class View:
    """What was written: the page to open, the bytes of everything, and the numbers of the episodes in it."""

    page: Path
    size: int
    episodes: tuple[int, ...]


def sample(lengths: np.ndarray, bytes_per_frame: int, single: bool = True) -> list[int]:
    """The episodes that are shown when none are named: evenly spread, the first and the last among them, as many as fit.

    lengths   (E,) frames of every episode; bytes_per_frame   of the columns, as float32
    """
    count = min(len(lengths), SAMPLE if single else SAMPLE_BESIDE)
    while True:
        chosen = np.unique(np.linspace(0, len(lengths) - 1, count).round().astype(int))
        if count == 1 or not single or lengths[chosen].sum() * bytes_per_frame / 2 <= COLUMNS_TOTAL:
            return chosen.tolist()
        count -= 1


def write_view(dataset: Dataset, out: Path, total: int, single: bool = True) -> View:
    """Write the view of all episodes and cameras that are open.

    out      folder of the page; total   episodes of the whole recording
    single   True: `out/view.html` holds everything; False: `out/index.html` with films and columns beside it
    Raises DatasetError if something cannot be read.
    """
    names, wide = drawn_columns(dataset)
    table = dataset.table(names)
    coarse = single and sum(column.size * 4 for column in table.values()) > COLUMNS_TOTAL
    outcomes, films = _outcomes(dataset), _films(dataset, out, single)
    rows: list[dict[str, Any]] = []
    blocks: list[str] = []
    size = 0
    ends = dataset.episode_ends.tolist()
    for i, (number, length) in enumerate(zip(dataset.numbers.tolist(), dataset.lengths.tolist(), strict=True)):
        shown = {key: next(films) for key in dataset.camera_keys}
        row = {"number": number, "length": length, "tasks": list(dataset.episode_tasks(i)), **outcomes[i]}
        columns = {name: pack(table[name][ends[i] - length : ends[i]], coarse) for name in names}
        block = _json({"columns": columns, "films": shown})
        if single:
            blocks.append(f'<script type="application/json" id="episode-{number}">{block}</script>')
        else:
            row["file"] = f"columns/episode_{number:06d}.js"
            size += _write(out / row["file"], f"arrived[{number}]({block});\n".encode())
            size += sum((out / film["file"]).stat().st_size for film in shown.values())
        rows.append(row)
    page = _page(dataset, rows, total, wide, coarse)
    target = out / ("view.html" if single else "index.html")
    size += _write(target, _html(dataset.root.name, page, blocks, single).encode())
    return View(target, size, tuple(dataset.numbers.tolist()))


def _films(dataset: Dataset, out: Path, single: bool) -> Iterator[dict[str, str]]:
    """The films of every episode, camera by camera: {"data": base64}, or {"file": place} once it is written there."""
    wanted = [(i, key) for i in range(dataset.num_episodes) for key in dataset.camera_keys]
    largest = FILMS_TOTAL // max(1, len(wanted)) if single else FILM_BESIDE

    def one(place: tuple[int, str]) -> dict[str, str]:
        i, key = place
        content = film(dataset, key, i, largest)
        if single:
            return {"data": base64.b64encode(content).decode()}
        name = f"films/episode_{int(dataset.numbers[i]):06d}_{_label(key)}.mp4"
        _write(out / name, content)
        return {"file": name}

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(one, place) for place in wanted]
        try:
            with tqdm(total=len(wanted), desc="films", unit="film", delay=2) as bar:
                for future in futures:
                    made = future.result()
                    bar.update()
                    yield made
        finally:
            pool.shutdown(cancel_futures=True)


def pack(values: np.ndarray, coarse: bool) -> dict[str, Any]:
    """Numbers (T, ...) as base64, little-endian: float32, or what keeps them exactly (uint8 for flags, float64 for large whole numbers).

    coarse   floats become uint16 between the least and the largest of each element: value = low + step * number
    """
    flat = np.asarray(values).reshape(len(values), -1)
    extra: dict[str, Any] = {}
    if flat.dtype == bool:
        kind = "u1"
    elif np.issubdtype(flat.dtype, np.integer) and np.abs(flat.astype(np.float64)).max() > 2**24:
        kind = "f8"
    elif coarse and np.issubdtype(flat.dtype, np.floating):
        kind, flat = "u2", flat.astype(np.float64)
        low, high = flat.min(0), flat.max(0)
        step = np.where(high > low, (high - low) / 65535, 1.0)
        flat = np.round((flat - low) / step)
        extra = {"low": low.tolist(), "step": step.tolist()}
    else:
        kind = "f4"
    data = base64.b64encode(np.ascontiguousarray(flat, np.dtype(f"<{kind}")).tobytes()).decode()
    return {"type": kind, "width": flat.shape[1], "data": data, **extra}


def _outcomes(dataset: Dataset) -> list[dict[str, Any]]:
    """Per episode: whether it succeeded and the sum of its rewards, None where the recording does not say."""
    wanted = [name for name in ("next.success", "next.reward") if name in dataset.column_keys]
    table, found = dataset.table(wanted), []
    for start, end in zip(dataset.episode_ends - dataset.lengths, dataset.episode_ends, strict=True):
        success, reward = (table[name][start:end] if name in table else None for name in ("next.success", "next.reward"))
        found.append(
            {
                "success": None if success is None else bool(np.any(success)),
                "return": None if reward is None else float(np.sum(reward, dtype=np.float64)),
            }
        )
    return found


def _page(dataset: Dataset, rows: Sequence[Mapping[str, Any]], total: int, wide: Sequence[str], coarse: bool) -> dict[str, Any]:
    robot = "" if dataset.robot_type in ("", "unknown") else f" · {dataset.robot_type}"
    notes = [f"{name} has {np.prod(dataset.features[name]['shape'])} elements per frame and is not drawn." for name in wide]
    notes += ["Numbers are kept with 16 bits between the least and the largest of each episode."] * coarse
    cameras = []
    for key in dataset.camera_keys:
        height, width = dataset.features[key]["shape"][:2]
        cameras.append({"name": key, "label": _label(key), "height": int(height), "width": int(width)})
    every = "episode" if total == 1 else f"all {total} episodes"
    return {
        "about": f"{dataset.format}{robot} · {dataset.fps:g} Hz",
        "selection": every if len(rows) == total else f"{len(rows)} of {total} episodes; others: waldo data view … episodes=[…]",
        "note": " ".join(notes),
        "fps": float(dataset.fps),
        "cameras": cameras,
        "sections": sections(dataset),
        "episodes": list(rows),
    }


def _html(title: str, page: Mapping[str, Any], blocks: Sequence[str], single: bool) -> str:
    folder = HERE / "assets"
    script = "".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    colours = (HERE.parent / "report.css").read_text(encoding="utf-8").partition("* {")[0]  # one set of colours for all pages
    mark = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    beside = "" if single else " file: 'self'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{mark}'{beside}; media-src blob:{beside}"
    parts = {
        "policy": policy,
        "title": escape(title),
        "style": colours + (folder / "page.css").read_text(encoding="utf-8"),
        "page": _json(page),
        "episodes": "\n".join(blocks),
        "script": script,
    }
    pieces = (folder / "page.html").read_text(encoding="utf-8").split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:]))


def _json(content: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: no text of a recording can end it."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _label(key: str) -> str:
    return key.removeprefix("observation.images.").removeprefix("observation.")


def _write(path: Path, content: bytes) -> int:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return len(content)
