"""LeRobotDataset v2.1, which many trainers still want: one parquet file, and one mp4 per camera, per episode.

    meta/info.json  meta/tasks.jsonl  meta/episodes.jsonl  meta/episodes_stats.jsonl
    data/chunk-000/episode_000000.parquet
    videos/chunk-000/<camera>/episode_000000.mp4

A video that holds exactly one episode is copied, bit for bit; others are encoded anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.episode import Episode
from data.errors import DatasetError
from data.from_lerobot import LeRobotSource
from data.lerobot import layout
from data.lerobot.catalog import open_index
from data.lerobot.feature_stats import ImageStats, Stats, column_stats
from data.lerobot.index import Index
from data.lerobot.video import count_frames, require_codec, write_mp4
from data.outgoing import Beside, columns, episodes, lateness, origin
from data.store import Dataset

FORMAT = "LeRobotDataset v2.1"
SUFFIX = ""
MARK = layout.INFO
RESUMES = False

VERSION = "v2.1"
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
STATISTICS = ("min", "max", "mean", "std", "count")  # v2.1 knows no quantiles


def write(dataset: Dataset, target: Path, progress: bool = True, *, codec: str = "h264") -> list[str]:
    """As `data.export` says. codec: h264 or av1, for videos that cannot be copied; png makes pictures of all, one by one, lossless."""
    require_codec(codec)
    # A mapped or resampled recording shows other frames than its files.
    index = open_index(dataset.root)[0] if type(dataset._source) is LeRobotSource else None
    videos = [key for key in dataset.camera_keys if dataset.features[key]["dtype"] == "video" and codec != layout.STILLS]
    features = _features(dataset, videos, codec)
    (target / "meta").mkdir(parents=True)
    first, copied, beside = 0, 0, Beside()
    with (target / "meta/episodes.jsonl").open("w") as listed, (target / "meta/episodes_stats.jsonl").open("w") as described:
        for i, episode in enumerate(episodes(dataset, f"export {target.name}", progress)):
            place = {"episode_chunk": i // layout.CHUNK, "episode_index": i}
            rows = _rows(dataset, episode, i, first)
            stats = {name: column_stats(values) for name, values in rows.items()}
            stills: dict[str, pa.Array] = {}
            for key in dataset.camera_keys:
                whole = _whole_video(index, key, int(dataset.numbers[i])) if key in videos else None
                if key in videos and whole is None:
                    _require_even(dataset, key, codec)
                frames = dataset.frames(key, i)
                seen = ImageStats()
                seen.add(frames)
                stats[key] = seen.stats()
                if key not in videos:
                    stills[key] = _stills(frames)
                    continue
                path = target / VIDEO_PATH.format(video_key=key, **place)
                path.parent.mkdir(parents=True, exist_ok=True)
                if whole is not None:
                    shutil.copyfile(whole, path)
                    copied += 1
                else:
                    write_mp4(path, frames, dataset.fps, codec)
            path = target / DATA_PATH.format(**place)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(_table(rows, stills, features), path, compression="snappy")
            tasks = list(dataset.episode_tasks(i))
            _line(listed, {"episode_index": i, "tasks": tasks, "length": len(episode)})
            _line(described, {"episode_index": i, "stats": _v21_stats(stats, features)})
            first += len(episode)
            beside.add(episode)
    with (target / "meta/tasks.jsonl").open("w") as file:
        for number, task in enumerate(dataset.tasks):
            _line(file, {"task_index": number, "task": task})
    (target / layout.PROVENANCE).write_bytes(layout.dump_json(origin(dataset)))
    total = len(videos) * dataset.num_episodes
    if copied == total:
        features |= {key: features[key] | {"info": dataset.features[key].get("info", features[key]["info"])} for key in videos}
    (target / layout.INFO).write_bytes(layout.dump_json(_info(dataset, features, len(videos))))
    lost = (
        [f"Every pixel exactly: {total - copied} of {total} videos were encoded anew as {codec}, which is lossy."] if copied < total else []
    )
    late = lateness(dataset)
    if late:
        lost.append(f"The recorded times, which differ from frame_index / fps by up to {late:.3g} s: frames count as evenly spaced.")
    return lost + beside.lost(dataset)


def _features(dataset: Dataset, videos: list[str], codec: str) -> dict[str, dict[str, Any]]:
    """info.json's `features`: columns and cameras as they are, then the automatic columns."""
    features: dict[str, dict[str, Any]] = {name: dict(dataset.features[name]) for name in columns(dataset)}
    for key in dataset.camera_keys:
        height, width = (int(n) for n in dataset.features[key]["shape"][:2])
        if key not in videos:
            features[key] = {"dtype": "image", "shape": [height, width, 3], "names": ["height", "width", "channels"]}
            continue
        features[key] = layout.camera_dict(height, width, dataset.fps, codec)
    return features | {name: dict(feature) for name, feature in layout.DEFAULT_FEATURES.items()}


