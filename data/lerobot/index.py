"""Which episodes a dataset has and where each lies: `Index`, made by `data.lerobot.metadata.read_index`, and its cheap checks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import DatasetError, did_you_mean

RECORD_AGAIN = "record or import it again"
RESTORE = f"restore it from a copy of the dataset, or {RECORD_AGAIN}"


def open_parquet(path: Path, mend: str = RESTORE) -> pq.ParquetFile:
    """A parquet file whose footer is readable; raises DatasetError otherwise."""
    try:
        return pq.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; {mend}") from None
    except (pa.ArrowException, OSError) as error:
        size = path.stat().st_size
        reason = "its end is missing or damaged, as after an interrupted copy" if size else "it is empty"
        raise DatasetError(f"{path} ({size} bytes) is not a readable parquet file: {reason}; {mend}") from error


def check_mp4(path: Path, mend: str) -> None:
    """Walk the top-level boxes of an mp4: a cut-off file lacks `moov` or ends inside a box. Raises DatasetError."""
    try:
        size = path.stat().st_size
    except OSError:
        raise DatasetError(f"{path} is missing; {mend}") from None
    found, at = set(), 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:  # a 64-bit length follows
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:  # to the end of the file
                length = size - at
            if length < 8:
                break
            found.add(kind)
            at += length
    if at != size or not {b"moov", b"mdat"} <= found:
        raise DatasetError(f"{path} ({size} bytes) is not a complete mp4 video, as after an interrupted copy; {mend}")


@dataclass(frozen=True)
class Video:
    """Where the frames of one camera are: a file per episode, and where in it the episode starts, (E,) [s]."""

    paths: tuple[Path, ...]
    start_s: np.ndarray


@dataclass(frozen=True)
class Index:
    """The committed episodes of a dataset, or a selection of them. What lies beyond info.json's totals is not here.

    number      (E,) int64 episode_index; first   (E,) int64 `index` of its first frame; lengths   (E,) int64 frames
    row         (E,) int64 the row of its first frame in its data file
    data        data file of each episode; file_rows   rows that each data file should have
    tasks       the task strings, position = task_index; of   those of each episode
    """

    root: Path
    info: Mapping[str, Any]
    number: np.ndarray
    first: np.ndarray
    lengths: np.ndarray
    row: np.ndarray
    tasks: tuple[str, ...]
    of: tuple[tuple[str, ...], ...]
    data: tuple[Path, ...]
    file_rows: Mapping[Path, int]
    videos: Mapping[str, Video]
    meta_files: tuple[Path, ...]

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        return self.info["features"]

    @functools.cached_property
    def ends(self) -> np.ndarray:
        """(E,) int64: the frame after the last of each episode, counted over the episodes that are here."""
        return np.cumsum(self.lengths)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """(E,) int64: the first frame of each episode, counted likewise."""
        return self.ends - self.lengths

    @property
    def data_files(self) -> list[Path]:
        """Every data file of the dataset, selected or not."""
        return list(self.file_rows)

    def video_files(self, key: str) -> list[Path]:
        return list(dict.fromkeys(self.videos[key].paths))

    def select(self, episodes: Sequence[int] | None, cameras: Sequence[str] | None) -> Index:
        """Only these episodes (in increasing order) and cameras; None keeps all. Raises DatasetError for unknown ones."""
        index = self
        if cameras is not None:
            known = [name for name, feature in self.features.items() if feature["dtype"] in ("video", "image")]
            for key in cameras:
                if key not in known:
                    raise DatasetError(f"{self.root} has no camera {key!r}; {did_you_mean(key, known)}")
            features = {n: f for n, f in self.features.items() if n not in known or n in cameras}
            info = {**self.info, "features": features}
            index = dataclasses.replace(index, info=info, videos={k: v for k, v in self.videos.items() if k in cameras})
        if episodes is not None:
            chosen = [int(i) for i in episodes]
            if not chosen or chosen != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= len(self.lengths):
                raise DatasetError(f"{self.root}: episodes {chosen}; wanted increasing numbers from 0 to {len(self.lengths) - 1}")
            index = dataclasses.replace(
                index,
                **{name: getattr(self, name)[chosen] for name in ("number", "first", "lengths", "row")},
                of=tuple(self.of[i] for i in chosen),
                data=tuple(self.data[i] for i in chosen),
                videos={k: Video(tuple(v.paths[i] for i in chosen), v.start_s[chosen]) for k, v in index.videos.items()},
            )
        return index

    def check_files(self, first: int = 0) -> None:
        """Every data and video file that the episodes from `first` on need is there and has its end, and the rows add up.

        Raises DatasetError.
        """
        columns = {n for n, f in self.features.items() if f["dtype"] != "video"}
        for path in dict.fromkeys(self.data[first:]):
            with open_parquet(path) as file:
                missing = columns - set(file.schema_arrow.names)
                if missing:
                    raise DatasetError(f"{path} has no column {', '.join(sorted(missing))}, which info.json promises; {RESTORE}")
                if file.metadata.num_rows != self.file_rows[path]:
                    raise DatasetError(
                        f"{path} has {file.metadata.num_rows} rows, but its episodes have {self.file_rows[path]} frames; {RESTORE}"
                    )
        for key in self.videos:
            for path in dict.fromkeys(self.videos[key].paths[first:]):
                check_mp4(path, f"{RESTORE}, or leave this camera or these episodes out (Dataset.open with cameras=, episodes=)")
