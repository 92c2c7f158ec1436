"""Reading frames out of HDF5 files: `Hdf5Source`, for any format that says in a `Layout` where its numbers and pictures lie."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import DatasetError
from data.hdf5.file import MEND, is_dataset, opened
from data.hdf5.layout import Camera, Column, Layout, Place, is_picture
from data.lerobot.layout import column_shape
from data.pictures import resized, unpack
from data.source import Clip, Header, Size, Source, Table

if TYPE_CHECKING:
    import h5py

SMALL = 64 << 20  # a recording up to this size is identified by its content [bytes]
BLOCK = 8 << 20  # frames are read in pieces of about this size [bytes]
PACKED = 100_000  # guess for a compressed frame of unknown size [bytes]


class Hdf5Source(Source):
    """Episodes in one HDF5 file or in several."""

    def __init__(self, header: Header, layout: Layout) -> None:
        self.header = header
        self._layout = layout

    def check(self, episodes: np.ndarray, cameras: Sequence[str]) -> None:
        columns, chosen = self._layout.columns.values(), [self._layout.cameras[key] for key in cameras]
        for path, places in self._by_file(episodes):
            with opened(path) as file:
                for place in places:
                    for column in columns:
                        _numbers(file, place, column)
                    for camera in chosen:
                        _pictures(file, place, camera)

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        wanted = {name: self._layout.columns[name] for name in names}
        rows = int(self.header.lengths[episodes].sum())
        out = {n: np.empty((rows, *column_shape(n, c.feature)), c.dtype) for n, c in wanted.items()}
        start = 0
        for path, places in self._by_file(episodes):
            with opened(path) as file:
                for place in places:
                    for name, column in wanted.items():
                        part = out[name][start : start + place.length].reshape(place.length, *column.frame)
                        _read(_numbers(file, place, column), place, column, part)
                    start += place.length
        return out

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        camera = self._layout.cameras[key]
        places = [self._layout.places[i] for i in episodes.tolist()]
        ends = np.cumsum([place.length for place in places])
        names = [place.group.rpartition("/")[2] or place.path.stem for place in places]
        return [
            Clip(name, np.arange(end - place.length, end), functools.partial(_frames, place, camera))
            for name, place, end in zip(names, places, ends.tolist(), strict=True)
        ]

    def where(self, episode: int) -> Path:
        return self._layout.places[episode].path

    def files(self) -> tuple[list[Path], list[Path]]:
        paths = list(dict.fromkeys(place.path for place in self._layout.places))
        beside = list(self._layout.beside)
        return (beside + paths, []) if sum(path.stat().st_size for path in paths) <= SMALL else (beside, paths)

    def final(self, episode: int) -> Table:
        place, out = self._layout.places[episode], {}
        with opened(place.path) as file:
            for name, column in self._layout.columns.items():
                stored = file.get(place.at(column.final)) if column.final else None
                if stored is not None:
                    out[name] = _last(stored, f"{place.path}: {place.at(column.final)}", name, column)
        return out

    def extras(self, episode: int) -> dict[str, Any]:
        place = self._layout.places[episode]
        with opened(place.path) as file:
            return self._layout.extras(file[place.group or "/"])

    def _by_file(self, episodes: np.ndarray) -> Iterator[tuple[Path, list[Place]]]:
        """The places of these episodes; those that follow each other in one file together."""
        places = (self._layout.places[i] for i in episodes.tolist())
        for path, those in itertools.groupby(places, key=lambda place: place.path):
            yield path, list(those)


def _rows(file: h5py.File, place: Place, inside: str, more: int) -> h5py.Dataset:
    """A dataset with a row per frame. Raises DatasetError."""
    where = f"{place.path}: {place.at(inside)}"
    stored = file.get(place.at(inside))
    if not is_dataset(stored):
        raise DatasetError(f"{where} is missing, which the first episode has; {MEND}")
    rows = len(stored) if stored.shape else 0
    if inside == place.counted and rows != place.length:
        raise DatasetError(f"{where} has {rows} rows and had {place.length} when the recording was opened; open it again")
    if rows != place.length + more:
        wanted = f"{place.length}, which it should exceed by {more}" if more else str(place.length)
        raise DatasetError(f"{where} has {rows} rows, {place.counted} has {wanted}; {MEND}")
    return stored


def _numbers(file: h5py.File, place: Place, column: Column) -> h5py.Dataset:
    stored = _rows(file, place, column.inside, column.more)
    where = f"{place.path}: {place.at(column.inside)}"
    if stored.shape[1:] != column.frame:
        raise DatasetError(f"{where} has rows of shape {stored.shape[1:]}, the first episode's {column.frame}; {MEND}")
    is_number = stored.dtype.kind in "biuf"
    if not is_number or not (column.dtype == bool or np.can_cast(stored.dtype, column.dtype, "safe")):
        raise DatasetError(f"{where} is {stored.dtype}, wanted {column.dtype}; {MEND}")
    return stored


def _read(stored: h5py.Dataset, place: Place, column: Column, out: np.ndarray) -> None:
    """Fill `out` (T, ...) with the rows of the frames."""
    if column.dtype != bool or stored.dtype == bool:
        stored.read_direct(out, np.s_[: place.length])
        return
    values = stored[: place.length]
    if not np.isin(values, (0, 1)).all():
        raise DatasetError(f"{place.path}: {place.at(column.inside)} holds {values.max():g}; it is a flag, 0 or 1")
    out[...] = values != 0


def _last(stored: h5py.Dataset, where: str, name: str, column: Column) -> np.ndarray:
    if stored.shape[1:] != column.frame or not len(stored):
        raise DatasetError(f"{where} has the shape {stored.shape}, wanted (T, {', '.join(map(str, column.frame))}); {MEND}")
    row = np.asarray(stored[-1], column.dtype).reshape(column_shape(name, column.feature))
    if row.dtype.kind == "f" and not np.isfinite(row).all():
        raise DatasetError(f"{where} ends with {row.tolist()}; every value must be finite: correct it, or leave the episode out")
    return row


def _pictures(file: h5py.File, place: Place, camera: Camera) -> h5py.Dataset:
    stored = _rows(file, place, camera.inside, camera.more)
    if not camera.packed and (not is_picture(stored) or stored.shape[1:3] != camera.size):
        found = f"{stored.dtype}{list(stored.shape[1:])}"
        raise DatasetError(f"{place.path}: {place.at(camera.inside)} has frames {found}, wanted uint8{[*camera.size, 3]}; {MEND}")
    return stored


def _frames(place: Place, camera: Camera, size: Size | None) -> Iterator[np.ndarray]:
    """The frames of an episode, (H, W, 3) RGB. A block of them is in memory at a time, and no file stays open meanwhile."""
    start = 0
    where = f"{place.path}: {place.at(camera.inside)}"
    while start < place.length:
        with opened(place.path) as file:
            stored = _pictures(file, place, camera)
            each = PACKED if stored.dtype.kind == "O" else stored.dtype.itemsize * int(np.prod(stored.shape[1:]))
            chunk = stored.chunks[0] if stored.chunks else 1  # a storage chunk is decompressed as a whole: never cut one
            stop = min(start + max(1, round(BLOCK / each / chunk)) * chunk, place.length)
            block = stored[start:stop]
        for t, row in enumerate(block, start):
            image = unpack(bytes(row), camera.packed == "bgr", f"{where}, frame {t}", MEND) if camera.packed else row
            if image.shape[:2] != camera.size:
                raise DatasetError(f"{where}, frame {t} has {image.shape[:2]} pixels, the first {camera.size}; {MEND}")
            yield resized(image, size)
        start = stop
