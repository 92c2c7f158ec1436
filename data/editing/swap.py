"""A folder that is built beside its final name and takes its place in one instant, and files that are shared instead of copied.

    .demo.building    the new folder while it grows, then the old one until it is removed or becomes demo.bak

On Linux and macOS two folders change places in one system call (renameat2, renamex_np), so that a kill at any instant leaves
the old folder or the new one under the name. Where a file system cannot do that, two renames do it; a kill between them leaves
the name empty, and the next edit puts the old folder back.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from data.durable import fsync_folder, lock_folder, make_folder, unlock_folder
from data.errors import DatasetError

MARKER = ".waldo-edit"  # in the new folder from its first instant until the old one is put away
CLONE = 0x40049409  # ioctl FICLONE of Linux: one file shares another's blocks until either is written to
NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV)


def building_of(root: Path) -> Path:
    return root.with_name(f".{root.name}.building")


def _replaced_of(root: Path) -> Path:
    """Where the old folder waits between two renames, on file systems that cannot exchange folders."""
    return root.with_name(f".{root.name}.replaced")


def backup_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.bak")


@contextlib.contextmanager
def replacing_folder(root: Path, backup: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it takes the place of `root`, on failure it is removed and `root` is untouched.

    backup   keep what was there as `<name>.bak`
    Holds the recorder's lock on `root`. Raises DatasetError if somebody else writes there or the backup's name is taken.
    """
    root = root.absolute()
    if root.is_symlink():
        root = root.resolve()  # the folder is what is replaced, not the link to it
    with contextlib.ExitStack() as stack:
        building = building_of(root)
        try:
            _own(root, stack)
            if root.exists():
                stack.callback(unlock_folder, lock_folder(root))
                if backup and backup_of(root).exists():
                    raise DatasetError(f"{backup_of(root)} is there already; move it away, or leave out backup=true")
            (building / MARKER).write_text(json.dumps({"backup": backup}), encoding="utf-8")
            yield building
            fsync_tree(building)
            _exchange(building, root)
        except _Taken:
            raise
        except BaseException as error:
            if (building / MARKER).exists() or not (root / MARKER).exists():  # else the old folder lies there: it was exchanged already
                shutil.rmtree(building, ignore_errors=True)
            if isinstance(error, OSError):
                raise DatasetError(f"{root} could not be written ({error.strerror or error}); what was there is as it was") from error
            raise
        try:
            _put_away(root)
        except OSError as error:
            raise DatasetError(
                f"{root} is edited, but the old one at {building} could not be put away ({error.strerror or error})"
            ) from error


class _Taken(DatasetError):
    """The folder that is being built belongs to another process."""


def _own(root: Path, stack: contextlib.ExitStack) -> None:
    """Empty the folder beside `root`, for us alone; finish what an edit that was killed after the exchange left to do."""
    make_folder(root.parent)
    building = building_of(root)
    while True:
        building.mkdir(exist_ok=True)
        try:
            lock = lock_folder(building)
        except DatasetError:
            raise _Taken(f"{root} is being edited by another process; wait for it") from None
        if not building.exists() or os.fstat(lock).st_ino != building.stat().st_ino:
            unlock_folder(lock)  # the edit that we waited for has taken this folder away
            continue
        if _replaced_of(root).exists() and not root.exists():
            _replaced_of(root).rename(root)
        if not (root / MARKER).exists():
            break
        _put_away(root)
        unlock_folder(lock)
    stack.callback(unlock_folder, lock)
    for left in building.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _exchange(building: Path, root: Path) -> None:
    """`building` and `root` change places; afterwards the old folder, if there was one, is at `building`."""
    if not root.exists():
        building.rename(root)
    elif not _exchanged(building, root):
        root.rename(_replaced_of(root))
        try:
            building.rename(root)
        except BaseException:
            _replaced_of(root).rename(root)
            raise
    fsync_folder(root.parent)


def _exchanged(a: Path, b: Path) -> bool:
    """Let two folders change names in one step; False where the system or the file system cannot."""
    library = ctypes.CDLL(None, use_errno=True) if sys.platform in ("linux", "darwin") else None
    if library is not None and hasattr(library, "renameat2"):
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        failed = library.renameat2(here, os.fsencode(a), here, os.fsencode(b), exchange)
    elif library is not None and hasattr(library, "renamex_np"):
        failed = library.renamex_np(os.fsencode(a), os.fsencode(b), 2)  # RENAME_SWAP
    else:
        return False
    if failed and ctypes.get_errno() not in NO_EXCHANGE:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))
    return not failed


def _put_away(root: Path) -> None:
    """After the exchange: remove the old folder, or keep it as the backup that was asked for; then `root` is an ordinary dataset."""
    building, replaced, marker = building_of(root), _replaced_of(root), root / MARKER
    try:
        backup = bool(json.loads(marker.read_text(encoding="utf-8"))["backup"])
    except (OSError, ValueError, KeyError):
        backup = True  # it cannot be told any more: keeping is the harmless mistake
    for old in (building, replaced):
        if not old.exists():
            continue
        if backup and not (old / MARKER).exists() and any(old.iterdir()):
            old.rename(backup_of(root))
        else:
            shutil.rmtree(old)
    fsync_folder(root.parent)
    marker.unlink(missing_ok=True)


def share(source: Path, target: Path, link: bool = True) -> None:
    """The content of `source` at `target`, which must not exist: cloned where the file system can, else as a hard link, else copied.

    A hard link is safe because nothing that writes datasets changes a file in place: it is replaced or left alone.
    link   False copies: the two are then apart on the disk, too
    Raises DatasetError if `source` is missing.
    """
    make_folder(target.parent)
    if not source.is_file():
        raise DatasetError(f"{source} is missing; restore it, or mend the dataset with `waldo data repair`")
    if link and (_cloned(source, target) or _linked(source, target)):
        return
    shutil.copyfile(source, target)


def _cloned(source: Path, target: Path) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), CLONE, old.fileno())
            return True
        except OSError:
            pass
    target.unlink()
    return False


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False
    return True


def fsync_tree(folder: Path) -> None:
    """Everything below `folder` is on the disk when this returns."""
    for place, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(place, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_folder(Path(place))
