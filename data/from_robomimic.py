"""robomimic's HDF5 files, and those that are laid out like them (LIBERO, MimicGen, RoboCasa, Isaac Lab).

    data                      attributes env_args (JSON: env_name, env_kwargs), total, in LIBERO problem_info (JSON)
    data/demo_0               attributes num_samples, model_file, in RoboCasa ep_meta (JSON)
        actions (T, A)        -> action
        obs/<key>             -> observation.<key>, uint8 (T, H, W, 3) -> observation.images.<key>
        next_obs/<key>        its last row is what was observed after the last action
        rewards, dones (T,)   -> next.reward, next.terminated
        states, initial_state -> extras, with the attributes
    mask/<name>               names of demos -> provenance["masks"]: the numbers of those episodes

`dones` is robomimic's own flag. Which frames it marks was chosen when the file was made (`dataset_states_to_obs --done_mode`: 0 frames
of success, 1 the last frame, 2 both), and the file does not say how: with 1 and 2 a critic takes a timeout for a terminal state.
The frame rate is env_kwargs.control_freq, where it is there. Quaternions of robosuite keep their order (x, y, z, w), pictures
their orientation (provenance says `macros_image_convention` where the file does: "opengl" ones are upside down).

Episodes of a filter key:

    masks = Dataset.open("lift.hdf5").provenance["masks"]
    train = Dataset.open("lift.hdf5", episodes=masks["train"])
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import DatasetError
from data.hdf5.file import MEND, attributes, contents, held, is_dataset, is_group, is_hdf5, leaves, length_of, names_in, opened, plain
from data.hdf5.layout import Camera, Column, Layout, Place, column_at, features_in, flag_at, is_picture, known_last, origin_in, restored
from data.hdf5.source import Hdf5Source
from data.source import Given, Header, Source
from data.spec import IMAGE_PREFIX

if TYPE_CHECKING:
    import h5py

FORMAT = "robomimic HDF5"
DEMO = re.compile(r"demo_(\d+)")
EXTRAS = ("states", "initial_state")
KNOWN = {"actions", "obs", "next_obs", "rewards", "dones", *EXTRAS}


def recognises(path: Path) -> bool:
    """Every HDF5 file that does not look like another format: what is wrong with it is said on opening."""
    if not is_hdf5(path):
        return False
    names = names_in(path)
    return names is None or "data" in names or "observations" not in names


def open_source(path: Path, given: Given) -> Source:
    """Raises DatasetError for a file that is damaged, lacks the groups above, or does not say its frame rate."""
    with opened(path) as file:
        data = file.get("data")
        if not is_group(data):
            raise DatasetError(f"{path} holds {held(file)}, but no group data with data/demo_0, data/demo_1, ... as robomimic writes")
        demos = sorted((name for name in data if DEMO.fullmatch(name)), key=lambda name: int(name[5:]))
        if not demos:
            raise DatasetError(f"{path}: data holds {held(data)}; wanted demo_0, demo_1, ...")
        places = tuple(Place(path, f"/data/{demo}", _length(data[demo], path), "actions") for demo in demos)
        notes = attributes(data)
        env, ours = _json(notes.pop("env_args", None)), _json(notes.pop("waldo", None))
        columns, cameras, ignored = _features(data[demos[0]], path, features_in(ours))
        columns = known_last(columns, ours)
        tasks = [given.task or _task(data[demo], notes, env) for demo in demos]
        masks = _masks(file, demos)
        ignored += [name for name in file if name not in ("data", "mask")]
    kwargs: object = env.get("env_kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    rate, robots = ours.get("fps") or kwargs.get("control_freq"), ours.get("robot_type") or kwargs.get("robots")
    robots = robots if isinstance(robots, str) else ",".join(map(str, robots)) if isinstance(robots, list) else ""
    names = tuple(dict.fromkeys(task for task in tasks if task))
    layout = Layout(places, columns, cameras, _extras)
    header = Header(
        root=path,
        format=FORMAT,
        fps=given.need_fps(float(rate) if isinstance(rate, int | float) and rate > 0 else 0.0, path),
        robot_type=given.robot_type or robots or "unknown",
        features=layout.features,
        lengths=layout.lengths,
        tasks=names,
        task_of=tuple((names.index(task),) if task else () for task in tasks),
        provenance={**origin_in(ours), **notes, "env_args": env, "masks": masks, "ignored": sorted(map(str, ignored))},
    )
    return Hdf5Source(header, layout)


def _length(demo: Any, path: Path) -> int:
    if not is_group(demo):
        raise DatasetError(f"{path}: {demo.name} is no group; robomimic keeps an episode in each; {MEND}")
    length, said = length_of(demo, "actions", path), plain(demo.attrs.get("num_samples"))
    if isinstance(said, int) and said != length:
        raise DatasetError(f"{path}: {demo.name}/actions has {length} rows, but num_samples is {said}; {MEND}")
    return length


def _features(
    demo: h5py.Group, path: Path, ours: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Column], dict[str, Camera], list[str]]:
    """What the first episode has: columns, cameras, and the names of what is neither. `ours` is {} but for an export of ours."""
    columns: dict[str, Column] = {}
    cameras: dict[str, Camera] = {}
    ignored: list[str] = []
    renamed = {f"{key}_image": key for key in ours}  # robomimic's convention, which our exporter follows
    for name, inside, stored in leaves(demo, "obs"):
        after = inside.replace("obs/", "next_obs/", 1)
        column = column_at(inside, stored, final=after if is_dataset(demo.get(after)) else "")
        if is_picture(stored):
            key = IMAGE_PREFIX + name.removeprefix("images.")
            cameras[renamed.get(key, key)] = Camera(inside, stored.shape[1:3])
        elif column is not None:
            columns[f"observation.{name}"] = column
        else:
            ignored.append(inside)
    if not columns and not cameras:
        raise DatasetError(
            f"{path}: {demo.name} holds {held(demo)}, but no observations (obs/...); robomimic's dataset_states_to_obs.py "
            "makes them from the simulator's states"
        )
    for name, inside in (("action", "actions"), ("next.reward", "rewards")):
        stored = demo.get(inside)
        column = column_at(inside, stored) if is_dataset(stored) else None
        if column is not None:
            columns[name] = column
        elif stored is not None:
            raise DatasetError(f"{path}: {demo.name}/{inside} is no array of numbers (T, n); found {stored}")
    if is_dataset(demo.get("dones")):
        columns["next.terminated"] = flag_at("dones", demo["dones"])
    columns = restored(columns, ours, demo, "{}")
    known = KNOWN | {column.inside for column in columns.values()}
    return columns, cameras, ignored + [name for name in demo if name not in known]


def _task(demo: h5py.Group, notes: Mapping[str, Any], env: Mapping[str, Any]) -> str:
    """What an episode shows: RoboCasa's sentence, LIBERO's, else the name of the environment."""
    for words in (_json(demo.attrs.get("ep_meta")).get("lang"), _json(notes.get("problem_info")).get("language_instruction")):
        text = " ".join(words) if isinstance(words, list) else words
        if isinstance(text, str) and text.strip():
            return text.strip()
    return str(env.get("env_name") or notes.get("env") or "")


def _json(text: object) -> dict[str, Any]:
    """{} for what is no JSON object: files of other programs put other things there."""
    try:
        content = json.loads(plain(text)) if isinstance(text, str | bytes) else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _masks(file: h5py.File, demos: list[str]) -> dict[str, list[int]]:
    """Filter keys: name -> increasing numbers of the episodes that are in the file."""
    number = {demo: i for i, demo in enumerate(demos)}
    found = contents(file, "mask") if is_group(file.get("mask")) else {}
    return {name: sorted(number[demo] for demo in those if demo in number) for name, those in found.items() if isinstance(those, list)}


def _extras(demo: h5py.Group) -> dict[str, Any]:
    out = attributes(demo)
    for name in EXTRAS:
        found = contents(demo, name)
        if found:
            out[name] = found[name] if is_dataset(demo[name]) else found
    return out
