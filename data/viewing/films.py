"""Films for the viewer: H.264 that every browser plays, copied where the recording has it, else encoded to a size that fits."""

from __future__ import annotations

from pathlib import Path

import av

from data.clips import encode
from data.errors import DatasetError
from data.lerobot.catalog import open_index
from data.store import Dataset

QUALITIES = ((480, 20), (480, 26), (360, 28), (320, 31), (240, 34), (160, 38))  # longest side [px] and x264's crf, tried in this order
AT_ONCE = 256 << 20  # bytes of decoded frames that one film holds at once
FORMAT = "LeRobotDataset"


def film(dataset: Dataset, key: str, i: int, largest: int) -> bytes:
    """The mp4 of one camera over episode i, one frame per row; smaller and coarser until it has at most `largest` bytes.

    Raises DatasetError if the frames cannot be decoded.
    """
    path = own_file(dataset, key, i)
    if path is not None and path.stat().st_size <= largest:
        return path.read_bytes()
    height, width = (int(side) for side in dataset.features[key]["shape"][:2])
    area = AT_ONCE / (3 * int(dataset.lengths[i]))  # pixels per frame, of a long episode
    side = min(QUALITIES[0][0], max(height, width), int((area * max(height, width) / min(height, width)) ** 0.5))
    scale = side / max(height, width)
    frames = dataset.frames(key, i, (max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))))
    content = b""
    for longest, crf in QUALITIES:
        content = encode(frames, dataset.fps, side=longest, crf=crf)
        if len(content) <= largest:
            break
    return content


def own_file(dataset: Dataset, key: str, i: int) -> Path | None:
    """The video that holds episode i and nothing else, if there is one and a browser can play it."""
    if not dataset.format.startswith(FORMAT) or dataset.features[key]["dtype"] != "video":
        return None
    index, _ = open_index(dataset.root)
    video, number = index.videos[key], int(dataset.numbers[i])
    path = video.paths[number]
    if video.start_s[number] != 0 or video.paths.count(path) != 1:
        return None
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            plays = stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p" and not stream.start_time
            exact = stream.frames == dataset.lengths[i] and abs(float(stream.average_rate or 0) - dataset.fps) < 1e-3 * dataset.fps
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise DatasetError(f"{path} is not a readable video ({error}); restore it, or leave the camera out (cameras=[])") from error
    return path if plays and exact else None
