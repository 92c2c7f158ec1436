"""Every shape of an MjModel as triangles, for renderers that know nothing else."""

from __future__ import annotations

import mujoco
import numpy as np

_AROUND, _UP = 20, 10  # faces round a cylinder or sphere, and from pole to pole
_PLANE_HALF = 20.0  # [m] half width of an endless plane
_GEOM = mujoco.mjtGeom
Triangles = tuple[np.ndarray, np.ndarray, np.ndarray]  # vertices (V, 3) [m], unit normals (V, 3), faces (F, 3) counter-clockwise


def of_geom(model: mujoco.MjModel, geom: int) -> Triangles | None:
    """In the geom's own frame; None for a shape without a surface of its own (height field, SDF)."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == _GEOM.mjGEOM_BOX:
        return _box(size)
    if kind == _GEOM.mjGEOM_PLANE:
        return _rectangle(np.where(size[:2] > 0, size[:2], _PLANE_HALF))
    if kind == _GEOM.mjGEOM_SPHERE:
        return _turned(*_arc(size[0], 0.0))
    if kind == _GEOM.mjGEOM_CAPSULE:
        return _turned(*_arc(size[0], size[1]))
    if kind == _GEOM.mjGEOM_ELLIPSOID:
        points, normals, faces = _turned(*_arc(1.0, 0.0))
        bent = normals / size
        return points * size, bent / np.linalg.norm(bent, axis=1, keepdims=True), faces
    if kind == _GEOM.mjGEOM_CYLINDER:
        r, h = size[0], size[1]
        profile = np.array([[0, -h], [r, -h], [r, -h], [r, h], [r, h], [0, h]])
        return _turned(profile, np.array([[0, -1], [0, -1], [1, 0], [1, 0], [0, 1], [0, 1]], float))
    if kind == _GEOM.mjGEOM_MESH:
        return _mesh(model, int(model.geom_dataid[geom]))
    return None


def _box(half: np.ndarray) -> Triangles:
    points: list[np.ndarray] = []
    normals: list[np.ndarray] = []
    faces: list[tuple[int, int, int]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.eye(3)[axis] * sign
            side = np.eye(3)[(axis + 1) % 3]
            up = np.cross(normal, side)
            start = len(normals)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                points.append((normal + a * side + b * up) * half)
                normals.append(normal)
            faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
    return np.array(points), np.array(normals), np.array(faces)


def _rectangle(half: np.ndarray) -> Triangles:
    points = np.array([[-half[0], -half[1], 0], [half[0], -half[1], 0], [half[0], half[1], 0], [-half[0], half[1], 0]])
    return points, np.tile([0.0, 0.0, 1.0], (4, 1)), np.array([[0, 1, 2], [0, 2, 3]])


def _arc(radius: float, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Profile (radius, z) of a capsule from its south pole to its north pole, and its normals; half: of the straight part."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, _UP + 1)
    middle = _UP // 2
    angle = np.concatenate([angle[: middle + 1], angle[middle:]])
    shift = np.where(np.arange(len(angle)) <= middle, -half, half)
    normals = np.stack([np.cos(angle), np.sin(angle)], 1)
    return radius * normals + np.stack([np.zeros_like(shift), shift], 1), normals


def _turned(profile: np.ndarray, normals: np.ndarray) -> Triangles:
    """The surface that a profile (radius, z), running upwards, sweeps when it turns about z."""
    turn = 2 * np.pi * np.arange(_AROUND) / _AROUND
    spin = np.stack([np.cos(turn), np.sin(turn)], 1)
    rings = [np.concatenate([r * spin, np.full((_AROUND, 1), z)], 1) for r, z in profile]
    outward = [np.concatenate([r * spin, np.full((_AROUND, 1), z)], 1) for r, z in normals]
    here = np.arange(_AROUND)
    there = (here + 1) % _AROUND
    faces = []
    for ring in range(len(profile) - 1):
        low, high = ring * _AROUND, (ring + 1) * _AROUND
        faces += [np.stack([low + here, low + there, high + there], 1), np.stack([low + here, high + there, high + here], 1)]
    return np.concatenate(rings), np.concatenate(outward), np.concatenate(faces)


def _mesh(model: mujoco.MjModel, mesh: int) -> Triangles:
    """With a vertex per corner of a face, so that each may have its own normal."""
    faces = slice(model.mesh_faceadr[mesh], model.mesh_faceadr[mesh] + model.mesh_facenum[mesh])
    points = model.mesh_vert[model.mesh_vertadr[mesh] + model.mesh_face[faces].reshape(-1)]
    normals = model.mesh_normal[model.mesh_normaladr[mesh] + model.mesh_facenormal[faces].reshape(-1)]
    return points.astype(float), normals.astype(float), np.arange(len(points)).reshape(-1, 3)
