"""Where the numbers and pictures of a recording lie in its HDF5 files: what a format's file finds out for `data.hdf5.source`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.lerobot.layout import DTYPES
from data.source import Size

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class Place:
    """Where an episode lies: a group of a file ("" for the whole file), its number of frames, and the dataset that says it."""

    path: Path
    group: str
    length: int
    counted: str

    def at(self, inside: str) -> str:
        return f"{self.group}/{inside}"


@dataclass(frozen=True)
class Column:
    """Numbers, a row per frame.

    inside   the dataset below the episode's group
    frame    shape of a row; dtype   as read
    more     rows beyond the frames: 1 where the observation after the last action is stored with the others
    final    the dataset whose last row is that observation, "" where there is none
    words    what is known of its elements, as in LeRobot's info.json: names, units, quaternions, angles
    """

    inside: str
    frame: tuple[int, ...]
    dtype: np.dtype
    more: int = 0
    final: str = ""
    words: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature(self) -> dict[str, Any]:
        return {"dtype": self.dtype.name, "shape": list(self.frame or (1,)), "names": None, **self.words}


@dataclass(frozen=True)
class Camera:
    """Frames, as they are or each compressed by itself.

    size    height, width [px]; more   as in Column
    packed  "" uint8 (H, W, 3) RGB; "rgb" an image file per row, zeros after it; "bgr" the same, its red and blue exchanged
    """

    inside: str
    size: Size
    more: int = 0
    packed: str = ""

    @property
    def feature(self) -> dict[str, Any]:
        return {"dtype": "image", "shape": [*self.size, 3], "names": ["height", "width", "channels"]}


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    extras   reads, from the group of an episode, what the format keeps of it beside frames
    beside   small files that belong to the recording
    """

    places: tuple[Place, ...]
    columns: Mapping[str, Column]
    cameras: Mapping[str, Camera]
    extras: Callable[[h5py.Group], dict[str, Any]]
    beside: tuple[Path, ...] = ()

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        return {n: c.feature for n, c in self.columns.items()} | {n: c.feature for n, c in self.cameras.items()}

    @property
    def lengths(self) -> np.ndarray:
        return np.array([place.length for place in self.places], np.int64)


def column_at(inside: str, stored: h5py.Dataset, more: int = 0, final: str = "") -> Column | None:
    """A dataset as a column; None if its rows are not numbers, vectors or matrices. Half precision is read as float32."""
    try:
        dtype = stored.dtype
    except (TypeError, ValueError):  # a type that numpy lacks
        return None
    name = "float32" if dtype.name == "float16" else dtype.name
    if name not in DTYPES or not 1 <= stored.ndim <= 3 or 0 in stored.shape[1:]:
        return None
    return Column(inside, tuple(stored.shape[1:]), np.dtype(name), more, final)


def flag_at(inside: str, stored: h5py.Dataset) -> Column:
    """A dataset of zeros and ones as a column of booleans."""
    return Column(inside, tuple(stored.shape[1:]), np.dtype(bool))


def is_picture(stored: h5py.Dataset) -> bool:
    """uint8 (T, H, W, 3)."""
    return stored.ndim == 4 and stored.shape[3] == 3 and 0 not in stored.shape[1:] and stored.dtype == np.uint8


def features_in(ours: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The features in what `data.outgoing.description` put into an export of ours; {} where `ours` is that of no export."""
    features = ours.get("features")
    return {str(n): f for n, f in features.items() if isinstance(f, dict)} if isinstance(features, dict) else {}


def origin_in(ours: Mapping[str, Any]) -> dict[str, Any]:
    origin = ours.get("provenance")
    return origin if isinstance(origin, dict) else {}


def known_last(columns: Mapping[str, Column], ours: Mapping[str, Any]) -> dict[str, Column]:
    """Without the last observations that an export of ours only repeated, because the one after the last action was not recorded."""
    known = ours.get("final")
    if not isinstance(known, list):
        return dict(columns)
    return {name: column if name in known else dataclasses.replace(column, final="") for name, column in columns.items()}


def restored(columns: Mapping[str, Column], ours: Mapping[str, Mapping[str, Any]], episode: h5py.Group, at: str) -> dict[str, Column]:
    """The columns of an export of ours: those that the format demands but nobody recorded are left out again, those that it has
    no name for are found at `at`, e.g. "infos/{}", and all have their names and units back. {} in `ours` changes nothing."""
    if not ours:
        return dict(columns)
    known = {name: column for name, column in columns.items() if name in ours}
    for name, feature in ours.items():
        stored = episode.get(at.format(name)) if feature.get("dtype") in DTYPES else None
        column = column_at(at.format(name), stored) if hasattr(stored, "shape") else None
        if column is not None:
            known[name] = column
    return {name: dataclasses.replace(column, words=_words(ours[name], column)) for name, column in known.items()}


def _words(feature: Mapping[str, Any], column: Column) -> dict[str, Any]:
    size = (column.frame or (1,))[0]
    found: dict[str, Any] = {}
    for key in ("names", "units"):
        words = feature.get(key)
        if isinstance(words, list) and len(words) == size:
            found[key] = [str(word) for word in words]
    for key in ("quaternions", "angles"):
        places = feature.get(key)
        if isinstance(places, list) and all(isinstance(i, int) and 0 <= i < size for i in places):
            found[key] = places
    return found
