"""Import of diffusion_policy's Zarr replay buffers (Chi et al. 2023): `data/<array>` (N, ...) and cumulative
`meta/episode_ends` (E,). The human Push-T demonstrations are one mapping of it, `import_pusht`.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from tqdm import tqdm
from zarr.storage import LocalStore, ZipStore

from data.durable import lock_folder, make_folder
from data.errors import DatasetError, did_you_mean
from data.lerobot import layout
from data.record import Recorder
from data.spec import Feature
from data.store import DATASETS, Dataset, datasets_folder

PUSHT_FILES = ("pusht_cchi_v7_replay.zarr.zip", "pusht_cchi_v7_replay.zarr")
PUSHT_URL = "https://diffusion-policy.cs.columbia.edu/data/training/pusht.zip"
ENDS = "meta/episode_ends"


@dataclass(frozen=True)
class Field:
    """One feature and where its values lie.

    array     name under `data/`
    columns   which elements of the array's last axis; empty = all. Cameras take whole frames, 0..255
    """

    feature: Feature
    array: str
    columns: tuple[int, ...] = ()


PUSHT_FIELDS = (
    Field(Feature("observation.state", (2,), names=("agent_x", "agent_y"), units=("px", "px")), "state", (0, 1)),
    Field(
        Feature("observation.environment_state", (3,), names=("block_x", "block_y", "block_angle"), units=("px", "px", "rad"), angles=(2,)),
        "state",
        (2, 3, 4),
    ),
    Field(Feature("action", (2,), names=("target_x", "target_y"), units=("px", "px")), "action"),
    Field(Feature("observation.images.top", (96, 96, 3), "uint8"), "img"),
)


def import_pusht(source: str | Path | None, root: str | Path, overwrite: bool = False, progress: bool = True) -> Dataset:
    """The 206 human demonstrations of Push-T (25,650 frames, 10 Hz) as a LeRobotDataset.

    source   the .zarr.zip, the .zarr folder, or the folder that holds one; None = `pusht` under $WALDO_DATASETS
    root     where the dataset goes
    Raises DatasetError if the source is not there, saying where it can be had; otherwise as `import_zarr`.
    """
    folder = Path(source) if source is not None else datasets_folder() / "pusht"
    candidates = [folder, *(folder / name for name in PUSHT_FILES)]
    found = [path for path in candidates if path.is_file() or (path / ENDS).exists()]
    if not found:
        raise DatasetError(
            f"no Push-T demonstrations: looked for {' and '.join(str(p) for p in candidates[1:])}; unpack {PUSHT_URL} "
            f"there, or set {DATASETS}"
        )
    task = "Push the T-shaped block onto the T-shaped target."
    return import_zarr(found[0], root, PUSHT_FIELDS, 10, "pusht", task, overwrite, progress)


def import_zarr(
    source: str | Path,
    root: str | Path,
    fields: Sequence[Field],
    fps: float,
    robot_type: str,
    task: str,
    overwrite: bool = False,
    progress: bool = True,
) -> Dataset:
    """A replay buffer (folder or zip) as a LeRobotDataset at `root`.

    A finished import of the same source and fields is opened at once, an interrupted one goes on where it stopped, one
    that another process is making is waited for: trainings that start side by side share it.
    Raises DatasetError if the source is damaged, lacks an array, or `root` holds something else.
    """
    source, root = Path(source), Path(root)
    group = _open(source)
    make_folder(root.parent)
    alone = lock_folder(root.parent, wait=True)
    try:
        return _import(group, source, root, fields, fps, robot_type, task, overwrite, progress)
    finally:
        os.close(alone)


def _import(
    group: zarr.Group,
    source: Path,
    root: Path,
    fields: Sequence[Field],
    fps: float,
    robot_type: str,
    task: str,
    overwrite: bool,
    progress: bool,
) -> Dataset:
    ends = _episode_ends(group, source)
    arrays = {field.feature.name: _Blocks(_array(group, field, source, int(ends[-1]))) for field in fields}
    provenance: dict[str, Any] = {
        "imported_from": source.name,
        "source_sha256": _hash(source),
        "fields": [asdict(field) for field in fields],
        "task": task,
    }
    if (root / layout.INFO).exists() and not overwrite:
        there = Dataset.open(root)
        # Through JSON, because that is how it was stored: tuples come back as lists.
        if layout.dump_json(there.provenance) != layout.dump_json(provenance):
            same = there.provenance.get("source_sha256") == provenance["source_sha256"]
            origin = "this source, imported with other fields" if same else there.provenance.get("imported_from", "a recording")
            raise DatasetError(f"{root} holds another dataset (from {origin}); choose another folder, or overwrite=True to delete it")
        if there.num_episodes == len(ends):
            return there

    recorder = Recorder(root, fps, [field.feature for field in fields], robot_type, overwrite=overwrite, provenance=provenance)
    starts = np.concatenate([[0], ends[:-1]])
    with recorder, tqdm(total=int(ends[-1]), desc=f"import {source.name}", unit="frame", disable=not progress) as bar:
        bar.update(int(starts[recorder.committed]) if recorder.committed else 0)
        for start, stop in list(zip(starts, ends, strict=True))[recorder.committed :]:
            columns, images = {}, {}
            for field in fields:
                values = arrays[field.feature.name].rows(int(start), int(stop))
                if field.feature.is_image:
                    images[field.feature.name] = _to_bytes(values, field, source)
                else:
                    picked = values[..., list(field.columns)] if field.columns else values
                    columns[field.feature.name] = picked.reshape(len(picked), *field.feature.shape)
            recorder.add_episode(columns, task, images)
            bar.update(int(stop - start))
    return Dataset.open(root)


class _Blocks:
    """Rows of an array, read a storage chunk at a time and each chunk once as long as reading goes forward."""

    def __init__(self, array: zarr.Array) -> None:
        self._array = array
        self._size = int(array.chunks[0])
        self._held: tuple[int, np.ndarray] | None = None

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop)."""
        parts = []
        for block in range(start // self._size, (stop - 1) // self._size + 1):
            first = block * self._size
            parts.append(self._block(block)[max(start - first, 0) : stop - first])
        return np.concatenate(parts)

    def _block(self, block: int) -> np.ndarray:
        if self._held is None or self._held[0] != block:
            self._held = (block, np.asarray(self._array[block * self._size : (block + 1) * self._size]))
        return self._held[1]


def _open(source: Path) -> zarr.Group:
    if not source.exists():
        raise DatasetError(f"{source} does not exist; wanted a Zarr replay buffer, a folder or a .zip")
    try:
        if source.is_dir():
            return zarr.open_group(LocalStore(source, read_only=True), mode="r")
        with zipfile.ZipFile(source) as archive:
            inside = [name for name in archive.namelist() if f"/{name}".endswith(f"/{ENDS}/.zarray")]
        prefix = inside[0][: -len(f"{ENDS}/.zarray")].strip("/") if inside else ""
        return zarr.open_group(ZipStore(source, mode="r"), path=prefix, mode="r")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{source} cannot be opened as Zarr ({error}); download it again") from error


def _episode_ends(group: zarr.Group, source: Path) -> np.ndarray:
    stored = group.get(ENDS)
    if not isinstance(stored, zarr.Array):
        raise DatasetError(f"{source} has no {ENDS}: it is not a replay buffer of diffusion_policy")
    ends = np.asarray(stored[:], np.int64)
    if not len(ends) or (np.diff(ends, prepend=0) < 1).any():
        raise DatasetError(f"{source}: {ENDS} must increase; found {ends[:5].tolist()}{'...' if len(ends) > 5 else ''}")
    return ends


def _array(group: zarr.Group, field: Field, source: Path, rows: int) -> zarr.Array:
    data = group.get("data")
    available = dict(data.arrays()) if isinstance(data, zarr.Group) else {}
    if field.array not in available:
        raise DatasetError(f"{source} has no array data/{field.array}; {did_you_mean(field.array, available)}")
    array = available[field.array]
    if array.shape[0] != rows:
        raise DatasetError(f"{source}: data/{field.array} has {array.shape[0]} rows, the episodes have {rows}; it is incomplete")
    width = len(field.columns) or int(np.prod(array.shape[1:]))
    if width != int(np.prod(field.feature.shape)) or (field.columns and max(field.columns) >= array.shape[-1]):
        raise DatasetError(
            f"{source}: data/{field.array} has frames of shape {array.shape[1:]}; {field.feature.name} wants {field.feature.shape}"
        )
    return array


def _to_bytes(values: np.ndarray, field: Field, source: Path) -> np.ndarray:
    """Frames as uint8. Raises DatasetError for values outside 0..255, which no guess about a scale should hide."""
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    if not (0 <= low and high <= 255) or not np.isfinite(low + high):
        raise DatasetError(f"{source}: data/{field.array} has values from {low:g} to {high:g}; pixels must be 0..255")
    return np.rint(values).astype(np.uint8)


def _hash(source: Path) -> str:
    """sha256 over the zip, or over names and contents of all files of a folder."""
    if source.is_file():
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(source).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
