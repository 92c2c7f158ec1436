"""Write the dataset that a plan describes: data, videos, meta, into an empty folder. Memory stays at a row group, whatever the size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.editing.meta import STATISTICS, MetaWriter
from data.editing.pixels import camera_stats
from data.editing.plan import Piece, Plan, carried_files
from data.editing.rows import tasks_of, write_data
from data.editing.swap import replacing_folder, share
from data.editing.videos import place_videos
from data.errors import DatasetError
from data.lerobot.catalog import refresh
from data.lerobot.feature_stats import Stats, column_stats


def write(plan: Plan, root: Path, backup: bool = False) -> None:
    """The dataset at `root`, in place of what is there, if anything; a kill at any instant leaves the old one or the new one.

    backup   keep what was there as `<name>.bak`
    Raises DatasetError if an origin is incomplete or the disk is full; `root` is then as it was.
    """
    with replacing_folder(root, backup) as folder:
        assemble(plan, folder)
    refresh(root)


def write_new(plan: Plan, root: Path) -> None:
    """Likewise, where nothing may be there yet. Raises DatasetError if something is."""
    require_free(root)
    write(plan, root)


def require_free(root: Path) -> None:
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(f"{root} is there already; choose a new folder, or delete it first")


def assemble(plan: Plan, folder: Path) -> None:
    """The dataset in `folder`, which is empty. Not yet on the disk when this returns: the caller fsyncs."""
    for number, origin in enumerate(plan.origins):
        episodes = sorted({piece.episode for piece in plan.pieces if piece.origin == number})
        cameras = [plan.old_name(name) for name, feature in plan.features.items() if feature["dtype"] in ("video", "image")]
        origin.index.select(episodes, cameras).check_files()
    for name, path in carried_files(plan).items():
        share(path, folder / name, plan.link)
    of = tasks_of(plan)
    tasks = _task_list(plan, of)
    places = place_videos(plan, folder)
    meta = MetaWriter(plan, folder, tasks)
    (folder / "meta").mkdir(exist_ok=True)
    try:
        for number, (piece, written) in enumerate(zip(plan.pieces, write_data(plan, folder, tasks, of), strict=True)):
            where: dict[str, float] = dict(zip(("data/chunk_index", "data/file_index"), written.place, strict=True))
            for key, placed in places.items():
                (chunk, file), start_s = placed[number]
                where |= {f"videos/{key}/chunk_index": chunk, f"videos/{key}/file_index": file}
                where |= {f"videos/{key}/from_timestamp": start_s, f"videos/{key}/to_timestamp": start_s + len(piece) / plan.fps}
            carried = plan.origin(piece).carried(piece.episode)
            meta.add(len(piece), written.tasks, where, carried, _stats(plan, piece, written.stats))
        meta.close()
    finally:
        meta.abort()


def _task_list(plan: Plan, of: list[tuple[str, ...]]) -> list[str]:
    """The tasks that are in use, in the order of the origins: those that stay keep their number where that is possible."""
    used = {task for tasks in of for task in tasks}
    renamed: dict[str, list[str]] = {}
    for piece in plan.pieces:
        for old, new in piece.tasks.items():
            if new not in renamed.setdefault(old, []):
                renamed[old].append(new)
    listed = [name for origin in plan.origins for task in origin.index.tasks for name in (task, *renamed.get(task, ()))]
    return [task for task in dict.fromkeys([*listed, *(task for tasks in of for task in tasks)]) if task in used]


def _stats(plan: Plan, piece: Piece, fresh: Mapping[str, Stats]) -> dict[str, Stats]:
    """Per feature: of what changed the new ones, of the rest those that were recorded, or new ones where there are none."""
    origin = plan.origin(piece)
    recorded = origin.stats(piece.episode) if plan.is_whole(piece) else {}
    found: dict[str, Stats] = {}
    for name, feature in plan.features.items():
        old = plan.old_name(name)
        if feature["dtype"] == "string":
            continue
        if name in fresh:
            found[name] = fresh[name]
        elif old in recorded and (feature["dtype"] in ("video", "image") or set(STATISTICS) <= set(recorded[old])):
            found[name] = recorded[old]
        elif feature["dtype"] in ("video", "image"):
            found[name] = camera_stats(origin, old, piece)
        else:
            found[name] = column_stats(plan.counted(origin.column(piece.episode, old, piece.start, piece.stop)))
    return found