def _info(dataset: Dataset, features: Mapping[str, Any], cameras: int) -> dict[str, Any]:
    count = dataset.num_episodes
    return {
        "codebase_version": VERSION,
        "robot_type": dataset.robot_type,
        "total_episodes": count,
        "total_frames": dataset.num_frames,
        "total_tasks": len(dataset.tasks),
        "total_videos": count * cameras,
        "total_chunks": (count - 1) // layout.CHUNK + 1,
        "chunks_size": layout.CHUNK,
        "fps": dataset.fps,
        "splits": {"train": f"0:{count}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if cameras else None,
        "features": features,
    }


def _rows(dataset: Dataset, episode: Episode, number: int, first: int) -> dict[str, np.ndarray]:
    """(T, D...) each, scalars (T, 1): the columns, and the automatic ones counted anew."""
    count = len(episode)
    rows = {name: episode[name] for name in columns(dataset)}
    rows |= {"timestamp": (np.arange(count) / episode.fps).astype(np.float32), "task_index": episode["task_index"]}
    rows |= {"frame_index": np.arange(count), "episode_index": np.full(count, number), "index": np.arange(first, first + count)}
    return {name: values[:, None] if values.ndim == 1 else values for name, values in rows.items()}


def _whole_video(index: Index | None, key: str, number: int) -> Path | None:
    """The video file that holds this episode and nothing else, None if there is none."""
    if index is None or key not in index.videos:
        return None
    video, length = index.videos[key], int(index.lengths[number])
    path = video.paths[number]
    alone = video.paths.count(path) == 1 and round(float(video.start_s[number]) * float(index.info["fps"])) == 0
    return path if alone and count_frames(path) == length else None


def _require_even(dataset: Dataset, key: str, codec: str) -> None:
    height, width = (int(n) for n in dataset.features[key]["shape"][:2])
    if height % 2 or width % 2:
        raise DatasetError(
            f"camera {key} of {dataset.root} is {height}x{width} (height x width): {codec} needs even sides; "
            "codec=png keeps every size, without loss"
        )


def _stills(frames: np.ndarray) -> pa.Array:
    """Pictures as PNG inside the parquet file, as Hugging Face's `Image` keeps them."""
    stored = []
    for t, image in enumerate(frames):
        done, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if not done:
            raise DatasetError(f"frame {t} could not be written as PNG")
        stored.append({"bytes": content.tobytes(), "path": f"frame_{t:06d}.png"})
    return pa.array(stored, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def _table(rows: Mapping[str, np.ndarray], stills: Mapping[str, pa.Array], features: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """In the order of `features`; what Hugging Face's `datasets` wants to know of each is in the schema's metadata."""
    arrays, kinds = {}, {}
    for name, feature in features.items():
        if name in stills:
            arrays[name], kinds[name] = stills[name], {"_type": "Image"}
        elif name in rows:
            values = rows[name]
            arrays[name] = _nested(values)
            kinds[name] = _kind(values.shape[1:], feature["dtype"])
    told = json.dumps({"info": {"features": kinds}})
    return pa.table(arrays).replace_schema_metadata({"huggingface": told})


def _nested(values: np.ndarray) -> pa.Array:
    """Flat for shape (1,), fixed-size lists for vectors, nested lists for matrices."""
    array = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 2 and values.shape[1] > 1:
        return pa.FixedSizeListArray.from_arrays(array, values.shape[1])
    if values.ndim > 2:
        for axis in range(values.ndim - 1, 0, -1):
            count = int(np.prod(values.shape[:axis]))
            array = pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * values.shape[axis], pa.int32()), array)
    return array


def _kind(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    value = {"dtype": dtype, "_type": "Value"}
    if shape == (1,):
        return value
    if len(shape) == 1:
        return {"feature": value, "length": shape[0], "_type": "Sequence"}
    return {"shape": list(shape), "dtype": dtype, "_type": f"Array{len(shape)}D"}


def _v21_stats(stats: Mapping[str, Stats], features: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {kind: stats[name][kind].tolist() for kind in STATISTICS} for name in features if name in stats}


def _line(file: Any, content: Mapping[str, Any]) -> None:
    file.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
