"""Decode once: the frames of a camera, or a column, as one memory-mapped array that every process shares.

Training reads frames in random order for hours; decoding them each time would be most of its work. A cache is an .npy file
keyed by the recording's content, so that it can never show frames of an older one. While it is being made:

    NAME.npy.part       the array, its space taken beforehand; clips are decoded into it side by side
    NAME.npy.journal    a line per clip that is finished: a build that was killed goes on there

The process that builds holds a lock on the folder; others that want the same cache wait for it and then share it. Mapped
read-only, a cache is safe under fork and its memory belongs to the page cache.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.durable import fsync_folder, lock_folder, make_folder
from data.errors import DatasetError
from data.source import Clip, Size

CACHE = ".cache"
SLOW = 2.0  # seconds after which a build shows how far it is


def cache_folders(root: Path) -> list[Path]:
    """Where what can be rebuilt from a recording may be kept: beside it, else under the user's cache folder."""
    beside = root / CACHE if root.is_dir() else root.parent / CACHE / root.name
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waldo"
    place = str(root.resolve())
    return [beside, user / f"{root.name}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"]


def open_frames(
    folders: Sequence[Path], name: str, content: str, clips: Callable[[], list[Clip]], count: int, size: Size, resize: bool
) -> np.ndarray:
    """The frames of a camera: uint8 (count, H, W, 3), read-only, memory-mapped.

    folders   where the cache may be, in order of preference; name   of the camera and size; content   hash of the recording
    clips     what to decode when there is no cache yet; resize   whether frames have to be brought to `size`
    Raises DatasetError if a clip cannot be decoded or no folder can be written.
    """
    shape = (count, *size, 3)
    return _opened(
        folders,
        f"{name}-{content[:16]}.npy",
        content,
        shape,
        np.dtype(np.uint8),
        functools.partial(_decode, clips, size if resize else None),
    )


def open_column(
    folders: Sequence[Path], name: str, content: str, shape: tuple[int, ...], dtype: np.dtype, read: Callable[[], Iterator[np.ndarray]]
) -> np.ndarray:
    """A column as a memory-mapped array, read-only: what is too large for memory. `read` yields it in pieces, in order."""

    def fill(part: Path, array: np.ndarray, label: str) -> None:
        at = 0
        for piece in read():
            array[at : at + len(piece)] = piece
            at += len(piece)

    return _opened(folders, f"{name}-{content[:16]}.npy", content, shape, dtype, fill)


def _opened(
    folders: Sequence[Path], name: str, content: str, shape: tuple[int, ...], dtype: np.dtype, fill: Callable[[Path, np.ndarray, str], None]
) -> np.ndarray:
    for folder in folders:
        if (folder / name).exists():
            return np.load(folder / name, mmap_mode="r")
    refused = []
    for folder in folders:
        try:
            _build(folder / name, shape, dtype, fill)
        except OSError as error:
            refused.append(f"{folder} ({error.strerror or error})")
            continue
        _forget_others(folder, content)
        return np.load(folder / name, mmap_mode="r")
    needed = int(np.prod(shape)) * dtype.itemsize
    raise DatasetError(
        f"the decoded frames of {name.split('-')[0]} ({needed / 1e9:.2f} GB) cannot be kept in {' or '.join(refused)}; make room, choose a smaller image size, "
        "or set XDG_CACHE_HOME to a folder on a larger disk"
    )


def _forget_others(folder: Path, content: str) -> None:
    """Caches of an earlier state of this recording; another process may go on reading what it has mapped."""
    for stale in [*folder.glob("*.npy"), *folder.glob("*.npy.part"), *folder.glob("*.npy.journal")]:
        if f"-{content[:16]}.npy" not in stale.name:
            stale.unlink(missing_ok=True)


def _build(path: Path, shape: tuple[int, ...], dtype: np.dtype, fill: Callable[[Path, np.ndarray, str], None]) -> None:
    make_folder(path.parent)
    part, journal = path.with_name(path.name + ".part"), path.with_name(path.name + ".journal")
    held = lock_folder(path.parent, wait=True)
    try:
        if path.exists():
            return  # another process made it while this one waited
        array = _reserved(part, journal, shape, dtype)
        fill(part, array, path.name.split("-")[0])
        array.flush()
        del array
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        fsync_folder(path.parent)
        journal.unlink(missing_ok=True)
    except (OSError, DatasetError):
        part.unlink(missing_ok=True)  # e.g. a full disk or a broken video: going on would end the same way
        journal.unlink(missing_ok=True)
        raise
    finally:
        os.close(held)


def _reserved(part: Path, journal: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """The array to decode into: the one that an interrupted build left, or a new one."""
    if journal.exists() and journal.read_text(encoding="utf-8").partition("\n")[0] == _boot():
        with contextlib.suppress(ValueError, OSError):
            left = np.lib.format.open_memmap(part, "r+")
            if left.shape == shape and left.dtype == dtype:
                return left
    journal.write_text(f"{_boot()}\n", encoding="utf-8")
    array = np.lib.format.open_memmap(part, "w+", dtype, shape)
    # A memory map over a hole of a full disk is a SIGBUS, not an exception: take the space first.
    if hasattr(os, "posix_fallocate"):
        with part.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
    return array


def _boot() -> str:
    """Names the run of the machine: what a killed process wrote is safe with the system, unless the machine itself went down."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"process {os.getpid()}"


def _decode(clips: Callable[[], list[Clip]], size: Size | None, part: Path, array: np.ndarray, label: str) -> None:
    """Decode every clip that the journal does not have yet. FFmpeg lets go of the interpreter: threads decode side by side."""
    path = part.with_name(part.name.removesuffix(".part") + ".journal")
    finished = set(path.read_text(encoding="utf-8").splitlines())
    every = clips()
    waiting = [clip for clip in every if clip.name not in finished]
    total = sum(len(clip.rows) for clip in every)
    already = total - sum(len(clip.rows) for clip in waiting)
    with (
        path.open("a", encoding="utf-8") as journal,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        tqdm(total=total, initial=already, desc=f"decode {label}", unit="frame", delay=SLOW) as bar,
    ):
        alone = threading.Lock()

        def work(clip: Clip) -> None:
            _decode_clip(clip, size, array)
            with alone:
                journal.write(clip.name + "\n")
                journal.flush()
                bar.update(len(clip.rows))

        running = [pool.submit(work, clip) for clip in waiting]
        try:
            for future in as_completed(running):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _decode_clip(clip: Clip, size: Size | None, array: np.ndarray) -> None:
    for row, image in zip(clip.rows.tolist(), clip.decode(size), strict=True):
        if image.shape != array.shape[1:]:
            raise DatasetError(f"{clip.name}: a frame of {image.shape[:2]} pixels where {array.shape[1:3]} are promised")
        array[row] = image
