"""Frames into an mp4 and back, through PyAV (FFmpeg).

Every second frame is a key frame (g=2), so that any frame is at most one step from a seek point: random access is what
training does. BT.601, limited range, 4:2:0: colours come back within a few levels, chroma at half resolution.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from data.errors import DatasetError
from data.lerobot.layout import STILLS

# Encoder and its options by codec name; crf is the quality (lower is better). With every second frame a key frame, x264's slower
# presets save a quarter of the bytes for three times the work: ultrafast at 20 shows what veryfast at 18 does.
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "ultrafast", "crf": "20", "g": "2", "bf": "0"}),
    "av1": ("libsvtav1", {"preset": "12", "crf": "30", "g": "2"}),
}
FAILURES = (av.FFmpegError, OSError, ValueError, IndexError)  # what a broken file can raise
SMALL = 256 * 256  # below this many pixels the threads of a codec cost more than they bring
PER_THREAD = 600_000  # pixels that one thread encodes fast enough; cameras are encoded side by side anyway


def require_codec(codec: str) -> None:
    """Raises DatasetError if this codec is unknown or not in this FFmpeg."""
    allowed = ", ".join((*CODECS, STILLS))
    if codec not in (*CODECS, STILLS):
        raise DatasetError(f"codec {codec!r} is unknown; allowed: {allowed}")
    encoder = STILLS if codec == STILLS else CODECS[codec][0]
    if encoder not in av.codecs_available:
        raise DatasetError(f"this PyAV was built without {encoder}, which writes {codec}; allowed: {allowed}")


class VideoWriter:
    """One mp4, frame by frame. The caller renames the file after `close()`, which leaves it fsynced."""

    def __init__(self, path: Path, height: int, width: int, fps: float, codec: str) -> None:
        encoder, options = CODECS[codec]
        self.frames = 0
        self._threads = max(1, min(height * width // PER_THREAD, os.cpu_count() or 1))
        # One for all frames: making a converter takes as long as converting.
        self._reformatter = VideoReformatter()
        # Our own file object: a full disk is then an OSError here, not a message on FFmpeg's log.
        self._file = path.open("wb")
        try:
            self._container = av.open(self._file, "w", format="mp4")
            stream = self._container.add_stream(encoder, rate=Fraction(fps).limit_denominator(1000), options=dict(options))
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = self._threads
            self._stream = stream
        except BaseException:
            self._file.close()
            raise

    def write(self, frames: np.ndarray) -> None:
        """frames: uint8 (T, H, W, 3) RGB."""
        for image in frames:
            self.add(image)

    def add(self, image: np.ndarray) -> None:
        """image: uint8 (H, W, 3) RGB, free to be used again afterwards."""
        rgb = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")
        # Area averaging: each chroma sample is the mean of its four pixels.
        frame = self._reformatter.reformat(rgb, format="yuv420p", interpolation=Interpolation.AREA, threads=self._threads)
        frame.pts = self.frames
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abort(self) -> None:
        """Let go of the file without finishing it."""
        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            pass  # it is being thrown away: that it cannot be finished is no news
        finally:
            try:
                self._file.close()
            except OSError:
                pass  # a full disk refuses the last buffer, too


def write_mp4(path: Path, frames: np.ndarray, fps: float, codec: str = "h264") -> None:
    """A whole film, uint8 (T, H, W, 3) with even height and width, by default as H.264 that browsers play."""
    writer = VideoWriter(path, frames.shape[1], frames.shape[2], fps, codec)
    try:
        writer.write(frames)
        writer.close()
    except BaseException:
        writer.abort()
        raise


def count_frames(path: Path) -> int:
    """The number of frames that the header of an mp4 promises; raises DatasetError if it cannot be opened."""
    try:
        with av.open(str(path)) as container:
            return int(container.streams.video[0].frames)
    except FAILURES as error:
        raise DatasetError(f"{path} is not a readable video ({error}); restore it or delete its episode") from error


def read_frames(path: Path, fps: float, size: tuple[int, int] | None = None, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Decode a video in order: (frame number from its timestamp, uint8 (H, W, 3)).

    size    (height, width) [px]; frames of another size are resized by area averaging
    start   no frame before this number is needed: decoding begins at the key frame before it
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.width * stream.height < SMALL:
                stream.codec_context.thread_count = 1
            else:
                stream.thread_type = "AUTO"
            if start and stream.time_base:
                container.seek(int((start - 0.5) / fps / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                number = round((frame.time or 0.0) * fps)
                if number < start:
                    continue
                if size is not None and (frame.height, frame.width) != size:
                    frame = frame.reformat(width=size[1], height=size[0], format="rgb24", interpolation=Interpolation.AREA)
                yield number, frame.to_ndarray(format="rgb24")
    except FAILURES as error:
        raise DatasetError(f"{path} cannot be decoded ({error}); restore it or delete its episode") from error


def decode_still(content: bytes, size: tuple[int, int], where: str) -> np.ndarray:
    """One PNG or JPEG as uint8 (H, W, 3), resized to size (height, width) if it differs. Raises DatasetError starting with `where`."""
    try:
        with av.open(io.BytesIO(content), "r") as container:
            frame = next(container.decode(video=0))
            return frame.reformat(width=size[1], height=size[0], format="rgb24", interpolation=Interpolation.AREA).to_ndarray()
    except (*FAILURES, StopIteration) as error:
        raise DatasetError(f"{where} cannot be decoded ({error}); restore the file or delete its episode") from error
