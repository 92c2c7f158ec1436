"""LeRobotDataset v3.0, the native format, through `data.record.Recorder`: what `waldo data convert` makes of any recording.

Every column keeps its values, element names, units, quaternions and angles. An interrupted conversion goes on where it stopped.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.video import require_codec
from data.outgoing import Beside, columns, episodes, lateness, origin, plain
from data.record import Recorder
from data.spec import IMAGE_PREFIX, Feature
from data.store import Dataset

FORMAT = "LeRobotDataset v3.0"
SUFFIX = ""
MARK = layout.INFO
RESUMES = True


def write(dataset: Dataset, target: Path, progress: bool = True, *, codec: str = "h264") -> list[str]:
    """As `data.export` says. codec: h264 or av1 (video), png (pictures one by one, lossless)."""
    require_codec(codec)
    cameras = {camera_name(key): key for key in dataset.camera_keys}
    sizes = {name: (int(dataset.features[key]["shape"][0]), int(dataset.features[key]["shape"][1])) for name, key in cameras.items()}
    _check_sizes(dataset, sizes, codec)
    _check_tasks(dataset)
    features, lost = _features(dataset)
    told = provenance(dataset, codec)
    if (target / layout.INFO).exists() and not _goes_on(target, told):
        shutil.rmtree(target)
    names = [feature.name for feature in features]
    beside, changes = Beside(), False
    with Recorder(target, dataset.fps, features, dataset.robot_type, sizes, codec=codec, provenance=told) as recorder:
        done = recorder.committed
        for i, episode in enumerate(episodes(dataset, f"convert {dataset.root.name}", progress, done), done):
            pictures = {name: dataset.frames(key, i) for name, key in cameras.items()}
            recorder.add_episode({name: episode[name] for name in names}, episode.task, pictures)
            beside.add(episode)
            changes = changes or len(np.unique(episode["task_index"])) > 1
    if cameras and codec != layout.STILLS:
        lost.append(f"Every pixel exactly: {codec} is lossy, colours change by a few levels; codec={layout.STILLS} loses nothing.")
    renamed = [f"{key} is called {name}" for name, key in cameras.items() if name != key]
    if renamed:
        lost.append(f"Names of cameras: {', '.join(renamed)}.")
    if changes:
        lost.append("Changes of the task within an episode: it carries the first of its tasks.")
    late = lateness(dataset)
    if late:
        lost.append(f"The recorded times, which differ from frame_index / fps by up to {late:.3g} s: frames count as evenly spaced.")
    return lost + beside.lost(dataset)


def provenance(dataset: Dataset, codec: str) -> dict[str, Any]:
    """What the converted dataset says about its origin, in meta/waldo.json."""
    return {**origin(dataset), "codec": codec, "fps": dataset.fps, "tasks": list(dataset.tasks)}


def is_done(dataset: Dataset, target: Path, codec: str) -> bool:
    """Whether `target` is a finished conversion of exactly this dataset with this codec."""
    if not (target / layout.INFO).exists():
        return False
    there = Dataset.open(target)
    return plain(there.provenance) == plain(provenance(dataset, codec)) and there.num_episodes == dataset.num_episodes


def camera_name(key: str) -> str:
    """As our datasets call it: `observation.image` -> `observation.images.image`."""
    return key if key.startswith(IMAGE_PREFIX) else layout.camera_key(key.removeprefix("observation."))


def _goes_on(target: Path, told: dict[str, Any]) -> bool:
    """Whether what an interrupted conversion left is of the same source."""
    try:
        return plain(Dataset.open(target).provenance) == plain(told)
    except DatasetError:
        return False


def _check_sizes(dataset: Dataset, sizes: dict[str, tuple[int, int]], codec: str) -> None:
    for name, (height, width) in sizes.items():
        if codec != layout.STILLS and (height % 2 or width % 2):
            raise DatasetError(
                f"camera {name} of {dataset.root} is {height}x{width} (height x width): {codec} needs even sides; "
                f"codec={layout.STILLS} keeps every size, without loss"
            )


def _check_tasks(dataset: Dataset) -> None:
    for i in range(dataset.num_episodes):
        if not any(task.strip() for task in dataset.episode_tasks(i)[:1]):
            raise DatasetError(f'{dataset.root} does not say what episode {int(dataset.numbers[i])} shows; give it in words as task="..."')


def _features(dataset: Dataset) -> tuple[list[Feature], list[str]]:
    """The columns as the recorder wants them, and what had to be left out of their description."""
    features, lost = [], []
    for name in columns(dataset):
        entry = dataset.features[name]
        shape = tuple(int(n) for n in entry["shape"])
        names, units = layout.element_names(entry), tuple(entry.get("units") or ())
        for what, words in (("element names", names), ("units", units)):
            if words and len(words) != shape[0]:
                lost.append(f"The {what} of {name}: {len(words)} of them for the shape {shape}.")
        features.append(
            Feature(
                name,
                shape,
                "float32" if entry["dtype"] == "float16" else entry["dtype"],
                names if len(names) == shape[0] else (),
                units if len(units) == shape[0] else (),
                tuple(entry.get("quaternions") or ()),
                tuple(entry.get("angles") or ()),
            )
        )
    return features, lost
