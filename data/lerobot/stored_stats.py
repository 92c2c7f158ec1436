"""The statistics of a dataset that is appended to: from meta/stats.json where it can be trusted, else from the rows of meta/episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.feature_stats import Stats, aggregate
from data.lerobot.index import RESTORE, open_parquet

NEEDED = {"min", "max", "mean", "std", "count"}


def stored_stats(root: Path, info: Mapping[str, Any]) -> dict[str, Stats] | None:
    """stats.json if it speaks of exactly the committed frames. After a kill it may be one episode ahead: None."""
    frames = int(info["total_frames"])
    wanted = [name for name, feature in info["features"].items() if feature["dtype"] != layout.TEXT]
    try:
        stored = layout.read_json(root / layout.STATS, "it is made anew")
        stats = {name: {key: _typed(info, name, key, value) for key, value in entry.items()} for name, entry in stored.items()}
        counted, last = int(stats["index"]["count"][0]), int(stats["index"]["max"][0])
        complete = all(NEEDED <= set(stats[name]) for name in wanted)
    except (DatasetError, KeyError, ValueError, IndexError, TypeError, AttributeError):
        return None
    return stats if complete and (counted, last) == (frames, frames - 1) else None


def stats_of_rows(paths: Iterable[Path], info: Mapping[str, Any]) -> dict[str, Stats]:
    """The truth about the committed episodes. paths: the files of meta/episodes. Raises DatasetError if one cannot be read."""
    total: dict[str, Stats] = {}
    for path in paths:
        with open_parquet(path, RESTORE) as file:
            names = [n for n in file.schema_arrow.names if n.startswith("stats/")]
            rows = file.read([*names, "episode_index"], use_threads=False).to_pylist()
        for row in rows:
            if row["episode_index"] < info["total_episodes"]:
                stats: dict[str, Stats] = {}
                for name in names:
                    _, feature, statistic = name.split("/")
                    if row[name] is not None and feature in info["features"]:
                        stats.setdefault(feature, {})[statistic] = _typed(info, feature, statistic, row[name])
                total = aggregate(total, stats)
    return total


def _typed(info: Mapping[str, Any], feature: str, statistic: str, value: Any) -> np.ndarray:
    """A statistic as it was before it was stored: the extremes of integers stay integers."""
    dtype = info["features"][feature]["dtype"]
    return np.asarray(value, dtype if statistic in ("min", "max") and dtype in layout.DTYPES else None)
