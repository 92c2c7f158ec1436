"""What an edit takes episodes from: a LeRobotDataset v3.0 or v2.1, its rows read as Arrow tables, its statistics as they are recorded."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.feature_stats import Stats
from data.lerobot.index import RESTORE, Index, open_parquet
from data.lerobot.metadata import read_index

MEND = "mend it with `waldo data repair`"
V21_STATS = "meta/episodes_stats.jsonl"
# Columns of meta/episodes that an edit fills in itself; everything else is carried along.
NUMBERING = ("episode_index", "tasks", "length", "data/", "dataset_from_index", "dataset_to_index", "videos/", "stats/", "meta/episodes/")


class Origin:
    """An opened dataset. Raises DatasetError if its meta files are missing, damaged or disagree.

    index        what it consists of; None reads it from meta/
    renumbered   episodes whose frame_index and timestamp are wrong, or whose numbers are: they are written anew
    video_fps    [Hz] of the videos as they are, where it is not that of the recording; 0 where it is
    """

    def __init__(self, root: Path, index: Index | None = None, renumbered: frozenset[int] = frozenset(), video_fps: float = 0.0) -> None:
        self.root = root
        self.index: Index = index or read_index(root)
        self.renumbered = renumbered
        self.video_fps = video_fps or float(self.index.info["fps"])
        raw = layout.read_json(root / layout.INFO, RESTORE)
        native = raw["codebase_version"] == layout.VERSION and index is None
        features = raw["features"] if native else self.index.features
        automatic = {name: entry for name, entry in layout.DEFAULT_FEATURES.items() if name not in features}
        self.info: dict[str, Any] = {**raw, **({} if native else self.index.info), "features": {**features, **automatic}}
        self._open: tuple[Path, pq.ParquetFile] | None = None
        self._ends = np.zeros(0, np.int64)
        self._groups: dict[tuple[str, ...] | None, tuple[int, pa.Table]] = {}
        self._meta: tuple[Path, pa.Table] | None = None
        self._row: tuple[int, dict[str, Any]] | None = None

    @property
    def is_native(self) -> bool:
        """Whether it is v3.0, which can be edited in place."""
        return bool(self.info["codebase_version"] == layout.VERSION)

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """As written in info.json, with the automatic columns."""
        features: dict[str, dict[str, Any]] = self.info["features"]
        return features

    @property
    def fps(self) -> float:
        return float(self.info["fps"])

    @property
    def robot_type(self) -> str:
        return self.info.get("robot_type") or "unknown"

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        path = self.root / layout.PROVENANCE
        return layout.read_json(path, RESTORE) if path.exists() else {}

    def __len__(self) -> int:
        return len(self.index.lengths)

    def numbers(self, episodes: list[int], what: str) -> list[int]:
        """These episodes, counted from the end where negative. Raises DatasetError for one that is not there, or is named twice."""
        found = []
        for i in episodes:
            if isinstance(i, bool) or not isinstance(i, int) or not -len(self) <= i < len(self):
                raise DatasetError(f"{what} names episode {i!r}; {self.root} has 0 to {len(self) - 1}")
            found.append(i % len(self))
        twice = sorted(i for i, count in Counter(found).items() if count > 1)
        if twice:
            raise DatasetError(f"{what} names episode {', '.join(map(str, twice))} twice")
        return found

    def schema(self, path: Path) -> pa.Schema:
        """The columns of a data file."""
        return self._file(path).schema_arrow

    def _file(self, path: Path) -> pq.ParquetFile:
        """The last one is kept open: everything of an episode is asked for at once."""
        if self._open is None or self._open[0] != path:
            self._open, self._groups = (path, open_parquet(path)), {}
            about = self._open[1].metadata
            self._ends = np.cumsum([about.row_group(i).num_rows for i in range(about.num_row_groups)])
        return self._open[1]

    def rows(self, episode: int, start: int, stop: int, names: tuple[str, ...] | None = None) -> Iterator[pa.Table]:
        """Frames [start, stop) of an episode as they are stored, a table per row group; `names` leaves out the other columns."""
        path = self.index.data[episode]
        first = int(self.index.row[episode])
        first, stop = first + start, first + stop
        self._file(path)
        begin, end = np.searchsorted(self._ends, [first, stop - 1], side="right").tolist()
        for number in range(begin, end + 1):
            table = self._row_group(path, number, names)
            at = int(self._ends[number]) - len(table)
            yield table.slice(max(first - at, 0), min(stop - at, len(table)) - max(first - at, 0))

    def _row_group(self, path: Path, number: int, names: tuple[str, ...] | None) -> pa.Table:
        """The last one is remembered: other programs keep many episodes in one, and episodes are asked for in order."""
        known = self._groups.get(names)
        if known is None or known[0] != number:
            try:
                table = self._file(path).read_row_group(number, columns=None if names is None else list(names), use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(f"{path} cannot be read ({error}); {MEND}") from error
            known = self._groups[names] = (number, table)
        return known[1]

    def has(self, episode: int, name: str) -> bool:
        """Whether a column is in the data file of this episode."""
        return name in self.schema(self.index.data[episode]).names

    def column(self, episode: int, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames [start, stop) of one numeric column, (T, D...); scalars (T, 1). Raises DatasetError if it is not there or has holes."""
        path, stop = self.index.data[episode], int(self.index.lengths[episode]) if stop is None else stop
        if not self.has(episode, name):
            raise DatasetError(f"{path} has no column {name!r}; it has {', '.join(self.schema(path).names)}")
        table = pa.concat_tables(self.rows(episode, start, stop, (name,)))
        return values_of(table[name], self.features[name], f"{path}: {name}")

    def meta_schema(self) -> pa.Schema:
        """The columns of meta/episodes: the union over its files; empty for v2.1."""
        return self._survey[0]

    @functools.cached_property
    def _survey(self) -> tuple[pa.Schema, dict[int, tuple[Path, int]]]:
        """The columns of meta/episodes, and where in it the row of each episode is, by its number there."""
        places: dict[int, tuple[Path, int]] = {}
        seen: dict[str, pa.Field] = {}
        for path in self.index.meta_files:
            if not path.is_relative_to(self.root / layout.EPISODES):
                continue
            with open_parquet(path) as file:
                for field in file.schema_arrow.remove_metadata():
                    if field.name not in seen or pa.types.is_null(seen[field.name].type):
                        seen[field.name] = field
                numbers = file.read(["episode_index"], use_threads=False)["episode_index"].to_pylist()
            places.update({number: (path, row) for row, number in enumerate(numbers)})
        return pa.schema(seen.values()), places

    @staticmethod
    def is_carried(column: str) -> bool:
        """Whether a column of meta/episodes is one that other programs added: beside numbers, places and statistics."""
        return not column.startswith(NUMBERING)

    def carried(self, episode: int) -> dict[str, Any]:
        """What such columns say of an episode."""
        return {name: value for name, value in self._meta_row(episode).items() if self.is_carried(name)}

    def stats(self, episode: int) -> dict[str, Stats]:
        """The recorded statistics of an episode, feature -> statistic -> array; only those that are complete and finite."""
        if not self.is_native:
            return {name: found for name, raw in self._v21_stats.get(episode, {}).items() if (found := _usable(raw))}
        by_feature: dict[str, dict[str, Any]] = {}
        for name, value in self._meta_row(episode).items():
            if name.startswith("stats/") and name.count("/") == 2:
                _, feature, statistic = name.split("/")
                by_feature.setdefault(feature, {})[statistic] = value
        return {name: found for name, raw in by_feature.items() if (found := _usable(raw))}

    def _meta_row(self, episode: int) -> dict[str, Any]:
        """{} where there is none: in v2.1, and where a damaged file is gone."""
        number = int(self.index.number[episode])
        places = self._survey[1] if self.is_native else {}
        if number not in places:
            return {}
        if self._row is not None and self._row[0] == number:
            return self._row[1]
        path, row = places[number]
        if self._meta is None or self._meta[0] != path:
            with open_parquet(path) as file:
                self._meta = (path, file.read(use_threads=False))
        self._row = number, self._meta[1].slice(row, 1).to_pylist()[0]
        return self._row[1]

    @functools.cached_property
    def _v21_stats(self) -> dict[int, dict[str, Any]]:
        path = self.root / V21_STATS
        if not path.exists():
            return {}
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            return {row["episode_index"]: row["stats"] for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path} cannot be read ({error}); {RESTORE}, or delete it: statistics are then computed anew") from error

    def others(self) -> Iterator[Path]:
        """Files that are no part of the format: a README, .gitattributes, files of other programs below meta/."""
        managed = {self.root / name for name in (layout.INFO, layout.STATS, layout.TASKS, layout.PROVENANCE)}
        managed |= {self.root / "meta" / name for name in ("tasks.jsonl", "episodes.jsonl", "episodes_stats.jsonl")}
        skipped = {self.root / name for name in ("data", "videos", layout.CACHE, layout.EPISODES)}
        pending = [self.root]
        while pending:
            for path in sorted(pending.pop().iterdir()):
                if path in skipped or path in managed or path.name.endswith(".tmp") or path.name.startswith(".waldo"):
                    continue
                if path.is_dir():
                    pending.append(path)
                else:
                    yield path


