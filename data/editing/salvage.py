"""What can be saved of a damaged LeRobotDataset v3.0: the episodes that are complete, whatever meta/ says of them.

Data files are the truth: an episode is what they hold of it. meta/episodes, tasks and info.json are believed where they fit.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.checks import runs
from data.editing.found import Found, Saved
from data.editing.salvage_info import mended_info
from data.editing.salvage_tasks import find_tasks
from data.editing.salvage_videos import find_videos
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.index import Index, Video, open_parquet

AUTOMATIC = tuple(layout.DEFAULT_FEATURES)
TOLERANCE = 1e-4  # [s]; lerobot refuses a frame whose timestamp is further off
RATE = 0.01  # timestamps whose steps differ by more than 1 % from 1 / fps speak of another rate


def examine(root: Path, fps: float = 0.0) -> Saved:
    """Look at everything that is there. Changes nothing.

    fps   [Hz] where info.json and the timestamps disagree; 0 leaves both
    Raises DatasetError if nothing can be saved: info.json is gone, or no episode is complete.
    """
    notes: list[str] = []
    info, said_fps = mended_info(root, fps, notes)
    rows, meta_files = _meta_rows(root, notes)
    episodes = _in_data(root, info, rows, notes)
    video_fps = find_videos(root, info, said_fps, episodes, notes)
    if not episodes:
        raise DatasetError(f"{root} has no complete episode: {'; '.join(notes) or 'it is empty'}")
    tasks, of = find_tasks(root, episodes, notes)
    renumbered = _renumbered(info, episodes, bool(fps), notes)
    _compare_counts(info, episodes, tasks, notes)
    _compare_rows(root, episodes, notes)
    lengths = np.array([e.length for e in episodes], np.int64)
    file_rows = {path: _rows_of(path) for path in dict.fromkeys(e.path for e in episodes)}
    keys = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    # Automatic columns that some file lacks are not asked of any: they are written anew.
    lacking = {name for name in AUTOMATIC if any(name not in e.columns for e in episodes)}
    index = Index(
        root=root,
        info={**info, "features": {name: feature for name, feature in info["features"].items() if name not in lacking}},
        number=np.array([e.number for e in episodes], np.int64),
        first=np.cumsum(lengths) - lengths,
        lengths=lengths,
        row=np.array([e.row for e in episodes], np.int64),
        tasks=tasks,
        of=of,
        data=tuple(e.path for e in episodes),
        file_rows=file_rows,
        videos={
            key: Video(tuple(e.videos[key][0] for e in episodes), np.array([e.videos[key][1] for e in episodes], np.float64))
            for key in keys
        },
        meta_files=(root / layout.INFO, *meta_files),
    )
    return Saved(index, frozenset(renumbered), video_fps, tuple(notes))


def _rows_of(path: Path) -> int:
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


def _meta_rows(root: Path, notes: list[str]) -> tuple[dict[int, dict[str, Any]], list[Path]]:
    """Episode -> its row in meta/episodes without statistics, and the files that can be read."""
    rows: dict[int, dict[str, Any]] = {}
    files = []
    for path in sorted((root / layout.EPISODES).glob("*/*.parquet")):
        try:
            with open_parquet(path) as file:
                names = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
                found = file.read(names, use_threads=False).to_pylist()
        except (DatasetError, pa.ArrowException, OSError):
            notes.append(f"{path.relative_to(root)} cannot be read: what it said of its episodes is taken from their data and videos")
            continue
        if "episode_index" not in names:
            notes.append(f"{path.relative_to(root)} has no column episode_index: it is left out")
            continue
        files.append(path)
        rows |= {row["episode_index"]: row for row in found if row["episode_index"] is not None}
    if not files:
        notes.append("meta/episodes holds nothing that can be read: it is rebuilt from data and videos")
    return rows, files


def _in_data(root: Path, info: dict[str, Any], rows: dict[int, dict[str, Any]], notes: list[str]) -> list[Found]:
    """The episodes whose rows are complete, in order. Features that are in no data file are taken out of `info`."""
    _compare_columns(root, info, notes)
    wanted = {name for name, feature in info["features"].items() if feature["dtype"] != "video"}
    found: dict[int, Found] = {}
    for path in sorted((root / "data").glob("*/*.parquet")):
        name = path.relative_to(root)
        try:
            with open_parquet(path) as file:
                there = set(file.schema_arrow.names)
                table = file.read([n for n in AUTOMATIC if n in there], use_threads=False)
                count = int(file.metadata.num_rows)
        except (DatasetError, pa.ArrowException, OSError):
            notes.append(f"{name} ({path.stat().st_size} bytes) has no readable end, as after a kill: its episodes are lost")
            continue
        if missing := wanted - there - set(AUTOMATIC):
            notes.append(f"{name} has no column {', '.join(sorted(missing))}: its episodes are left out")
            continue
        columns = {n: _flat(table[n]) for n in table.column_names}
        for episode in _episodes_of(path, root, count, columns, rows):
            other = found.get(episode.number)
            if other is None or (_is_meant(episode, root) and not _is_meant(other, root)):
                found[episode.number] = episode
            if other is not None:
                notes.append(f"episode {episode.number} is both in {other.path.name} and {path.name}: one of them is left out")
    gone = sorted(set(rows) - set(found))
    if gone:
        notes.append(f"episode {runs(gone)} of meta/episodes: no complete rows in the data files; left out")
    episodes = [found[number] for number in sorted(found)]
    for episode in [e for e in episodes if e.meta and e.meta.get("length") != e.length]:
        notes.append(f"episode {episode.number} has {episode.length} rows, meta/episodes said {episode.meta.get('length')}")
        if not np.array_equal(episode.columns.get("frame_index", []), np.arange(episode.length)):
            notes.append(f"episode {episode.number} does not begin with its first frame, or has holes: left out")
            episodes.remove(episode)
    return episodes


def _compare_columns(root: Path, info: dict[str, Any], notes: list[str]) -> None:
    """Columns that info.json promises and no file has, or that files have and it does not know: other programs stop at both."""
    there: set[str] = set()
    for path in (root / "data").glob("*/*.parquet"):
        with contextlib.suppress(DatasetError), open_parquet(path) as file:
            there |= set(file.schema_arrow.names)
    stored = {name for name, feature in info["features"].items() if feature["dtype"] != "video"}
    if not there:
        return
    for name in sorted(stored - there - set(AUTOMATIC)):
        notes.append(f"no data file has the column {name!r}, which info.json promises: taken out of info.json")
        del info["features"][name]
    if unknown := sorted(there - stored):
        notes.append(f"info.json does not describe the columns {', '.join(unknown)} of the data files: they are left out")


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    values = column.combine_chunks()
    while pa.types.is_nested(values.type):
        values = values.flatten()
    array = np.asarray(values.to_numpy(zero_copy_only=False))
    whole_numbers = pa.types.is_integer(values.type) and array.dtype.kind == "f"  # empty rows came back as NaN
    return np.nan_to_num(array, nan=-1).astype(np.int64) if whole_numbers else array


def _episodes_of(path: Path, root: Path, count: int, columns: dict[str, np.ndarray], rows: dict[int, dict[str, Any]]) -> list[Found]:
    """Cut the rows of a data file into episodes: as meta/episodes says where that adds up, else by the column episode_index."""
    meant = sorted(number for number, row in rows.items() if _path_of(row, root) == path)
    lengths = [int(rows[number].get("length") or 0) for number in meant]
    if meant and sum(lengths) == count:
        ends = np.cumsum(lengths)
        spans = [(number, int(end) - length, length) for number, end, length in zip(meant, ends, lengths, strict=True)]
    elif "episode_index" in columns and count:
        numbers = columns["episode_index"]
        starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
        ends = np.append(starts[1:], count)
        spans = [(int(numbers[start]), int(start), int(end - start)) for start, end in zip(starts, ends, strict=True)]
    else:
        return []
    return [
        Found(number, path, at, size, {name: values[at : at + size] for name, values in columns.items()}, rows.get(number, {}))
        for number, at, size in spans
        if size and number >= 0
    ]


def _path_of(row: dict[str, Any], root: Path) -> Path | None:
    chunk, file = row.get("data/chunk_index"), row.get("data/file_index")
    return None if chunk is None or file is None else root / layout.DATA_PATH.format(chunk_index=chunk, file_index=file)


def _is_meant(episode: Found, root: Path) -> bool:
    return _path_of(episode.meta, root) == episode.path


def _renumbered(info: dict[str, Any], episodes: list[Found], forced: bool, notes: list[str]) -> set[int]:
    """Positions of the episodes whose automatic columns are not what they have to be."""
    fps = float(info["fps"])
    steps = [np.diff(e.columns["timestamp"].astype(np.float64)) for e in episodes if "timestamp" in e.columns]
    step = float(np.nanmedian(np.concatenate(steps))) if steps and sum(map(len, steps)) else 1 / fps
    other_rate = bool(np.isfinite(step) and step > 0 and abs(step * fps - 1) > RATE) and not forced
    if other_rate:
        notes.append(
            f"timestamps are {step:.4g} s apart, which is {1 / step:.4g} Hz, but info.json says {fps:g} Hz: not touched; "
            f"say which is right, fps={1 / step:.4g} or fps={fps:g}"
        )
    wrong: dict[str, list[int]] = {}
    first = 0
    for i, episode in enumerate(episodes):
        frames = np.arange(episode.length)
        right = {"episode_index": np.full(episode.length, i), "index": first + frames, "frame_index": frames}
        for name, values in right.items():
            if name not in episode.columns or not np.array_equal(episode.columns[name], values):
                wrong.setdefault(name, []).append(i)
        stamps = episode.columns.get("timestamp")
        if stamps is None or (not other_rate and not np.allclose(stamps, frames / fps, rtol=1e-6, atol=TOLERANCE)):
            wrong.setdefault("timestamp", []).append(i)
        first += episode.length
    for name, positions in wrong.items():
        notes.append(
            f"{name} of {len(positions)} of {len(episodes)} episodes is not what it has to be, first in {positions[0]}: written anew"
        )
    return {i for positions in wrong.values() for i in positions}


def _compare_counts(info: dict[str, Any], episodes: list[Found], tasks: tuple[str, ...], notes: list[str]) -> None:
    there = {"total_episodes": len(episodes), "total_frames": sum(e.length for e in episodes)}
    for name, count in there.items():
        if info.get(name) != count:
            notes.append(f"info.json says {name} {info.get(name)!r}: there are {count}")
    if not isinstance(info.get("total_tasks"), int) or info["total_tasks"] < 1:
        notes.append(f"info.json says total_tasks {info.get('total_tasks')!r}: there are {len(tasks)}")


def _compare_rows(root: Path, episodes: list[Found], notes: list[str]) -> None:
    """Rows of meta/episodes that say another place than the one where the episode is, or are not there."""
    wrong: dict[str, list[int]] = {}
    first = 0
    for episode in episodes:
        right = {"dataset_from_index": first, "dataset_to_index": first + episode.length}
        for name, value in right.items():
            if episode.meta and episode.meta.get(name) != value:
                wrong.setdefault(name, []).append(episode.number)
        if episode.meta and not _is_meant(episode, root):
            wrong.setdefault("place in data/", []).append(episode.number)
        if not episode.meta:
            wrong.setdefault("row", []).append(episode.number)
        first += episode.length
    for name, numbers in wrong.items():
        notes.append(f"meta/episodes lacks the {name} of episode {runs(numbers)}, or says another one: written anew")
