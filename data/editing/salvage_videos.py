"""Which video, and where in it, belongs to each episode of a damaged dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from data.checks import runs
from data.editing.found import Found
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.index import check_mp4
from data.lerobot.video import FAILURES

RATE = 0.01  # containers write 30000/1001 for 30; a rate that is off by 1 % is another one


@dataclass(frozen=True)
class Film:
    """What the header of an mp4 says."""

    frames: int
    rate: float
    height: int
    width: int


def find_videos(root: Path, info: dict[str, Any], said_fps: float, episodes: list[Found], notes: list[str]) -> float:
    """Fill in `videos` of the episodes, take those out of the list that lack one, and return the rate of the videos [Hz].

    said_fps   what info.json said, where `info` has another rate now: videos of that rate will be shown at the new one
    """
    keys = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    fps = float(info["fps"])
    if not keys:
        return fps
    films = {path: film for path in sorted((root / "videos").rglob("*.mp4")) if (film := _film(path)) is not None}
    torn = [path for path in (root / "videos").rglob("*.mp4") if path not in films]
    notes += [f"{path.relative_to(root)} ({path.stat().st_size} bytes) is not a complete video" for path in sorted(torn)]
    if said_fps != fps and films and all(_is_rate(film.rate, said_fps) for film in films.values()):
        notes.append(f"videos have {said_fps:g} Hz: their frames are shown at {fps:g} Hz, none is encoded again")
        fps = said_fps
    rates = sorted({film.rate for film in films.values() if not _is_rate(film.rate, fps)})
    if rates:
        notes.append(f"there are videos of {', '.join(f'{rate:.4g}' for rate in rates)} Hz in a recording of {fps:g} Hz: they are not used")
    for key in keys:
        _by_meta(root, key, fps, films, episodes)
    for key in keys:
        _mend_said(key, info, [films[e.videos[key][0]] for e in episodes if key in e.videos], notes)
        _elsewhere(root, key, fps, info["features"][key], films, episodes, notes)
        _in_order(root, key, fps, films, episodes, notes)
    for key in keys:
        missing = [episode for episode in episodes if key not in episode.videos]
        if missing:
            numbers = runs([episode.number for episode in missing])
            notes.append(
                f"no complete video of {key} in {len(missing)} episodes ({numbers}): left out; they stay, without this camera, "
                f"if `waldo data relabel {root} drop=[{key}]` is done first"
            )
        episodes[:] = [episode for episode in episodes if key in episode.videos]
    return fps


def _is_rate(rate: float, fps: float) -> bool:
    return not rate or abs(rate / fps - 1) < RATE


def _film(path: Path) -> Film | None:
    try:
        check_mp4(path, "")
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return Film(int(stream.frames), float(stream.average_rate or 0), int(stream.height), int(stream.width))
    except (DatasetError, *FAILURES):
        return None


def _said(episode: Found, key: str, root: Path) -> tuple[Path, float] | None:
    """Where meta/episodes says that the episode is."""
    at = {name: episode.meta.get(f"videos/{key}/{name}") for name in ("chunk_index", "file_index", "from_timestamp")}
    if any(value is None for value in at.values()):
        return None
    return root / layout.VIDEO_PATH.format(video_key=key, **at), float(at["from_timestamp"] or 0.0)


def _holds(film: Film | None, start_s: float, length: int, fps: float) -> bool:
    return film is not None and round(start_s * fps) + length <= film.frames and _is_rate(film.rate, fps)


def _by_meta(root: Path, key: str, fps: float, films: dict[Path, Film], episodes: list[Found]) -> None:
    for episode in episodes:
        said = _said(episode, key, root)
        if said and _holds(films.get(said[0]), said[1], episode.length, fps):
            episode.videos[key] = said


def _free(films: dict[Path, Film], episodes: list[Found]) -> dict[Path, Film]:
    taken = {path for episode in episodes for path, _ in episode.videos.values()}
    return {path: film for path, film in films.items() if path not in taken}


def _elsewhere(
    root: Path, key: str, fps: float, feature: dict[str, Any], films: dict[Path, Film], episodes: list[Found], notes: list[str]
) -> None:
    """A file that meta/episodes names is not there, but one with exactly its frames and size lies in another folder below videos/."""
    wanted: dict[Path, list[Found]] = {}
    for episode in episodes:
        said = _said(episode, key, root)
        if key not in episode.videos and said and said[0] not in films:
            wanted.setdefault(said[0], []).append(episode)
    for path, lacking in wanted.items():
        frames = max(round((_said(e, key, root) or (path, 0.0))[1] * fps) + e.length for e in lacking)
        size = tuple(feature["shape"][:2])
        fitting = [p for p, film in _free(films, episodes).items() if film.frames == frames and (film.height, film.width) == size]
        same_name = [p for p in fitting if p.name == path.name]
        fitting = same_name if len(same_name) == 1 else fitting
        if len(fitting) > 1:
            notes.append(
                f"{path.relative_to(root)} is missing, and {len(fitting)} others have its {frames} frames: none is taken on a guess"
            )
        elif fitting:
            notes.append(f"{path.relative_to(root)} was found at {fitting[0].relative_to(root)}: moved")
            for episode in lacking:
                episode.videos[key] = fitting[0], (_said(episode, key, root) or (path, 0.0))[1]


def _in_order(root: Path, key: str, fps: float, films: dict[Path, Film], episodes: list[Found], notes: list[str]) -> None:
    """Episodes of which meta/episodes says nothing: they follow each other in the files of their camera that nobody else needs.

    A file has to be used up by whole episodes, the last one aside, where a killed recorder may have been ahead with the video.
    """
    lacking = [e for e in episodes if key not in e.videos and _said(e, key, root) is None]
    free = [(path, film) for path, film in _free(films, episodes).items() if path.is_relative_to(root / "videos" / key)]
    placed: dict[int, tuple[Path, float]] = {}
    at, used = 0, 0
    for episode in lacking:
        if at < len(free) and used == free[at][1].frames:
            at, used = at + 1, 0
        if at >= len(free) or not _holds(free[at][1], used / fps, episode.length, fps):
            break
        placed[episode.number] = free[at][0], used / fps
        used += episode.length
    if at < len(free) - 1 and placed and used != free[at][1].frames:
        notes.append(f"videos of {key} and the episodes that meta/episodes does not describe do not add up: not used")
        return
    for episode in lacking:
        if episode.number in placed:
            episode.videos[key] = placed[episode.number]
    if placed:
        notes.append(f"videos of {len(placed)} episodes of {key} are found by counting their frames")


def _mend_said(key: str, info: dict[str, Any], films: list[Film], notes: list[str]) -> None:
    """info.json may contradict the videos themselves, which are right."""
    feature, sizes = info["features"][key], {(film.height, film.width) for film in films}
    about = feature["info"] if isinstance(feature.get("info"), dict) else {}
    if len(sizes) == 1 and (size := next(iter(sizes))) != tuple(feature["shape"][:2]):
        notes.append(f"shape of {key} is {feature['shape']}, its videos are {size[0]}x{size[1]}: the shape becomes {[*size, 3]}")
        feature["shape"] = [*size, 3]
        about.update({"video.height": size[0], "video.width": size[1]})
    for name in ("video.fps", "fps"):
        rate = about.get(name)
        if isinstance(rate, int | float) and not _is_rate(rate, float(info["fps"])):
            notes.append(f"{name} of {key} is said to be {rate:g} Hz: it becomes {info['fps']:g} Hz")
            about[name] = info["fps"]
