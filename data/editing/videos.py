"""Where the videos of an edited dataset go: shared as they are, or joined into larger ones where the plan is to compact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.durable import make_folder
from data.editing.plan import Plan
from data.editing.remux import Cut, Scan, cut, join, retime, same_frames, scan, whole
from data.editing.swap import share
from data.errors import DatasetError
from data.lerobot import layout

MB = 1 << 20
Place = tuple[int, int]  # chunk, file


@dataclass(frozen=True)
class Use:
    """Frames [first, stop) of a video are those of piece number `piece`."""

    piece: int
    first: int
    stop: int


def place_videos(plan: Plan, folder: Path) -> dict[str, list[tuple[Place, float]]]:
    """Per camera and piece: chunk and file of its video, and where in it the piece begins [s].

    Raises DatasetError if a video is missing or cannot be joined.
    """
    return {key: (_joined if plan.compact else _shared)(plan, key, folder) for key in plan.cameras}


def _uses(plan: Plan, key: str) -> dict[Path, list[Use]]:
    """Per video file of this camera, in the order of first use, what is needed of it."""
    uses: dict[Path, list[Use]] = {}
    for number, piece in enumerate(plan.pieces):
        video = plan.origin(piece).index.videos[plan.old_name(key)]
        first = round(float(video.start_s[piece.episode]) * plan.fps)
        uses.setdefault(video.paths[piece.episode], []).append(Use(number, first + piece.start, first + piece.stop))
    return uses


def _shared(plan: Plan, key: str, folder: Path) -> list[tuple[Place, float]]:
    """Every file that is needed, whole: what is not needed of it is just not pointed at."""
    placed: dict[int, tuple[Place, float]] = {}
    place = (0, 0)
    for path, uses in _uses(plan, key).items():
        target = _path(folder, key, place)
        origin = plan.origin(plan.pieces[uses[0].piece])
        if origin.video_fps == plan.fps:
            share(path, target, plan.link)
        else:
            make_folder(target.parent)
            retime(path, target, origin.video_fps, plan.fps)
        for use in uses:
            piece = plan.pieces[use.piece]
            start_s = float(plan.origin(piece).index.videos[plan.old_name(key)].start_s[piece.episode])
            placed[use.piece] = place, start_s * origin.video_fps / plan.fps + piece.start / plan.fps
        place = layout.next_file(*place)
    return [placed[number] for number in range(len(plan.pieces))]


def _joined(plan: Plan, key: str, folder: Path) -> list[tuple[Place, float]]:
    """As many files in one as `video_files_size_in_mb` allows, without the frames that no episode needs (up to key frames)."""
    placed: dict[int, tuple[Place, float]] = {}
    place = (0, 0)
    for group in _groups(plan, _uses(plan, key)):
        path = _path(folder, key, place)
        cuts = [part for part, _ in group]
        if len(cuts) == 1 and cuts[0].is_whole:
            share(cuts[0].scan.path, path, plan.link)
        else:
            make_folder(path.parent)
            join(cuts, path, plan.fps)
            if plan.check and not same_frames(cuts, path, plan.fps):
                raise DatasetError(f"joining {len(cuts)} videos of {key} would change their frames; the dataset is as it was")
        offset = 0
        for part, uses in group:
            for use in uses:
                start_s = (offset + use.first - part.first) / plan.fps
                if not part.scan.regular:  # shared whole: what pointed into it goes on doing so
                    piece = plan.pieces[use.piece]
                    start_s = float(plan.origin(piece).index.videos[plan.old_name(key)].start_s[piece.episode]) + piece.start / plan.fps
                placed[use.piece] = place, start_s
            offset += part.count
        place = layout.next_file(*place)
    return [placed[number] for number in range(len(plan.pieces))]


def _groups(plan: Plan, needed: dict[Path, list[Use]]) -> Iterator[list[tuple[Cut, list[Use]]]]:
    """What goes into one file each."""
    limit = float(plan.origins[0].info.get("video_files_size_in_mb") or 200) * MB
    group: list[tuple[Cut, list[Use]]] = []
    size = 0
    for path, uses in needed.items():
        for part, parts_uses in _cuts(scan(path, plan.fps), uses):
            fits = part.scan.regular and group and group[0][0].scan.regular and part.scan.setup == group[0][0].scan.setup
            if group and not (fits and size + part.bytes <= limit):
                yield group
                group, size = [], 0
            group.append((part, parts_uses))
            size += part.bytes
    if group:
        yield group


def _cuts(video: Scan, uses: Sequence[Use]) -> list[tuple[Cut, list[Use]]]:
    """The runs of packets that are needed, in the order of the file; what overlaps is one run."""
    if not video.regular:
        return [(whole(video), list(uses))]
    found: list[tuple[Cut, list[Use]]] = []
    for use in sorted(uses, key=lambda use: use.first):
        if found and use.stop <= found[-1][0].first + found[-1][0].count:
            found[-1][1].append(use)
            continue
        if not 0 <= use.first < use.stop <= len(video.number):
            raise DatasetError(f"{video.path} has {len(video.number)} frames; its episodes need those up to {use.stop}")
        part = cut(video, use.first, use.stop)
        if found and part.start <= found[-1][0].stop:  # they touch: one run is one copy
            before, others = found.pop()
            part = cut(video, before.first, max(use.stop, before.first + before.count))
            found.append((part, [*others, use]))
        else:
            found.append((part, [use]))
    return found


def _path(folder: Path, key: str, place: Place) -> Path:
    return folder / layout.VIDEO_PATH.format(video_key=key, chunk_index=place[0], file_index=place[1])
