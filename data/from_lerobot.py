"""LeRobotDataset v3.0, the native format, as `data.record` or lerobot writes it, and v2.1 and v2.0 as many older recordings are."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.catalog import open_index
from data.lerobot.index import RECORD_AGAIN, RESTORE, Index, open_parquet
from data.lerobot.video import decode_still, read_frames
from data.source import Clip, Given, Header, Size, Source, Table

FORMAT = "LeRobotDataset v3.0 and v2.1"


def recognises(path: Path) -> bool:
    """Also where info.json is missing, as long as the rest looks like it: the message is then about info.json."""
    return (path / layout.INFO).exists() or ((path / "meta").is_dir() and not (path / "meta/episode_ends").exists())


def open_source(path: Path, given: Given) -> Source:
    return LeRobotSource(path, given)


class LeRobotSource(Source):
    """A folder with meta/, data/ and videos/."""

    def __init__(self, root: Path, given: Given) -> None:
        self._index, self._checked = open_index(root)
        index, info = self._index, self._index.info
        given.need_fps(float(info["fps"]), root)
        position = {task: i for i, task in enumerate(index.tasks)}
        extra = [task for tasks in index.of for task in tasks if task not in position]
        position |= {task: len(position) + i for i, task in enumerate(dict.fromkeys(extra))}
        provenance = root / layout.PROVENANCE
        self.header = Header(
            root=root,
            format=f"LeRobotDataset {info['codebase_version']}",
            fps=info["fps"],
            robot_type=info.get("robot_type") or given.robot_type or "unknown",
            features=index.features,
            lengths=index.lengths,
            tasks=tuple(position),
            task_of=tuple(tuple(position[task] for task in tasks) for tasks in index.of),
            provenance=layout.read_json(provenance, RESTORE) if provenance.exists() else {},
        )

    def check(self, episodes: np.ndarray, cameras: Sequence[str]) -> None:
        if not self._checked:
            chosen = None if len(episodes) == len(self._index.lengths) else episodes.tolist()
            self._index.select(chosen, cameras).check_files()

    def where(self, episode: int) -> Path:
        return self._index.data[episode]

    def files(self) -> tuple[list[Path], list[Path]]:
        index = self._index
        return [*index.meta_files, *index.data_files], [path for key in index.videos for path in index.video_files(key)]

    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        path = self.header.root / layout.STATS
        if not path.exists():
            return {}
        return {n: {k: np.asarray(v) for k, v in s.items()} for n, s in layout.read_json(path, RESTORE).items()}

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        """No copy but the one that joins the files."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for path, rows in self._rows(episodes).items():
            try:
                with pq.ParquetFile(path, memory_map=True) as file:
                    table = file.read(list(names), use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(f"{path} cannot be read ({error}); {RESTORE}") from error
            for name in names:
                whole = self._to_numpy(table[name], name, path)
                parts[name] += [whole[start:stop] for start, stop in rows]
        columns = {name: np.concatenate(arrays) if len(arrays) > 1 else arrays[0] for name, arrays in parts.items()}
        if "index" in columns:
            self._check_index(columns["index"], episodes)
        return columns

    def _rows(self, episodes: np.ndarray) -> dict[Path, list[tuple[int, int]]]:
        """Which rows of which file make up the episodes, neighbours joined."""
        index = self._index
        rows: dict[Path, list[tuple[int, int]]] = {}
        for i in episodes.tolist():
            start, length = int(index.row[i]), int(index.lengths[i])
            spans = rows.setdefault(index.data[i], [])
            first = spans.pop()[0] if spans and spans[-1][1] == start else start
            spans.append((first, start + length))
        return rows

    def _to_numpy(self, column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
        feature = self.header.features[name]
        shape = layout.column_shape(name, feature)
        values = column.combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = values.chunk(0) if values.num_chunks else pa.array([], column.type)
        rows = len(values)
        if values.null_count:
            raise DatasetError(f"{path}: column {name!r} has {values.null_count} empty rows; every frame needs a value")
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        while pa.types.is_nested(values.type):
            values = values.flatten()
        array = values.to_numpy(zero_copy_only=False)
        if array.size != rows * int(np.prod(shape)):
            raise DatasetError(
                f"{path}: column {name!r} has {array.size / max(rows, 1):g} values per frame, info.json says "
                f"{int(np.prod(shape))}; correct the shape in {layout.INFO}, or {RECORD_AGAIN}"
            )
        return array.reshape(rows, *shape).astype(feature["dtype"], copy=False)

    def _check_index(self, column: np.ndarray, episodes: np.ndarray) -> None:
        lengths = self._index.lengths[episodes]
        starts = np.cumsum(lengths) - lengths
        expected = np.arange(len(column)) + np.repeat(self._index.first[episodes] - starts, lengths)
        if not np.array_equal(column, expected):
            at = int(np.flatnonzero(column != expected)[0])
            raise DatasetError(
                f"{self.header.root}: the column 'index' does not count up; it says {column[at]} instead of {expected[at]}; "
                f"mend it with `waldo data repair`, or {RECORD_AGAIN}"
            )

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        lengths = self._index.lengths[episodes]
        starts = np.cumsum(lengths) - lengths
        if key not in self._index.videos:
            return [
                Clip(f"episode {i}", np.arange(start, start + n), functools.partial(_stills, self._index, i, key))
                for i, start, n in zip(episodes.tolist(), starts.tolist(), lengths.tolist(), strict=True)
            ]
        video, fps = self._index.videos[key], float(self.header.fps)
        wanted: dict[Path, list[tuple[int, int, int]]] = {}  # first frame in the video, first row, number of frames
        for i, start, n in zip(episodes.tolist(), starts.tolist(), lengths.tolist(), strict=True):
            wanted.setdefault(video.paths[i], []).append((round(float(video.start_s[i]) * fps), start, n))
        clips = []
        for path, slots in wanted.items():
            slots.sort()
            frames = np.concatenate([np.arange(first, first + n) for first, _, n in slots])
            rows = np.concatenate([np.arange(row, row + n) for _, row, n in slots])
            name = f"{path.relative_to(self.header.root).as_posix()} {path.stat().st_size}"
            clips.append(Clip(name, rows, functools.partial(_video, path, frames, fps)))
        return clips


def _video(path: Path, frames: np.ndarray, fps: float, size: Size | None) -> Iterator[np.ndarray]:
    """These frames (increasing numbers) of a video. Raises DatasetError if it ends before the last of them."""
    wanted = iter(frames.tolist())
    number = next(wanted)
    for found, image in read_frames(path, fps, size, int(frames[0])):
        if found == number:
            yield image
            following = next(wanted, None)
            if following is None:
                return
            number = following
    raise DatasetError(
        f"{path} ends too early: {int((frames >= number).sum())} frames of its episodes are missing, the first at {number / fps:.2f} s; "
        f"{RESTORE}"
    )


def _stills(index: Index, episode: int, key: str, size: Size | None) -> Iterator[np.ndarray]:
    """Frames that are stored one by one in the data file, as PNG or JPEG."""
    path, row, count = index.data[episode], int(index.row[episode]), int(index.lengths[episode])
    shape: Any = index.features[key]["shape"]
    with open_parquet(path) as file:
        stored = file.read([key], use_threads=False)[key].slice(row, count)
    for t, value in enumerate(stored):
        content = value.as_py()
        content = content.get("bytes") if isinstance(content, dict) else content
        if not isinstance(content, bytes):
            raise DatasetError(f"{path}: {key} of frame {t} is not an image; {RESTORE}")
        yield decode_still(content, size or (int(shape[0]), int(shape[1])), f"{path}: {key} of frame {t}")
