"""Minari's datasets: a folder with data/main_data.hdf5 and data/metadata.json. Written from the files of Minari 0.5.4.

    episode_0                       attributes id, seed, total_steps, options/<name> -> extras
        observations (T+1, ...)     -> observation.state; of a Dict or Tuple space, <name> -> observation.<name>, deeper ones with
                                       dots. Its last row is what was observed after the last action
        actions (T, ...)            -> action; discrete ones as int64 (T, 1)
        rewards (T,)                -> next.reward
        terminations, truncations   -> next.terminated, next.truncated
        infos/<name>                -> extras

Spaces that Minari takes for images (uint8, 0 to 255, at least 32x32) and that have three channels are cameras,
observation.images.<name>, as they are or as the JPEGs that Minari makes of them. Minari keeps no frame rate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import DatasetError
from data.hdf5.file import MEND, attributes, contents, held, is_dataset, is_group, leaves, length_of, opened, plain
from data.hdf5.layout import Camera, Column, Layout, Place, column_at, features_in, flag_at, is_picture, known_last, origin_in, restored
from data.hdf5.source import Hdf5Source
from data.lerobot.layout import read_json
from data.source import Given, Header, Source
from data.spec import IMAGE_PREFIX

if TYPE_CHECKING:
    import h5py

FORMAT = "Minari"
FILE, METADATA = "main_data.hdf5", "metadata.json"
SMALLEST = 32  # [px]; Minari takes smaller arrays for codes, as in minigrid
REQUIRED = ("rewards", "terminations", "truncations")
KNOWN = {"observations", "actions", "infos", *REQUIRED}


def recognises(path: Path) -> bool:
    folder = _folder(path)
    return (folder / FILE).is_file() or (_is_arrow(folder) and (path.is_dir() or path.name == METADATA))


def open_source(path: Path, given: Given) -> Source:
    """path   the dataset's folder, its folder data, or main_data.hdf5 in that

    Raises DatasetError for damaged files, for actions of a Dict or Tuple space, and where no frame rate is given.
    """
    folder = _folder(path)
    if not (folder / FILE).exists():
        raise DatasetError(
            f"{folder} is in Minari's arrow format; only hdf5 is read: create the dataset again with data_format='hdf5', Minari's default"
        )
    about = read_json(folder / METADATA, "Minari writes it beside main_data.hdf5; restore it from a copy")
    file_path = folder / FILE
    ours = _parsed(about.get("waldo"))
    with opened(file_path) as file:
        names = _episodes(file, about, file_path)
        places = tuple(Place(file_path, f"/{name}", _length(file[name], file_path), "rewards") for name in names)
        columns, cameras, ignored = _features(file[names[0]], about, features_in(ours), file_path)
        columns = known_last(columns, ours)
        env = str(_parsed(about.get("env_spec")).get("id") or "")
        tasks = [given.task or str(plain(file[name].attrs.get("task", env))) for name in names]
    words = tuple(dict.fromkeys(task for task in tasks if task))
    rate = ours.get("fps")
    rate = float(rate) if isinstance(rate, int | float) else 0.0
    try:
        fps = given.need_fps(rate, path)
    except DatasetError as error:
        make = f"gymnasium.make({env!r})" if env else "its environment"
        raise error if rate else DatasetError(f"{error}. In MuJoCo environments it is 1 / {make}.unwrapped.dt") from None
    layout = Layout(places, columns, cameras, _extras, (folder / METADATA,))
    header = Header(
        root=path,
        format=FORMAT,
        fps=fps,
        robot_type=given.robot_type or str(ours.get("robot_type") or "unknown"),
        features=layout.features,
        lengths=layout.lengths,
        tasks=words,
        task_of=tuple((words.index(task),) if task else () for task in tasks),
        provenance={
            **origin_in(ours),
            **{key: value for key, value in about.items() if key != "waldo" and not key.endswith("_space")},
            "ignored": sorted(map(str, ignored)),
        },
    )
    return Hdf5Source(header, layout)


def _folder(path: Path) -> Path:
    """The folder that holds main_data.hdf5, or would."""
    if path.name in (FILE, METADATA):
        return path.parent
    return path / "data" if (path / "data" / METADATA).exists() or (path / "data" / FILE).exists() else path


def _is_arrow(folder: Path) -> bool:
    try:
        return json.loads((folder / METADATA).read_text(encoding="utf-8"))["data_format"] == "arrow"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _episodes(file: h5py.File, about: Mapping[str, Any], path: Path) -> list[str]:
    """episode_0, episode_1, ...: as many as metadata.json counts, which Minari writes last."""
    count = about.get("total_episodes")
    if not isinstance(count, int) or count < 1:
        raise DatasetError(f"{path.parent / METADATA}: total_episodes is {count!r}; a dataset needs at least one episode")
    names = [f"episode_{i}" for i in range(count)]
    absent = [name for name in names if not is_group(file.get(name))]
    if absent:
        raise DatasetError(f"{path} has no {absent[0]}, but {METADATA} counts {count} episodes; it holds {held(file)}; {MEND}")
    return names


def _length(episode: h5py.Group, path: Path) -> int:
    length, said = length_of(episode, "rewards", path), plain(episode.attrs.get("total_steps"))
    if isinstance(said, int) and said != length:
        raise DatasetError(f"{path}: {episode.name}/rewards has {length} rows, but total_steps is {said}; {MEND}")
    return length


def _features(
    episode: h5py.Group, about: Mapping[str, Any], ours: Mapping[str, Mapping[str, Any]], path: Path
) -> tuple[dict[str, Column], dict[str, Camera], list[str]]:
    """What the first episode has: columns, cameras, and the names of what is neither. `ours` is {} but for an export of ours."""
    missing = [name for name in (*REQUIRED, "actions", "observations") if name not in episode]
    if missing:
        raise DatasetError(f"{path}: {episode.name} has no {', '.join(missing)}; it holds {held(episode)}; {MEND}")
    columns: dict[str, Column] = {}
    cameras: dict[str, Camera] = {}
    ignored = [name for name in episode if name not in KNOWN]
    space = _parsed(about.get("observation_space"))
    for name, inside, stored in leaves(episode, "observations"):
        within = _space_at(space, inside.split("/")[1:])
        dotted = name.replace("_index_", "")
        if _is_image(within) if within else is_picture(stored) and min(stored.shape[1:3]) >= SMALLEST:
            camera = _camera(inside, stored, within)
            if camera is None:
                ignored.append(inside)
            else:
                cameras[IMAGE_PREFIX + (dotted.removeprefix("images.") or "image")] = camera
            continue
        column = column_at(inside, stored, more=1, final=inside)
        if column is None:
            ignored.append(inside)
        else:
            columns[f"observation.{dotted or 'state'}"] = column
    actions = episode["actions"]
    if is_group(actions):
        raise DatasetError(
            f"{path}: the actions are a Dict or Tuple space ({held(actions)}); a policy needs one vector: create the dataset again "
            "from an environment whose actions are flattened (gymnasium.wrappers.TransformAction)"
        )
    for name, inside in (("action", "actions"), ("next.reward", "rewards")):
        column = column_at(inside, episode[inside])
        if column is None:
            raise DatasetError(f"{path}: {episode[inside].name} is no array of numbers (T, n); found {episode[inside]}")
        columns[name] = column
    columns["next.terminated"] = flag_at("terminations", episode["terminations"])
    columns["next.truncated"] = flag_at("truncations", episode["truncations"])
    return restored(columns, ours, episode, "infos/{}"), cameras, ignored


def _parsed(text: object) -> dict[str, Any]:
    """Spaces and specifications are JSON within JSON; {} for what is not."""
    try:
        content = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _space_at(space: Any, parts: list[str]) -> dict[str, Any]:
    """The space of one leaf, {} where metadata.json does not say it."""
    for part in parts:
        inner = space.get("subspaces") if isinstance(space, dict) else None
        index = part.removeprefix("_index_")
        if isinstance(inner, dict):
            space = inner.get(part)
        elif isinstance(inner, list) and index.isdecimal() and int(index) < len(inner):
            space = inner[int(index)]
        else:
            return {}
    return space if isinstance(space, dict) else {}


def _is_image(space: Mapping[str, Any]) -> bool:
    """As Minari decides it."""
    shape = space.get("shape") or []
    if space.get("type") != "Box" or space.get("dtype") != "uint8" or len(shape) not in (2, 3) or min(shape[:2]) < SMALLEST:
        return False
    return bool(np.all(np.asarray(space["low"]) == 0) and np.all(np.asarray(space["high"]) == 255))


def _camera(inside: str, stored: Any, space: Mapping[str, Any]) -> Camera | None:
    """None for grey and stacked pictures."""
    if is_picture(stored):
        return Camera(inside, stored.shape[1:3], more=1)
    shape = space.get("shape") or []
    if len(shape) == 3 and shape[2] == 3 and stored.ndim <= 2:
        return Camera(inside, (int(shape[0]), int(shape[1])), more=1, packed="rgb")
    return None


def _extras(episode: h5py.Group) -> dict[str, Any]:
    infos = contents(episode, "infos") if "infos" in episode and not is_dataset(episode["infos"]) else {}
    return {**attributes(episode), **({"infos": infos} if infos else {})}
