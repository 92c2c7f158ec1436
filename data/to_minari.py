"""Minari's HDF5 storage (farama.org, minari 0.5.4): a folder that `minari.load_dataset` finds under MINARI_DATASETS_PATH. Every
value is kept.

    data/main_data.hdf5    episode_0, ...: attributes id, total_steps, task; observations (T + 1), actions, rewards, terminations,
                           truncations, infos/<every other column>
    data/metadata.json     totals, the spaces, and ours, "waldo"

A single column observation.state is a Box; several observations are a Dict, under their names without "observation." and, of
cameras, "observation.images.".
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.episode import Episode
from data.hdf5.new import keep, new_hdf5, pictures
from data.outgoing import Beside, assumed, columns, description, episodes, last_of, outcome, require_action
from data.spec import IMAGE_PREFIX
from data.store import Dataset

if TYPE_CHECKING:
    import h5py

FORMAT = "Minari"
SUFFIX = ""
MARK = "data/main_data.hdf5"
RESUMES = False

VERSION = "0.5.4"
STATE = "observation.state"
FIXED = {"action": "actions", "next.reward": "rewards", "next.terminated": "terminations", "next.truncated": "truncations"}
_NAMED = re.compile(r"[-_\w]+-v\d+")


def write(dataset: Dataset, target: Path, progress: bool = True) -> list[str]:
    """As `data.export` says."""
    require_action(dataset, FORMAT)
    arrays = _arrays(dataset)
    seen = [name for name in arrays if name.startswith("observation.")]
    final, beside = seen, Beside("final", "extras")
    folder = target / "data"
    folder.mkdir(parents=True)
    with new_hdf5(folder / "main_data.hdf5") as (file, sink):
        for i, episode in enumerate(episodes(dataset, f"export {target.name}", progress)):
            _write_episode(file.create_group(f"episode_{i}"), dataset, i, episode, arrays)
            final = [name for name in final if name in episode.final]
            beside.add(episode)
            sink.check()
    name = target.name if _NAMED.fullmatch(target.name) else re.sub(r"[^-_\w]", "_", target.name) + "-v0"
    metadata = {
        "total_episodes": dataset.num_episodes,
        "total_steps": dataset.num_frames,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "observation_space": json.dumps(_observation_space(dataset, {key: arrays[key] for key in seen})),
        "action_space": json.dumps(_box(dataset.features["action"])),
        "dataset_id": name,
        "author": [],
        "algorithm_name": "",
        "description": "; ".join(dataset.tasks),
        "minari_version": VERSION,
        "dataset_size": round((folder / "main_data.hdf5").stat().st_size / 1e6, 1),  # MB
        "waldo": description(dataset, arrays=arrays, final=final),
    }
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    lost = ["The frame rate, units and element names: they are only under 'waldo' in its metadata.json."]
    if name != target.name:
        lost.append(f"The name {target.name}: Minari wants a version at its end, so that its dataset_id is {name}.")
    repeated = [key for key in seen if key not in final]
    if repeated:
        lost.append(
            f"After the last action of some episodes nothing is known of {', '.join(repeated)}: the last observation is there twice."
        )
    return lost + assumed(dataset) + beside.lost(dataset)


def _arrays(dataset: Dataset) -> dict[str, str]:
    """Feature -> its array below an episode, no two alike."""
    names = (*columns(dataset), *dataset.camera_keys)
    seen = [name for name in names if name.startswith("observation.")]
    arrays: dict[str, str] = {}
    for name in names:
        inside = FIXED.get(name, f"infos/{name}")
        if name.startswith("observation."):
            inside = f"observations/{name.removeprefix(IMAGE_PREFIX).removeprefix('observation.')}"
        if seen == [STATE] == [name]:
            inside = "observations"
        arrays[name] = f"observations/{name}" if inside in arrays.values() else inside
    return arrays


def _write_episode(group: h5py.Group, dataset: Dataset, i: int, episode: Episode, arrays: dict[str, str]) -> None:
    came = outcome(episode)
    group.attrs["id"] = i
    group.attrs["total_steps"] = len(episode)
    group.attrs["task"] = episode.task
    group.create_dataset("rewards", data=came.rewards)
    group.create_dataset("terminations", data=came.terminated)
    group.create_dataset("truncations", data=came.truncated)
    for name, inside in arrays.items():
        if name.startswith("observation."):
            camera = name in dataset.camera_keys
            values = dataset.frames(name, i) if camera else episode[name]
            packed = pictures(values) if camera else {}
            stored = group.create_dataset(inside, (len(values) + 1, *values.shape[1:]), values.dtype, **packed)
            stored[:-1], stored[-1] = values, last_of(episode, name, values)
        elif inside not in group:
            group.create_dataset(inside, data=episode[name])
    infos: Any = episode.extras.get("infos", {})
    scalar = {name: value for name, value in episode.extras.items() if isinstance(value, str | int | float)}
    keep(group, scalar)
    others = {name: value for name, value in episode.extras.items() if name not in scalar and name != "infos"}
    keep(group.require_group("infos"), others | infos)


def _observation_space(dataset: Dataset, inside: dict[str, str]) -> dict[str, Any]:
    if inside == {STATE: "observations"}:
        return _box(dataset.features[STATE])
    spaces = {path.removeprefix("observations/"): _box(dataset.features[name]) for name, path in inside.items()}
    return {"type": "Dict", "subspaces": dict(sorted(spaces.items()))}


def _box(feature: dict[str, Any]) -> dict[str, Any]:
    """The space as Minari writes it: without known limits, those of the numbers' type."""
    camera = feature["dtype"] in ("video", "image")
    dtype = np.dtype(np.uint8 if camera else feature["dtype"])
    if dtype.kind == "f":
        low, high = -np.inf, np.inf
    elif dtype.kind == "b":
        low, high = False, True
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    shape = tuple(int(n) for n in feature["shape"])
    limits = {"low": np.full(shape, low).tolist(), "high": np.full(shape, high).tolist()}
    return {"type": "Box", "dtype": dtype.name, "shape": list(shape), **limits}
