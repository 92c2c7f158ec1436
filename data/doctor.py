"""What is wrong with a recording, and how to mend it: runs every check of data/checks and orders what they find.

    examination = examine(open_source(path))
    for finding in examination.findings: print(finding)

A recording that cannot be opened in full is looked at as far as it can be read: what is damaged becomes a finding.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data import checks
from data.checks import SEVERITIES, Finding, Recording, count
from data.checks.pictures import looked_at
from data.errors import DatasetError
from data.source import Source

PICTURES = ("all", "sample", "none")


@dataclass(frozen=True)
class Examination:
    """findings   the worst first, in the order of the episodes; seen   what was looked at, in words"""

    findings: tuple[Finding, ...]
    seen: str

    def count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> str:
        """All findings, machine-readable."""
        content = {"seen": self.seen, "findings": [dataclasses.asdict(finding) for finding in self.findings]}
        return json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n"


def modules() -> dict[str, ModuleType]:
    """Name -> module, of every check."""
    names = sorted(path.stem for path in Path(checks.__file__).parent.glob("*.py") if path.stem != "__init__")
    return {name: importlib.import_module(f"data.checks.{name}") for name in names}


def examine(
    source: Source,
    pictures: str = "sample",
    rate_is_known: bool = True,
    only: Sequence[str] = (),
    said: Mapping[str, Any] | None = None,
) -> Examination:
    """Look at a recording.

    pictures        "all", "sample" or "none": of how many episodes frames are decoded
    rate_is_known   False where the recording does not say its frame rate and nobody else did
    only            names of checks; () runs all
    said            options that the commands which mend it need, too, because the recording does not say them: {"fps": 10}
    Raises DatasetError for an unknown name. What is wrong with the recording is never raised.
    """
    known = modules()
    for what, given, allowed in (("pictures", [pictures], PICTURES), ("checks", only, tuple(known))):
        unknown = [name for name in given if name not in allowed]
        if unknown:
            raise DatasetError(f"{what}={unknown[0]}; allowed: {', '.join(allowed)}")
    findings, episodes, cameras = _openable(Recording(source, said=said))
    if not len(episodes):
        return Examination(_ordered(findings), "nothing can be read")
    recording = Recording(source, episodes, cameras, pictures, rate_is_known, said)
    for name, module in known.items():
        if only and name not in only:
            continue
        try:
            findings += module.check(recording)
        except DatasetError as error:
            why = "what this check looks for was not looked for"
            findings.append(Finding(name, "error", str(error), why, mend_files(source.header.root)))
    return Examination(_ordered(findings), _seen(recording))


def unopened(root: Path, error: DatasetError) -> Examination:
    """The examination of a recording of which not even the list of episodes can be read."""
    finding = Finding("opening", "error", str(error), "no program that keeps to the format can read it", mend_files(root))
    return Examination((finding,), "nothing can be read")


def mend_files(root: Path) -> str:
    """How files are mended: LeRobot's by `repair`, others only from a copy."""
    if (root / "meta").is_dir() and not (root / "meta/episode_ends").exists():  # a Zarr replay buffer has a meta/, too
        return f"{checks.command_line('repair', root)}, or restore it from a copy"
    return "restore it from a copy"


def _openable(whole: Recording) -> tuple[list[Finding], np.ndarray, dict[str, np.ndarray]]:
    """(what cannot be opened, the episodes whose columns can be, camera -> the episodes whose frames can be)."""
    source, every, keys = whole.source, whole.numbers, list(whole.cameras)
    try:
        source.check(every, keys)
        return [], every, dict.fromkeys(keys, every)
    except DatasetError:
        pass
    findings: list[Finding] = []
    episodes = _without(every, lambda some: source.check(some, []), findings, whole, "data")
    cameras = {}
    for key in keys:
        if len(episodes):
            cameras[key] = _without(episodes, lambda some, key=key: source.check(some, [key]), findings, whole, key)  # type: ignore[misc]
    return findings, episodes, cameras


def _without(
    episodes: np.ndarray, test: Callable[[np.ndarray], None], findings: list[Finding], recording: Recording, what: str
) -> np.ndarray:
    """The episodes that pass; one finding speaks for all that do not."""
    refused, source = _refused(episodes, test), recording.source
    if not refused:
        return episodes
    bad = tuple(sorted(refused))
    text = refused[bad[0]].partition(";")[0]  # what follows is how to mend it
    text += f"; so {count(len(bad), 'episode', len(episodes))}" if len(bad) > 1 else ""
    mend = mend_files(source.header.root)
    camera = what if what in source.header.features else ""
    if camera:
        elsewhere = _elsewhere(source.header.root, text)
        others = [n for n, f in source.header.features.items() if f["dtype"] in ("video", "image") and n != camera]
        out = recording.edit("convert", cameras=others) if len(bad) > len(episodes) / 2 else recording.delete(bad)
        mend = f"move {elsewhere} there" if elsewhere else f"restore them from a copy; without them: {out}"
    why = "the frames of these episodes cannot be read" if camera else "these episodes cannot be read"
    findings.append(Finding("opening", "error", text, why, mend, camera, (), bad[0], None, bad))
    return np.array([i for i in episodes.tolist() if i not in refused], np.int64)


def _refused(episodes: np.ndarray, test: Callable[[np.ndarray], None]) -> dict[int, str]:
    """Episode -> why, of those that do not pass; halves are tried until single ones are left."""
    try:
        test(episodes)
        return {}
    except DatasetError as error:
        if len(episodes) == 1:
            return {int(episodes[0]): str(error)}
    half = len(episodes) // 2
    return _refused(episodes[:half], test) | _refused(episodes[half:], test)


def _elsewhere(root: Path, text: str) -> Path | None:
    """Where a missing video lies instead: the one file of its name in a folder that no feature has."""
    path = Path(text.partition(" is missing")[0])
    if " is missing" not in text or not path.name:
        return None
    folders = {p.parent for p in root.rglob(path.name)}
    strange = [folder for folder in folders if not any(part.startswith("observation.") for part in folder.relative_to(root).parts)]
    return strange[0] / path.name if len(strange) == 1 else None


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    key: Callable[[Finding], Any] = lambda f: (SEVERITIES.index(f.severity), f.episode if f.episode is not None else -1)  # noqa: E731
    return tuple(sorted(findings, key=key))


def _seen(recording: Recording) -> str:
    parts = [count(len(recording.numbers), "episode", len(recording.header.lengths)), count(int(recording.ends[-1]), "frame")]
    parts.append(count(len(recording.columns), "column"))
    for key, readable in recording.cameras.items():
        if recording.pictures == "none" or not len(readable):
            parts.append(f"no frame of {key}")
        else:
            parts.append(f"the frames of {count(len(looked_at(recording, readable)), 'episode', len(readable))} of {key}")
    return ", ".join(parts)


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")
