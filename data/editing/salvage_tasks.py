"""Which task each frame of a damaged dataset shows, in words: tasks.parquet says it, else meta/episodes does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.checks import runs
from data.editing.found import Found
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.index import open_parquet


def find_tasks(root: Path, episodes: list[Found], notes: list[str]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Task texts by task_index, and those of each episode. The frames say which; meta/episodes helps where tasks.parquet is silent."""
    texts = _read_texts(root, notes)
    told = dict(texts)
    for episode in episodes:
        numbers = np.unique(episode.columns.get("task_index", np.zeros(1, np.int64))).tolist()
        names = episode.meta.get("tasks") or []
        if len(numbers) == len(names) == 1:
            told.setdefault(int(numbers[0]), names[0])
    for episode in episodes:  # of several tasks, what is known of the others tells the one that is left
        numbers = np.unique(episode.columns.get("task_index", np.zeros(1, np.int64))).tolist()
        open_ = [n for n in numbers if n not in told]
        left = [name for name in episode.meta.get("tasks") or [] if name not in told.values()]
        if len(open_) == len(left) == 1:
            told[int(open_[0])] = left[0]
    of, unknown = [], set()
    for episode in episodes:
        numbers = [int(n) for n in dict.fromkeys(episode.columns.get("task_index", np.zeros(1, np.int64)).tolist())]
        unknown |= {n for n in numbers if n not in told}
        of.append(tuple(dict.fromkeys(told.get(n, f"task {n}") for n in numbers)))
    if unknown:
        notes.append(f"nothing says what task {runs(sorted(unknown))} is: it is called so; `waldo data relabel` gives it a text")
    if rebuilt := {n: text for n, text in told.items() if n not in texts}:
        notes.append(f"tasks.parquet did not say {json.dumps(list(rebuilt.values()), ensure_ascii=False)}: taken from meta/episodes")
    if min({*told, *unknown}) < 0:
        raise DatasetError(f"{root} has frames with a negative task_index; nothing says what they show")
    return tuple(told.get(n, f"task {n}") for n in range(max({*told, *unknown}) + 1)), tuple(of)


def _read_texts(root: Path, notes: list[str]) -> dict[int, str]:
    """task_index -> text, as far as tasks.parquet says it."""
    path = root / layout.TASKS
    try:
        with open_parquet(path) as file:
            table = file.read(use_threads=False)
        texts = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        found = dict(zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True))
    except (DatasetError, pa.ArrowException, OSError, KeyError, IndexError):
        what = "cannot be read" if path.exists() else "is missing"
        notes.append(f"meta/tasks.parquet {what}: rebuilt from the tasks in meta/episodes")
        return {}
    return {int(number): str(text) for number, text in found.items() if number is not None and text is not None}
