"""From what a YAML says of an environment's observations to the features of the spec, and to the plan that `Rows` follows.

    observation.state: {key: agent_pos, start: 0, stop: 2, names: [agent_x, agent_y], units: [px, px]}
    observation.environment_state: {keys: [object.pose, goal], names: [x, y, z, q0..3, goal_x, goal_y], units: [3*m, 4*1, 2*m], quaternions: [3]}
    observation.images.top: {key: pixels, shape: [96, 96, 3]}
    observation.images.corner: {render: true, camera: corner, shape: [96, 96, 3]}

`key` is a dotted path into the observation, "" (the default) all of it; several `keys` are put behind one another. Without
start and stop the names must cover the whole. `q0..3` stands for q0, q1, q2, q3 and `4*1` for four times the unit 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import ConfigError, did_you_mean
from data.spec import IMAGE_PREFIX, Feature

HOME = Path(__file__).resolve().parent
VECTOR = ("key", "keys", "start", "stop", "names", "units", "angles", "quaternions")
IMAGE = ("key", "render", "camera", "shape")
_RANGE, _TIMES = re.compile(r"^(.*?)(\d+)\.\.(\d+)$"), re.compile(r"^(\d+)\*(.+)$")


def names_of(words: Sequence[Any]) -> tuple[str, ...]:
    """[x, q0..2] -> x, q0, q1, q2."""
    found: list[str] = []
    for word in map(str, words):
        span = _RANGE.match(word)
        found += [f"{span[1]}{i}" for i in range(int(span[2]), int(span[3]) + 1)] if span else [word]
    return tuple(found)


def units_of(words: str | Sequence[Any], count: int) -> tuple[str, ...]:
    """One unit for all, or a list in which 3*m stands for three."""
    if isinstance(words, str):
        return (words,) * count
    found: list[str] = []
    for word in map(str, words):
        times = _TIMES.match(word)
        found += [times[2]] * int(times[1]) if times else [word]
    return tuple(found)


def features_of(observations: Mapping[str, Any]) -> tuple[tuple[Feature, ...], list[dict[str, Any]]]:
    """(features, the plan's parts). Raises ConfigError naming the observation."""
    features, parts = [], []
    for name, said in observations.items():
        where = f"env.observations: {name}"
        if not isinstance(said, Mapping):
            raise ConfigError(f"{where} is {said!r}; wanted are the keys {', '.join(VECTOR)}, or for an image {', '.join(IMAGE)}")
        image = name.startswith(IMAGE_PREFIX)
        for key in said:
            if key not in (IMAGE if image else VECTOR):
                raise ConfigError(f"{where}: unknown key {key!r}; {did_you_mean(str(key), IMAGE if image else VECTOR)}")
        feature, part = _image(name, said, where) if image else _vector(name, said, where)
        features.append(feature)
        parts.append({"name": name, "image": image, "render": False, "camera": "", "keys": [str(said.get("key", ""))], **part})
    if not features:
        raise ConfigError("env.observations is empty: it says which part of the observation is what")
    return tuple(features), parts


def _image(name: str, said: Mapping[str, Any], where: str) -> tuple[Feature, dict[str, Any]]:
    shape = tuple(said.get("shape", ()))
    if len(shape) != 3 or shape[2] != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ConfigError(f"{where}: shape={list(shape)}; an image has [height, width, 3]")
    render = bool(said.get("render", False))
    if render == ("key" in said):
        raise ConfigError(f"{where}: an image has either a `key` of the observation, or render: true")
    return Feature(name, shape, "uint8"), {"render": render, "camera": str(said.get("camera", "")), "shape": list(shape)}


def _vector(name: str, said: Mapping[str, Any], where: str) -> tuple[Feature, dict[str, Any]]:
    for key in ("names", "units"):
        if key not in said:
            raise ConfigError(
                f"{where} has no `{key}`: every element of a vector has a name and a unit (an image is called {IMAGE_PREFIX}NAME)"
            )
    if "key" in said and "keys" in said:
        raise ConfigError(f"{where}: give one `key`, or several `keys`")
    names = names_of(said["names"])
    units = units_of(said["units"], len(names))
    start = int(said.get("start", 0))
    stop = int(said.get("stop", start + len(names)))
    if not (0 <= start < stop and stop - start == len(names) == len(units)):
        raise ConfigError(
            f"{where}: elements {start} to {stop} (not included) with {len(names)} names and {len(units)} units; all must agree"
        )
    angles, quaternions = tuple(said.get("angles", ())), tuple(said.get("quaternions", ()))
    if any(not 0 <= i < len(names) for i in angles) or any(not 0 <= i <= len(names) - 4 for i in quaternions):
        raise ConfigError(f"{where}: angles={list(angles)}, quaternions={list(quaternions)} do not lie in its {len(names)} elements")
    feature = Feature(name, (len(names),), names=names, units=units, angles=angles, quaternions=quaternions)
    part = {"start": start, "stop": stop, "whole": "start" not in said and "stop" not in said}
    return feature, {**part, "keys": list(said["keys"])} if "keys" in said else part


def hook_path(hook: str) -> str:
    """The file of a hook: beside this module, in the working directory, or absolute. Raises ConfigError naming those that come with waldo."""
    if not hook:
        return ""
    for path in (HOME / hook, Path(hook).expanduser().absolute()):
        if path.is_file():
            return str(path)
    known = [str(path.relative_to(HOME)) for path in (HOME / "hooks").glob("*.py") if path.stem != "__init__"]
    raise ConfigError(f"env.hook={hook}: there is no such file; {did_you_mean(hook, known)}, or a path to your own")
