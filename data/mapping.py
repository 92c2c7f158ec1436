"""Other names, elements and units for a recording: what joins datasets of different people. Nothing is converted silently.

    mapping:
      observation.state: {source: state, columns: [0, 1], names: [x, y], units: [m, m], from_units: [mm, mm]}
      observation.images.top: {source: observation.images.cam_high}

A feature that no entry takes its values from stays as it is, under its own name.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.config import typed
from data.errors import DatasetError, did_you_mean
from data.lerobot import layout
from data.source import Clip, Source, Table

FACTORS = {
    ("deg", "rad"): math.pi / 180,
    ("mm", "m"): 1e-3,
    ("cm", "m"): 1e-2,
    ("deg/s", "rad/s"): math.pi / 180,
    ("mm/s", "m/s"): 1e-3,
    ("cm/s", "m/s"): 1e-2,
    ("ms", "s"): 1e-3,
    ("%", "1"): 1e-2,
}
FACTORS |= {(b, a): 1 / factor for (a, b), factor in FACTORS.items()}


@dataclass
class Field:
    """Where one feature comes from."""

    source: list[str] = field(default_factory=list)  # stored columns, joined in this order; or one camera
    columns: list[int] = field(default_factory=list)  # elements of the joined vector; all of them where nothing is said
    names: list[str] = field(default_factory=list)  # of the elements that are taken
    units: list[str] = field(default_factory=list)  # likewise; values are converted where the recording has others
    from_units: list[str] = field(default_factory=list)  # the stored units, where the recording does not say them
    xyzw: list[int] = field(default_factory=list)  # first element of each quaternion that is stored x y z w; it becomes w x y z
    quaternions: list[int] = field(default_factory=list)  # first element of each w-first quaternion
    angles: list[int] = field(default_factory=list)  # elements that wrap at 2 pi


def mapped(source: Source, mapping: Mapping[str, Mapping[str, Any]]) -> Source:
    """`source` under other names. Raises DatasetError for a name, element or unit that is not there; ConfigError for a wrong key."""
    if not mapping:
        return source
    fields = {}
    for name, options in mapping.items():
        given = dict(options)
        if isinstance(given.get("source"), str):
            given["source"] = [given["source"]]
        fields[str(name)] = typed(Field, given, f"mapping of {name}")
    return MappedSource(source, fields)


class MappedSource(Source):
    """A view: values are taken from `source` when they are asked for."""

    def __init__(self, source: Source, fields: Mapping[str, Field]) -> None:
        self._source = source
        stored = source.header.features
        self._picks = {name: _Pick(name, entry, stored, source.header.root) for name, entry in fields.items()}
        taken = {part for pick in self._picks.values() for part in pick.field.source}
        features = {name: feature for name, feature in stored.items() if name not in taken}
        twice = [name for name in self._picks if name in features]
        if twice:
            raise DatasetError(f"{source.header.root} has {', '.join(twice)} already; map that one to another name, too")
        features |= {name: pick.feature for name, pick in self._picks.items()}
        told = json.dumps({name: dataclasses.asdict(entry) for name, entry in fields.items()}, sort_keys=True)
        self.header = dataclasses.replace(source.header, features=features, identity=source.header.identity + told)

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        wanted = [part for name in names for part in (self._picks[name].field.source if name in self._picks else [name])]
        stored = self._source.columns(list(dict.fromkeys(wanted)), episodes)
        return {name: self._picks[name].apply(stored) if name in self._picks else stored[name] for name in names}

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        return self._source.clips(self.stored_camera(key), episodes)

    def stored_camera(self, key: str) -> str:
        return self._picks[key].field.source[0] if key in self._picks else key

    def where(self, episode: int) -> Path:
        return self._source.where(episode)

    def files(self) -> tuple[list[Path], list[Path]]:
        return self._source.files()

    def check(self, episodes: np.ndarray, cameras: Sequence[str]) -> None:
        self._source.check(episodes, [self.stored_camera(key) for key in cameras])

    def final(self, episode: int) -> Table:
        last = {name: value[None] for name, value in self._source.final(episode).items()}
        out = {name: value[0] for name, value in last.items() if name in self.header.features and name not in self._picks}
        for name, pick in self._picks.items():
            if all(part in last for part in pick.field.source):
                out[name] = pick.apply(last)[0]
        return out

    def extras(self, episode: int) -> dict[str, Any]:
        return self._source.extras(episode)


class _Pick:
    """One entry of a mapping, checked against what is stored."""

    def __init__(self, name: str, entry: Field, stored: Mapping[str, dict[str, Any]], root: Path) -> None:
        where = f"{root}: mapping of {name}"
        if not entry.source:
            raise DatasetError(f"{where}: it has no source; allowed: {', '.join(stored)}")
        for part in entry.source:
            if part not in stored:
                raise DatasetError(f"{where}: there is no {part!r}; {did_you_mean(part, stored)}")
        self.field, self.name = entry, name
        parts = [stored[part] for part in entry.source]
        if any(part["dtype"] in ("video", "image", "string") for part in parts):
            if len(parts) > 1 or entry.columns:
                raise DatasetError(f"{where}: a camera is taken whole; found source={entry.source}, columns={entry.columns}")
            self.feature = dict(parts[0])
            return
        if any(len(part["shape"]) != 1 for part in parts):
            raise DatasetError(f"{where}: only vectors can be mapped; found the shapes {[part['shape'] for part in parts]}")
        width = sum(part["shape"][0] for part in parts)
        if any(not 0 <= i < width for i in entry.columns):
            raise DatasetError(f"{where}: columns {entry.columns} of a vector with {width} elements")
        self._columns = list(entry.columns) or list(range(width))
        for first in entry.xyzw:
            if not 0 <= first <= len(self._columns) - 4:
                raise DatasetError(f"{where}: xyzw={entry.xyzw} leaves no room for four elements; it has {len(self._columns)}")
            x, y, z, w = self._columns[first : first + 4]
            self._columns[first : first + 4] = [w, x, y, z]
        count = len(self._columns)
        for what in ("names", "units", "from_units"):
            if getattr(entry, what) and len(getattr(entry, what)) != count:
                raise DatasetError(f"{where}: {len(getattr(entry, what))} {what} for {count} elements")
        before = entry.from_units or _joined(parts, "units")
        before = before if entry.from_units or not before else [before[i] for i in self._columns]
        self._factor = _factors(before, entry.units, where)
        names = _joined(parts, "names")
        dtype = str(np.result_type(*(part["dtype"] for part in parts)))
        self.feature = {
            "dtype": dtype if self._factor is None or np.dtype(dtype).kind == "f" else "float32",
            "shape": [count],
            "names": entry.names or ([names[i] for i in self._columns] if names else None),
        }
        kept = {"units": entry.units or before, "quaternions": [*entry.quaternions, *entry.xyzw], "angles": entry.angles}
        self.feature |= {key: value for key, value in kept.items() if value}

    def apply(self, stored: Mapping[str, np.ndarray]) -> np.ndarray:
        """(N, ...) of the stored columns -> (N, D), a scalar (N,) where LeRobot has one."""
        parts = [np.asarray(stored[part]) for part in self.field.source]
        joined = np.concatenate([part.reshape(len(part), -1) for part in parts], 1)[:, self._columns]
        if self._factor is not None:
            joined = joined * self._factor
        values = joined.astype(self.feature["dtype"], copy=False)
        return values.reshape(len(values), *layout.column_shape(self.name, self.feature))


def _joined(parts: Sequence[Mapping[str, Any]], what: str) -> list[str]:
    """Element names or units of several vectors, [] where one of them has none."""
    words = [layout.element_names(part) if what == "names" else tuple(part.get(what) or ()) for part in parts]
    return [word for group in words for word in group] if all(words) else []


def _factors(before: Sequence[str], after: Sequence[str], where: str) -> np.ndarray | None:
    """What to multiply with, None where nothing changes. Raises DatasetError for units that do not convert."""
    if not before or not after or list(before) == list(after):
        return None
    for a, b in zip(before, after, strict=True):
        if a != b and (a, b) not in FACTORS:
            allowed = ", ".join(sorted(f"{x} -> {y}" for x, y in FACTORS))
            raise DatasetError(f"{where}: {a!r} cannot become {b!r}; allowed: {allowed}")
    return np.array([1.0 if a == b else FACTORS[a, b] for a, b in zip(before, after, strict=True)])