def values_of(column: pa.ChunkedArray, feature: dict[str, Any], where: str) -> np.ndarray:
    """A numeric column as (T, D...), (T, 1) for scalars, in its feature's dtype. Raises DatasetError starting with `where`."""
    shape = tuple(int(n) for n in feature["shape"]) or (1,)
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks else pa.array([], column.type)
    if values.null_count:
        raise DatasetError(f"{where} has {values.null_count} empty rows; every frame needs a value: restore the file or delete the episode")
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    rows = len(values)
    while pa.types.is_nested(values.type):
        values = values.flatten()
    array = values.to_numpy(zero_copy_only=False)
    if array.size != rows * int(np.prod(shape)):
        raise DatasetError(f"{where} has {array.size / max(rows, 1):g} values per frame, info.json says {int(np.prod(shape))}; {MEND}")
    found: np.ndarray = array.reshape(rows, *shape).astype(feature["dtype"], copy=False)
    return found


def _usable(raw: dict[str, Any]) -> Stats | None:
    """Statistics that can be aggregated: the five that every program writes, all finite; None otherwise."""
    present = {name: np.asarray(value) for name, value in raw.items() if value is not None}
    if not {"min", "max", "mean", "std", "count"} <= set(present):
        return None
    finite = all(value.dtype.kind in "biuf" and np.isfinite(value).all() for value in present.values())
    return present if finite and present["count"].size else None
