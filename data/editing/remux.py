"""Joining videos without encoding them again: packets are copied, their times are shifted.

A file may be cut at key frames only, so a cut keeps the frames between the key frame and the first one that is wanted. Files are
joined only where the decoder would be set up the same way for all of them: codec, size, parameter sets, clock.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from data.errors import DatasetError
from data.lerobot.video import FAILURES, read_frames

FRESH = ("h264", "libdav1d", "av1", "vp9", "libvpx-vp9")  # decoders for which every key frame is a new beginning
JITTER = 0.05  # of a frame: how far a frame may be from its place on the grid of the frame rate


@dataclass(frozen=True)
class Scan:
    """The packets of a video in the order in which they are decoded.

    number     (P,) int64 frame number of each packet, from its time; key   (P,) bool; size   (P,) int64 [bytes]
    clock      duration of a tick of the stream [s]; ticks   of a frame, in ticks
    setup      what has to be equal in files that are joined
    regular    whether the frames are number 0, 1, 2, ... of the frame rate, without gaps
    """

    path: Path
    number: np.ndarray
    key: np.ndarray
    size: np.ndarray
    clock: Fraction
    ticks: int
    setup: tuple[object, ...]
    regular: bool


@dataclass(frozen=True)
class Cut:
    """Packets [start, stop) of a video, whose frames are the numbers [first, first + count)."""

    scan: Scan
    start: int
    stop: int
    first: int
    count: int

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.stop == len(self.scan.number)

    @property
    def bytes(self) -> int:
        return int(self.scan.size[self.start : self.stop].sum())


def scan(path: Path, fps: float) -> Scan:
    """Read the packets of a video without decoding them. Raises DatasetError if it cannot be read."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            base = stream.time_base
            setup = _setup(stream)
            packets = [(p.pts, p.is_keyframe, p.size) for p in container.demux(stream) if p.pts is not None and p.size]
    except FAILURES as error:
        raise DatasetError(f"{path} cannot be read ({error}); restore it or delete its episodes") from error
    if not packets or base is None:
        raise DatasetError(f"{path} holds no video frames; restore it or delete its episodes")
    at = np.array([pts for pts, _, _ in packets]) * float(base) * fps
    number = np.round(at).astype(np.int64)
    ticks = 1 / (fps * float(base))
    on_grid = np.abs(at - number).max() < JITTER and abs(ticks - round(ticks)) < 1e-6
    regular = bool(on_grid and (np.sort(number) == np.arange(len(number))).all() and packets[0][1])
    key = np.array([is_key for _, is_key, _ in packets])
    return Scan(path, number, key, np.array([size for _, _, size in packets]), base, round(ticks), (*setup, base), regular)


def _setup(stream: VideoStream) -> tuple[object, ...]:
    context = stream.codec_context
    return (context.name, context.width, context.height, context.pix_fmt, bytes(context.extradata or b""))


def whole(video: Scan) -> Cut:
    """All of it."""
    return Cut(video, 0, len(video.number), 0, len(video.number))


def cut(video: Scan, first: int, stop: int) -> Cut:
    """The shortest run of packets that decodes to at least the frames [first, stop), whatever comes before it in a joined file.

    All of it where a key frame is no new beginning: in HEVC, whose frames count on from the ones before, and in open groups of
    pictures, in which frames that are shown before a key frame lean on those before it.
    """
    keys = np.flatnonzero(video.key)
    earliest = np.minimum.accumulate(video.number[::-1])[::-1]  # of the frames from each packet on
    if (earliest[keys] != video.number[keys]).any() or video.setup[0] not in FRESH:
        return whole(video)
    start = int(keys[video.number[keys] <= first].max())
    last = int(np.flatnonzero((video.number >= first) & (video.number < stop)).max())
    later = keys[keys > last]
    end = int(later.min()) if len(later) else len(video.number)
    return Cut(video, start, end, int(video.number[start]), end - start)


def join(cuts: Sequence[Cut], path: Path, fps: float) -> None:
    """One mp4 of all cuts, one after the other. They must be `regular` and have the same setup.

    Raises DatasetError if a file cannot be read or the result does not hold every frame in its place.
    """
    first = cuts[0].scan
    try:
        with path.open("wb") as file, av.open(file, "w", format="mp4") as output:
            with av.open(str(first.path)) as template:
                stream = output.add_stream_from_template(template.streams.video[0], opaque=True)
            stream.time_base = first.clock
            offset = 0
            for part in cuts:
                _copy(part, output, stream, offset)
                offset += part.count
            output.close()
            file.flush()
            os.fsync(file.fileno())
    except FAILURES as error:
        raise DatasetError(f"{path} could not be written ({error})") from error
    found = scan(path, fps)
    if not found.regular or len(found.number) != offset:
        raise DatasetError(
            f"{', '.join(part.scan.path.name for part in cuts)} do not join into one video: {len(found.number)} of {offset} frames "
            "are in place; the dataset is as it was"
        )


def _copy(part: Cut, output: av.container.OutputContainer, stream: VideoStream, offset: int) -> None:
    """Mux the packets of a cut so that its first frame becomes number `offset`."""
    shift = (offset - part.first) * part.scan.ticks
    with av.open(str(part.scan.path)) as container:
        source = container.streams.video[0]
        position = 0
        for packet in container.demux(source):
            if packet.pts is None or not packet.size:
                continue
            if part.start <= position < part.stop:
                packet.pts += shift
                packet.dts = (packet.dts if packet.dts is not None else packet.pts) + shift
                packet.duration = part.scan.ticks
                packet.stream = stream
                output.mux(packet)
            position += 1
            if position >= part.stop:
                return


def retime(source: Path, target: Path, old_fps: float, new_fps: float) -> None:
    """The same packets, shown at another rate. Raises DatasetError if the file cannot be read or written."""
    try:
        with target.open("wb") as file, av.open(file, "w", format="mp4") as output, av.open(str(source)) as container:
            old = container.streams.video[0]
            stream = output.add_stream_from_template(old, opaque=True)
            assert old.time_base is not None
            clock = old.time_base * Fraction(old_fps).limit_denominator(1000) / Fraction(new_fps).limit_denominator(1000)
            stream.time_base = clock
            for packet in container.demux(old):
                if packet.pts is not None and packet.size:
                    packet.stream = stream
                    packet.time_base = clock  # the numbers stay, their unit changes
                    output.mux(packet)
    except FAILURES as error:
        raise DatasetError(f"{source} could not be copied to another rate ({error})") from error
    if len(scan(target, new_fps).number) != len(scan(source, old_fps).number):
        raise DatasetError(f"{source} lost frames when it was copied to another rate; the dataset is as it was")


def same_frames(cuts: Sequence[Cut], path: Path, fps: float) -> bool:
    """Whether the joined video decodes to exactly the frames of its parts, bit for bit."""
    joined = read_frames(path, fps)
    for part in cuts:
        for number, image in read_frames(part.scan.path, fps, start=part.first):
            if number >= part.first + part.count:
                break
            _, found = next(joined, (0, None))
            if found is None or not np.array_equal(image, found):
                return False
    return next(joined, None) is None
