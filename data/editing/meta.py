"""meta/ of an edited dataset: a row per episode, written as they come, and the statistics of all of them together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.durable import make_folder
from data.editing.plan import Plan, info_of
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.feature_stats import QUANTILES, Stats, aggregate
from data.lerobot.writer import _parquet, _tasks_table

STATISTICS = ("min", "max", "mean", "std", *QUANTILES, "count")
BATCH = 100  # rows that are written at once
MB = 1 << 20


class MetaWriter:
    """`add` a row per episode in order, then `close` writes what sums them up, info.json last."""

    def __init__(self, plan: Plan, folder: Path, tasks: Sequence[str]) -> None:
        self._plan, self._folder, self._tasks = plan, folder, list(tasks)
        self._schema = _schema(plan)
        self._types = {field.name: field.type for field in self._schema}
        self._place = (0, 0)
        self._rows: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None
        self._total: dict[str, Stats] = {}
        self._first = 0
        self._number = 0

    def add(
        self, length: int, tasks: Sequence[str], places: Mapping[str, Any], carried: Mapping[str, Any], stats: Mapping[str, Stats]
    ) -> None:
        """One episode. places: columns of meta/episodes that say where it lies; carried: columns that are kept as they are."""
        row = {"episode_index": self._number, "tasks": list(tasks), "length": length}
        row |= {"dataset_from_index": self._first, "dataset_to_index": self._first + length}
        row |= dict(zip(("meta/episodes/chunk_index", "meta/episodes/file_index"), self._place, strict=True))
        for name, statistics in stats.items():
            for statistic, value in statistics.items():
                column = f"stats/{name}/{statistic}"
                if column not in self._types:
                    continue
                if not np.isfinite(value).all():
                    raise DatasetError(
                        f"{name} of episode {self._number} of the result is not finite in some frame; correct it, or delete the episode"
                    )
                row[column] = _fitted(value, self._types[column])
        self._rows.append({**carried, **row, **places})
        self._total = aggregate(self._total, dict(stats))
        self._first += length
        self._number += 1
        if len(self._rows) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        path = self._folder / layout.EPISODES_PATH.format(chunk_index=self._place[0], file_index=self._place[1])
        if self._writer is None:
            make_folder(path.parent)
            self._writer = pq.ParquetWriter(path, self._schema, compression="snappy", use_dictionary=False)
        columns = [pa.array([row.get(field.name) for row in self._rows], field.type) for field in self._schema]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=len(self._rows))
        self._rows = []
        if path.stat().st_size > float(self._plan.origins[0].info.get("data_files_size_in_mb") or 100) * MB:
            self.abort()
            self._place = layout.next_file(*self._place)

    def close(self) -> None:
        self._flush()
        self.abort()
        folder = self._folder
        (folder / layout.TASKS).write_bytes(_parquet(_tasks_table(self._tasks)))
        (folder / layout.STATS).write_bytes(layout.dump_json(self._total))
        if self._plan.provenance:
            (folder / layout.PROVENANCE).write_bytes(layout.dump_json(self._plan.provenance))
        (folder / layout.INFO).write_bytes(json.dumps(info_of(self._plan, self._tasks), indent=4, ensure_ascii=False).encode())

    def abort(self) -> None:
        """Let go of the file that is open."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _schema(plan: Plan) -> pa.Schema:
    """Every column that a row can have, with the origins' own types where they have it: one type for all files, which readers demand."""
    there: dict[str, pa.DataType] = {}
    carried: dict[str, pa.DataType] = {}
    for origin in plan.origins:
        for field in origin.meta_schema():
            if not pa.types.is_null(field.type):
                there.setdefault(field.name, field.type)
                if origin.is_carried(field.name):
                    carried.setdefault(field.name, field.type)
    types: dict[str, pa.DataType] = {"episode_index": pa.int64(), "tasks": pa.list_(pa.string()), "length": pa.int64()}
    types |= {name: pa.int64() for name in ("data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")}
    for key in plan.cameras:
        types |= {f"videos/{key}/{name}": pa.int64() for name in ("chunk_index", "file_index")}
        types |= {f"videos/{key}/{name}": pa.float64() for name in ("from_timestamp", "to_timestamp")}
    for name, feature in plan.features.items():
        if feature["dtype"] != "string":
            for statistic in STATISTICS:
                old = there.get(f"stats/{plan.old_name(name)}/{statistic}")
                types[f"stats/{name}/{statistic}"] = old or _stat_type(feature, statistic)
    types |= {name: pa.int64() for name in ("meta/episodes/chunk_index", "meta/episodes/file_index")}
    return pa.schema({**types, **carried})


def _fitted(value: np.ndarray, type_: pa.DataType) -> Any:
    """A statistic as nested lists of this type: programs differ in whether those of a matrix are nested, and in bool or number."""
    depth = 0
    while pa.types.is_nested(type_):
        type_, depth = type_.value_type, depth + 1
    array = value if value.ndim == depth else value.reshape((1,) * (depth - 1) + (-1,))
    return array.astype(type_.to_pandas_dtype()).tolist()


def _stat_type(feature: Mapping[str, Any], statistic: str) -> pa.DataType:
    """As the recorder and lerobot write it: integers keep their min and max; cameras are nested (3, 1, 1)."""
    if statistic == "count":
        return pa.list_(pa.int64())
    if feature["dtype"] in ("video", "image"):
        return pa.list_(pa.list_(pa.list_(pa.float64())))
    kind = np.dtype(feature["dtype"]).kind
    if statistic in ("min", "max") and kind in "biu":
        return pa.list_(pa.bool_() if kind == "b" else pa.int64())
    return pa.list_(pa.float64())
