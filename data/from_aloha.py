"""ALOHA's and ACT's HDF5 files: a folder with a file per episode, episode_0.hdf5, episode_1.hdf5, ..., or one such file.

    /action (T, 14)                -> action
    /observations/qpos             -> observation.state
    /observations/qvel, effort     -> observation.velocity, observation.effort
    /observations/<other>          -> observation.<other>
    /observations/images/<camera>  -> observation.images.<camera>: uint8 (T, H, W, 3), or an image file in each row (attribute
                                      `compress`), rows of one length with zeros after the image
    /base_action (T, 2)            -> base_action: the speed of a mobile base [m/s, rad/s], as it was measured with the observation. It
                                      keeps its name: ACT's training appends it to the action, others observe it
    attributes sim, compress       -> provenance

The files do not say their frame rate: ACT records at 50 Hz. Vectors of 14 elements are two arms of six joints [rad] and a gripper
(0 closed, 1 open), left before right. A compressed frame has red and blue exchanged inside its JPEG, because the recorder gives
its RGB pictures to OpenCV's imencode, which takes them for BGR; they are exchanged back here. A file whose JPEGs an image viewer
shows in true colours was not written by that recorder, and would come out with red and blue exchanged.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import DatasetError
from data.hdf5.file import MEND, attributes, held, is_dataset, is_group, is_hdf5, leaves, length_of, names_in, opened
from data.hdf5.layout import Camera, Column, Layout, Place, column_at, is_picture
from data.hdf5.source import Hdf5Source
from data.pictures import unpack
from data.source import Given, Header, Source, numbered

if TYPE_CHECKING:
    import h5py

FORMAT = "ALOHA HDF5"
EPISODE = re.compile(r"episode_(\d+)\.(hdf5|h5)")
ACT_RATE = 50  # [Hz]; DT = 0.02 in their constants.py
JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
TWO_ARMS = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in JOINTS)
POSITION, VELOCITY = ("rad",) * 6 + ("1",), ("rad/s",) * 6 + ("1/s",)  # of an arm; the gripper is 0 closed, 1 open
UNITS = {"action": POSITION, "qpos": POSITION, "qvel": VELOCITY}
RENAMED = {"qpos": "state", "qvel": "velocity"}
IMAGES = "observations/images"


def recognises(path: Path) -> bool:
    if path.is_dir():
        return any(numbered(path, EPISODE))
    if not is_hdf5(path):
        return False
    names = names_in(path)
    by_name = EPISODE.fullmatch(path.name) is not None and "data" not in (names or ())
    return by_name or "observations" in (names or ())


def open_source(path: Path, given: Given) -> Source:
    """Raises DatasetError for a damaged file, for one without action or observations, and where no frame rate is given."""
    try:
        fps = given.need_fps(0.0, path)
    except DatasetError as error:
        raise DatasetError(f"{error}. ALOHA's recorder and ACT run at fps={ACT_RATE}") from None
    paths = numbered(path, EPISODE) if path.is_dir() else [path]
    places = []
    for each in paths:
        with opened(each) as file:
            places.append(Place(each, "", length_of(file, "action", each), "action"))
    with opened(paths[0]) as file:
        columns, cameras, ignored = _features(file, paths[0])
        notes = attributes(file)
    layout = Layout(tuple(places), columns, cameras, attributes)
    header = Header(
        root=path,
        format=FORMAT,
        fps=fps,
        robot_type=given.robot_type or "aloha",
        features=layout.features,
        lengths=layout.lengths,
        tasks=(given.task,) if given.task else (),
        task_of=((0,) if given.task else (),) * len(places),
        provenance={**notes, "ignored": sorted(map(str, ignored))},
    )
    return Hdf5Source(header, layout)


def _features(file: h5py.File, path: Path) -> tuple[dict[str, Column], dict[str, Camera], list[str]]:
    """What the first episode has: columns, cameras, and the names of what is neither."""
    if not is_group(file.get("observations")):
        raise DatasetError(f"{path} has no group observations; ALOHA keeps qpos, qvel and images there. It holds {held(file)}")
    columns: dict[str, Column] = {}
    cameras: dict[str, Camera] = {}
    ignored = [name for name in file if name not in ("action", "base_action", "observations")]
    for name, inside, stored in leaves(file, "observations"):
        if inside.startswith(IMAGES + "/"):
            camera = _camera(inside, stored, path)
            if camera is None:
                ignored.append(inside)
            else:
                cameras[f"observation.images.{name.removeprefix('images.')}"] = camera
            continue
        column = _named(name, column_at(inside, stored))
        if column is None:
            ignored.append(inside)
        else:
            columns[f"observation.{RENAMED.get(name, name)}"] = column
    for name in ("action", "base_action"):
        column = _named(name, column_at(name, file[name])) if is_dataset(file.get(name)) else None
        if column is not None:
            columns[name] = column
        elif name == "action":
            raise DatasetError(f"{path}: /action is {file['action'].dtype}{list(file['action'].shape)}; wanted numbers (T, n)")
    return columns, cameras, ignored


def _named(name: str, column: Column | None) -> Column | None:
    """With the elements of two arms, where it has as many; the unit of effort differs between recorders."""
    if column is None or column.frame != (len(TWO_ARMS),):
        return column
    units = {"units": [*UNITS[name], *UNITS[name]]} if name in UNITS else {}
    return dataclasses.replace(column, words={"names": list(TWO_ARMS), **units})


def _camera(inside: str, stored: Any, path: Path) -> Camera | None:
    """None for what is no picture, e.g. depth. The size of compressed frames is that of the first one."""
    if is_picture(stored):
        return Camera(inside, stored.shape[1:3])
    is_bytes = stored.ndim == 2 and stored.dtype == "uint8"
    is_varying = stored.ndim == 1 and stored.dtype.kind in "OS"
    if not (is_bytes or is_varying) or not len(stored):
        return None
    first = unpack(bytes(stored[0]), True, f"{path}: /{inside}, frame 0", MEND)
    return Camera(inside, (first.shape[0], first.shape[1]), packed="bgr")
