"""What an edited dataset consists of: pieces of episodes of one or more others, and what is said of them anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.editing.origin import Origin
from data.errors import DatasetError
from data.lerobot import layout


@dataclass(frozen=True)
class Piece:
    """Frames [start, stop) of one episode of one origin: an episode of the result.

    tasks   old text -> new text, for the tasks that are called something else now
    """

    origin: int
    episode: int
    start: int
    stop: int
    tasks: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """A dataset to be written.

    pieces      its episodes, in order
    features    as in info.json
    came_from   name of a feature -> what its origin calls it, for those that were renamed
    compact     join small files into large ones; False keeps the files of the origins where that is possible
    check       decode what was joined and compare it, bit for bit, with what it was joined from
    link        share unchanged files with the origins instead of copying them
    skip_nan    leave frames that are not finite out of statistics; False refuses them
    splits      info.json's splits; {} is one split, "train", of everything
    """

    origins: tuple[Origin, ...]
    pieces: tuple[Piece, ...]
    features: Mapping[str, dict[str, Any]]
    robot_type: str
    provenance: Mapping[str, Any]
    came_from: Mapping[str, str] = field(default_factory=dict)
    compact: bool = False
    check: bool = True
    link: bool = True
    skip_nan: bool = False
    splits: Mapping[str, str] = field(default_factory=dict)

    def origin(self, piece: Piece) -> Origin:
        return self.origins[piece.origin]

    def is_whole(self, piece: Piece) -> bool:
        return piece.start == 0 and piece.stop == int(self.origin(piece).index.lengths[piece.episode])

    def old_name(self, name: str) -> str:
        return self.came_from.get(name, name)

    def counted(self, values: np.ndarray) -> np.ndarray:
        """The frames of (T, D...) that statistics are made of: at least one."""
        if not self.skip_nan or values.dtype.kind != "f":
            return values
        finite = np.isfinite(values).reshape(len(values), -1).all(1)
        return values[finite] if finite.any() else np.zeros_like(values[:1])

    @property
    def cameras(self) -> list[str]:
        """Those whose frames are in videos."""
        return [name for name, feature in self.features.items() if feature["dtype"] == "video"]

    @property
    def fps(self) -> float:
        return self.origins[0].fps


def whole(origins: Sequence[Origin], number: int, episodes: Iterable[int]) -> list[Piece]:
    """These episodes of an origin from beginning to end."""
    return [Piece(number, i, 0, int(origins[number].index.lengths[i])) for i in episodes]


def edit(origin: Origin, pieces: Sequence[Piece], operation: str, arguments: Mapping[str, Any], link: bool = True) -> Plan:
    """A plan that keeps everything of one origin but the choice of pieces; the operation is noted in meta/waldo.json.

    Raises DatasetError if no piece is left.
    """
    if not pieces:
        raise DatasetError(f"{operation} would leave no episode of {origin.root}; delete the folder if that is what you want")
    return Plan(
        origins=(origin,),
        pieces=tuple(pieces),
        features=origin.features,
        robot_type=origin.robot_type,
        provenance=noted(origin.provenance, operation, arguments),
        link=link,
        splits=_splits(origin, pieces),
    )


def noted(provenance: Mapping[str, Any], operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance with one more entry in `edits`, oldest first."""
    return {**provenance, "edits": [*provenance.get("edits", ()), {"operation": operation, **arguments}]}


def _splits(origin: Origin, pieces: Sequence[Piece]) -> dict[str, str]:
    """The origin's splits ("train": "0:40") counted anew; {} where they are not such ranges or nothing is left of one."""
    kept = np.array([piece.episode for piece in pieces])
    splits = {}
    for name, text in (origin.info.get("splits") or {}).items():
        first, _, last = str(text).partition(":")
        if not (first.isdigit() and last.isdigit()) or (np.diff(kept) <= 0).any():
            return {}
        start, stop = (int(np.searchsorted(kept, int(end))) for end in (first, last))
        if start < stop:
            splits[name] = f"{start}:{stop}"
    return splits


def carried_files(plan: Plan) -> dict[Path, Path]:
    """Relative path -> file, of what is no part of the format and the same in every origin."""
    first, *more = plan.origins
    found = {}
    for path in first.others():
        name = path.relative_to(first.root)
        if all((origin.root / name).is_file() and (origin.root / name).read_bytes() == path.read_bytes() for origin in more):
            found[name] = path
    return found


def info_of(plan: Plan, tasks: Sequence[str]) -> dict[str, Any]:
    """info.json of the result: the first origin's own words where nothing changed."""
    first = plan.origins[0].info
    fresh = layout.new_info(plan.features, first["fps"], plan.robot_type)
    kept = {key: value for key, value in first.items() if plan.origins[0].is_native or key not in ("total_videos", "total_chunks")}
    totals = {"total_episodes": len(plan.pieces), "total_frames": sum(map(len, plan.pieces)), "total_tasks": len(tasks)}
    same = ("codebase_version", "robot_type", "data_path", "video_path", "features")
    splits = dict(plan.splits) or {"train": f"0:{len(plan.pieces)}"}
    return {**fresh, **kept, **{key: fresh[key] for key in same}, **totals, "splits": splits}
