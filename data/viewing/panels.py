"""What the viewer draws where: `sections` turns the columns of a recording into plots and bands, as plain JSON.

section   one column; an action lies dashed over the observation whose element names and units it shares
panel     one element, or what belongs together: the four numbers of a quaternion, one row of a matrix
band      a flag, or a number that only counts a few states
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.lerobot.layout import DEFAULT_FEATURES, column_shape
from data.store import Dataset

WIDEST = 64  # elements of a column that are drawn
LEVELS = 12  # a whole number that takes no more values than this is drawn as a band
TOGETHER = 6  # elements that share one plot to begin with
ACTION = "action"
FLAGS = ("success", "done", "terminated", "truncated", "terminal", "failure", "is_first", "is_last", "is_terminal")
TONES = {"success": "good", "failure": "bad", "terminated": "series-2", "truncated": "series-5"}


@dataclass(frozen=True)
class Element:
    """One number per frame: a column, where in it, what it is called, and its unit ("" where unknown)."""

    column: str
    dim: int
    name: str
    unit: str

    def series(self, label: str = "", wraps: bool = False) -> dict[str, Any]:
        return {
            "column": self.column,
            "dim": self.dim,
            "label": label or self.name,
            "wraps": wraps,
            "levels": [],
            "words": [],
            "flag": False,
            "tone": "",
        }


def drawn_columns(dataset: Dataset) -> tuple[list[str], list[str]]:
    """(columns to draw, those that are too wide to be drawn), without the automatic ones."""
    names = sorted((name for name in dataset.column_keys if name not in DEFAULT_FEATURES), key=_rank)
    wide = [name for name in names if _width(dataset, name) > WIDEST]
    return [name for name in names if name not in wide], wide


def sections(dataset: Dataset) -> list[dict[str, Any]]:
    """Plots in the order of the columns, bands last. Whether a number counts states is judged by the episodes that are open."""
    names, _ = drawn_columns(dataset)
    bands: list[dict[str, Any]] = []
    plots: list[dict[str, Any]] = []
    lines = [name for name in names if not bands_of(bands, dataset, name)]
    over = _partner(dataset, lines)
    partners = {e.name: e for e in elements(dataset, ACTION)} if over else {}
    for name in lines:
        own = elements(dataset, name)
        if name == ACTION and over:
            taken = {e.name for e in elements(dataset, over)}
            if all(e.name in taken for e in own):
                continue
            own = [e for e in own if e.name not in taken]
        panels = _panels(dataset, name, own, partners if name == over else {})
        dashed = ACTION if name == over else ""
        shape = "×".join(map(str, dataset.features[name]["shape"]))
        plots.append(
            {
                "name": name,
                "hint": f"{dataset.features[name]['dtype']} [{shape}]",
                "dashed": dashed,
                "apart": len(panels) > TOGETHER or bool(dashed) or any(len(panel["series"]) > 1 for panel in panels),
                "bands": False,
                "panels": panels,
            }
        )
    if bands:
        plots.append({"name": "flags and states", "hint": "", "dashed": "", "apart": True, "bands": True, "panels": bands})
    return plots


def elements(dataset: Dataset, name: str) -> list[Element]:
    """The numbers of a column, a matrix row by row; elements without names are called by their position."""
    shape = column_shape(name, dataset.features[name])
    named, units = dataset.column_names.get(name, ()), dataset.column_units.get(name, ())
    found = []
    for dim, place in enumerate(np.ndindex(*shape)):
        known = len(named) == int(np.prod(shape))
        title = named[dim] if known else (f"[{', '.join(map(str, place))}]" if place else name)
        unit = units[dim] if len(units) == int(np.prod(shape)) else units[place[0]] if place and len(units) == shape[0] else ""
        found.append(Element(name, dim, title, "" if unit == "1" else unit))
    return found


def bands_of(bands: list[dict[str, Any]], dataset: Dataset, name: str) -> bool:
    """Append the bands of a column, if it is a flag or counts a few states; whether it is."""
    values = dataset.table([name])[name]
    kind = name.rpartition(".")[2]
    flag = values.dtype == bool or (kind in FLAGS and bool(np.isin(values, (0, 1)).all()))
    levels = [] if flag or not np.issubdtype(values.dtype, np.integer) else np.unique(values).tolist()
    if not flag and not 0 < len(levels) <= LEVELS:
        return False
    said = dataset.features[name].get("values") or {}  # what the numbers mean, where the recording says it
    meaning = {str(k): str(v) for k, v in (said.items() if isinstance(said, Mapping) else enumerate(said))}
    words = [meaning.get(str(level), str(level)) for level in levels]
    for element in elements(dataset, name):
        single = values.ndim == 1 or _width(dataset, name) == 1
        title = name if single else f"{name} {element.name}"
        series = element.series(title) | {
            "levels": levels,
            "words": words,
            "flag": flag,
            "tone": TONES.get(kind, "series-1") if flag else "",
        }
        bands.append({"title": title, "unit": "", "series": [series]})
    return True


def _partner(dataset: Dataset, lines: list[str]) -> str:
    """The observation that most elements of the action are targets of, by name and unit; "" where there is none."""
    if ACTION not in lines or ACTION not in dataset.column_names:
        return ""
    wanted = {e.name: e.unit for e in elements(dataset, ACTION)}
    shared = {name: _shared(dataset, name, wanted) for name in lines if name != ACTION and name in dataset.column_names}
    best = max(shared, key=lambda name: shared[name], default="")
    return best if best and shared[best] else ""


def _shared(dataset: Dataset, name: str, wanted: Mapping[str, str]) -> int:
    """Names in common; 0 where a name means two different units."""
    common = [e for e in elements(dataset, name) if e.name in wanted]
    clash = any(e.unit and wanted[e.name] and e.unit != wanted[e.name] for e in common)
    return 0 if clash else len(common)


def _panels(dataset: Dataset, name: str, own: list[Element], partners: Mapping[str, Element]) -> list[dict[str, Any]]:
    feature = dataset.features[name]
    shape = column_shape(name, feature)
    angles = set(feature.get("angles") or ())
    groups: dict[int, list[Element]] = {}
    for element in own:
        groups.setdefault(_group(element.dim, shape, feature.get("quaternions") or ()), []).append(element)
    panels = []
    for group in groups.values():
        series = [e.series(wraps=e.dim in angles) for e in group]
        series += [partners[e.name].series(f"{ACTION} {e.name}", e.dim in angles) for e in group if e.name in partners]
        panels.append({"title": _title(name, group), "unit": group[0].unit, "series": series})
    return panels


def _group(dim: int, shape: tuple[int, ...], quaternions: list[int] | tuple[int, ...]) -> int:
    """The first of the elements that `dim` is drawn with."""
    if len(shape) > 1:
        return dim - dim % shape[-1]
    return next((first for first in quaternions if first <= dim < first + 4), dim)


def _title(name: str, group: list[Element]) -> str:
    if len(group) == 1:
        return group[0].name
    same = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*(e.name for e in group)))
    common = "".join(letters[0] for letters in same).rstrip("_.[, ")
    if group[0].name.startswith("["):
        return f"{common}]" if "," in group[0].name else f"[{group[0].dim}:{group[-1].dim + 1}]"
    return f"{common or name} ({' '.join(e.name.removeprefix(common).lstrip('_.') for e in group)})"


def _rank(name: str) -> int:
    """The state first, then what else was observed, what was done, and what came of it; within these as recorded."""
    first = ("observation.state", "observation.", ACTION, "next.")
    return next((i for i, start in enumerate(first) if name.startswith(start)), len(first))


def _width(dataset: Dataset, name: str) -> int:
    return int(np.prod(column_shape(name, dataset.features[name])))
