"""Statistics of the pixels of a piece, for episodes whose recorded ones do not hold any more, or that never had any."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.editing.origin import Origin
from data.editing.plan import Piece
from data.errors import DatasetError
from data.lerobot.feature_stats import ImageStats, Stats
from data.lerobot.video import decode_still, read_frames


def camera_stats(origin: Origin, key: str, piece: Piece) -> Stats:
    """Decodes the frames of the piece. Raises DatasetError if one is missing or damaged."""
    seen, count = ImageStats(), 0
    for frame in frames_of(origin, key, piece):
        seen.add(frame[None])
        count += 1
    if count != len(piece):
        raise DatasetError(f"the frames of {key} in episode {piece.episode} of {origin.root} end after {count} of {len(piece)}")
    return seen.stats()


def frames_of(origin: Origin, key: str, piece: Piece) -> Iterator[np.ndarray]:
    """uint8 (H, W, 3), one after the other."""
    index = origin.index
    if key in index.videos:
        video = index.videos[key]
        first = round(float(video.start_s[piece.episode]) * origin.video_fps) + piece.start
        for number, image in read_frames(video.paths[piece.episode], origin.video_fps, start=first):
            if number >= first + len(piece):
                return
            yield image
        return
    height, width = origin.features[key]["shape"][:2]
    where = f"{index.data[piece.episode]}: {key} of episode {piece.episode}"
    for value in (value for block in origin.rows(piece.episode, piece.start, piece.stop, (key,)) for value in block[key]):
        content = value.as_py()
        content = content.get("bytes") if isinstance(content, dict) else content
        if not isinstance(content, bytes):
            raise DatasetError(f"{where} is not an image; restore the file or delete the episode")
        yield decode_still(content, (height, width), where)
