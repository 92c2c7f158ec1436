"""Decode once: the frames of a camera as one memory-mapped uint8 array.

Training reads frames in random order for hours; decoding them each time would be most of its work. The cache is an
.npy file keyed by the dataset's content, so that it can never show frames of an older recording.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from data.durable import replacing
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.index import RESTORE, Index, open_parquet
from data.lerobot.video import decode_still, read_frames

Slot = tuple[int, int, int]  # first row in the dataset, first frame in the video, number of frames


def cache_folders(root: Path) -> list[Path]:
    """Where a cache may be: beside the data, else under the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [root / layout.CACHE, user / "waldo" / "images"]


def open_images(index: Index, content: str, key: str, size: tuple[int, int] | None) -> np.ndarray:
    """The frames of camera `key`: uint8 (N, H, W, 3), read-only, memory-mapped.

    content   hash of the whole dataset; size   (height, width) [px], None as recorded
    Raises DatasetError if a video is missing, damaged or too short, or no cache folder is writable.
    """
    height, width = size or (int(index.features[key]["shape"][0]), int(index.features[key]["shape"][1]))
    name = f"{key}-{height}x{width}-{content[:16]}-{_selection(index, key)}.npy"
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
        for stale in folders[0].glob("*.npy"):
            if f"-{content[:16]}-" not in stale.name:
                stale.unlink(missing_ok=True)  # of an earlier state; another process may go on reading what it has mapped
        return np.load(folder / name, mmap_mode="r")
    needed = int(index.ends[-1]) * height * width * 3
    raise DatasetError(
        f"the decoded frames of {key} ({needed / 1e9:.2f} GB) cannot be kept in {' or '.join(refused)}; make room, or set "
        "XDG_CACHE_HOME to a folder on a larger disk"
    )


def _selection(index: Index, key: str) -> str:
    """Short hash of which episodes are open and of the names and sizes of their videos."""
    digest = hashlib.sha256(index.number.tobytes())
    for path in index.video_files(key) if key in index.videos else []:
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
    return digest.hexdigest()[:8]


def _build(index: Index, key: str, size: tuple[int, int], path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*"):
        if time.time() - left.stat().st_mtime > 3600:
            left.unlink(missing_ok=True)  # of a process that was killed
    with replacing(path) as temporary:
        frames = np.lib.format.open_memmap(temporary, "w+", np.uint8, (int(index.ends[-1]), *size, 3))
        # A memory map over a hole of a full disk is a SIGBUS, not an exception: take the space first.
        with temporary.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        _decode(index, key, size, frames)
        frames.flush()
        del frames


def _decode(index: Index, key: str, size: tuple[int, int], frames: np.ndarray) -> None:
    fps = float(index.info["fps"])
    if key in index.videos:
        video = index.videos[key]
        slots: dict[Path, list[Slot]] = {}
        for path, start, row, count in zip(video.paths, video.start_s, index.starts, index.lengths, strict=True):
            slots.setdefault(path, []).append((int(row), round(float(start) * fps), int(count)))
        jobs = [functools.partial(_decode_file, path, wanted, size, fps, frames) for path, wanted in slots.items()]
    else:
        jobs = [functools.partial(_decode_stills, index, episode, key, size, frames) for episode in range(len(index.lengths))]
    # FFmpeg lets go of the interpreter, so that threads decode side by side.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        running = [pool.submit(job) for job in jobs]
        try:
            for future in running:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _decode_stills(index: Index, episode: int, key: str, size: tuple[int, int], frames: np.ndarray) -> None:
    """Frames that are stored one by one in the data file, as PNG or JPEG."""
    path, row, count = index.data[episode], int(index.row[episode]), int(index.lengths[episode])
    with open_parquet(path) as file:
        stored = file.read([key], use_threads=False)[key].slice(row, count)
    for t, value in enumerate(stored):
        content = value.as_py()
        content = content.get("bytes") if isinstance(content, dict) else content
        if not isinstance(content, bytes):
            raise DatasetError(f"{path}: {key} of frame {t} is not an image; {RESTORE}")
        frames[int(index.starts[episode]) + t] = decode_still(content, size, f"{path}: {key} of frame {t}")


def _decode_file(path: Path, slots: Iterable[Slot], size: tuple[int, int], fps: float, frames: np.ndarray) -> None:
    row_of = {first + i: row + i for row, first, count in slots for i in range(count)}
    for number, image in read_frames(path, fps, size):
        row = row_of.pop(number, None)
        if row is not None:
            frames[row] = image
        if not row_of:
            return
    raise DatasetError(
        f"{path} ends too early: {len(row_of)} frames of its episodes are missing, the first at {min(row_of) / fps:.2f} s; {RESTORE}"
    )
