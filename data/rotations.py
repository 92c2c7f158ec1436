"""Unit quaternions (w first), rotation matrices, and the 6-D representation that networks use. numpy, any batch shape."""

from __future__ import annotations

import numpy as np


def matrix_from_quat(quat: np.ndarray) -> np.ndarray:
    """(..., 4) w-first unit quaternions -> (..., 3, 3)."""
    w, x, y, z = np.moveaxis(np.asarray(quat), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quat_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 4) w-first unit quaternions with w >= 0.

    Each of the four candidates is exact; the one with the largest divisor is kept (Shepperd 1978).
    """
    m = np.asarray(matrix, float)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 1, 0] + m[..., 0, 1], m[..., 2, 0] + m[..., 0, 2], m[..., 2, 1] + m[..., 1, 2]
    candidates = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )  # (..., 4 candidates, 4)
    best = np.argmax(np.einsum("...ii->...i", candidates), -1)
    quat = np.take_along_axis(candidates, best[..., None, None], -2)[..., 0, :]
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    return np.where(quat[..., :1] < 0, -quat, quat)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of (..., 4) quaternions."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a, float), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b, float), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def quat_about_z(angle: np.ndarray) -> np.ndarray:
    """(...,) angles [rad] -> (..., 4)."""
    half = np.asarray(angle, float) / 2
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], -1)


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 3): axis times angle [rad], |angle| <= pi."""
    m = np.asarray(matrix, float)
    axis = np.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1)
    sine = np.sqrt((axis * axis).sum(-1))  # twice that of the angle, as is
    cosine = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2] - 1
    vector = np.where(sine > 1e-9, np.arctan2(sine, cosine) / np.maximum(sine, 1e-9), 0.5)[..., None] * axis
    far = cosine < -1.9  # near a half turn the antisymmetric part vanishes, the quaternion stays exact
    if far.any():
        quat = quat_from_matrix(m[far])  # w >= 0, so the angle is at most pi
        sine = np.linalg.norm(quat[..., 1:], axis=-1)
        vector[far] = (2 * np.arctan2(sine, quat[..., 0]) / sine)[..., None] * quat[..., 1:]
    return vector


def sixd_from_quat(quat: np.ndarray) -> np.ndarray:
    """(..., 4) -> (..., 6): the first two columns of the matrix, one after the other (Zhou et al. 2019, eq. 15)."""
    matrix = matrix_from_quat(quat)
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], -1)


def quat_from_sixd(sixd: np.ndarray) -> np.ndarray:
    """(..., 6), any scale -> (..., 4) by Gram-Schmidt (Zhou et al. 2019, eq. 16). The two halves must not be parallel."""
    a, b = np.asarray(sixd[..., :3], float), np.asarray(sixd[..., 3:], float)
    x = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-9)
    y = b - (x * b).sum(-1, keepdims=True) * x
    y = y / np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-9)
    return quat_from_matrix(np.stack([x, y, np.cross(x, y)], -1))


def rotate(quat: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(..., 4) and (..., 3) -> (..., 3): every vector turned by its quaternion; one of the two may be a single one."""
    w, axis = quat[..., :1], quat[..., 1:]
    twice = 2.0 * np.cross(axis, vectors)
    return vectors + w * twice + np.cross(axis, twice)
