"""What the links of a URDF collide as, and what they are drawn as."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from real.robots import Urdf
from sim.arms import decimate
from sim.arms.meshes import Surface, joined
from sim.arms.urdf import Box, Link, read_links

TRIANGLES = 1500  # drawn per link, at most
FEWEST = 12  # of them for the smallest part of another colour
FORMAT = 1  # raise it when the code of this file or of decimate.py makes other shapes of the same meshes


@dataclass(frozen=True)
class Shapes:
    """Of one link, in its own frame."""

    convex: list[Surface]  # to collide; they have no colour
    boxes: list[Box]  # to collide too
    drawn: list[Surface]  # one per colour


@functools.cache
def arm_shapes(source: Urdf) -> dict[str, Shapes]:
    """The convex pieces and the decimated meshes of every link. Made once, a few seconds, then kept in the user's cache folder."""
    path = _cache_file(source)
    kept = _load(path)
    if kept is not None:
        return kept
    pieces = dict(source.slices)
    made = {
        name: Shapes(_convex(link, pieces.get(name, 1)), link.boxes, drawn(link, TRIANGLES)) for name, link in read_links(source).items()
    }
    _save(path, made)
    return made


def _convex(link: Link, pieces: int) -> list[Surface]:
    if not link.collision:
        return []
    vertices, faces = joined([(s.vertices, s.faces) for s in link.collision])
    hulls = [decimate.hull(part) for part in (decimate.slices(vertices, faces, pieces) if pieces > 1 else [vertices])]
    return [Surface(*found, None) for found in hulls if found is not None]


def drawn(link: Link, triangles: int = 0) -> list[Surface]:
    """One surface per colour; together they have at most `triangles` faces, all of them where that is 0."""
    colours = dict.fromkeys(surface.rgba for surface in link.visual)
    merged = [Surface(*joined([(s.vertices, s.faces) for s in link.visual if s.rgba == rgba]), rgba) for rgba in colours]
    total = sum(len(surface.faces) for surface in merged)
    if not triangles or total <= triangles:
        return merged
    spread = triangles - FEWEST * len(merged)
    few = [Surface(*decimate.decimate(s.vertices, s.faces, FEWEST + spread * len(s.faces) // total), s.rgba) for s in merged]
    return [surface for surface in few if len(surface.faces)]


def _cache_file(source: Urdf) -> Path:
    """Named by everything that the shapes depend on. $XDG_CACHE_HOME/waldo/robots, ~/.cache where that is not set."""
    numbers = (FORMAT, TRIANGLES, FEWEST, decimate.WELD, decimate.DIRECTIONS, importlib.metadata.version(source.package))
    key = sha256(json.dumps([asdict(source), numbers], sort_keys=True).encode()).hexdigest()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "waldo" / "robots" / f"{Path(source.path).stem}-{key[:16]}.npz"


def _save(path: Path, made: dict[str, Shapes]) -> None:
    """Whole or not at all; a folder that cannot be written costs time, no more."""
    index: list[list[Any]] = []
    arrays: list[np.ndarray] = []
    for name, shapes in made.items():
        for kind, surfaces in (("convex", shapes.convex), ("drawn", shapes.drawn)):
            for surface in surfaces:
                arrays += [surface.vertices, surface.faces]
                index.append([name, kind, surface.rgba])
    boxes = {name: [[part.tolist() for part in box] for box in shapes.boxes] for name, shapes in made.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, np.array(json.dumps([boxes, index])), *arrays)
        Path(file.name).replace(path)
    except OSError:
        return


def _load(path: Path) -> dict[str, Shapes] | None:
    """None where there is no such file, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            boxes, index = json.loads(str(file["arr_0"]))
            found = {name: Shapes([], [(np.array(s), np.array(t), np.array(c)) for s, t, c in some], []) for name, some in boxes.items()}
            for i, (name, kind, rgba) in enumerate(index):
                into = found[name].convex if kind == "convex" else found[name].drawn
                into.append(Surface(file[f"arr_{2 * i + 1}"], file[f"arr_{2 * i + 2}"], tuple(rgba) if rgba else None))
            return found
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
