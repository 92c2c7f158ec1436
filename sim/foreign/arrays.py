"""Arrays in memory that several processes see: an anonymous file, inherited by its number. Nothing is left when the processes end."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Mapping

import numpy as np

from data.errors import WaldoError

ALIGN = 64  # bytes; a cache line
Entry = tuple[str, str, list[int], int]  # name, dtype, shape, first byte


class SharedArrays:
    """arrays: name -> array, zero at first. table: what another process needs to find them in the file `fd`. Raises WaldoError without memory."""

    def __init__(self, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        self.table: list[Entry] = []
        end = 0
        for name, (dtype, shape) in shapes.items():
            self.table.append((name, dtype, list(shape), end))
            end += -(-np.dtype(dtype).itemsize * math.prod(shape) // ALIGN) * ALIGN
        self.fd = anonymous_file("arrays")
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.fd, 0, end)  # too little memory is an error here, not a SIGBUS later
            else:
                os.ftruncate(self.fd, end)
            self._map = mmap.mmap(self.fd, end)
        except OSError as error:
            os.close(self.fd)
            raise WaldoError(f"there are not the {end / 1e6:.0f} MB for the observations of so many environments: {error}") from error
        self.arrays = {
            name: np.frombuffer(self._map, dtype, math.prod(shape), first).reshape(shape) for name, dtype, shape, first in self.table
        }

    def close(self) -> None:
        """The arrays stay valid for who still holds them."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def anonymous_file(name: str) -> int:
    """A descriptor of a file in memory, or of a deleted file where the system has no such thing."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
