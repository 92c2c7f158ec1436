"""Say what is in a recording: size, tasks, lengths, features, cameras, and what can be done with it.

No frame is decoded. Ranges come from the values themselves, or from the stored statistics where the columns are large.
What is missing or damaged is said, and the rest is shown as far as it can be read.

examples:
  waldo data info datasets/pick_place
  waldo data info pusht/pusht_cchi_v7_replay.zarr.zip fps=10
  waldo data info datasets/pick_place elements=true       every element with its unit and range
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from data.cache import cache_folders
from data.errors import DatasetError
from data.lerobot import layout
from data.results import Figure
from data.source import Header, Source, Table
from waldo.dataset import terminal
from waldo.dataset.next_steps import next_steps
from waldo.dataset.opening import look_at
from waldo.dataset.terminal import aligned, cut

READ = 256 << 20, 2000  # bytes of columns and number of files that are read for the ranges
TASKS = 8  # that are listed
WHO = ("actor", "intervention", "is_intervention")  # last part of a column's name: who chose the action
Range = tuple[np.ndarray, np.ndarray]


@dataclass
class _Seen:
    """What could be read of the values.

    ranges    per column its smallest and largest elements, (D,) each; whole   columns whose every value was needed
    warnings  what could not be read, and why
    """

    ranges: dict[str, Range] = field(default_factory=dict)
    whole: Table = field(default_factory=dict)
    stored: bool = False
    warnings: list[str] = field(default_factory=list)


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    source, rate_is_known = look_at(cfg.path, cfg.fps)
    header, seen = source.header, _look(source)
    starts = np.cumsum(header.lengths) - header.lengths
    figures = [Figure("info/episodes", len(header.lengths)), Figure("info/frames", int(header.lengths.sum()))]
    if rate_is_known:
        figures.append(Figure("info/seconds", float(header.lengths.sum()) / header.fps, "s"))
    facts = [
        ("format", header.format),
        ("robot", header.robot_type),
        *_extent(header, rate_is_known),
        ("on disk", _on_disk(source)),
        *_tasks(header),
        *_outcome(seen.whole, starts, figures),
        *_who(seen.whole, starts, header),
        *_origin(header.provenance),
        *_caches(header),
    ]
    lines = [str(header.root), "", *aligned(facts), "", *_features(header, seen, bool(cfg.elements)), *_cameras(header)]
    for warning in seen.warnings:
        lines += ["", "! " + terminal.paragraph(warning, 2)]
    lines.append("")
    steps = next_steps(cfg.path, header, cfg.fps, rate_is_known)
    wide = max((len(command) for command, _ in steps if len(command) < 80), default=0)
    lines += [f"  $ {command:<{wide}}  # {what}" for command, what in steps]
    print("\n".join([*lines, ""]) if lines[-1] else "\n".join(lines))
    return figures


def _look(source: Source) -> _Seen:
    header, seen = source.header, _Seen()
    every = np.arange(len(header.lengths))
    cameras = [name for name, feature in header.features.items() if feature["dtype"] in ("video", "image")]
    columns = [name for name, feature in header.features.items() if feature["dtype"] not in ("video", "image", "string")]
    told = [name for name in columns if name in ("next.reward", "next.success") or name.rpartition(".")[2] in WHO]
    try:
        source.check(every, cameras)
    except DatasetError as error:
        seen.warnings.append(str(error))
    try:
        needed = int(header.lengths.sum()) * sum(_bytes(header.features[name]) for name in columns)
        small = needed <= READ[0] and len(source.files()[0]) <= READ[1]
        table = source.columns(columns if small else told, every)
        seen.whole = {name: table[name] for name in told}
        for name in columns if small else ():
            values = table[name].reshape(-1, table[name].shape[-1] if table[name].ndim > 1 else 1)
            seen.ranges[name] = (values.min(0), values.max(0))
            if not np.isfinite(seen.ranges[name]).all():
                seen.warnings.append(f"{name} holds values that are not finite")
    except DatasetError as error:
        seen.warnings.append(str(error))
    if not seen.ranges:
        try:
            stats = source.stats()
            seen.ranges = {
                n: (np.ravel(s["min"]), np.ravel(s["max"])) for n, s in stats.items() if n in columns and {"min", "max"} <= set(s)
            }
            seen.stored = True
        except DatasetError as error:
            seen.warnings.append(str(error))
    return seen


def _bytes(feature: Mapping[str, Any]) -> int:
    return int(np.prod(feature["shape"])) * np.dtype(feature["dtype"]).itemsize


def _extent(header: Header, rate_is_known: bool) -> list[tuple[str, str]]:
    lengths, fps = header.lengths, header.fps
    total = int(lengths.sum())
    rate = f"{fps:g} Hz" if rate_is_known else "not said; give it as fps=..."
    size = f"{terminal.count(len(lengths), 'episode')}, {terminal.count(total, 'frame')}"
    rows = [("fps", rate), ("recorded", size + (f", {terminal.duration(total / fps)}" if rate_is_known else ""))]
    spread = [("min", lengths.min()), ("median", np.median(lengths)), ("max", lengths.max())]
    if lengths.min() == lengths.max():
        return [*rows, ("lengths", f"{terminal.count(int(lengths[0]), 'frame')} each")]
    seconds = f"  ({', '.join(f'{value / fps:.1f}' for _, value in spread)} s)" if rate_is_known else ""
    told = ", ".join(f"{name} {terminal.number(value)}" for name, value in spread)
    return [*rows, ("lengths", f"{told} frames{seconds}"), ("", f"{lengths.min()} {terminal.histogram(lengths)} {lengths.max()}")]


def _on_disk(source: Source) -> str:
    small, large = source.files()
    files = [path for path in dict.fromkeys([*small, *large]) if path.exists()]
    sizes = {path: path.stat().st_size for path in files}
    videos = sum(size for path, size in sizes.items() if path.suffix == ".mp4")
    missing = len({*small, *large}) - len(files)
    text = f"{terminal.size(sum(sizes.values()))} in {terminal.count(len(files), 'file')}"
    text += f", of which video {terminal.size(videos)}" if videos else ""
    return text + (f"; {terminal.count(missing, 'file')} missing" if missing else "")


def _tasks(header: Header) -> list[tuple[str, str]]:
    counts = Counter(header.tasks[k] for of in header.task_of for k in of)
    if not counts:
        return [("tasks", ", ".join(header.tasks) or "not said")]
    common = counts.most_common(TASKS)
    wide = max(len(str(number)) for _, number in common)
    texts = [f"{number:>{wide}} x {task}" for task, number in common]
    texts += [f"and {len(counts) - TASKS} more"] if len(counts) > TASKS else []
    return [("task" if len(counts) == 1 else "tasks", texts[0]), *(("", text) for text in texts[1:])]


def _outcome(whole: Table, starts: np.ndarray, figures: list[Figure]) -> list[tuple[str, str]]:
    """Success and return, where they were recorded; they become figures, too."""
    rows, n = [], len(starts)
    if "next.success" in whole:
        good = int(np.logical_or.reduceat(whole["next.success"].reshape(-1).astype(bool), starts).sum())
        rows.append(("success", f"{good} of {terminal.count(n, 'episode')} ({good / n:.1%})"))
        figures.append(Figure("info/success", good / n, n=n))
    if "next.reward" in whole:
        returns = np.add.reduceat(whole["next.reward"].reshape(-1).astype(np.float64), starts)
        mean, low, high = (terminal.number(value) for value in (returns.mean(), returns.min(), returns.max()))
        rows.append(("return", f"mean {mean}, from {low} to {high}"))
        figures.append(Figure("info/return", float(returns.mean()), n=n))
    return rows


def _who(whole: Table, starts: np.ndarray, header: Header) -> list[tuple[str, str]]:
    """Whose actions these are: the share of frames of each value. A column of labels says them in `categories`."""
    rows = []
    for name, column in whole.items():
        if name in ("next.reward", "next.success"):
            continue
        flat = column.reshape(-1)
        labels = dict(enumerate(header.features[name].get("categories") or ()))
        shares = []
        for value in np.unique(flat).tolist():
            episodes = int(np.logical_or.reduceat(flat == value, starts).sum())
            label = labels.get(int(value), ("no", "yes")[value] if flat.dtype == bool else terminal.number(value))
            shares.append(f"{label} {np.mean(flat == value):.1%} of frames, in {terminal.count(episodes, 'episode')}")
        rows.append((name, "; ".join(shares)))
    return rows


def _origin(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = [f"{key} {value}" for key, value in provenance.items() if isinstance(value, str | int | float) and len(str(value)) < 60]
    return [("origin", ", ".join(told))] if told else []


def _caches(header: Header) -> list[tuple[str, str]]:
    cameras = {n: f["shape"] for n, f in header.features.items() if f["dtype"] in ("video", "image")}
    if not cameras:
        return []
    found = []
    for folder in cache_folders(header.root):
        for path in sorted(folder.glob("*.npy*")):
            key, _, rest = path.name.partition("-")
            if key in cameras and path.suffix in (".npy", ".part"):
                state = "" if path.suffix == ".npy" else ", unfinished"
                found.append(f"{terminal.size(path.stat().st_size)}  {key} {rest.partition('-')[0]}{state}, in {folder}")
    needed = sum(int(np.prod(shape)) for shape in cameras.values()) * int(header.lengths.sum())
    texts = found or [f"no decoded frames yet; all of them would take {terminal.size(needed)}"]
    return [("cache", texts[0]), *(("", text) for text in texts[1:])]


def _features(header: Header, seen: _Seen, elements: bool) -> list[str]:
    rows: list[tuple[str, ...]] = [("feature", "dtype", "shape", "from", "to", "unit", "names")]
    for name, feature in header.features.items():
        if feature["dtype"] in ("video", "image") or (name in layout.DEFAULT_FEATURES and not elements):
            continue
        names, units = layout.element_names(feature), [str(unit) for unit in feature.get("units") or ()]
        low, high = seen.ranges.get(name, (None, None))
        ends = ("", "") if low is None or high is None else (terminal.number(low.min()), terminal.number(high.max()))
        shape = "x".join(str(n) for n in feature["shape"])
        rows.append((name, feature["dtype"], shape, *ends, _together(units), " ".join(names)))
        if elements and low is not None and high is not None and len(low) > 1:
            for i, pair in enumerate(zip(low, high, strict=True)):
                label = names[i] if len(names) == len(low) else f"[{i}]"
                rows.append((f"  {label}", "", "", *map(terminal.number, pair), units[i] if len(units) == len(low) else "", ""))
    counted = [name for name in header.features if name in layout.DEFAULT_FEATURES and not elements]
    notes = [f"and {', '.join(counted)}"] if counted else []
    notes += ["ranges are those of the stored statistics"] if seen.stored and seen.ranges else []
    return [*aligned(rows, right=(3, 4)), *(f"  ({note})" for note in notes)]


def _together(units: list[str]) -> str:
    """`m m m 1 1` as `m x3, 1 x2`."""
    runs: list[list[str]] = []
    for unit in units:
        if runs and runs[-1][0] == unit:
            runs[-1].append(unit)
        else:
            runs.append([unit])
    if len(runs) == 1:
        return runs[0][0]
    return cut(", ".join(f"{run[0]} x{len(run)}" if len(run) > 1 else run[0] for run in runs), 24)


def _cameras(header: Header) -> list[str]:
    rows = [("camera", "stored as", "height x width")]
    for name, feature in header.features.items():
        if feature["dtype"] in ("video", "image"):
            told = feature.get("info") or feature.get("video_info") or {}
            codec = [str(told[key]) for key in ("video.codec", "video.pix_fmt") if told.get(key)]
            depth = ["depth"] if told.get("video.is_depth_map") or told.get("is_depth_map") else []
            kind = "video" if feature["dtype"] == "video" else "single images"
            rows.append((name, " ".join([kind, *codec, *depth]), " x ".join(str(n) for n in feature["shape"][:2])))
    return ["", *aligned(rows)] if len(rows) > 1 else []
