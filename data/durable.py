"""Files that are either there in full or not there: write a temporary, fsync, rename.

`Staging` holds everything that one commit needs and renames it at the end, the commit point last. Because nothing is
renamed before everything is on the disk, a full disk is noticed while there is still nothing to undo.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from data.errors import DatasetError

TEMPORARY = ".tmp"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def temporary_of(path: Path) -> Path:
    """Where `path` grows before it is renamed: beside it, so that the rename stays on one file system."""
    return path.with_name(f".{path.name}{TEMPORARY}")


def fsync_folder(folder: Path) -> None:
    """Make the renames and creations inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """`mkdir -p` whose new entries are durable."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        fsync_folder(new.parent)


def lock_folder(folder: Path, wait: bool = False) -> int:
    """A descriptor whose holder is the only writer of `folder`, until it is closed or the process ends, however it ends.

    If another process, or another recorder of this one, has it: waits for it, or raises DatasetError. Where there is no
    flock (Windows), nothing is locked.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except ModuleNotFoundError:
        pass
    except OSError:
        os.close(descriptor)
        raise DatasetError(f"another recorder is writing to {folder}; wait for it or choose another folder") from None
    return descriptor


def unlock_folder(descriptor: int) -> None:
    """Let go of `lock_folder`'s folder, also where a forked child still has the descriptor."""
    with contextlib.suppress(ModuleNotFoundError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary to write; on success it takes the place of `path`, on failure it is removed.

    Several processes may do this at once: each has its own temporary, and the last one to finish wins.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Staging:
    """The files of one commit. `write` or `reserve` each, then `commit(last=...)` or `abort()`."""

    def __init__(self) -> None:
        self._staged: dict[Path, Path] = {}

    def reserve(self, path: Path) -> Path:
        """The temporary of `path`, to be written and fsynced by the caller."""
        make_folder(path.parent)
        self._staged[path] = temporary_of(path)
        return self._staged[path]

    @contextlib.contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """A file to write the temporary of `path` through; fsynced at the end."""
        with self.reserve(path).open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def write(self, path: Path, content: bytes) -> None:
        with self.open(path) as file:
            file.write(content)

    def commit(self, last: Path) -> None:
        """Rename all; `last` becomes visible only after all others are durable."""
        for path, temporary in self._staged.items():
            if path != last:
                temporary.replace(path)
        for folder in {path.parent for path in self._staged}:
            fsync_folder(folder)
        self._staged[last].replace(last)
        fsync_folder(last.parent)
        self._staged.clear()

    def abort(self) -> None:
        """Remove what was staged; what was already renamed lies beyond the commit point and is ignored by readers."""
        for temporary in self._staged.values():
            temporary.unlink(missing_ok=True)
        self._staged.clear()
