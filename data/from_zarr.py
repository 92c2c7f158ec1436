"""diffusion_policy's Zarr replay buffers (Chi et al. 2023), a folder or a .zip: `data/<array>` (N, ...), cumulative `meta/episode_ends` (E,).

The format keeps no frame rate, task, names or units: they are given, and `data.mapping` names the elements (see
configs/data/pusht_human.yaml). Arrays get LeRobot's names where the meaning is plain:

    action                       action
    reward, terminated, ...      next.reward, next.terminated, next.truncated, next.success
    (N, H, W, 3) pixels          observation.images.<array>
    any other                    observation.<array>

Buffers that waldo wrote say all of it themselves, in the root's attribute `waldo`.
"""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data.errors import DatasetError
from data.lerobot import layout
from data.source import Clip, Given, Header, Size, Source, Table

FORMAT = "Zarr replay buffer"
ENDS = "meta/episode_ends"
SIGNALS = ("reward", "terminated", "truncated", "success")
SMALLEST = 8  # px; an array (N, H, W, 3) with sides from here on is a camera


def recognises(path: Path) -> bool:
    if path.is_dir():
        return (path / ENDS).exists()
    return path.suffix == ".zip" and zipfile.is_zipfile(path) and _prefix(path) is not None


def open_source(path: Path, given: Given) -> Source:
    return ZarrSource(path, given)


def _prefix(path: Path) -> str | None:
    """Where in the archive the buffer lies: the folder above meta/episode_ends; None if there is no such thing."""
    with zipfile.ZipFile(path) as archive:
        ends = [name for name in archive.namelist() if f"/{name}".endswith((f"/{ENDS}/.zarray", f"/{ENDS}/zarr.json"))]
    return ends[0].rsplit(ENDS, 1)[0].strip("/") if ends else None


class ZarrSource(Source):
    """A replay buffer. Arrays are opened per process, so that a fork shares no handle."""

    def __init__(self, root: Path, given: Given) -> None:
        self._root = root
        group = self._group()
        told = dict(group.attrs).get("waldo")
        said: dict[str, Any] = told if isinstance(told, dict) else {}
        stored = group.get(ENDS)
        ends = np.asarray(stored[:], np.int64) if stored is not None else np.zeros(0, np.int64)
        if not len(ends) or (np.diff(ends, prepend=0) < 1).any():
            raise DatasetError(f"{root}: {ENDS} must increase; found {ends[:5].tolist()}{'...' if len(ends) > 5 else ''}")
        self._array_of: dict[str, str] = {}
        features = {}
        known = said.get("features", {})
        for array in sorted(group["data"].array_keys()):
            shape, dtype = group["data"][array].shape, group["data"][array].dtype
            if shape[0] != ends[-1]:
                raise DatasetError(f"{root}: data/{array} has {shape[0]} rows, the episodes have {ends[-1]}; it is incomplete")
            name = array if array in known or array in layout.DEFAULT_FEATURES else _name(array, shape)
            features[name] = known.get(name) or _feature(name, shape, dtype)
            self._array_of[name] = array
        self._starts = np.concatenate([[0], ends[:-1]])
        tasks = tuple(said.get("tasks") or ([given.task] if given.task else []))
        task_of: tuple[tuple[int, ...], ...] = ((0,) * bool(tasks),) * len(ends)
        if "task_index" in features and tasks:
            task_of = tuple((int(k),) for k in np.asarray(group["data/task_index"][:])[self._starts])
        self.header = Header(
            root=root,
            format=f"Zarr replay buffer (v{group.metadata.zarr_format})",
            fps=given.need_fps(float(said.get("fps") or 0), root),
            robot_type=said.get("robot_type") or given.robot_type or "unknown",
            features=features,
            lengths=np.diff(ends, prepend=0),
            tasks=tasks,
            task_of=task_of,
            provenance=said.get("provenance") or {},
        )

    def _group(self) -> Any:
        return _open(self._root, os.getpid())

    def files(self) -> tuple[list[Path], list[Path]]:
        if self._root.is_file():
            return [self._root], []
        return [path for path in self._root.rglob("*") if path.is_file() and layout.CACHE not in path.parts], []

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        group = self._group()
        out = {}
        for name in names:
            parts = [self._rows(group, name, start, stop) for start, stop in self._spans(episodes)]
            feature = self.header.features[name]
            values = np.concatenate(parts).astype(feature["dtype"], copy=len(parts) == 1)
            out[name] = values.reshape(len(values), *layout.column_shape(name, feature))
        return out

    def _spans(self, episodes: np.ndarray) -> Iterator[tuple[int, int]]:
        """Rows [start, stop) of the episodes, neighbours joined."""
        lengths = self.header.lengths
        for run in np.split(episodes, np.flatnonzero(np.diff(episodes) != 1) + 1):
            yield int(self._starts[run[0]]), int(self._starts[run[-1]] + lengths[run[-1]])

    def _rows(self, group: Any, name: str, start: int, stop: int) -> np.ndarray:
        try:
            return np.asarray(group["data"][self._array_of[name]][start:stop])
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise DatasetError(f"{self._root}: data/{self._array_of[name]} cannot be read ({error}); download it again") from error

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        """One clip per storage chunk: each is read once, whatever the episodes."""
        size = int(self._group()["data"][self._array_of[key]].chunks[0])
        lengths = self.header.lengths[episodes]
        at = np.arange(lengths.sum()) + np.repeat(self._starts[episodes] - (np.cumsum(lengths) - lengths), lengths)  # row in the buffer
        clips = []
        for block in np.unique(at // size).tolist():
            rows = np.flatnonzero(at // size == block)
            clips.append(Clip(f"block {block}", rows, functools.partial(self._decode, key, at[rows])))
        return clips

    def _decode(self, key: str, at: np.ndarray, size: Size | None) -> Iterator[np.ndarray]:
        first = int(at[0])
        images = _to_bytes(self._rows(self._group(), key, first, int(at[-1]) + 1), f"{self._root}: data/{self._array_of[key]}")
        for row in (at - first).tolist():
            image = images[row]
            yield image if size is None else cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)


@functools.lru_cache(maxsize=8)
def _open(root: Path, process: int) -> Any:
    """The root group. Raises DatasetError."""
    import zarr
    from zarr.storage import LocalStore, ZipStore

    try:
        if root.is_dir():
            return zarr.open_group(LocalStore(root, read_only=True), mode="r")
        return zarr.open_group(ZipStore(root, mode="r"), path=_prefix(root) or "", mode="r")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{root} cannot be opened as Zarr ({error}); download it again") from error


def _is_camera(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[3] == 3 and min(shape[1:3]) >= SMALLEST


def _name(array: str, shape: tuple[int, ...]) -> str:
    if array == "action":
        return array
    if array in SIGNALS:
        return f"next.{array}"
    return f"observation.images.{array}" if _is_camera(shape) else f"observation.{array}"


def _feature(name: str, shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    if _is_camera(shape):
        return {"dtype": "image", "shape": list(shape[1:]), "names": ["height", "width", "channels"]}
    return {"dtype": str(dtype), "shape": list(shape[1:]) or [1], "names": None}


def _to_bytes(values: np.ndarray, where: str) -> np.ndarray:
    """Frames as uint8. Raises DatasetError for values outside 0..255, which no guess about a scale should hide."""
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    if not (0 <= low and high <= 255) or not np.isfinite(low + high):
        raise DatasetError(f"{where} has values from {low:g} to {high:g}; pixels must be 0..255")
    return np.rint(values).astype(np.uint8)
