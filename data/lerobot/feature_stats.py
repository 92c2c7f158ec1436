"""Statistics per feature, as `meta/episodes` rows and `meta/stats.json` carry them: lerobot normalises with them and
refuses to append to a dataset that lacks them (lerobot 0.4.4, `compute_stats.py`).

Vectors: (D,) per statistic. Cameras: (3, 1, 1), values 0..1. Integers keep int64 min and max.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Stats = dict[str, np.ndarray]
CHANNELS = np.array([0, 256, 512], np.uint16)  # one histogram of three parts is counted faster than three


def column_stats(values: np.ndarray) -> Stats:
    """Exact statistics of one episode. values: (T, D) -> (D,); (T, M, D) -> (D,), the rows of a matrix count as frames (as lerobot)."""
    flat = values.reshape(-1, values.shape[-1])
    real = flat.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        inner = {
            "mean": real.mean(0),
            "std": real.std(0),
            **dict(zip(QUANTILES, np.quantile(real, list(QUANTILES.values()), axis=0), strict=True)),
        }
    return {"min": flat.min(0), "max": flat.max(0), **_bounded(inner), "count": np.array([len(values)])}


def _bounded(stats: Stats) -> Stats:
    """Values near the end of float64 have sums and squares beyond it, which JSON cannot hold: the largest number stands for them."""
    return {name: np.nan_to_num(value) for name, value in stats.items()}


class ImageStats:
    """A histogram of pixel values per channel, fed frame by frame.

    Every 5th frame and at most ~48x48 of its pixels are counted: statistics of a camera need no more, and the encoder
    should have the time. count = frames that were looked at (as lerobot, which samples frames too).
    """

    EVERY = 5

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), np.int64)
        self._seen = 0
        self._used = 0

    def add(self, frames: np.ndarray) -> None:
        """frames: uint8 (T, H, W, 3)."""
        first = -self._seen % self.EVERY
        self._seen += len(frames)
        if first >= len(frames):
            return
        chosen = frames[first :: self.EVERY, :: max(1, frames.shape[1] // 48), :: max(1, frames.shape[2] // 48)]
        self._used += len(chosen)
        self._counts += np.bincount((chosen + CHANNELS).ravel(), minlength=768).reshape(3, 256)

    def stats(self) -> Stats:
        levels = np.arange(256) / 255.0
        total = self._counts.sum(1)
        mean = self._counts @ levels / total
        cumulative = np.cumsum(self._counts, 1)
        present = self._counts > 0
        stats = {
            "min": levels[present.argmax(1)],
            "max": levels[255 - present[:, ::-1].argmax(1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(self._counts @ levels**2 / total - mean**2, 0)),
        }
        for name, q in QUANTILES.items():
            stats[name] = levels[(cumulative >= np.maximum(q * total, 1)[:, None]).argmax(1)]
        return {name: value.reshape(3, 1, 1) for name, value in stats.items()} | {"count": np.array([self._used])}


def aggregate(a: Mapping[str, Stats], b: Mapping[str, Stats]) -> dict[str, Stats]:
    """Statistics of both together. Exact for min, max, mean, std, count (Chan et al. 1983); quantiles are averaged with
    the counts as weights, which is lerobot's approximation."""
    return {name: _join(a[name], b[name]) if name in a and name in b else (a.get(name) or b[name]) for name in {**a, **b}}


def _join(a: Stats, b: Stats) -> Stats:
    n, m = float(a["count"][0]), float(b["count"][0])
    with np.errstate(over="ignore", invalid="ignore"):
        delta = b["mean"] - a["mean"]
        variance = (n * a["std"] ** 2 + m * b["std"] ** 2) / (n + m) + delta**2 * n * m / (n + m) ** 2
        inner = {
            "mean": a["mean"] + delta * m / (n + m),
            "std": np.sqrt(variance),
            **{q: (n * a[q] + m * b[q]) / (n + m) for q in QUANTILES if q in a and q in b},
        }
    bounds = {"min": np.minimum(a["min"], b["min"]), "max": np.maximum(a["max"], b["max"])}
    return bounds | _bounded(inner) | {"count": a["count"] + b["count"]}
