"""Cameras that freeze while the robot moves, and frames that are black or burnt out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from data.checks import Finding, Recording, count
from data.errors import DatasetError

SAMPLE = 5  # episodes per camera, the first and the last among them: a broken camera is broken for long
SIDE = 64  # pixels of the longer side that frames are compared at
# A frozen frame is the same to the bit, and after lossy coding to half a grey level in every block; the noise of a real sensor
# and any motion in sight are more.
ALIKE = 0.5
SECONDS = 1.0  # a hand can leave the picture for less
FEWEST = 10  # frames, where the rate is low
MOVED = 0.05  # of the range of some observed element: below it the robot may well stand
BLACK = 16  # the blackest of limited-range video, with the noise of a covered lens [grey level of 255]
WHITE = 250  # burnt out
PART = 0.98  # of all pixels: a dark scene has lights, a bright one shadows


def check(recording: Recording) -> list[Finding]:
    if recording.pictures == "none":
        return []
    found = []
    for key, readable in recording.cameras.items():
        chosen = looked_at(recording, readable)
        if len(chosen):
            found += _camera(recording, key, chosen)
    return found


def looked_at(recording: Recording, readable: np.ndarray) -> np.ndarray:
    """The episodes whose frames are decoded."""
    if recording.pictures == "all" or len(readable) <= SAMPLE:
        return readable
    return readable[np.linspace(0, len(readable) - 1, SAMPLE).round().astype(int)]


def _camera(recording: Recording, key: str, chosen: np.ndarray) -> list[Finding]:
    frozen: list[tuple[int, int, int]] = []  # frames, episode, first frame
    dark: list[tuple[float, int, int]] = []  # share of the episode, episode, first frame
    white: list[tuple[float, int, int]] = []
    found = []
    for episode in chosen.tolist():
        try:
            small = np.stack(list(_small(recording, key, episode)))
        except DatasetError as error:
            why = "frames of this camera cannot be used"
            found.append(Finding("pictures", "error", str(error), why, recording.delete([episode]), key, (), episode, None, (episode,)))
            continue
        black, burnt = (small < BLACK).mean((1, 2, 3)) > PART, (small > WHITE).mean((1, 2, 3)) > PART
        alike = np.abs(np.diff(small, axis=0)).max((1, 2, 3)) < ALIKE
        length, first = _longest(alike & ~(black | burnt)[1:])  # these are findings of their own
        if length >= max(FEWEST, SECONDS * recording.fps) and _moves(recording, episode, first, length):
            frozen.append((length, episode, first))
        for list_, bad in ((dark, black), (white, burnt)):
            if bad.any():
                list_.append((float(bad.mean()), episode, int(np.argmax(bad))))
    seen = f"of {count(len(chosen), 'episode')} looked at"
    if frozen:
        length, episode, frame = max(frozen)
        text = (
            f"{key} stands still for up to {length} frames ({length / recording.fps:.2g} s) while the robot moves, in {len(frozen)} {seen}"
        )
        found.append(
            _finding(recording, "warning", key, text, "what is seen and what is done do not belong together", episode, frame, frozen)
        )
    for list_, word in ((dark, "black"), (white, "burnt out")):
        if list_:
            share, episode, frame = max(list_)
            text = f"{key} is {word} in up to {100 * share:.0f} % of the frames of an episode, in {len(list_)} {seen}"
            severity = "error" if share == 1 else "warning"
            found.append(_finding(recording, severity, key, text, "there is nothing to be seen in it", episode, frame, list_))
    return found


def _small(recording: Recording, key: str, episode: int) -> Iterator[np.ndarray]:
    """The frames of an episode, float32 (h, w, 3), averaged down."""
    height, width = (int(n) for n in recording.features[key]["shape"][:2])
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    for clip in recording.source.clips(key, np.array([episode])):
        frames = clip.decode(size if size != (height, width) else None)
        for _, image in sorted(zip(clip.rows.tolist(), frames, strict=True), key=lambda pair: pair[0]):
            yield image.astype(np.float32)


def _longest(alike: np.ndarray) -> tuple[int, int]:
    """(frames, first frame) of the longest run of frames that are like the one before."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], alike.astype(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    runs = edges[1::2] - edges[::2]
    longest = int(np.argmax(runs))
    return int(runs[longest]) + 1, int(edges[::2][longest])


def _moves(recording: Recording, episode: int, first: int, length: int) -> bool:
    """Whether an observed element moves a good part of its range in these frames."""
    start = int(recording.starts[np.searchsorted(recording.numbers, episode)]) + first
    for name in (n for n in recording.vectors if n.startswith("observation.")):
        values = recording.column(name)
        if (np.ptp(values[start : start + length], 0) > MOVED * np.ptp(values, 0)).any():
            return True
    return False


def _finding(
    recording: Recording, severity: str, key: str, text: str, why: str, episode: int, frame: int, places: Sequence[tuple[float, int, int]]
) -> Finding:
    episodes = tuple(sorted(place[1] for place in places))
    return Finding("pictures", severity, text, why, recording.delete(episodes), key, (), episode, frame, episodes)
