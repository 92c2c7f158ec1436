"""Decode once: the frames of a camera as one memory-mapped uint8 array.

Training reads frames in random order for hours; decoding them each time would be most of its work. The cache is an
.npy file keyed by the dataset's content, so that it can never show frames of an older recording.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from data import layout
from data.durable import replacing
from data.errors import DatasetError
from data.index import RECORD_AGAIN, Index
from data.video import read_frames

Slot = tuple[int, int, int]  # first row in the dataset, first frame in the video, number of frames


def cache_folders(root: Path) -> list[Path]:
    """Where a cache may be: beside the data, else under the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [root / layout.CACHE, user / "waldo" / "images"]


def open_images(index: Index, content: str, key: str, size: tuple[int, int] | None) -> np.ndarray:
    """The frames of camera `key`: uint8 (N, H, W, 3), read-only, memory-mapped.

    content   hash of the dataset; size   (height, width) [px], None as recorded
    Raises DatasetError if a video is missing, damaged or too short, or no cache folder is writable.
    """
    height, width = size or (int(index.features[key]["shape"][0]), int(index.features[key]["shape"][1]))
    name = f"{key}-{height}x{width}-{content[:16]}.npy"
    folders = cache_folders(index.root)
    for folder in folders:
        if (folder / name).exists():
            return np.load(folder / name, mmap_mode="r")
    refused = []
    for folder in folders:
        try:
            _build(index, key, (height, width), folder / name)
        except OSError as error:
            refused.append(f"{folder} ({error.strerror or error})")
            continue
        for stale in folder.glob(f"{key}-{height}x{width}-*.npy"):
            if stale.name != name and folder == folders[0]:
                stale.unlink(missing_ok=True)  # another process may go on reading what it has mapped
        return np.load(folder / name, mmap_mode="r")
    needed = int(index.ends[-1]) * height * width * 3
    raise DatasetError(
        f"the decoded frames of {key} ({needed / 1e9:.2f} GB) cannot be kept in {' or '.join(refused)}; make room, or set "
        "XDG_CACHE_HOME to a folder on a larger disk"
    )


def _build(index: Index, key: str, size: tuple[int, int], path: Path) -> None:
    total = int(index.ends[-1])
    for left in path.parent.glob(f".{path.name}.*"):
        if time.time() - left.stat().st_mtime > 3600:
            left.unlink(missing_ok=True)  # of a process that was killed
    with replacing(path) as temporary:
        frames = np.lib.format.open_memmap(temporary, "w+", np.uint8, (total, *size, 3))
        # A memory map over a hole of a full disk is a SIGBUS, not an exception: take the space first.
        with temporary.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        _decode(index, key, size, frames)
        frames.flush()
        del frames


def _decode(index: Index, key: str, size: tuple[int, int], frames: np.ndarray) -> None:
    places, from_s = index.videos[key]
    fps = float(index.info["fps"])
    slots: dict[Path, list[Slot]] = {}
    for episode, place in enumerate(places):
        slot = (int(index.starts[episode]), round(float(from_s[episode]) * fps), int(index.lengths[episode]))
        slots.setdefault(index.video_path(key, place), []).append(slot)
    # FFmpeg lets go of the interpreter, so that threads decode side by side.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_decode_file, path, wanted, size, fps, frames) for path, wanted in slots.items()]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _decode_file(path: Path, slots: Iterable[Slot], size: tuple[int, int], fps: float, frames: np.ndarray) -> None:
    row_of = {first + i: row + i for row, first, count in slots for i in range(count)}
    for number, image in read_frames(path, fps, size):
        row = row_of.pop(number, None)
        if row is not None:
            frames[row] = image
        if not row_of:
            return
    raise DatasetError(
        f"{path} ends too early: {len(row_of)} frames of its episodes are missing, the first at {min(row_of) / fps:.2f} s; "
        f"restore it from a copy of the dataset, or {RECORD_AGAIN}"
    )
