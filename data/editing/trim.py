"""Cutting frames off the ends of episodes, without encoding video again: readers seek by time, and a piece may begin at any frame.

A trimmed episode is numbered from 0 again. Where its end was cut off, its last frame becomes `next.truncated` (and `next.done`):
the task did not end there, the recording of it does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.editing.opening import Place, applied
from data.editing.origin import Origin
from data.editing.plan import Piece, Plan, edit, whole
from data.errors import DatasetError
from data.source import Given

Range = tuple[int | None, int | None]


@dataclass(frozen=True)
class Idle:
    """What counts as standing still.

    threshold   largest change from one frame to the next of any element, in the element's unit
    columns     whose elements are looked at; () is observation.state and action
    keep        idle frames that are left at either end
    """

    threshold: float
    columns: tuple[str, ...] = ()
    keep: int = 0


def trim(
    path: str | os.PathLike[str],
    frames: Mapping[int, Range] | None = None,
    idle: Idle | None = None,
    episodes: Sequence[int] | None = None,
    place: Place | None = None,
    given: Given | None = None,
) -> Plan:
    """Keep frames [start, stop) of the episodes in `frames`, as Python slices; or drop what is idle at the ends.

    frames     episode -> (start, stop); None is the episode's own end, negative counts from it
    idle       for `episodes` (None: all): drop leading and trailing frames without change. An episode without any change stays whole
    Raises DatasetError if nothing of an episode would be left, for an unknown episode or column, or unless exactly one way is given.
    """
    if bool(frames) == (idle is not None):
        raise DatasetError("say what to trim in one way: frames={episode: [start, stop]}, or idle=threshold")
    if frames and episodes is not None:
        raise DatasetError("episodes= goes with idle=; frames= names its episodes itself")

    def plan(origin: Origin) -> Plan:
        pieces = {piece.episode: piece for piece in whole([origin], 0, range(len(origin)))}
        if frames:
            numbers = origin.numbers(list(frames), "frames")
            pieces |= {i: _slice(origin, i, wanted) for i, wanted in zip(numbers, frames.values(), strict=True)}
        elif idle is not None:
            chosen = list(range(len(origin))) if episodes is None else origin.numbers(list(episodes), "episodes")
            pieces |= {i: Piece(0, i, *moving(origin, i, idle)) for i in chosen}
        cut = {i: [p.start, p.stop] for i, p in pieces.items() if (p.start, p.stop) != (0, int(origin.index.lengths[i]))}
        return edit(origin, [pieces[i] for i in range(len(origin))], "trim", {"frames": {str(i): ends for i, ends in cut.items()}})

    return applied(path, plan, place or Place(), given)


def _slice(origin: Origin, episode: int, wanted: Range) -> Piece:
    length = int(origin.index.lengths[episode])
    if len(wanted) != 2 or any(end is not None and (isinstance(end, bool) or not isinstance(end, int)) for end in wanted):
        raise DatasetError(f"frames of episode {episode} are {list(wanted)!r}; wanted [start, stop], each a whole number or null")
    start, stop, _ = slice(*wanted).indices(length)
    if any(end is not None and not -length <= end <= length for end in wanted) or start >= stop:
        raise DatasetError(
            f"frames {list(wanted)} leave nothing of episode {episode}, or lie outside; it has {length} frames, 0 to {length - 1}"
        )
    return Piece(0, episode, start, stop)


def moving(origin: Origin, episode: int, idle: Idle) -> tuple[int, int]:
    """[start, stop) from the first frame that changes to the last that was changed, and `keep` more at either end."""
    if not idle.threshold >= 0 or idle.keep < 0:
        raise DatasetError(f"idle={idle.threshold} with keep={idle.keep}: a threshold and a number of frames are not negative")
    length = int(origin.index.lengths[episode])
    names = idle.columns or tuple(name for name in ("observation.state", "action") if name in origin.features)
    unfit = [n for n in names if n not in origin.features or origin.features[n]["dtype"] in ("video", "image", "string")]
    if unfit or not names:
        raise DatasetError(f"{origin.root} has no column {', '.join(unfit) or 'observation.state or action'} of numbers; say columns=[...]")
    changed = np.zeros(length - 1, bool)
    for name in names:
        values = origin.column(episode, name).reshape(length, -1).astype(np.float64)
        changed |= np.abs(np.diff(values, axis=0)).max(1) > idle.threshold
    at = np.flatnonzero(changed)
    if not len(at):
        return 0, length
    return max(int(at[0]) - idle.keep, 0), min(int(at[-1]) + 2 + idle.keep, length)
