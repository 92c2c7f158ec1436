"""Columns that count: frame_index from 0 in each episode, episode_index, index, and task_index within the list of tasks."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count
from data.errors import DatasetError


def check(recording: Recording) -> list[Finding]:
    header, lengths = recording.header, recording.lengths
    frames = np.arange(int(lengths.sum())) - np.repeat(recording.starts, lengths)
    firsts = (np.cumsum(header.lengths) - header.lengths)[recording.numbers]
    expected = {
        "frame_index": frames,
        "episode_index": np.repeat(recording.numbers, lengths),
        "index": frames + np.repeat(firsts, lengths),
    }
    found = []
    for name in [n for n in (*expected, "task_index") if n in header.features]:
        try:
            values = recording.raw(name)[:, 0]
        except DatasetError as error:
            found.append(_finding(recording, name, str(error), None))
            continue
        if name in expected:
            wrong = np.flatnonzero(values != expected[name])
            told = f"wanted {int(expected[name][wrong[0]])}" if len(wrong) else ""
        else:
            wrong = np.flatnonzero((values < 0) | (values >= max(1, len(header.tasks))))
            told = f"there are {count(len(header.tasks), 'task')}, counted from 0"
        if len(wrong):
            text = f"{name} is {int(values[wrong[0]])}, {told}; wrong in {count(len(wrong), 'frame', len(values))}"
            found.append(_finding(recording, name, text, wrong))
    return found


def _finding(recording: Recording, name: str, text: str, rows: np.ndarray | None) -> Finding:
    episode, frame = (None, None) if rows is None else recording.place(int(rows[0]))
    why = "programs find frames and tasks by these numbers"
    episodes = () if rows is None else recording.episodes_of(rows)
    return Finding("counting", "error", text, why, recording.repair(), name, (), episode, frame, episodes)
