"""Mesh files as arrays: STL, OBJ and COLLADA, the colours of their parts included."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import RobotError

RGBA = tuple[float, float, float, float]


@dataclass(frozen=True)
class Surface:
    """Triangles of one colour."""

    vertices: np.ndarray  # (V, 3) [m]
    faces: np.ndarray  # (F, 3)
    rgba: RGBA | None  # None: the file does not say

    def moved(self, turn: np.ndarray, shift: np.ndarray) -> Surface:
        """Turned by (3, 3), then shifted by (3,) [m]."""
        return Surface(self.vertices @ turn.T + shift, self.faces, self.rgba)


@functools.lru_cache(maxsize=256)
def read_mesh(path: Path) -> tuple[Surface, ...]:
    """The surfaces of one mesh file, one per colour. Raises RobotError for a file that is none."""
    import trimesh

    try:
        scene = trimesh.load_scene(path)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except Exception as error:  # whatever the reader of that format raises
        raise RobotError(f"the mesh {path} cannot be read ({type(error).__name__}: {error})") from error
    if not parts:
        raise RobotError(f"the mesh {path} holds no triangles")
    found: dict[RGBA | None, list[tuple[np.ndarray, np.ndarray]]] = {}
    for part in parts:
        material = getattr(part.visual, "material", None)
        colour = getattr(material, "main_color", None)
        rgba: RGBA | None = None
        if colour is not None:
            r, g, b, a = (round(float(value) / 255, 3) for value in colour)
            rgba = r, g, b, a
        found.setdefault(rgba, []).append((np.asarray(part.vertices, float), np.asarray(part.faces)))
    return tuple(Surface(*joined(pieces), rgba) for rgba, pieces in found.items())


def joined(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Several (vertices, faces) as one."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in pieces[:-1]])
    faces = [faces + start for (_, faces), start in zip(pieces, starts, strict=True)]
    return np.concatenate([vertices for vertices, _ in pieces]), np.concatenate(faces)
