"""Small H.264 clips for a report: what a browser plays from inside one HTML file.

Not for training data (see data.lerobot.video): here size counts, and quality need only please the eye.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from data.errors import DatasetError
from data.lerobot.video import read_frames

SIDE = 320  # longest side of an embedded clip [px]
WHOLE = 400_000  # a file up to this size is embedded as it is [bytes]
_PLAYABLE = ("h264",)  # every browser plays it; AV1 and HEVC are not everywhere


def encode(frames: np.ndarray, fps: float, side: int = SIDE, crf: int = 27) -> bytes:
    """An mp4 in memory.

    frames  uint8 (T, H, W, 3) RGB
    side    the longest side is reduced to this [px]; smaller pictures keep their size
    crf     x264's quality; lower is better

    Raises ValueError for anything that is not frames.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"a clip needs uint8 (T, H, W, 3) frames; found {frames.dtype} {frames.shape}")
    height, width = frames.shape[1:3]
    scale = min(1.0, side / max(height, width))
    even_height, even_width = (max(2, 2 * round(length * scale / 2)) for length in (height, width))  # 4:2:0 wants even sides
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        # Of rendered scenes at 320 x 240: 0.4 of the time of "medium", and 3 % more bytes.
        options = {"preset": "veryfast", "crf": str(crf), "tune": "animation"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = even_width, even_height, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame.reformat(width=even_width, height=even_height)))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def embeddable(path: Path, largest: int = WHOLE) -> bytes:
    """The bytes of a video that a browser can play, written anew if the file is larger than `largest` or in another codec.

    Raises DatasetError if the file cannot be read.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.codec_context.name in _PLAYABLE and path.stat().st_size <= largest:
                return path.read_bytes()
            fps = float(stream.average_rate or 25)
            shrink = min(1.0, SIDE / max(stream.width, stream.height))  # before the frames are kept: a long video is large
            size = (round(stream.width * shrink), round(stream.height * shrink))
            frames = [f.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray() for f in container.decode(stream)]
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise DatasetError(f"{path} is not a readable video ({error})") from error
    if not frames:
        raise DatasetError(f"{path} holds no frame")
    content = b""
    for crf in (27, 33, 39):
        content = encode(np.stack(frames), fps, crf=crf)
        if len(content) <= largest:
            break
    return content


def stills(path: Path, times: Sequence[float], width: int = 240) -> list[tuple[float, np.ndarray]]:
    """The frames of a video nearest to some times [s]: (time of the frame [s], uint8 (H, W, 3)), each frame once, `width` [px] or less.

    Raises DatasetError if the file cannot be read.
    """
    wanted = sorted(times)
    found: list[tuple[float, np.ndarray]] = []
    before: tuple[float, np.ndarray] | None = None
    for milliseconds, frame in read_frames(path, 1000.0):
        at = milliseconds / 1000
        while wanted and before is not None and wanted[0] <= at:
            nearest = before if wanted[0] - before[0] < at - wanted[0] else (at, frame)
            if not found or found[-1][0] != nearest[0]:
                found.append(nearest)
            wanted.pop(0)
        before = (at, frame)
        if not wanted:
            break
    if wanted and before is not None and (not found or found[-1][0] != before[0]):
        found.append(before)
    return [(at, _shrunk(frame, width)) for at, frame in found]


def _shrunk(frame: np.ndarray, width: int) -> np.ndarray:
    height = round(frame.shape[0] * width / frame.shape[1])
    if width >= frame.shape[1]:
        return frame
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return picture.reformat(width=width, height=height, interpolation=Interpolation.AREA).to_ndarray(format="rgb24")
