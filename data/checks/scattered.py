"""Single actions that have nothing to do with those before and after them: lost, mixed up or overwritten on the way to the disk.

A median over five frames keeps every motion, every jump that stays and every switch; what it takes away is what comes and goes
within two frames. A value is scattered where that is more than the fastest honest motion.
"""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

HALF = 2  # frames on each side: up to two wrong ones among five leave the median right
# A hand that turns back at full speed is one frame's motion off the median; half as much again is no motion.
FASTEST = 1.5  # times the 95th percentile of the median's own steps, in the usual episode
NOISE = 8.0  # times the usual distance from the median, as a normal deviation: one in 10^15
RANGE = 0.05  # of the range: below it nothing is taught wrongly
# Of 10,000 human frames of Push-T three are scattered, of a teleoperated G1's one, of a scripted demonstrator's none.
SHARE = 0.02
FEWEST = 2 * HALF + 1


def check(recording: Recording) -> list[Finding]:
    found = []
    for name in recording.actions:
        values = recording.column(name).astype(np.float64)
        skipped = recording.in_quaternion(name) | {i for i in range(values.shape[1]) if recording.turn(name, i)}
        bad = np.zeros(len(values), bool)
        elements = []
        for i in sorted(set(range(values.shape[1])) - skipped):
            rows = scattered(values[:, i], recording.starts, recording.ends)
            if rows.mean() > SHARE / 4:
                elements.append(i)
            bad |= rows
        share = float(bad.mean())
        if share > SHARE:
            rows = np.flatnonzero(bad)
            episodes = recording.episodes_of(rows)
            episode, frame = recording.place(int(rows[0]))
            text = f"{100 * share:.0f} % of {recording.say(name, tuple(elements))} have nothing to do with their neighbours"
            text += f", in {count(len(episodes), 'episode', len(recording.numbers))}"
            why = "they are learned as if somebody had done them, and no motion can be copied from them"
            mend = "record again, or find what writes into the actions; leaving frames out is no help, since chunks need all of them"
            found.append(Finding("scattered", "error", text, why, mend, name, tuple(elements), episode, frame, episodes))
    return found


def scattered(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) bool of values (N,) in episodes from `starts` to `ends`."""
    middle = np.array(values)
    paces = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start < FEWEST:
            continue
        padded = np.pad(values[start:end], HALF, mode="edge")
        middle[start:end] = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * HALF + 1), -1)
        paces.append(np.quantile(np.abs(np.diff(middle[start:end])), 0.95))
    if not paces:
        return np.zeros(len(values), bool)
    off = np.abs(values - middle)
    low, high = np.quantile(values, [0.01, 0.99])
    limit = max(FASTEST * float(np.median(paces)), NOISE * 1.4826 * float(np.median(off)), RANGE * float(high - low))
    return off > max(limit, 1e-9)
