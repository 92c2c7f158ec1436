"""LeRobotDataset v3.0 on disk: where its files lie and what `meta/info.json` says. Written from lerobot 0.4.4's files.

meta/info.json                            fps, features, totals; renamed last, so its totals are what is committed
meta/stats.json  meta/tasks.parquet       aggregated statistics; task string -> task_index
meta/episodes/chunk-000/file-000.parquet  one row per episode: length, tasks, which data and video files, statistics
data/chunk-000/file-000.parquet           one row per frame
videos/<camera>/chunk-000/file-000.mp4    the frames of one or more episodes
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.spec import IMAGE_PREFIX, Feature

VERSION = "v3.0"  # read and written
OLDER = ("v2.0", "v2.1")  # read
CHUNK = 1000  # files per chunk folder
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
EPISODES = "meta/episodes"
PROVENANCE = "meta/waldo.json"
CACHE = ".cache"
FOLDERS = ("meta", "data", "videos", "images", CACHE)
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"

# Columns that every dataset has and that the recorder fills in itself; timestamp [s] = frame_index / fps.
DEFAULT_FEATURES: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
DTYPES = ("float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TEXT = "string"  # a text per frame, e.g. what is being done; it has no statistics
STILLS = "png"  # the codec of cameras whose pictures are lossless and lie in the data file; the others are video
OURS = ("units", "quaternions", "angles", "categories")  # what we say of a feature beyond LeRobot, which keeps what it does not know


def next_file(chunk: int, file: int, files_per_chunk: int = CHUNK) -> tuple[int, int]:
    """The place after (chunk, file)."""
    return (chunk + 1, 0) if file >= files_per_chunk - 1 else (chunk, file + 1)


def keeps_vector(name: str) -> bool:
    """Whether a one-element feature is read as (N, 1): observations and actions are vectors, all else is scalar (N,)."""
    return name == "action" or name.startswith("observation.")


def column_shape(name: str, feature: Mapping[str, Any]) -> tuple[int, ...]:
    """Per-frame shape of a column in memory; () for scalars."""
    shape = tuple(int(n) for n in feature["shape"])
    return () if shape == (1,) and not keeps_vector(name) else shape


def element_names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a feature's elements, () where there are none. Older recorders nest them: [[...]] or {"motors": [...]}."""
    names = feature.get("names")
    if isinstance(names, dict):
        names = [name for group in names.values() for name in (group if isinstance(group, list) else [])]
    elif isinstance(names, list) and all(isinstance(group, list) for group in names):
        names = [name for group in names for name in group]
    return tuple(map(str, names)) if isinstance(names, list) else ()


def feature_dict(feature: Feature) -> dict[str, Any]:
    """One entry of info.json's `features`."""
    if not feature.name or "/" in feature.name or feature.name in DEFAULT_FEATURES:
        raise DatasetError(
            f"a feature cannot be called {feature.name!r}; no '/' and none of the automatic columns ({', '.join(DEFAULT_FEATURES)})"
        )
    if feature.dtype not in (*DTYPES, TEXT):
        raise DatasetError(f"feature {feature.name!r}: dtype {feature.dtype!r} cannot be stored; allowed: {', '.join((*DTYPES, TEXT))}")
    shape = list(feature.shape) or [1]
    if feature.dtype == TEXT and shape != [1]:
        raise DatasetError(f"feature {feature.name!r}: shape {tuple(shape)}; a text has the shape (1,)")
    if feature.categories and "int" not in feature.dtype:
        raise DatasetError(f"feature {feature.name!r}: categories are counted from 0, so its dtype must be an integer, not {feature.dtype}")
    if any(n < 1 for n in shape):
        raise DatasetError(f"feature {feature.name!r}: shape {tuple(shape)}; every side must be at least 1")
    for what, words in (("names", feature.names), ("units", feature.units)):
        if words and len(words) != shape[0]:
            raise DatasetError(f"feature {feature.name!r}: {len(words)} {what} for {shape[0]} elements; give one each or none")
    entry: dict[str, Any] = {"dtype": feature.dtype, "shape": shape, "names": list(feature.names) or None}
    if feature.units:
        entry["units"] = list(feature.units)
    for key in ("quaternions", "angles", "categories"):
        if getattr(feature, key):
            entry[key] = list(getattr(feature, key))
    return entry


