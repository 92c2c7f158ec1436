"""diffusion_policy's Zarr replay buffer (Chi et al. 2023), in Zarr format 2, which every version of zarr reads.

    data/<column>        (N, ...) over all episodes, under LeRobot's names; cameras uint8 (N, H, W, 3)
    data/task_index      (N,) int64 into the tasks
    meta/episode_ends    (E,) int64, cumulative

A target that ends in .zip becomes one file. What the format has no place for is in the root's attribute "waldo".
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from data.lerobot import layout
from data.outgoing import Beside, columns, description, episodes, lateness
from data.store import Dataset

FORMAT = "Zarr replay buffer"
SUFFIX = ""
MARK = "meta/episode_ends"
RESUMES = False

BLOCK = 2 << 20  # bytes of a storage chunk before compression: a few pictures, or all of a column


def write(dataset: Dataset, target: Path, progress: bool = True) -> list[str]:
    """As `data.export` says; a folder, or a zip if the target's name ends so."""
    from zarr.storage import LocalStore, ZipStore

    if target.suffix == ".zip":
        with ZipStore(target, mode="w", compression=zipfile.ZIP_STORED) as store:
            return _write(dataset, store, target.name, progress)
    return _write(dataset, LocalStore(target), target.name, progress)


def _write(dataset: Dataset, store: Any, name: str, progress: bool) -> list[str]:
    import zarr

    late = lateness(dataset) > 0
    kept = [*columns(dataset), "task_index", *(["timestamp"] if late else [])]
    told = description(dataset)
    if late:
        told["features"]["timestamp"] = layout.DEFAULT_FEATURES["timestamp"]
    root = zarr.create_group(store, zarr_format=2, attributes={"waldo": told})
    data, meta = root.create_group("data"), root.create_group("meta")
    arrays: dict[str, _Array] = {}
    beside = Beside()
    for i, episode in enumerate(episodes(dataset, f"export {name}", progress)):
        values = {key: episode[key] for key in kept}
        values |= {key: dataset.frames(key, i) for key in dataset.camera_keys}
        for key, rows in values.items():
            if key not in arrays:
                arrays[key] = _Array(data, key, dataset.num_frames, rows)
            arrays[key].add(rows)
        beside.add(episode)
    for array in arrays.values():
        array.finish()
    meta.create_array("episode_ends", data=np.asarray(dataset.episode_ends, np.int64), chunks=(dataset.num_episodes,))
    said = "The frame rate, units, element names and tasks have no place in a replay buffer: they are in its attribute 'waldo'."
    return [said, *beside.lost(dataset)]


class _Array:
    """An array that is written a whole storage chunk at a time: each is compressed once, and a zip holds it once."""

    def __init__(self, group: Any, name: str, rows: int, first: np.ndarray) -> None:
        from numcodecs import Blosc

        self._step = max(1, min(rows, BLOCK // max(1, first.dtype.itemsize * math.prod(first.shape[1:]))))
        self._array = group.create_array(
            name,
            shape=(rows, *first.shape[1:]),
            chunks=(self._step, *first.shape[1:]),
            dtype=first.dtype,
            # Level 5 makes pictures 2 % smaller and takes twice as long; shuffling bytes helps numbers only.
            compressors=Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE if first.dtype.itemsize > 1 else Blosc.NOSHUFFLE),
        )
        self._held: list[np.ndarray] = []
        self._written = 0

    def add(self, values: np.ndarray) -> None:
        self._held.append(values)
        count = sum(map(len, self._held))
        if count >= self._step:
            self._put(count - count % self._step)

    def finish(self) -> None:
        if self._held:
            self._put(sum(map(len, self._held)))

    def _put(self, count: int) -> None:
        """Write the first `count` of the rows that are held."""
        rows = np.concatenate(self._held)
        for start in range(0, count, self._step):
            part = rows[start : min(start + self._step, count)]
            self._array[self._written : self._written + len(part)] = part
            self._written += len(part)
        self._held = [rows[count:].copy()] if count < len(rows) else []
