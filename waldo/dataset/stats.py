"""Recompute the statistics of a recording from its values, and compare them with the stored ones.

Per element: min, max, mean, std, the quantiles q01 q10 q50 q90 q99, and the count, all exact. Stored quantiles are usually
averages over episodes, as LeRobot computes them: how far these are off is said, but they do not count as wrong.
Training programs normalise with what is stored. write=true replaces meta/stats.json by what was computed here; the
statistics of single episodes stay as they are. stats.json in the output folder holds the same for any format.

Those of cameras are made of sampled pixels, as a recorder makes them, but of the decoded frames: the recorder saw them before
they were compressed. They count as wrong beyond that.

examples:
  waldo data stats datasets/pick_place
  waldo data stats datasets/pick_place write=true cameras=true
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from data.durable import lock_folder, replacing
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.feature_stats import QUANTILES, ImageStats, Stats, aggregate, column_stats
from data.results import Figure
from data.store import Dataset
from waldo.dataset.opening import look_at
from waldo.dataset.terminal import aligned, number, paragraph

EXACT = ("min", "max", "mean", "std")
TOLERANCE = 1e-4  # of an element's range: float32 arithmetic of other programs is no defect
FLOOR = 1e-9  # nor is what is left of LeRobot's histograms where all values are equal
LOSSY = {"min": 0.25, "max": 0.25, "mean": 0.03, "std": 0.03}  # of 0..1: what compression does to the pixels of a camera
SHOWN = 12  # differences that are listed


@dataclass(frozen=True)
class Difference:
    """One stored value that is not what the frames say, both in words."""

    place: str
    statistic: str
    stored: str
    exact: str

    def __str__(self) -> str:
        return f"{self.place} {self.statistic}: stored {self.stored}, exact {self.exact}"


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    source, _ = look_at(cfg.path, cfg.fps)
    features = source.header.features
    dataset = Dataset(source, cameras=None if cfg.cameras else [])
    if cfg.write and dataset.format != f"LeRobotDataset {layout.VERSION}":
        raise DatasetError(
            f"{dataset.root} is a {dataset.format}: only LeRobotDataset {layout.VERSION} keeps its statistics in one file; leave write "
            "out, or convert it first (waldo data convert)"
        )
    dataset.validate()
    exact = {name: exact_stats(dataset.table([name])[name]) for name in dataset.column_keys if name in features}
    exact |= {key: camera_stats(dataset, key) for key in dataset.camera_keys}
    stored = dataset.stats
    unseen = {name for name, feature in features.items() if name not in exact and feature["dtype"] in ("video", "image")}
    wrong, drift = compare(stored, exact, unseen, dataset)
    print("\n".join([f"{dataset.root}: {dataset.num_frames:,} frames", "", *_table(dataset, exact), ""]))
    print("\n".join(_verdict(dataset, wrong, drift)))

    content = exact | {name: stored[name] for name in unseen if name in stored}
    replace_stats(out / "stats.json", content)
    if cfg.write:
        held = lock_folder(dataset.root)  # a recorder that is appending would write the old ones again
        try:
            replace_stats(dataset.root / layout.STATS, content)
        finally:
            os.close(held)
        print(f"written: {dataset.root / layout.STATS}")
    elif wrong and dataset.format == f"LeRobotDataset {layout.VERSION}":
        print("write=true puts the exact ones in their place")
    figures = [Figure("stats/features", len(exact))]
    return [*figures, Figure("stats/wrong", len(wrong)), Figure("stats/quantile_drift", drift)] if stored else figures


def exact_stats(values: np.ndarray) -> Stats:
    """Statistics over all frames at once. values: (N,), (N, D) or (N, M, D) -> (D,) each; one element at a time, to spare memory."""
    table = values[:, None] if values.ndim == 1 else values
    parts = [column_stats(table[..., i : i + 1]) for i in range(table.shape[-1])]
    return {key: parts[0][key] if key == "count" else np.concatenate([part[key] for part in parts]) for key in parts[0]}


def camera_stats(dataset: Dataset, key: str) -> Stats:
    """Of a camera, as a recorder computes them: sampled pixels of every 5th frame; quantiles are averages over the episodes."""
    total: dict[str, Stats] = {}
    for i in tqdm(range(len(dataset)), desc=key, unit="episode", disable=None):
        seen = ImageStats()
        seen.add(dataset.frames(key, i))
        total = aggregate(total, {key: seen.stats()})
    return total[key]


def compare(
    stored: Mapping[str, Stats], exact: Mapping[str, Stats], unseen: Collection[str], dataset: Dataset
) -> tuple[list[Difference], float]:
    """What is wrong, and how far stored quantiles are off at most, as a share of their element's range.

    unseen   features that were not computed; that they have statistics is all that is asked of them
    """
    if not stored:
        return [], 0.0
    wrong, drift = [], 0.0
    for name, ours in exact.items():
        if name not in stored:
            wrong.append(Difference(name, "statistics", "none", "computed here"))
            continue
        wrong += _differences(name, stored[name], ours, _labels(dataset, name), name in dataset.camera_keys)
        drift = max(drift, _drift(stored[name], ours))
    wrong += [Difference(name, "statistics", "none", "not computed; cameras=true does") for name in unseen if name not in stored]
    wrong += [Difference(name, "statistics", "some", "no such feature") for name in stored if name not in exact and name not in unseen]
    return wrong, drift


def _differences(name: str, theirs: Stats, ours: Stats, labels: Sequence[str], camera: bool) -> Iterator[Difference]:
    low, high = _flat(ours["min"]), _flat(ours["max"])
    for statistic in (*EXACT, *QUANTILES):
        exact = _flat(ours[statistic])
        if statistic not in theirs:
            if statistic in EXACT:
                yield Difference(name, statistic, "none", "computed here")
            continue
        found = _flat(theirs[statistic])
        if len(found) != len(exact):
            yield Difference(name, statistic, f"{len(found)} values", f"{len(exact)}")
            continue
        slack = LOSSY.get(statistic, LOSSY["max"]) if camera else TOLERANCE * (high - low) + 1e-6 * np.abs(exact) + FLOOR
        if statistic in EXACT:
            right = np.abs(found - exact) <= slack  # NaN is never right
        else:
            right = (found >= low - slack) & (found <= high + slack)
        for i in np.flatnonzero(~right).tolist():
            yield Difference(f"{name} {labels[i]}".rstrip(), statistic, f"{found[i]:.6g}", f"{exact[i]:.6g}")
    count = _flat(theirs.get("count", np.zeros(0)))
    if not camera and (len(count) != 1 or count[0] != ours["count"][0]):  # of a camera, other programs sample other frames
        yield Difference(name, "count", " ".join(map(number, count)) or "none", number(ours["count"][0]))


def _drift(theirs: Stats, ours: Stats) -> float:
    spread = _flat(ours["max"]) - _flat(ours["min"])
    off = [np.abs(_flat(theirs[q]) - _flat(ours[q])) for q in QUANTILES if q in theirs and np.size(theirs[q]) == len(spread)]
    shares = np.array([np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0) for apart in off])
    return float(np.max(shares, where=np.isfinite(shares), initial=0))


def _flat(values: np.ndarray) -> np.ndarray:
    """(D,) float64; NaN where a stored value is no number."""
    try:
        return np.ravel(values).astype(np.float64)
    except (TypeError, ValueError):
        return np.full(np.size(values), np.nan)


def _labels(dataset: Dataset, name: str) -> Sequence[str]:
    """One per element; [""] for a scalar without a name."""
    count = 3 if name in dataset.camera_keys else int(dataset.features[name]["shape"][-1])
    named = ("red", "green", "blue") if name in dataset.camera_keys else dataset.column_names.get(name, ())
    if len(named) == count:
        return named
    return [f"[{i}]" for i in range(count)] if count > 1 else [""]


def replace_stats(path: Path, stats: Mapping[str, Stats]) -> None:
    """In one step: a reader sees the old file or the new one."""
    with replacing(path) as temporary:
        temporary.write_bytes(layout.dump_json(stats))


def _table(dataset: Dataset, exact: Mapping[str, Stats]) -> list[str]:
    rows: list[tuple[str, ...]] = [("", *EXACT, *QUANTILES)]
    for name, stats in exact.items():
        columns = [_flat(stats[key]) for key in (*EXACT, *QUANTILES)]
        labels = _labels(dataset, name)
        if len(labels) > 1:
            rows.append((name, *("" for _ in columns)))
        for i, label in enumerate(labels):
            rows.append((f"  {label}" if len(labels) > 1 else name, *(number(column[i], digits=3) for column in columns)))
    return aligned(rows, right=range(1, len(rows[0])))


def _verdict(dataset: Dataset, wrong: Sequence[Difference], drift: float) -> list[str]:
    if not dataset.stats:
        return [f"no statistics are stored with this {dataset.format}"]
    lines = ["the stored statistics are right"]
    if wrong:
        lines = [f"wrong in the stored statistics: {len(wrong)}", *(f"  {paragraph(str(entry), 4)}" for entry in wrong[:SHOWN])]
        lines += [f"  and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
    if drift > TOLERANCE:
        lines.append(f"their quantiles are averages over episodes: up to {drift:.0%} of the range away from the exact ones")
    return lines
