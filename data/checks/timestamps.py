"""Timestamps that disagree with the frame rate: going backwards, another rate, missing frames, drift."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count
from data.errors import DatasetError

# lerobot refuses a frame whose timestamp is off by more than this (its tolerance_s).
TOLERANCE = 1e-4
# float32 seconds, as LeRobot stores them, are only this exact.
ROUNDING = 2 * np.finfo(np.float32).eps
# Clocks of cameras and robots differ by a few parts in 10^5; a rate that is off by 1 % is another rate.
RATE = 0.01
# A frame that comes more than half a period late leaves a hole in which another one was lost.
HOLE = 1.5


def check(recording: Recording) -> list[Finding]:
    if "timestamp" not in recording.features or not recording.rate_is_known:
        return []
    try:
        stamps = recording.raw("timestamp")[:, 0].astype(np.float64)
    except DatasetError as error:
        return [_finding(recording, "error", str(error), None, "there is no time without it", recording.repair())]
    period = 1 / recording.fps
    repair = recording.repair()
    bad = np.flatnonzero(~np.isfinite(stamps))
    if len(bad):
        return [
            _finding(
                recording, "error", f"timestamps are not finite, {count(len(bad), 'time')}", bad, "frames are looked up by time", repair
            )
        ]
    steps = np.diff(stamps)[recording.inside]
    where = np.flatnonzero(recording.inside)
    backwards = where[steps <= 0]
    if len(backwards):
        text = f"time stands still or runs backwards {count(len(backwards), 'time')}, by {-steps.min():.4g} s at most"
        return [_finding(recording, "error", text, backwards + 1, "frames of a video are looked up by time", repair)]
    if len(steps):
        usual = float(np.median(steps))
        if abs(usual - period) > RATE * period:
            text = f"the frame rate is said to be {recording.fps:g} Hz, but timestamps are {usual:.4g} s apart, which is {1 / usual:.4g} Hz"
            why = "a policy trained from it would act at the wrong speed"
            return [_finding(recording, "error", text, None, why, recording.repair(fps=f"{1 / usual:.4g}"))]
        holes = where[steps > HOLE * period]
        if len(holes):
            longest = int(np.argmax(steps))
            lost = int(np.rint(steps[steps > HOLE * period] / period - 1).sum())
            text = f"about {count(lost, 'frame')} {'is' if lost == 1 else 'are'} missing in {count(len(holes), 'hole')}, the longest of {steps[longest]:.4g} s"
            why = "across a hole an action does not lead to the next observation"
            rows = np.concatenate([[where[longest]], holes])
            episodes = recording.episodes_of(holes)
            return [_finding(recording, "warning", text, rows, why, recording.delete(episodes))]
    frames = np.arange(len(stamps)) - np.repeat(recording.starts, recording.lengths)
    if not recording.header.format.startswith("LeRobot"):  # there each episode starts at 0 s, elsewhere at any time of the day
        stamps = stamps - np.repeat(stamps[recording.starts], recording.lengths)
    drift = np.abs(stamps - frames * period)
    off = np.flatnonzero(drift > TOLERANCE + ROUNDING * np.abs(stamps))
    if not len(off):
        return []
    worst = int(np.argmax(drift))
    half = drift[worst] > period / 2
    text = f"timestamps leave frame_index / fps by up to {drift[worst]:.4g} s, in {count(len(off), 'frame', len(stamps))}"
    why = "a neighbouring frame of the video is taken" if half else f"lerobot refuses more than {TOLERANCE:g} s"
    return [_finding(recording, "error" if half else "warning", text, off, why, repair)]


def _finding(recording: Recording, severity: str, text: str, rows: np.ndarray | None, why: str, mend: str) -> Finding:
    """rows: where, the one to name first."""
    episode, frame = (None, None) if rows is None else recording.place(int(rows[0]))
    episodes = () if rows is None else recording.episodes_of(rows)
    return Finding("timestamps", severity, text, why, mend, "timestamp", (), episode, frame, episodes)
