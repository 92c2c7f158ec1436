"""Looking into HDF5 files, in which robomimic, ALOHA and Minari keep recordings. `data.hdf5.source` reads their frames.

A file is opened for every read and closed after it (0.1 ms). No handle outlives a call, so that none is shared with a forked
process, where it would read wrong data (pytorch #11887), and none stays open while frames are consumed. h5py itself lets one
thread read at a time. HDF5 holds no pickles; numbers and strings are all that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import DatasetError

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUFFIXES = (".hdf5", ".h5")
DEEP = 8  # groups within groups are followed so far: links may lead in circles
MEND = "restore it from a copy, or leave the episode out"


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A file for reading. What HDF5 raises while it is open becomes a DatasetError that names the file and how to mend it."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise DatasetError(f"{path} is HDF5, which needs h5py: pip install h5py") from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:  # h5py raises any of these for damaged contents
        raise DatasetError(f"{path} {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    if not path.exists():
        return f"is missing; {MEND}"
    size, said = path.stat().st_size, str(error.args[0] if error.args else error)
    stored = re.search(r"stored_eof = (\d+)", said)
    if stored:
        return f"has {size} of {stored[1]} bytes: it was cut off, as by an interrupted copy; {MEND}"
    if not size:
        return f"is empty; {MEND}"
    if "signature not found" in said:
        return f"({size} bytes) is no HDF5 file, or its beginning is damaged; {MEND}"
    if "unable to lock file" in said:
        return "is being written by another program; read it when that has finished"
    if "filter" in said:
        return f"uses a compression that cannot be undone here ({said}); pip install hdf5plugin, repack it with gzip, or {MEND}"
    return f"cannot be read ({said}); {MEND}"


def is_hdf5(path: Path) -> bool:
    """Whether a file says that it is HDF5, by its name or its first bytes; it may be damaged."""
    try:
        with path.open("rb") as file:
            return path.suffix in SUFFIXES or file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def names_in(path: Path) -> tuple[str, ...] | None:
    """What lies at the root of a file; None where it cannot be opened."""
    try:
        with opened(path) as file:
            return tuple(file)
    except DatasetError:
        return None


def is_group(item: object) -> bool:
    return hasattr(item, "keys")


def is_dataset(item: object) -> bool:
    return hasattr(item, "shape")


def leaves(group: h5py.Group, inside: str, name: str = "") -> Iterator[tuple[str, str, h5py.Dataset]]:
    """Every dataset at or below `inside`: its name there with dots ("" if it is `inside` itself), its path from `group`, itself."""
    item = group.get(inside)
    if is_dataset(item):
        yield name, inside, item
    elif is_group(item) and inside.count("/") < DEEP:
        for key in item:
            yield from leaves(group, f"{inside}/{key}", f"{name}.{key}" if name else key)


def length_of(group: h5py.Group, inside: str, path: Path) -> int:
    """The rows of the dataset that says how long an episode is. Raises DatasetError where it is missing or empty."""
    item = group.get(inside)
    where = f"{path}: {group.name.rstrip('/')}/{inside}"
    if not is_dataset(item) or not item.shape:
        what = "is a group" if is_group(item) else "is missing"
        raise DatasetError(f"{where} {what}; every episode needs this dataset with a row per frame. {group.name} holds {held(group)}")
    if not len(item):
        raise DatasetError(f"{where} has no rows: an episode needs at least one frame; delete the episode from the recording")
    return len(item)


def held(group: Mapping[str, object]) -> str:
    """The names in a group, for a message."""
    names = sorted(group)
    return (", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")) or "nothing"


def plain(value: Any) -> Any:
    """What h5py returns for an attribute or a dataset as a str, a number, a list of strings, or an array."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        return [plain(item) for item in value.ravel().tolist()]
    return value


def attributes(item: h5py.Group) -> dict[str, Any]:
    """The attributes that are strings, numbers or lists of them."""
    out = {}
    for key in item.attrs:
        try:
            value = plain(item.attrs[key])
        except (TypeError, ValueError, OSError):
            continue  # of a type that numpy lacks
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if isinstance(value, str | int | float | list):
            out[str(key)] = value
    return out


def contents(group: h5py.Group, inside: str) -> dict[str, Any]:
    """Everything at or below `inside` in memory, names with dots; numbers and strings, what else there is is left out."""
    out = {}
    for name, _, stored in leaves(group, inside):
        try:
            value = plain(stored[()])
        except (TypeError, ValueError):
            continue  # of a type that numpy lacks
        if not isinstance(value, np.ndarray) or value.dtype.kind in "biuf":
            out[name or inside] = value
    return out
