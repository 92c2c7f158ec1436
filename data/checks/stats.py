"""Stored statistics that are not those of the data, or none where the format is meant to have them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data.checks import Finding, Recording

# Sums in float32 over a million frames lose this share of a standard deviation; a real change of the data moves them by more.
MOMENTS = 0.01  # of the standard deviation
EXTREMES = 1e-4  # of the range


def check(recording: Recording) -> list[Finding]:
    stored = recording.source.stats()
    mend = recording.command("stats", write=True)
    if not stored:
        if not recording.header.format.startswith("LeRobotDataset v3"):
            return []
        why = "lerobot normalises with them, and cannot append without them"
        return [Finding("stats", "note", "no statistics are stored", why, mend)]
    if len(recording.numbers) < len(recording.header.lengths):
        return []  # they are those of all episodes
    found = []
    for name in (n for n in recording.columns if n in stored):
        values = recording.raw(name)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            continue
        width = int((recording.features[name]["shape"] or [1])[-1])  # rows of a matrix are counted as frames
        wrong = _wrong(stored[name], values.reshape(-1, width))
        if wrong:
            text = f"stored statistics of {name} are not those of the data: " + ", ".join(wrong)
            why = "programs that normalise by them train and act on shifted numbers"
            found.append(Finding("stats", "error", text, why, mend, name))
    missing = [name for name in recording.vectors if name not in stored]
    if missing:
        why = "lerobot normalises with them"
        found.append(Finding("stats", "warning", f"no statistics of {', '.join(missing)} are stored", why, mend, missing[0]))
    return found


def _wrong(stored: Mapping[str, np.ndarray], values: np.ndarray) -> list[str]:
    """What differs, each with the stored and the true value of its worst element."""
    low, high = values.min(0).astype(np.float64), values.max(0).astype(np.float64)
    mean, std = (np.array([of(column.astype(np.float64)) for column in values.T]) for of in (np.mean, np.std))
    exact = {"min": low, "max": high, "mean": mean, "std": std}
    # float32 cannot hold the mean of large numbers any better than this
    floor = 1e-5 * np.maximum(np.abs(low), np.abs(high)) + 1e-9
    allowed = {"min": EXTREMES * (high - low), "max": EXTREMES * (high - low), "mean": MOMENTS * std, "std": MOMENTS * std}
    wrong = []
    for key, truth in exact.items():
        if key not in stored:
            continue
        said = np.asarray(stored[key], np.float64).reshape(-1)
        if said.shape != truth.shape:
            wrong.append(f"{key} has {said.size} elements instead of {truth.size}")
            continue
        excess = np.abs(said - truth) / (allowed[key] + floor)
        i = int(np.argmax(np.where(np.isfinite(excess), excess, np.inf)))
        if not excess[i] <= 1:
            wrong.append(f"{key} of [{i}] is {said[i]:.5g}, true is {truth[i]:.5g}")
    return wrong
