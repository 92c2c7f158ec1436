"""The data files of an edited dataset: rows are taken over as they are stored; only numbering and what was edited is written anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.durable import make_folder
from data.editing.origin import MEND
from data.editing.plan import Piece, Plan
from data.editing.swap import share
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.feature_stats import Stats, column_stats

MB = 1 << 20


@dataclass(frozen=True)
class Written:
    """One episode of the result.

    place   chunk and file of its data; tasks   its task texts, in the result's words
    stats   of the columns that are not as they were, feature -> statistic -> array
    """

    place: tuple[int, int]
    tasks: tuple[str, ...]
    stats: dict[str, Stats]


def tasks_of(plan: Plan) -> list[tuple[str, ...]]:
    """Per piece the tasks of its frames, renamed. Where frames were cut off, or nothing was said, the frames tell."""
    found = []
    for piece in plan.pieces:
        index = plan.origin(piece).index
        old = index.of[piece.episode]
        if not old or (len(old) > 1 and not plan.is_whole(piece)):
            numbers = plan.origin(piece).column(piece.episode, "task_index", piece.start, piece.stop)[:, 0]
            old = tuple(_text(plan, piece, int(number)) for number in dict.fromkeys(numbers.tolist()))
        found.append(tuple(dict.fromkeys(piece.tasks.get(task, task) for task in old)))
    return found


def write_data(plan: Plan, folder: Path, tasks: Sequence[str], of: Sequence[tuple[str, ...]]) -> Iterator[Written]:
    """Write or share the data files, and yield what became of each piece, in order.

    tasks   the task strings of the result by task_index; of   those of each piece
    Raises DatasetError if a file cannot be read or its columns contradict info.json.
    """
    first, number, place = 0, 0, (0, 0)
    position = {task: i for i, task in enumerate(tasks)}
    for group in _groups(plan):
        path = folder / layout.DATA_PATH.format(chunk_index=place[0], file_index=place[1])
        if _is_unchanged(plan, group, number, first, position):
            share(plan.origin(group[0]).index.data[group[0].episode], path, plan.link)
            for piece in group:
                yield Written(place, of[number], {})
                number, first = number + 1, first + len(piece)
        else:
            writer = None
            make_folder(path.parent)
            try:
                for piece in group:
                    writer, stats = _written(plan, piece, number, first, position, path, writer)
                    yield Written(place, of[number], stats)
                    number, first = number + 1, first + len(piece)
            finally:
                if writer is not None:
                    writer.close()
        place = layout.next_file(*place)


def _groups(plan: Plan) -> Iterator[list[Piece]]:
    """The pieces that share a data file: those that did before, or, compacting, as many as fit into one."""
    limit = float(plan.origins[0].info.get("data_files_size_in_mb") or 100) * MB
    group: list[Piece] = []
    size, before = 0.0, None
    for piece in plan.pieces:
        index = plan.origin(piece).index
        path = index.data[piece.episode]
        bytes_ = path.stat().st_size * len(piece) / index.file_rows[path] if plan.compact else 0.0
        same: object = {f.name: f.type for f in plan.origin(piece).schema(path)} if plan.compact else (piece.origin, path)
        if group and (same != before or size + bytes_ > limit):
            yield group
            group, size = [], 0.0
        group.append(piece)
        size, before = size + bytes_, same
    yield group


def _is_unchanged(plan: Plan, group: Sequence[Piece], number: int, first: int, position: Mapping[str, int]) -> bool:
    """Whether the file that these pieces come from says all of the right things already."""
    origin = plan.origin(group[0])
    index, path = origin.index, origin.index.data[group[0].episode]
    names = {plan.old_name(name) for name, feature in plan.features.items() if feature["dtype"] != "video"}
    schema = origin.schema(path)
    if plan.came_from or set(schema.names) != names or index.file_rows[path] != sum(map(len, group)):
        return False
    if any(position.get(task) != i for i, task in enumerate(index.tasks)):
        return False
    if plan.compact and pq.read_metadata(path).num_row_groups < len(group):
        return False
    for piece in group:
        here = plan.origin(piece) is origin and index.data[piece.episode] == path
        if not here or not plan.is_whole(piece) or piece.tasks or piece.episode in origin.renumbered:
            return False
        if (piece.episode, int(index.first[piece.episode])) != (number, first):
            return False
        number, first = number + 1, first + len(piece)
    return True


def _written(
    plan: Plan, piece: Piece, number: int, first: int, position: Mapping[str, int], path: Path, writer: pq.ParquetWriter | None
) -> tuple[pq.ParquetWriter, dict[str, Stats]]:
    """Write the rows of a piece as episode `number`, whose first frame is `first`; statistics of the columns that changed.

    An episode is one row group, unless it holds pictures: those stay in the row groups they came in, which bounds memory.
    """
    origin, where = plan.origin(piece), plan.origin(piece).index.data[piece.episode]
    fresh = _fresh(plan, piece, number, first, position)
    stored = origin.schema(where)
    fields = []
    for name, feature in plan.features.items():
        if feature["dtype"] != "video":
            old = plan.old_name(name)
            type_ = stored.field(old).type if old in stored.names else pa.from_numpy_dtype(np.dtype(feature["dtype"]))
            fields.append(pa.field(name, type_))
    schema = pa.schema(fields, _renamed_metadata(stored.metadata, plan, {field.name for field in fields}))
    columns = {name: as_column(values.astype(plan.features[name]["dtype"]), schema.field(name).type) for name, values in fresh.items()}
    at = 0
    blocks = origin.rows(piece.episode, piece.start, piece.stop)
    pictures = any(feature["dtype"] == "image" for feature in plan.features.values())
    for block in blocks if pictures else [pa.concat_tables(blocks)]:
        arrays = [columns[n].slice(at, len(block)) if n in columns else _joined(block[plan.old_name(n)]) for n in schema.names]
        if writer is None:
            writer = pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=False, write_statistics=False)
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema).cast(writer.schema), row_group_size=len(block))
        at += len(block)
    assert writer is not None
    stats = {name: column_stats(plan.counted(_flat(values))) for name, values in fresh.items()}
    for name, feature in plan.features.items():
        if name not in fresh and not plan.is_whole(piece) and feature["dtype"] not in ("video", "image", "string"):
            stats[name] = column_stats(plan.counted(origin.column(piece.episode, plan.old_name(name), piece.start, piece.stop)))
    return writer, stats


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _fresh(plan: Plan, piece: Piece, number: int, first: int, position: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The columns that are not as they were stored, (T,) or (T, 1) each."""
    origin, count = plan.origin(piece), len(piece)
    anew = not plan.is_whole(piece) or piece.episode in origin.renumbered
    fresh = {
        "episode_index": np.full(count, number),
        "index": np.arange(first, first + count),
        "task_index": _task_numbers(plan, piece, position),
    }
    if anew or not origin.has(piece.episode, "frame_index"):
        fresh["frame_index"] = np.arange(count)
    if anew or not origin.has(piece.episode, "timestamp"):
        fresh["timestamp"] = np.arange(count) / plan.fps
    if piece.stop < int(origin.index.lengths[piece.episode]):
        # An episode whose end was cut off was not ended by its task, unless its new last frame says that it was.
        over = "next.terminated"
        ended = origin.has(piece.episode, over) and bool(origin.column(piece.episode, over, piece.start, piece.stop)[-1].any())
        for name in ("next.truncated", "next.done"):
            if name in plan.features and origin.has(piece.episode, plan.old_name(name)):
                fresh[name] = origin.column(piece.episode, plan.old_name(name), piece.start, piece.stop).copy()
                fresh[name][-1] = 1 if name == "next.done" or not ended else fresh[name][-1]
    return fresh


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _task_numbers(plan: Plan, piece: Piece, position: Mapping[str, int]) -> np.ndarray:
    """task_index of the frames, in the result's numbers."""
    if not plan.origin(piece).has(piece.episode, "task_index"):
        text = (plan.origin(piece).index.of[piece.episode] or ("",))[0]
        return np.full(len(piece), position[piece.tasks.get(text, text)])
    numbers = plan.origin(piece).column(piece.episode, "task_index", piece.start, piece.stop)[:, 0]
    known, inverse = np.unique(numbers, return_inverse=True)
    texts = [_text(plan, piece, int(i)) for i in known]
    missing = [text for text in texts if piece.tasks.get(text, text) not in position]
    if missing:
        raise DatasetError(
            f"{plan.origin(piece).root}: frames of episode {piece.episode} have the task {missing[0]!r}, "
            f"which meta/episodes does not list for it; {MEND}"
        )
    return np.array([position[piece.tasks.get(text, text)] for text in texts])[inverse]


def _text(plan: Plan, piece: Piece, number: int) -> str:
    tasks = plan.origin(piece).index.tasks
    if not 0 <= number < len(tasks):
        raise DatasetError(
            f"{plan.origin(piece).root}: episode {piece.episode} has the task_index {number}, but there are {len(tasks)} tasks; {MEND}"
        )
    return tasks[number]


def as_column(values: np.ndarray, type_: pa.DataType) -> pa.Array:
    """values (T,) or (T, 1) as a column of this type: flat, or a list of one element as some programs write it."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, 1).cast(type_) if pa.types.is_nested(type_) else flat.cast(type_)


def _renamed_metadata(metadata: dict[bytes, bytes] | None, plan: Plan, names: set[str]) -> dict[bytes, bytes] | None:
    """What `datasets` notes about columns in a file's schema, under their new names; nothing where it does not fit any more."""
    if not metadata or b"huggingface" not in metadata:
        return None
    try:
        noted = json.loads(metadata[b"huggingface"])
        features = noted["info"]["features"]
        noted["info"]["features"] = {name: features[plan.old_name(name)] for name in plan.features if name in names}
    except (ValueError, KeyError, TypeError):
        return None
    return {b"huggingface": json.dumps(noted).encode()}