def stills_dict(height: int, width: int) -> dict[str, Any]:
    """The entry of a camera whose frames are stored one by one, in the data file."""
    return {"dtype": "image", "shape": [height, width, 3], "names": ["height", "width", "channels"]}


def camera_dict(height: int, width: int, fps: float, codec: str) -> dict[str, Any]:
    """The entry of a camera whose frames are stored as video."""
    return {
        "dtype": "video",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height,
            "video.width": width,
            "video.codec": codec,
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": fps,
            "video.channels": 3,
            "has_audio": False,
        },
    }


def camera_key(name: str) -> str:
    """`top` or `observation.images.top` -> `observation.images.top`."""
    return name if name.startswith(IMAGE_PREFIX) else IMAGE_PREFIX + name


def features_of(features: Sequence[Feature], cameras: Mapping[str, tuple[int, int]], fps: float, codec: str) -> dict[str, dict[str, Any]]:
    """info.json's `features`: columns, then cameras ((height, width) [px] each), then the automatic columns."""
    columns: dict[str, dict[str, Any]] = {}
    sizes = {camera_key(name): size for name, size in cameras.items()}
    for feature in features:
        if feature.is_image:
            if len(feature.shape) != 3 or feature.shape[2] != 3 or feature.dtype != "uint8":
                raise DatasetError(f"camera {feature.name!r}: {feature.dtype}{feature.shape}; wanted uint8 (height, width, 3)")
            sizes[feature.name] = (feature.shape[0], feature.shape[1])
        elif feature.name in columns:
            raise DatasetError(f"the feature {feature.name!r} is given twice")
        else:
            columns[feature.name] = feature_dict(feature)
    for name, (height, width) in sizes.items():
        if "/" in name or height < 2 or width < 2:
            raise DatasetError(f"camera {name!r} of {height}x{width}: it needs a name without '/' and sides of at least 2")
        if codec != STILLS and (height % 2 or width % 2):
            raise DatasetError(f"camera {name!r} of {height}x{width}: yuv420p video needs even sides; crop it, or take codec {STILLS}")
        columns[name] = stills_dict(height, width) if codec == STILLS else camera_dict(height, width, fps, codec)
    return {**columns, **DEFAULT_FEATURES}


def new_info(features: Mapping[str, Mapping[str, Any]], fps: float, robot_type: str) -> dict[str, Any]:
    """info.json of a dataset without episodes."""
    has_video = any(f["dtype"] == "video" for f in features.values())
    return {
        "codebase_version": VERSION,
        "robot_type": robot_type,
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": "0:0"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if has_video else None,
        "features": {name: dict(feature) for name, feature in features.items()},
    }


def difference(mine: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why frames described by `mine` cannot be appended to a dataset that has `theirs`; empty when they can."""
    found = []
    for name in [*mine, *(n for n in theirs if n not in mine)]:
        if name not in mine or name not in theirs:
            found.append(f"{name!r} is {'new' if name in mine else 'not recorded now'}")
            continue
        for key in ("dtype", "shape", "names", *OURS):
            ours, old = (f.get(key) if not isinstance(f.get(key), tuple) else list(f[key]) for f in (mine[name], theirs[name]))
            # Datasets of other programs carry no units: silence is not a contradiction.
            if ours != old and not (key in OURS and old is None):
                found.append(f"{name!r} {key}: now {ours}, on disk {old}")
    return found


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Raises DatasetError naming the file and the place where it stops being JSON."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; {what}") from None
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as JSON ({error}); restore it from a copy of the dataset") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds a {type(content).__name__}; wanted a JSON object")
    return content


def dump_json(content: Mapping[str, Any]) -> bytes:
    """A line per key and each list on one line: easier to read than json's own indentation, and four times as fast to write."""
    return _indented(content, "\n").encode()


def _indented(value: object, newline: str) -> str:
    if not isinstance(value, Mapping) or not value:
        return _JSON.encode(value)
    inner = newline + "    "
    rows = (f"{inner}{_JSON.encode(str(key))}: {_indented(item, inner)}" for key, item in value.items())
    return "{" + ",".join(rows) + newline + "}"


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain)
