"""The parquet files of one episode: its frames, with the pictures that are stored among them, and its row of meta/episodes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 64 << 20  # of pictures in one row group: as much is in memory at once
# Files of one row group need no dictionaries and no column statistics; without them a row of meta is a quarter smaller.
OPTIONS: dict[str, Any] = {"compression": "snappy", "use_dictionary": False, "write_statistics": False}


def columns_table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Fixed-size lists for vectors, flat columns for shape (1,), nested lists for matrices. columns: (T, D...)."""
    arrays = {}
    for name, values in columns.items():
        flat = np.ascontiguousarray(values).reshape(-1)
        array = pa.array(flat, pa.string() if values.dtype == object else None)
        if values.shape[1:] != (1,):
            for size in reversed(values.shape[1:]):
                array = pa.FixedSizeListArray.from_arrays(array, size)
        arrays[name] = array
    return pa.table(arrays)


def write_frames(file: BinaryIO, columns: Mapping[str, np.ndarray], pictures: Mapping[str, tuple[Path, np.ndarray]]) -> None:
    """The data file of an episode. pictures: per camera the file that holds them one after the other, and their sizes (T,) [bytes]."""
    table = columns_table(columns)
    if not pictures:
        with pq.ParquetWriter(file, table.schema, **OPTIONS) as writer:
            writer.write_table(table)
        return
    stored = {key: pa.memory_map(str(path)).read_buffer() for key, (path, _) in pictures.items()}
    ends = {key: np.cumsum(sizes) for key, (_, sizes) in pictures.items()}
    writer, metadata = None, {}
    for first, last in _groups(sum(ends.values(), np.zeros(table.num_rows, np.int64))):
        group = table.slice(first, last - first)
        for key, end in ends.items():
            group = group.append_column(key, _images(stored[key], end, first, last))
        if writer is None:
            # Where Hugging Face's datasets looks for what is a picture.
            info = {"info": {"features": {key: {"_type": "Image"} for key in pictures}}}
            metadata = {b"huggingface": json.dumps(info).encode()}
            writer = pq.ParquetWriter(file, group.schema.with_metadata(metadata), **OPTIONS)
        writer.write_table(group.replace_schema_metadata(metadata))
    assert writer is not None
    writer.close()


def _groups(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Row spans of at most GROUP_BYTES each, but at least one row. ends: cumulative bytes (T,)."""
    first, base = 0, 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, base + GROUP_BYTES, side="right")))
        yield first, last
        first, base = last, int(ends[last - 1])


def _images(stored: pa.Buffer, ends: np.ndarray, first: int, last: int) -> pa.Array:
    """Rows [first, last) of a camera as lerobot stores them: the picture, and the name it had as a file."""
    starts = np.concatenate([[0], ends])[first : last + 1]
    offsets = pa.py_buffer((starts - starts[0]).astype(np.int32))
    content = stored.slice(int(starts[0]), int(starts[-1] - starts[0]))
    bytes_ = pa.Array.from_buffers(pa.binary(), last - first, [None, offsets, content])
    names = pa.array([f"frame-{i:06d}.png" for i in range(first, last)], pa.string())
    return pa.StructArray.from_arrays([bytes_, names], ["bytes", "path"])


def write_row(file: BinaryIO, row: Mapping[str, Any]) -> None:
    """An episode's row of meta/episodes; arrays become lists."""
    wide = {name: value.tolist() for name, value in row.items() if isinstance(value, np.ndarray) and value.dtype == np.uint64}
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items() if name not in wide}
    table = pa.Table.from_struct_array(pa.array([plain]))
    for name, value in wide.items():  # pyarrow guesses int64
        table = table.append_column(name, pa.array([value], pa.list_(pa.uint64())))
    pq.write_table(table, file, **OPTIONS)
