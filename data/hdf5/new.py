"""New HDF5 files on disks that may fill up.

libhdf5 crashes the process when a file cannot be flushed while it is closed (1.14: SIGSEGV). So it never learns of it: it
writes through a Python file that keeps the first error for itself, takes the rest and forgets it, and raises in the end.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py
    from _typeshed import ReadableBuffer, WriteableBuffer


class Sink(io.RawIOBase):
    """A file that never fails. `check` raises the OSError that was kept back."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._at = self._size = 0
        self._failure: OSError | None = None

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def write(self, content: ReadableBuffer, /) -> int:
        view = memoryview(content).cast("B")
        if self._failure is None:
            try:
                self._file.seek(self._at)
                done = 0
                while done < len(view):
                    done += self._file.write(view[done:]) or 0
            except OSError as error:
                self._failure = error
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._at)
        got = self._file.readinto(view) or 0
        view[got:] = bytes(len(view) - got)  # what was never written, or was taken and forgotten
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        self._size = self._at if size is None else size
        if self._failure is None:
            try:
                self._file.truncate(self._size)
            except OSError as error:
                self._failure = error
        return self._size

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def sync(self) -> None:
        """Everything is on the disk, or an OSError says why not."""
        self.check()
        os.fsync(self._file.fileno())


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Sink]]:
    """A new file and what it is written through: ask its `check` now and then, so that a full disk ends the work early.

    Raises the OSError that a write ended with.
    """
    import h5py

    with Sink(path) as sink:
        with h5py.File(sink, "w") as file:
            yield file, sink
        sink.sync()


def keep(group: h5py.Group, extras: Mapping[str, Any]) -> None:
    """What a reader offers beside frames: text and numbers as attributes, arrays as datasets, dicts as groups of datasets.

    What already has that name stays.
    """
    for name, value in extras.items():
        if isinstance(value, str | int | float | np.generic):
            if name not in group.attrs:
                group.attrs[name] = value
        elif value is not None:
            _store(group, name.replace("/", "_"), value)


def _store(group: h5py.Group, name: str, value: Any) -> None:
    if name in group:
        return
    if isinstance(value, Mapping):
        below = group.create_group(name)
        for key, inner in value.items():
            _store(below, str(key).replace("/", "_"), inner)
    elif isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        group.create_dataset(name, data=[str(item).encode() for item in value])
    else:
        group.create_dataset(name, data=value)


def pictures(frames: np.ndarray) -> dict[str, Any]:
    """How frames (T, H, W, C) are stored: each compressed by itself, by the filter that every HDF5 has."""
    return {"compression": "gzip", "compression_opts": 1, "chunks": (1, *frames.shape[1:])}
