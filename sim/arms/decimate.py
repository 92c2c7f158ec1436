"""Triangle meshes with fewer triangles: what a camera of a policy sees of an arm, drawn ten times faster.

Edge collapse by quadric error (Garland and Heckbert 1997) is fast-simplification's; here is what it
needs, one vertex where CAD files hold one per triangle; and convex pieces for contacts.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

WELD = 3e-4  # [m]
DIRECTIONS = 256  # in which a convex hull is exact


def weld(vertices: np.ndarray, faces: np.ndarray, distance: float = WELD) -> tuple[np.ndarray, np.ndarray]:
    """The surface (V, 3), (F, 3) with one vertex, their mean, for all in a cube of `distance` [m]; no triangle twice or flat."""
    _, index = np.unique(np.round(vertices / distance).astype(np.int64), axis=0, return_inverse=True)
    index = index.reshape(-1)
    means = np.stack([np.bincount(index, values) for values in vertices.T], 1) / np.bincount(index)[:, None]
    faces = index[faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(faces, 1), axis=0, return_index=True)
    used, faces = np.unique(faces[np.sort(first)], return_inverse=True)
    return means[used], faces.reshape(-1, 3)


def decimate(vertices: np.ndarray, faces: np.ndarray, triangles: int) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) [m], (F, 3) -> the same shape with at most `triangles` faces.

    Collapsing edges stops early on loose shells and fine detail, so vertices are first merged in cubes of WELD, then in ever
    larger ones (Rossignac and Borrel 1993), until it reaches the number; on the arms here that ends below 1.5 mm.
    """
    import fast_simplification

    distance = WELD
    vertices, faces = weld(vertices, faces, distance)
    while len(faces) > triangles:
        points, kept = fast_simplification.simplify(vertices.astype(np.float32), faces.astype(np.int32), target_count=triangles)
        vertices, faces = weld(points.astype(float), kept, distance)
        distance *= 1.3
    return vertices, faces


def hull(points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(P, 3) -> vertices (at most DIRECTIONS) and faces, turned outwards, of their convex hull; None if they lie in a plane.

    Only the points furthest out in evenly spread directions are kept: corners stay, a sphere of 0.1 m loses under 1 mm.
    """
    points = points[np.unique(np.argmax(points @ _directions(DIRECTIONS).T, axis=0))]
    try:
        made = ConvexHull(points)
    except QhullError:
        return None
    faces = made.simplices.copy()
    inward = np.einsum("ij,ij->i", _normals(points, faces), made.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    used, faces = np.unique(faces, return_inverse=True)
    return points[used], faces.reshape(-1, 3)


def _directions(n: int) -> np.ndarray:
    """(n, 3) unit vectors on a spiral from pole to pole (Fibonacci lattice)."""
    z = 1 - (2 * np.arange(n) + 1) / n
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    return np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], 1)


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = points[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


def slices(vertices: np.ndarray, faces: np.ndarray, n: int) -> list[np.ndarray]:
    """n point sets, one per slab across the longest axis, each with the points in which triangles cross the slab's ends."""
    axis = int(np.argmax(np.ptp(vertices, axis=0)))
    height = vertices[:, axis]
    ends = np.linspace(height.min(), height.max(), n + 1)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    low, high = height[edges[:, 0]], height[edges[:, 1]]
    crossings = []
    for end in ends[1:-1]:
        cut = edges[(low < end) & (high > end)]  # each inner edge belongs to two triangles, once in either direction
        share = (end - height[cut[:, 0]]) / (height[cut[:, 1]] - height[cut[:, 0]])
        crossings.append(vertices[cut[:, 0]] + share[:, None] * (vertices[cut[:, 1]] - vertices[cut[:, 0]]))
    parts = []
    for i in range(n):
        inside = vertices[(height >= ends[i]) & (height <= ends[i + 1])]
        parts.append(np.concatenate([inside, *crossings[max(i - 1, 0) : i + 1]]))
    return parts
