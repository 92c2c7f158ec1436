"""Saying something else of the same frames: tasks, names of features, their elements and units, the robot; or dropping features."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.editing.opening import Place, applied
from data.editing.origin import Origin
from data.editing.plan import Plan, edit, whole
from data.errors import DatasetError, WaldoError, did_you_mean
from data.lerobot import layout
from data.source import Given
from data.spec import PolicySpec


@dataclass(frozen=True)
class Labels:
    """What is said anew; everything else stays.

    tasks           old text, or its task_index -> new text
    episode_tasks   episode -> the text of all of its frames
    rename          feature -> its new name; drop   features that go
    names, units    feature (by its old name) -> one per element, () for none
    """

    tasks: Mapping[str | int, str] = field(default_factory=dict)
    episode_tasks: Mapping[int, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: Sequence[str] = ()
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    units: Mapping[str, Sequence[str]] = field(default_factory=dict)
    robot_type: str = ""


def relabel(path: str | os.PathLike[str], labels: Labels, place: Place | None = None, given: Given | None = None) -> Plan:
    """The dataset under other labels. No value and no frame changes.

    Raises DatasetError for names and tasks that are not there or are taken, and for the wrong number of element names or units.
    """
    said = {key: value for key, value in dataclasses.asdict(labels).items() if value}
    if not said:
        raise DatasetError("nothing to relabel; say tasks, episode_tasks, rename, drop, names, units or robot_type")

    def plan(origin: Origin) -> Plan:
        _check(origin, labels)
        texts = {origin.index.tasks[old] if isinstance(old, int) else old: new for old, new in labels.tasks.items()}
        fixed = {origin.numbers([i], "episode_tasks")[0]: _text(text) for i, text in labels.episode_tasks.items()}
        pieces = []
        for piece in whole([origin], 0, range(len(origin))):
            if piece.episode in fixed:
                renamed = dict.fromkeys(origin.index.tasks, fixed[piece.episode])
            else:
                renamed = {text: texts[text] for text in origin.index.of[piece.episode] or origin.index.tasks if text in texts}
            pieces.append(dataclasses.replace(piece, tasks=renamed))
        arguments: dict[str, Any] = json.loads(layout.dump_json({**said, **({"episode_tasks": _keyed(fixed)} if fixed else {})}))
        made = edit(origin, pieces, "relabel", arguments)
        return dataclasses.replace(
            made,
            features=_features(origin, labels),
            came_from={new: old for old, new in labels.rename.items()},
            robot_type=labels.robot_type or origin.robot_type,
            provenance=_told(made.provenance, labels, texts),
        )

    return applied(path, plan, place or Place(), given)


def _keyed(by_number: Mapping[int, str]) -> dict[str, str]:
    return {str(number): text for number, text in by_number.items()}


def _text(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise DatasetError(f"a task is {text!r}; say in words what the episode shows")
    return text


def _check(origin: Origin, labels: Labels) -> None:
    for old, new in labels.tasks.items():
        if isinstance(old, int) and not 0 <= old < len(origin.index.tasks):
            raise DatasetError(f"{origin.root} has no task number {old}; it has 0 to {len(origin.index.tasks) - 1}")
        if not isinstance(old, int) and old not in origin.index.tasks:
            raise DatasetError(f"{origin.root} has no task {old!r}; {did_you_mean(old, origin.index.tasks)}")
        _text(new)
    for what in ("rename", "drop", "names", "units"):
        for name in getattr(labels, what):
            if name in layout.DEFAULT_FEATURES:
                raise DatasetError(f"{what}: {name!r} is a column that every dataset has; it stays as it is")
            if name not in origin.features:
                raise DatasetError(f"{what}: {origin.root} has no feature {name!r}; {did_you_mean(name, origin.features)}")
    left = [name for name in origin.features if name not in labels.drop]
    result = [labels.rename.get(name, name) for name in left]
    for name in labels.rename.values():
        if not isinstance(name, str) or not name or "/" in name or result.count(name) > 1:
            raise DatasetError(f"rename: {name!r} is taken, empty, or has a '/' in it; choose another name")
    if set(labels.rename) & set(labels.drop):
        raise DatasetError(f"{', '.join(sorted(set(labels.rename) & set(labels.drop)))} cannot be renamed and dropped at once")
    if set(left) <= set(layout.DEFAULT_FEATURES):
        raise DatasetError("drop: no feature would be left")


def _features(origin: Origin, labels: Labels) -> dict[str, dict[str, Any]]:
    features = {}
    for old, feature in origin.features.items():
        if old in labels.drop:
            continue
        entry = dict(feature)
        for key, said in (("names", labels.names), ("units", labels.units)):
            if old not in said:
                continue
            words = list(said[old])
            if words and (len(words) != int(feature["shape"][0]) or feature["dtype"] in ("video", "image")):
                raise DatasetError(f"{key} of {old!r}: {len(words)} for {feature['dtype']}{list(feature['shape'])}; give one per element")
            entry[key] = [str(word) for word in words] or None
            if key == "units" and not words:
                del entry[key]
        features[labels.rename.get(old, old)] = entry
    return features


def _told(provenance: Mapping[str, Any], labels: Labels, tasks: Mapping[str, str]) -> dict[str, Any]:
    """The policy's view that was recorded with the data ("spec"), in the new words; without it where they do not make one."""
    told = dict(provenance)
    if "spec" not in told:
        return told
    try:
        spec = PolicySpec.from_json(told["spec"])
        observations = tuple(
            dataclasses.replace(
                feature,
                name=labels.rename.get(feature.name, feature.name),
                names=tuple(labels.names.get(feature.name, feature.names)),
                units=tuple(labels.units.get(feature.name, feature.units)),
            )
            for feature in spec.observations
            if feature.name not in labels.drop
        )
        action = dataclasses.replace(
            spec.action,
            names=tuple(labels.names.get("action", spec.action.names)),
            units=tuple(labels.units.get("action", spec.action.units)),
        )
        if "action" in labels.drop or "action" in labels.rename:
            del told["spec"]
            return told
        task, robot = tasks.get(spec.task, spec.task), labels.robot_type or spec.robot
        told["spec"] = dataclasses.replace(spec, observations=observations, action=action, task=task, robot=robot).to_json()
    except (WaldoError, TypeError, ValueError):
        del told["spec"]
    return told
