"""A geom of an MjModel as the geometry of a URDF. What a URDF does not know (meshes, ellipsoids) is written as an OBJ file."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from data.rotations import matrix_from_quat
from sim.bullet.support import label, refuse

_PLANE_HALF, _PLANE_DEPTH = 20.0, 1.0  # [m] an endless plane is the top of a box of this half width and depth
_GEOM = mujoco.mjtGeom


def origin(position: np.ndarray, quat: np.ndarray) -> str:
    """The URDF element of a pose: roll, pitch and yaw about fixed axes."""
    r = matrix_from_quat(np.asarray(quat, float))
    level = np.hypot(r[0, 0], r[1, 0])
    if level > 1e-12:
        rpy = (np.arctan2(r[2, 1], r[2, 2]), np.arctan2(-r[2, 0], level), np.arctan2(r[1, 0], r[0, 0]))
    else:  # pointing straight up or down: yaw alone says it all
        rpy = (np.arctan2(-r[1, 2], r[1, 1]), np.arctan2(-r[2, 0], level), 0.0)
    return f'<origin xyz="{numbers(position)}" rpy="{numbers(rpy)}"/>'


def numbers(values: np.ndarray | tuple[float, ...]) -> str:
    return " ".join(repr(float(value)) for value in values)


def geometry(model: mujoco.MjModel, geom: int, folder: Path) -> tuple[np.ndarray, str]:
    """(3,) shift of the shape in the geom's frame, and its URDF element. Files go into `folder`."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    none = np.zeros(3)
    if kind == _GEOM.mjGEOM_BOX:
        return none, f'<box size="{numbers(2 * size)}"/>'
    if kind == _GEOM.mjGEOM_SPHERE:
        return none, f'<sphere radius="{float(size[0])!r}"/>'
    if kind == _GEOM.mjGEOM_CYLINDER:
        return none, f'<cylinder radius="{float(size[0])!r}" length="{float(2 * size[1])!r}"/>'
    if kind == _GEOM.mjGEOM_CAPSULE:
        return none, f'<capsule radius="{float(size[0])!r}" length="{float(2 * size[1])!r}"/>'
    if kind == _GEOM.mjGEOM_PLANE:
        half = np.where(size[:2] > 0, size[:2], _PLANE_HALF)
        return np.array([0.0, 0.0, -_PLANE_DEPTH / 2]), f'<box size="{numbers((2 * half[0], 2 * half[1], _PLANE_DEPTH))}"/>'
    if kind == _GEOM.mjGEOM_ELLIPSOID:
        return none, _mesh(folder / f"ellipsoid{geom}.obj", *_ellipsoid(size))
    if kind == _GEOM.mjGEOM_MESH:
        mesh = int(model.geom_dataid[geom])
        return none, _mesh(folder / f"mesh{mesh}.obj", *(_hull if model.mesh_graphadr[mesh] >= 0 else _faces)(model, mesh))
    shape = _GEOM(kind).name.removeprefix("mjGEOM_").lower()
    raise refuse(f"geom {label(model, mujoco.mjtObj.mjOBJ_GEOM, geom)}: a shape of type {shape}")


def _faces(model: mujoco.MjModel, mesh: int) -> tuple[np.ndarray, np.ndarray]:
    start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    first, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    return model.mesh_vert[start : start + count], model.mesh_face[first : first + faces]


def _hull(model: mujoco.MjModel, mesh: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners and triangles of a mesh's convex hull, as MuJoCo stores them: counts, edges per corner, corners, edges, triangles."""
    graph = model.mesh_graph[model.mesh_graphadr[mesh] :]
    corners, triangles = int(graph[0]), int(graph[1])
    ids = graph[2 + corners : 2 + 2 * corners]
    end = 2 + 2 * corners + corners + 3 * triangles
    faces = graph[end : end + 3 * triangles].reshape(-1, 3)
    place = {int(vertex): i for i, vertex in enumerate(ids)}
    vertices = model.mesh_vert[model.mesh_vertadr[mesh] + ids]
    return vertices, np.array([[place[int(vertex)] for vertex in face] for face in faces])


def _ellipsoid(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A net of 12 rings of 24 points."""
    rings, around = 12, 24
    polar = np.pi * (np.arange(rings) + 0.5) / rings
    turn = 2 * np.pi * np.arange(around) / around
    unit = np.stack(
        [np.outer(np.sin(polar), np.cos(turn)), np.outer(np.sin(polar), np.sin(turn)), np.outer(np.cos(polar), np.ones(around))], -1
    ).reshape(-1, 3)
    points = np.concatenate([unit, [[0, 0, 1], [0, 0, -1]]]) * size
    top, bottom, last = len(points) - 2, len(points) - 1, (rings - 1) * around
    faces = []
    for i in range(around):
        j = (i + 1) % around
        faces += [(top, i, j), (bottom, last + j, last + i)]
        for ring in range(rings - 1):
            a, b = ring * around, (ring + 1) * around
            faces += [(a + i, b + i, b + j), (a + i, b + j, a + j)]
    return points, np.array(faces)


def _mesh(path: Path, vertices: np.ndarray, faces: np.ndarray) -> str:
    if not path.exists():
        lines = [f"v {numbers(vertex)}" for vertex in vertices] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f'<mesh filename="{path.name}"/>'
