"""Writing a dataset in another format. A format is one file `data/to_NAME.py` with

    FORMAT = "robomimic HDF5"      its name in messages
    SUFFIX = ".hdf5"               ending of its file; "" for a folder
    MARK = ""                      what a folder of this format holds (a glob), so that nothing else is ever overwritten
    RESUMES = False                True: what an interrupted `write` left is good, and the next one goes on with it
    def write(dataset: Dataset, target: Path, progress: bool = True, *, options...) -> list[str]

`write` puts everything of the dataset at `target`, which has the final name but lies elsewhere, and returns in plain sentences
what the format could not hold. It is found by its name; nothing is registered.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from data.durable import FULL, TEMPORARY, fsync_folder, lock_folder, make_folder
from data.errors import DatasetError, did_you_mean
from data.store import Dataset


@dataclass(frozen=True)
class Exported:
    """path: what was written. lost: what the format could not hold, in sentences."""

    path: Path
    lost: tuple[str, ...]


def formats() -> list[str]:
    """NAME of every data/to_NAME.py."""
    return sorted(path.stem.removeprefix("to_") for path in Path(__file__).parent.glob("to_*.py"))


def writer(format: str) -> ModuleType:
    """Its module. Raises DatasetError where there is none."""
    if format not in formats():
        raise DatasetError(f"there is no export to {format!r}; {did_you_mean(format, formats())}")
    return importlib.import_module(f"data.to_{format}")


def export(
    dataset: Dataset,
    format: str,
    target: str | Path,
    overwrite: bool = False,
    progress: bool = True,
    options: Mapping[str, Any] | None = None,
) -> Exported:
    """Write all of `dataset` at `target`. It appears there when it is complete and on the disk, and not before.

    target    gets the ending of the format if it has none
    options   what the format's `write` takes by name, e.g. {"codec": "png"}
    Raises DatasetError for an unknown format or option, a target that exists (unless overwrite) or holds something else, a
    dataset that the format cannot hold, or a full disk; then `target` is as it was.
    """
    module, options = writer(format), dict(options or {})
    taken = [name for name, p in inspect.signature(module.write).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in taken:
            raise DatasetError(f"format={format} has no option {name!r}; {did_you_mean(name, taken)}")
    target = Path(target).expanduser()
    if not target.suffix:
        target = target.with_name(target.name + module.SUFFIX)
    _check_place(dataset, target)
    _check_target(module, target, overwrite)
    make_folder(target.parent)
    with _stage(target, module.RESUMES) as draft:
        try:
            lost = module.write(dataset, draft, progress, **options)
            _to_disk(draft)
        except (OSError, RuntimeError) as error:
            raise _explained(error, target) from error
        _publish(draft, target)
    return Exported(target, tuple(lost))


def _check_place(dataset: Dataset, target: Path) -> None:
    here, there = dataset.root.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise DatasetError(f"{target} is the dataset that is read, or lies within it; choose another place")


def _check_target(module: ModuleType, target: Path, overwrite: bool) -> None:
    """Only what is of this format may be overwritten, and only where that is wanted."""
    if not target.exists():
        return
    if not overwrite:
        raise DatasetError(f"{target} exists; choose another name, or overwrite=true to replace it")
    if target.is_dir():
        foreign = not module.MARK or not any(target.glob(module.MARK))
        if foreign and any(target.iterdir()):
            raise DatasetError(f"{target} is a folder that holds no {module.FORMAT}, and is not overwritten; choose another name")
    elif not (module.SUFFIX or target.suffix == ".zip"):
        raise DatasetError(f"{target} is a file; {module.FORMAT} is a folder: choose another name")


@contextlib.contextmanager
def _stage(target: Path, resumes: bool) -> Iterator[Path]:
    """Where the export grows: a path with the target's name in a hidden folder beside it, which nobody else uses meanwhile.

    The folder is removed in the end; of a format that resumes only if it succeeded.
    """
    stage = target.with_name(f".{target.name}{TEMPORARY}")
    make_folder(stage)
    alone = lock_folder(stage)
    replaced = stage / "replaced"
    try:
        if replaced.exists() and not target.exists():
            replaced.replace(target)  # killed between the two renames of `_publish`
        for left in stage.iterdir():
            if left.name != target.name or not resumes:
                _remove(left)
        yield stage / target.name
        resumes = False
    finally:
        if not resumes:
            shutil.rmtree(stage, ignore_errors=True)
        os.close(alone)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _to_disk(path: Path) -> None:
    """fsync a file, or every file and folder of a folder."""
    for folder, _, files in os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]:
        for name in files:
            with Path(folder, name).open("rb") as file:
                os.fsync(file.fileno())
        fsync_folder(Path(folder))


def _publish(draft: Path, target: Path) -> None:
    if target.exists() and (target.is_dir() or draft.is_dir()):
        target.replace(draft.with_name("replaced"))  # folders are not replaced in one step
    draft.replace(target)
    fsync_folder(target.parent)


def _explained(error: OSError | RuntimeError, target: Path) -> Exception:
    """What the user is told. HDF5 hides the reason in its text, some of its errors are RuntimeErrors."""
    found = re.search(r"errno = (\d+)", str(error))
    code = int(found[1]) if found else getattr(error, "errno", None)
    if code in FULL:
        return DatasetError(f"the disk is full ({os.strerror(code)}): nothing was written at {target}; make room and export again")
    if isinstance(error, OSError):
        return DatasetError(f"{target} could not be written ({error.strerror or error}); nothing was left there")
    return error
