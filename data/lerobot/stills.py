"""Lossless pictures: PNG, one after the other in a file beside the data file, until the episode is committed into it.

The way over the disk keeps memory bounded, however long an episode is. FFmpeg's encoder takes red, green, blue of any size
and encodes several pictures at once.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

# Differences to the row above, weakly compressed: half the time of the stronger levels for a few per cent of the bytes.
OPTIONS = {"compression_level": "1", "pred": "up"}
THREADS = 4


class StillWriter:
    """PNG pictures in `path`, their sizes in `sizes`. The file is not fsynced: it is a station on the way."""

    def __init__(self, path: Path, height: int, width: int) -> None:
        self.frames = 0
        self.sizes: list[int] = []
        codec = av.CodecContext.create("png", "w")
        assert isinstance(codec, VideoCodecContext)
        codec.width, codec.height, codec.pix_fmt = width, height, "rgb24"
        codec.time_base = Fraction(1, 1000)
        codec.thread_count = min(THREADS, os.cpu_count() or 1)
        codec.options = OPTIONS
        self._codec = codec
        self._file = path.open("wb")

    def add(self, image: np.ndarray) -> None:
        """image: uint8 (H, W, 3) RGB, free to be used again afterwards."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")  # a copy: the encoder's threads keep it for a while
        frame.pts = self.frames
        self._encode(frame)
        self.frames += 1

    def close(self) -> None:
        self._encode(None)
        self._file.close()

    def abort(self) -> None:
        """Let go of the file without finishing it."""
        try:
            self._file.close()
        except OSError:
            pass  # a full disk refuses the last buffer, too

    def _encode(self, frame: av.VideoFrame | None) -> None:
        for packet in self._codec.encode(frame):
            self._file.write(packet)
            self.sizes.append(packet.size)
