"""What info.json and stats.json of a damaged dataset still say, and what has to be said instead."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.lerobot import layout

PICTURE = ("height", "width", "channels")


def mended_info(root: Path, fps: float, notes: list[str]) -> tuple[dict[str, Any], float]:
    """info.json with the keys and types that everything else relies on, and the rate that it said [Hz].

    Raises DatasetError where they cannot be known.
    """
    info = layout.read_json(root / layout.INFO, "nothing else says what the columns are; restore it from a copy of the dataset")
    version = info.get("codebase_version")
    if version != layout.VERSION:
        raise DatasetError(
            f"{root} is LeRobotDataset {version!r}; repair mends {layout.VERSION}. Make it one first: waldo data convert {root} dataset=..."
        )
    info = copy.deepcopy(info)
    features = info.get("features")
    if not isinstance(features, dict) or not all(isinstance(f, dict) and "dtype" in f and "shape" in f for f in features.values()):
        raise DatasetError(f"{root / layout.INFO} does not describe its features; restore it from a copy")
    if isinstance(info.get("robot_type"), str | None) is False:
        notes.append(f"robot_type is {info['robot_type']!r}: it becomes text")
        info["robot_type"] = str(info["robot_type"])
    stored = info.get("fps")
    if fps and stored != fps:
        notes.append(f"info.json says {stored!r} Hz: it becomes {fps:g} Hz, as you say")
        info["fps"] = int(fps) if float(fps).is_integer() else fps
    elif not isinstance(stored, int | float) or isinstance(stored, bool) or not math.isfinite(stored) or stored <= 0:
        raise DatasetError(f"{root / layout.INFO} says fps {stored!r}; give the true one, fps=...")
    for name, feature in features.items():
        if feature["dtype"] in ("video", "image"):
            _mend_camera(name, feature, notes)
        elif not isinstance(feature.get("names"), list | dict | None):
            notes.append(f"names of {name!r} are {feature['names']!r}: dropped")
            feature["names"] = None
    for name, entry in layout.DEFAULT_FEATURES.items():
        if name not in features:
            notes.append(f"info.json has no feature {name!r}, which every dataset has: added")
            features[name] = dict(entry)
    if info.get("data_path") != layout.DATA_PATH:
        notes.append(f"data_path is {info.get('data_path')!r}: it becomes {layout.DATA_PATH!r}")
    _check_stats(root, info, notes)
    info.setdefault("total_tasks", 0)
    said = float(stored) if isinstance(stored, int | float) and stored > 0 else fps
    return {**info, "data_path": layout.DATA_PATH, "video_path": layout.VIDEO_PATH}, said


def _mend_camera(name: str, feature: dict[str, Any], notes: list[str]) -> None:
    """Axes in the order in which frames are decoded, and called so: other programs look for the channels by name."""
    shape = [int(n) for n in feature["shape"]]
    if len(shape) == 3 and shape[0] == 3 and shape[2] != 3:
        notes.append(f"shape of {name} is {shape}, channels first: it becomes {[*shape[1:], 3]}, as frames are decoded")
        feature["shape"], feature["names"] = [*shape[1:], 3], list(PICTURE)
    elif layout.element_names(feature) != PICTURE and len(shape) == 3:
        notes.append(f"names of {name} are {feature.get('names')!r}: they become {list(PICTURE)}")
        feature["names"] = list(PICTURE)


def _check_stats(root: Path, info: dict[str, Any], notes: list[str]) -> None:
    """Whether stats.json is there, finite, and of every feature. It is computed anew in any case."""
    path = root / layout.STATS
    try:
        stats = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        notes.append("meta/stats.json is missing: computed anew")
        return
    except (OSError, ValueError):
        notes.append("meta/stats.json cannot be read: computed anew")
        return
    wanted = [name for name, feature in info["features"].items() if feature["dtype"] != "string"]
    missing = [name for name in wanted if not isinstance(stats.get(name), dict) or not {"min", "max", "mean", "std"} <= set(stats[name])]
    if missing:
        notes.append(f"meta/stats.json has nothing, or not all, of {', '.join(missing)}: computed anew")
    bad = [name for name in wanted if name not in missing and not all(is_finite(value) for value in stats[name].values())]
    if bad:
        notes.append(f"meta/stats.json is not finite for {', '.join(bad)}: computed anew")


def is_finite(value: Any) -> bool:
    """Whether every number of nested lists is finite; None is not."""
    try:
        return bool(np.isfinite(np.asarray(value, np.float64)).all())
    except (TypeError, ValueError):
        return False
