"""Where an edit reads from and where its result goes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data import from_lerobot
from data.editing.assemble import require_free, write
from data.editing.origin import Origin
from data.editing.plan import Plan
from data.errors import DatasetError
from data.export import export
from data.lerobot import layout
from data.lookup import find
from data.source import Given
from data.store import Dataset


@dataclass(frozen=True)
class Place:
    """Where the result goes.

    into     a new folder; None edits in place
    backup   in place: keep the old dataset as `<name>.bak`
    link     share unchanged files with the old dataset (clones or hard links); False copies them
    """

    into: Path | None = None
    backup: bool = False
    link: bool = True


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], into: Path | None, given: Given | None = None) -> Iterator[Origin]:
    """The dataset at a path or of a name. Another format than LeRobot's is converted first, beside `into`, losslessly (cameras as PNG),
    and the conversion is removed afterwards. Raises DatasetError."""
    place = find(path)
    if from_lerobot.recognises(place):
        yield Origin(place)
        return
    dataset = Dataset.open(place, given=given)
    if into is None:
        raise DatasetError(
            f"{place} is {dataset.format}, which is not edited in place: give a new folder for the result (dataset=...), "
            "which will be a LeRobotDataset v3.0"
        )
    draft = into.with_name(f".{into.name}.from.{place.name.replace('.', '_')}")
    print(f"{place} is {dataset.format}: converting it to LeRobotDataset v3.0 first, cameras as PNG")
    try:
        export(dataset, "lerobot", draft, overwrite=True, options={"codec": "png"})
        yield Origin(draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def require_apart(origin: Origin, into: Path) -> None:
    """Raises DatasetError if the result would lie within what it is made of."""
    if into.resolve().is_relative_to(origin.root.resolve()):
        raise DatasetError(f"{into} lies within {origin.root}, which is read; choose another folder")


def applied(path: str | os.PathLike[str], make: Callable[[Origin], Plan], place: Place, given: Given | None = None) -> Plan:
    """Write what `make` plans for the dataset at `path`, and return the plan.

    Raises DatasetError, with everything as it was: for what `make` refuses, a folder that is taken, a dataset that is incomplete.
    """
    if place.into is not None:
        require_free(place.into)
    with opened(path, place.into, given) as origin:
        if place.into is None and not origin.is_native:
            raise DatasetError(
                f"{origin.root} is LeRobotDataset {origin.info['codebase_version']}, which is not edited in place: give a new folder "
                f"for the result (dataset=...), which will be {layout.VERSION}"
            )
        if place.into is not None:
            require_apart(origin, place.into)
        plan = dataclasses.replace(make(origin), link=place.link)
        write(plan, place.into or origin.root, place.backup and place.into is None)
        return plan
