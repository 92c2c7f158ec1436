"""Mending a damaged LeRobotDataset v3.0: what is complete is kept, what is lost is said, and nothing is thrown away.

    counts of info.json ahead or behind what is there      a killed recorder's torn files
    tasks.parquet, stats.json or rows of meta/episodes missing or NaN    names=null, shapes and rates that the videos contradict
    index, episode_index, frame_index, timestamp wrong     videos in a wrong folder

The mended dataset is built beside the damaged one, of the same files where they are good, and takes its place in one instant.
Every file that is no part of it any more, or was written anew, is kept in `<dataset>.removed/`.
"""

from __future__ import annotations

import dataclasses
import filecmp
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data import from_lerobot
from data.editing.assemble import assemble
from data.editing.origin import Origin
from data.editing.plan import Plan, edit, whole
from data.editing.salvage import examine
from data.editing.swap import MARKER, replacing_folder, share
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.catalog import refresh
from data.lookup import find
from data.store import Dataset


@dataclass(frozen=True)
class Repair:
    """What was done, or with dry_run would be.

    notes      what was wrong and what became of it, in words; () where nothing was
    episodes   complete episodes in the result
    removed    where the originals of what was changed or left out are; None if nothing was written
    """

    root: Path
    notes: tuple[str, ...]
    episodes: int
    removed: Path | None = None


def repair(path: str | os.PathLike[str], dry_run: bool = False, fps: float = 0.0) -> Repair:
    """Mend the dataset at `path`, in place. Afterwards `Dataset.open` succeeds, or this raises.

    dry_run   only say what would be done
    fps       [Hz] the true rate, where info.json and the timestamps disagree
    Raises DatasetError if nothing can be saved, or it is no LeRobotDataset v3.0; the folder is then as it was.
    """
    if not np.isfinite(fps) or fps < 0:
        raise DatasetError(f"fps is {fps}; it must be positive, or 0 to leave it")
    root = find(path)
    if not from_lerobot.recognises(root):
        raise DatasetError(f"{root} is no LeRobotDataset; repair mends nothing else")
    saved = examine(root, fps)
    origin = Origin(root, saved.index, saved.renumbered, saved.video_fps)
    notes = list(saved.notes) + _stats_notes(origin)
    try:
        origin.provenance  # noqa: B018  reading it is what tells
    except DatasetError:
        notes.append("meta/waldo.json cannot be read: the dataset no longer says where it comes from")
        origin.provenance = {}
    notes += [f"{path.relative_to(root)} is what a killed program left: taken away" for path in _leftovers(root)]
    if not notes or dry_run:
        return Repair(root, tuple(notes), len(origin))
    plan = dataclasses.replace(_plan(origin, notes), skip_nan=True)
    with replacing_folder(root) as folder:
        assemble(plan, folder)
        Dataset.open(folder)
        removed = _keep_removed(root, folder)
    refresh(root)
    return Repair(root, tuple(notes), len(origin), removed)


def _plan(origin: Origin, notes: list[str]) -> Plan:
    made = edit(origin, whole([origin], 0, range(len(origin))), "repair", {"done": notes})
    return dataclasses.replace(made, splits=made.splits if origin.index.number[-1] == len(origin) - 1 else {})


def _stats_notes(origin: Origin) -> list[str]:
    """Statistics that are missing or not finite in rows of meta/episodes."""
    wanted = [name for name, feature in origin.features.items() if feature["dtype"] != "string"]
    lacking: dict[str, int] = {}
    for i in range(len(origin)):
        recorded = origin.stats(i)
        for name in wanted:
            lacking[name] = lacking.get(name, 0) + (name not in recorded)
    return [
        f"statistics of {name} are missing or not finite in {n} of {len(origin)} episodes: computed anew"
        for name, n in lacking.items()
        if n
    ]


def _leftovers(root: Path) -> Iterator[Path]:
    """Temporaries of recorders and edits, as they lie beside what they were to become."""
    return (path for path in sorted(root.rglob("*")) if path.name.endswith(".tmp") and layout.CACHE not in path.relative_to(root).parts)


def _keep_removed(root: Path, folder: Path) -> Path | None:
    """Link every file of the old dataset that the new one does not have into a folder beside it; None if there is no such file."""
    there = {(status.st_dev, status.st_ino) for path in folder.rglob("*") if path.is_file() for status in [path.stat()]}
    removed, number = root.with_name(f"{root.name}.removed"), 1
    while removed.exists():
        number += 1
        removed = root.with_name(f"{root.name}.removed{number}")
    kept = False
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if not path.is_file() or name.parts[0] in (layout.CACHE, MARKER):
            continue
        status, new = path.stat(), folder / name
        if (status.st_dev, status.st_ino) in there or (new.is_file() and filecmp.cmp(path, new, shallow=False)):
            continue
        share(path, removed / name)
        kept = True
    return removed if kept else None
