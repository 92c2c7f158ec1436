"""A recording at another frame rate, said out loud: the clock of the new frames, and how each kind of value follows it.

recorded, 10 Hz     0        1        2        3          times k / 10 s
new, 15 Hz          0     1     2     3     4             times j / 15 s, the last one not after the last recorded frame

floats              linear between the neighbours; angles the short way round, quaternions along the great arc (Shoemake 1985)
integers, booleans, cameras   the last recorded frame at or before
next.reward         summed over the recorded frames that a new one stands for; next.terminated, next.truncated and
                    next.success: true if one of them was. The last new frame stands for all that is left
action              absolute targets: as floats. Changes (deltas) would have to be summed: name them in `sums`
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.lerobot import layout
from data.source import Clip, Size, Source, Table

SUMS = ("next.reward",)
ANY = ("next.terminated", "next.truncated", "next.success")


def resampled(source: Source, fps: float, sums: Sequence[str] = ()) -> Source:
    """`source` at `fps` [Hz]; sums   further columns to be summed, e.g. delta actions. Raises DatasetError."""
    if not np.isfinite(fps) or fps <= 0:
        raise DatasetError(f"fps is {fps}; it must be positive")
    unknown = [name for name in sums if name not in source.header.features]
    if unknown:
        raise DatasetError(f"{source.header.root}: cannot sum {', '.join(unknown)}; it has: {', '.join(source.header.features)}")
    return source if fps == source.header.fps and not sums else ResampledSource(source, fps, tuple(sums))


class ResampledSource(Source):
    """A view of `source` on another clock."""

    def __init__(self, source: Source, fps: float, sums: tuple[str, ...]) -> None:
        header = source.header
        self._source, self._ratio, self._sums = source, header.fps / fps, (*SUMS, *sums)
        lengths = np.floor((header.lengths - 1) / self._ratio + 1e-9).astype(np.int64) + 1
        automatic = tuple(layout.DEFAULT_FEATURES)
        features = {name: feature for name, feature in header.features.items() if name not in automatic}
        identity = f"{header.identity} at {fps:g} Hz, summed {','.join(self._sums)}"
        self.header = dataclasses.replace(header, fps=fps, features=features, lengths=lengths, identity=identity)

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        stored = self._source.columns(names, episodes)
        old, new = self._source.header.lengths[episodes], self.header.lengths[episodes]
        starts = np.cumsum(old) - old
        frame = np.arange(new.sum()) - np.repeat(np.cumsum(new) - new, new)  # (N,) new frame in its episode
        at = frame * self._ratio
        left = np.minimum(np.floor(at + 1e-9).astype(np.int64), np.repeat(old - 1, new))
        right = np.minimum(left + 1, np.repeat(old - 1, new))
        first = np.repeat(starts, new)
        share = np.clip(at - left, 0, 1)
        out = {}
        for name in names:
            feature, values = self.header.features[name], stored[name]
            if name in self._sums or name in ANY:
                # new frame j stands for the recorded frames from its own up to, not including, that of frame j + 1
                reduce = np.add if name in self._sums else np.logical_or
                out[name] = reduce.reduceat(values, self._begins(frame, first, new)).astype(values.dtype)
            elif values.dtype.kind == "f":
                out[name] = _between(values[first + left], values[first + right], share, feature)
            else:
                out[name] = values[first + left]
        return out

    def _begins(self, frame: np.ndarray, first: np.ndarray, new: np.ndarray) -> np.ndarray:
        """First recorded frame of each new one; when there are more new than recorded frames a span would be empty, so it is refused."""
        if self._ratio < 1:
            raise DatasetError(
                f"{self.header.root}: rewards and ends cannot be spread over more frames than were recorded "
                f"({self.header.fps:g} Hz from {self._source.header.fps:g} Hz); choose a rate that is not higher, or leave these columns out"
            )
        return first + np.floor(frame * self._ratio + 1e-9).astype(np.int64)

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        old, new = self._source.header.lengths[episodes], self.header.lengths[episodes]
        frame = np.arange(new.sum()) - np.repeat(np.cumsum(new) - new, new)
        shown = np.repeat(np.cumsum(old) - old, new) + np.floor(frame * self._ratio + 1e-9).astype(np.int64)  # (N,) increasing
        clips = []
        for clip in self._source.clips(key, episodes):
            low, high = np.searchsorted(shown, clip.rows), np.searchsorted(shown, clip.rows, side="right")
            rows = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)] or [np.zeros(0, np.int64)])
            if len(rows):
                clips.append(Clip(clip.name, rows, functools.partial(_repeated, clip, high - low)))
        return clips

    def where(self, episode: int) -> Path:
        return self._source.where(episode)

    def files(self) -> tuple[list[Path], list[Path]]:
        return self._source.files()

    def check(self, episodes: np.ndarray, cameras: Sequence[str]) -> None:
        self._source.check(episodes, cameras)

    def final(self, episode: int) -> Table:
        return self._source.final(episode)

    def extras(self, episode: int) -> dict[str, Any]:
        return {**self._source.extras(episode), "resampled_from_hz": self._source.header.fps}


def _repeated(clip: Clip, counts: np.ndarray, size: Size | None) -> Iterator[np.ndarray]:
    """Each frame as often as it is shown, 0 for never."""
    for image, count in zip(clip.decode(size), counts.tolist(), strict=True):
        for _ in range(count):
            yield image


def _between(a: np.ndarray, b: np.ndarray, share: np.ndarray, feature: dict[str, Any]) -> np.ndarray:
    """a, b (N, ...), share (N,) in [0, 1] -> the values in between, of the dtype of `a`."""
    weight = share.reshape(-1, *[1] * (a.ndim - 1))
    out = a + (b - a) * weight
    for i in feature.get("angles") or ():
        turn = np.mod(b[:, i] - a[:, i] + np.pi, 2 * np.pi) - np.pi
        out[:, i] = a[:, i] + turn * share
    for i in feature.get("quaternions") or ():
        out[:, i : i + 4] = _slerp(a[:, i : i + 4], b[:, i : i + 4], share)
    return out.astype(a.dtype)


def _slerp(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Unit quaternions (N, 4): along the shorter great arc."""
    cosine = (a * b).sum(1)
    b = np.where(cosine[:, None] < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(cosine), 0, 1))
    near = angle < 1e-6
    sine = np.where(near, 1.0, np.sin(angle))
    first = np.where(near, 1 - share, np.sin((1 - share) * angle) / sine)
    second = np.where(near, share, np.sin(share * angle) / sine)
    out = first[:, None] * a + second[:, None] * b
    return out / np.linalg.norm(out, axis=1, keepdims=True)
