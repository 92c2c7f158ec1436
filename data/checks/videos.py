"""Video files whose rate, size or number of frames is not what the rows want; files that lie in a wrong folder."""

from __future__ import annotations

from pathlib import Path

import av

from data.checks import Finding, Recording, count
from data.errors import DatasetError
from data.lerobot.index import Index
from data.lerobot.metadata import read_index
from data.lerobot.video import FAILURES

RATE = 0.01  # containers write 30000/1001 for 30; a rate that is off by 1 % is another rate
# Frames at the end that no row has: encoders that were closed late leave one. Datasets that were trimmed have more, and say so.
SURPLUS = 1
MOST = 200  # files whose header is read, spread evenly, unless all frames are looked at


def check(recording: Recording) -> list[Finding]:
    if not recording.rate_is_known:
        return []
    keys = [key for key in recording.cameras if recording.features[key]["dtype"] == "video"]
    found = [finding for key in keys for finding in _said(recording, key)]
    if not keys or recording.pictures == "none" or not recording.header.format.startswith("LeRobot"):
        return found
    try:
        index = read_index(recording.header.root)
    except DatasetError:
        return found  # said when it was opened
    for key in keys:
        found += _files(recording, index, key)
    return found


def _said(recording: Recording, key: str) -> list[Finding]:
    """What info.json says about the videos of a camera against what it says about the recording."""
    info = recording.features[key].get("info") or {}
    fps = info.get("video.fps", info.get("fps"))
    if not isinstance(fps, int | float) or abs(fps - recording.fps) <= RATE * recording.fps:
        return []
    text = f"the videos of {key} are said to be {fps:g} Hz, the recording {recording.fps:g} Hz"
    why = "one of both is wrong, and frames are found by their time"
    return [Finding("videos", "warning", text, why, recording.repair(), key)]


def _files(recording: Recording, index: Index, key: str) -> list[Finding]:
    video, found = index.videos[key], []
    wanted: dict[Path, int] = {}
    episodes: dict[Path, list[int]] = {}
    for i in recording.cameras[key].tolist():
        path = video.paths[i]
        wanted[path] = max(wanted.get(path, 0), round(float(video.start_s[i]) * recording.fps) + int(index.lengths[i]))
        episodes.setdefault(path, []).append(i)
    last = {path: i for i, path in enumerate(video.paths)}  # surplus frames are only known behind the last episode of a file
    paths = list(wanted)
    step = 1 if recording.pictures == "all" else -(-len(paths) // MOST)
    wrong: dict[str, list[tuple[Path, str]]] = {"rate": [], "size": [], "short": [], "long": []}
    height, width = (int(n) for n in recording.features[key]["shape"][:2])
    for path in paths[::step]:
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                frames, rate = int(stream.frames), float(stream.average_rate or 0)
                size = (int(stream.height), int(stream.width))
        except FAILURES as error:
            wrong["short"].append((path, f"cannot be opened ({error})"))
            continue
        if rate and abs(rate - recording.fps) > RATE * recording.fps:
            wrong["rate"].append((path, f"has {rate:.4g} frames per second, the recording {recording.fps:g}"))
        if size != (height, width):
            wrong["size"].append((path, f"is {size[0]}x{size[1]} pixels, info.json says {height}x{width}"))
        if frames and frames < wanted[path]:
            wrong["short"].append((path, f"has {frames} frames, its episodes {wanted[path]}"))
        elif frames > wanted[path] + SURPLUS and last[path] in episodes[path] and not recording.header.provenance.get("edits"):
            wrong["long"].append((path, f"has {frames} frames, its episodes only {wanted[path]}"))
    whys = {
        "rate": ("error", "frames are found by their time: every one but the first is the wrong one"),
        "size": ("error", "decoded frames do not fit into what was reserved for them"),
        "short": ("error", "the last frames of an episode do not exist"),
        "long": ("warning", "frames were dropped from the rows, or rows from the video: pictures and states may be shifted"),
    }
    for kind, files in wrong.items():
        if files:
            severity, why = whys[kind]
            concerned = tuple(sorted({i for path, _ in files for i in episodes[path]}))
            path, what = files[0]
            text = f"{path.relative_to(recording.header.root)} {what}"
            text += f"; so {count(len(files), 'file', len(paths[::step]))} of {key}" if len(files) > 1 else ""
            mend = recording.delete(concerned)
            found.append(Finding("videos", severity, text, why, mend, key, (), concerned[0], None, concerned))
    return found
