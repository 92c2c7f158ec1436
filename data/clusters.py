"""Groups among points that nobody has labelled, or none if there are none; and in which columns a group lies apart.

The same points always give the same groups: Ward's method (1963, JASA 58) has no random start.
"""

from __future__ import annotations

import numpy as np

CLEAR = 0.5  # mean silhouette from which a structure is reasonable (Kaufman, Rousseeuw 1990, Finding Groups in Data, table 2.4)
MOST_GROUPS = 4
SMALLEST = 3  # points of a group
DIRECTIONS = 3  # principal components that are kept: noise in many columns would hide a group in a few
APART = 1.0  # standard deviations between medians from which a column is worth a word


def clusters(points: np.ndarray) -> np.ndarray:
    """(n,) int: the group of each of (n, D) finite points, largest group 0; all 0 where no division is clear."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist, squareform

    n = len(points)
    none = np.zeros(n, int)
    flat = _principal(points)
    if n < 2 * SMALLEST or flat.shape[1] == 0:
        return none
    tree, apart = linkage(flat, method="ward"), squareform(pdist(flat))
    best, chosen = CLEAR, none
    for k in range(2, MOST_GROUPS + 1):
        labels = fcluster(tree, k, criterion="maxclust") - 1
        sizes = np.bincount(labels)
        if len(sizes) < k or sizes.min() < SMALLEST:
            continue
        value = silhouette(apart, labels)
        if value > best:
            best, chosen = value, np.argsort(np.argsort(-sizes, kind="stable"))[labels]
    return chosen


def silhouette(apart: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw 1987, J. Comput. Appl. Math. 20) from distances (n, n); labels 0, 1, ... each used more than once."""
    sizes = np.bincount(labels)
    sums = np.stack([apart[:, labels == k].sum(1) for k in range(len(sizes))], 1)  # (n, k)
    rows = np.arange(len(labels))
    inside = sums[rows, labels] / (sizes[labels] - 1)
    means = sums / sizes
    means[rows, labels] = np.inf
    outside = means.min(1)
    larger = np.maximum(inside, outside)
    return float(np.mean(np.divide(outside - inside, larger, out=np.zeros(len(labels)), where=larger > 0)))


def distinctive(points: np.ndarray, chosen: np.ndarray, most: int = 2) -> list[tuple[int, float, float]]:
    """In which columns some of the points lie apart from the others: (column, their median, the others' median), clearest first.

    points   (n, D); chosen   (n,) bool, neither none nor all
    """
    inside, outside = np.median(points[chosen], axis=0), np.median(points[~chosen], axis=0)
    spread = points.std(0)
    gaps = np.divide(np.abs(inside - outside), spread, out=np.zeros(points.shape[1]), where=spread > 1e-9)
    return [(int(i), float(inside[i]), float(outside[i])) for i in np.argsort(-gaps, kind="stable")[:most] if gaps[i] >= APART]


def _principal(points: np.ndarray) -> np.ndarray:
    """(n, <= DIRECTIONS): the points in units of each column's spread, along the directions in which they differ most."""
    spread = points.std(0)
    scaled = (points - points.mean(0))[:, spread > 1e-6] / spread[spread > 1e-6]
    if scaled.shape[1] <= DIRECTIONS:
        return scaled
    left, strength, _ = np.linalg.svd(scaled, full_matrices=False)
    return left[:, :DIRECTIONS] * strength[:DIRECTIONS]
