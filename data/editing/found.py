"""What a look at a damaged dataset finds: episodes, and what can be built on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.lerobot.index import Index


@dataclass
class Found:
    """One episode in the data files.

    number    what it is called there; path, row, length   where its rows are
    columns   the automatic columns of its rows, each (T,)
    meta      its row in meta/episodes, {} if there is none
    videos    camera -> (file, where in it the episode starts [s])
    """

    number: int
    path: Path
    row: int
    length: int
    columns: dict[str, np.ndarray]
    meta: dict[str, Any] = field(default_factory=dict)
    videos: dict[str, tuple[Path, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """What a repair can build on.

    index        the complete episodes; its info is info.json as it should be, its totals aside
    renumbered   positions of episodes whose automatic columns have to be written anew
    video_fps    [Hz] of the videos as they are; that of the recording where they agree with it
    notes        what is wrong and what is done about it, in words; empty where nothing is
    """

    index: Index
    renumbered: frozenset[int]
    video_fps: float
    notes: tuple[str, ...]
