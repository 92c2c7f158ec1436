"""Jumps: a single step far beyond what this value does otherwise, as a spike, a lost packet or a tracker that lets go makes it."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

# A jump is beyond all of these. On 52 dimensions of a real G1, on Push-T and on simulated pick-and-place the largest honest step
# is 28 times the 90th percentile (a finger that closes; its neighbours are as large), else at most 17 times.
USUAL = 20.0  # times the 90th percentile of the steps that are not zero
# Real motion speeds up and slows down: at 30 Hz the honest steps above have neighbours of half their size.
NEIGHBOURS = 5.0  # times the median of the three steps before and after
WRAPPED = 0.1  # of a turn: what an angle moves in the frame in which it crosses the end
RANGE = 0.05  # of the whole range: below it a jump hides in the noise of the normalised value
TURN = 0.5  # rad between two frames, of a quaternion: less is what a body that is knocked over does
SAMPLE = 100_000  # steps, spread evenly: a percentile of that many is exact to a few per cent of a per cent
FEWEST = 20  # steps that are not zero: fewer do not say what is usual


def check(recording: Recording) -> list[Finding]:
    found = []
    for name in recording.vectors:
        values = recording.column(name)
        skipped = recording.in_quaternion(name)
        jumps, wraps = {}, {}
        for i in sorted(set(range(values.shape[1])) - skipped):
            steps = recording.steps(name, i)
            rows = _jumps(steps, values[:, i])
            turn = recording.turn(name, i) or _turn(steps[rows])
            crossed = _crossed(recording, values[:, i], turn)
            if len(crossed) and i not in (recording.features[name].get("angles") or ()):
                wraps[i] = crossed
                rows = np.setdiff1d(rows, crossed)
            if len(rows):
                jumps[i] = rows
        if jumps:
            found.append(_finding(recording, name, jumps))
        if wraps:
            found.append(_wrapping(recording, name, wraps))
        for first in recording.quaternions(name):
            angles = _turns(values[:, first : first + 4])
            angles[~recording.inside] = 0.0
            steps = _jumps(angles, angles)
            steps = steps[angles[steps] > TURN]
            if len(steps):
                found.append(_rotation(recording, name, first, steps, angles))
    return found


def _jumps(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where the steps are that no motion explains, increasing."""
    sizes = np.abs(steps)
    moving = sizes[sizes > 0]
    if len(moving) < FEWEST:
        return np.zeros(0, np.int64)
    usual = float(np.quantile(moving[:: 1 + len(moving) // SAMPLE], 0.9))
    limit = max(USUAL * usual, RANGE * float(np.ptp(values)))
    large = np.flatnonzero(sizes > limit)
    around = large[:, None] + np.array([-3, -2, -1, 1, 2, 3])
    near = np.where((around >= 0) & (around < len(sizes)), sizes[around.clip(0, len(sizes) - 1)], np.nan)
    return large[sizes[large] > NEIGHBOURS * np.nanmedian(near, 1)] if len(large) else large


def _turn(steps: np.ndarray) -> float:
    """A full turn, in the unit of an element that does not say it, if that is what its jumps are; else 0.0."""
    for turn in (2 * np.pi, 360.0):
        if len(steps) and np.median(np.abs(np.abs(steps) - turn)) < WRAPPED * turn:
            return turn
    return 0.0


def _crossed(recording: Recording, values: np.ndarray, turn: float) -> np.ndarray:
    """Where an angle goes from one end of its turn to the other."""
    if not turn:
        return np.zeros(0, np.int64)
    raw = np.abs(np.diff(values.astype(np.float64)))
    return np.flatnonzero((np.abs(raw - turn) < WRAPPED * turn) & recording.inside)


def _wrapping(recording: Recording, name: str, wraps: dict[int, np.ndarray]) -> Finding:
    rows = np.unique(np.concatenate(list(wraps.values())))
    text = (
        f"{recording.say(name, tuple(wraps))} crosses the end of its turn {count(len(rows), 'time')}, and nothing says that it is an angle"
    )
    why = "a network that is not told sees a jump from one end to the other where there is none"
    angles = sorted({*wraps, *(recording.features[name].get("angles") or ())})
    mend = recording.edit("convert", mapping=f"{{{name}: {{source: {name}, angles: {angles}}}}}")
    return _with_place(recording, name, tuple(wraps), text, why, int(rows[0]), rows, mend)


def _turns(quaternions: np.ndarray) -> np.ndarray:
    """(N, 4) -> (N-1,) angles [rad] between neighbours; q and -q are the same rotation."""
    q = quaternions.astype(np.float64)
    norms = np.sqrt((q * q).sum(1))
    cosines = np.abs((q[1:] * q[:-1]).sum(1)) / np.maximum(norms[1:] * norms[:-1], 1e-12)
    return 2 * np.arccos(np.clip(cosines, 0.0, 1.0))


def _finding(recording: Recording, name: str, jumps: dict[int, np.ndarray]) -> Finding:
    worst, row, size, usual = 0, 0, 0.0, 1.0
    for i, rows in jumps.items():
        steps = np.abs(recording.steps(name, i))
        at = int(rows[np.argmax(steps[rows] > 0.9 * steps[rows].max())])  # of a spike and its way back, the spike
        median = float(np.median(steps[steps > 0]))
        if steps[at] / median > size / usual:
            worst, row, size, usual = i, at, float(steps[at]), median
    unit = recording.unit(name, worst)
    rows = np.unique(np.concatenate(list(jumps.values())))
    what = f"{count(len(rows), 'jump')} of {recording.say(name, tuple(jumps))}"
    text = f"{what}; the worst, of [{worst}], is {size:.4g}{unit} in one frame where {usual:.2g}{unit} is usual"
    why = "one spike stretches the range by which everything is normalised, and is learned as motion"
    return _with_place(recording, name, tuple(jumps), text, why, row, rows)


def _rotation(recording: Recording, name: str, first: int, rows: np.ndarray, angles: np.ndarray) -> Finding:
    row = int(rows[np.argmax(angles[rows] > 0.9 * angles[rows].max())])
    elements = tuple(range(first, first + 4))
    usual = float(np.median(angles[angles > 0]))
    text = f"{count(len(rows), 'jump')} of the rotation {recording.say(name, elements)}; the worst is {angles[row]:.3g} rad in one frame"
    text += f" where {usual:.2g} rad is usual"
    return _with_place(recording, name, elements, text, "a body does not turn that far between two frames", row, rows)


def _with_place(
    recording: Recording, name: str, elements: tuple[int, ...], text: str, why: str, row: int, rows: np.ndarray, mend: str = ""
) -> Finding:
    episode, frame = recording.place(row + 1)  # the frame that is reached by the step
    episodes = recording.episodes_of(rows + 1)
    mend = mend or f"look at it with {recording.command('view', episodes=[episode])}; {recording.delete(episodes)}"
    return Finding("jumps", "warning", text, why, mend, name, elements, episode, frame, episodes)
