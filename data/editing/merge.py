"""Several datasets as one. They have to be of the same kind in everything; nothing is converted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.editing.assemble import require_free, write
from data.editing.opening import opened, require_apart
from data.editing.origin import Origin
from data.editing.plan import Plan, whole
from data.errors import DatasetError
from data.lerobot import layout
from data.source import Given

ALIKE = ("dtype", "shape", "names", *layout.OURS)  # keys of a feature that have to be equal


def merge(paths: Sequence[str | os.PathLike[str]], into: Path, link: bool = True, given: Given | None = None) -> Plan:
    """The episodes of all of them, in this order; tasks of the same text become one.

    meta/waldo.json says which episodes came from where, with what was known of each origin.
    Raises DatasetError naming every difference in features, units, frame rate or robot; for less than two datasets; for one named twice.
    """
    if len(paths) < 2:
        raise DatasetError(f"merging needs at least two datasets; found {len(paths)}")
    require_free(into)
    with contextlib.ExitStack() as stack:
        origins = [stack.enter_context(opened(path, into, given)) for path in paths]
        places = [origin.root.resolve() for origin in origins]
        twice = [str(path) for i, path in enumerate(paths) if places[i] in places[:i]]
        if twice:
            raise DatasetError(f"{', '.join(twice)} is named twice: its episodes would be counted twice")
        for origin in origins:
            require_apart(origin, into)
        for origin in origins[1:]:
            if found := differences(origins[0], origin):
                raise DatasetError(
                    f"{origins[0].root} and {origin.root} are not of the same kind: {'; '.join(found)}. "
                    "Nothing is converted silently: make them equal with `waldo data relabel` or `waldo data convert` first"
                )
        pieces = [piece for number, origin in enumerate(origins) for piece in whole(origins, number, range(len(origin)))]
        plan = Plan(tuple(origins), tuple(pieces), origins[0].features, origins[0].robot_type, _provenance(origins, paths), link=link)
        write(plan, into)
        return plan


def differences(a: Origin, b: Origin) -> list[str]:
    """Why the frames of two datasets are not of the same kind, in words; empty where they are."""
    found = [
        f"{what}: {one!r} and {two!r}"
        for what, one, two in (("fps", a.fps, b.fps), ("robot_type", a.robot_type, b.robot_type))
        if one != two
    ]
    for name in dict.fromkeys([*a.features, *b.features]):
        if name not in a.features or name not in b.features:
            found.append(f"only {(a if name in a.features else b).root.name} has {name!r}")
            continue
        one, two = a.features[name], b.features[name]
        found += [f"{name} {key}: {_plain(one, key)} and {_plain(two, key)}" for key in ALIKE if _plain(one, key) != _plain(two, key)]
    return found


def _plain(feature: Mapping[str, Any], key: str) -> Any:
    if key == "names":
        return list(layout.element_names(feature)) or None
    value = feature.get(key)
    return list(value) if isinstance(value, list | tuple) else value


def _provenance(origins: Sequence[Origin], paths: Sequence[str | os.PathLike[str]]) -> dict[str, Any]:
    """What all origins agree on, and under `merged` what each of them said, with the episodes [first, stop) that came from it."""
    first = origins[0].provenance
    agreed = {key: value for key, value in first.items() if all(origin.provenance.get(key) == value for origin in origins[1:])}
    merged, at = [], 0
    for path, origin in zip(paths, origins, strict=True):
        merged.append({"dataset": Path(path).name, "episodes": [at, at + len(origin)], "provenance": origin.provenance})
        at += len(origin)
    agreed.pop("edits", None)
    return {**agreed, "merged": merged}
