"""What a policy sees and does, in words that a machine can compare: `Feature`, `ActionSpec`, `PolicySpec`.

One spec travels with the checkpoint, the artefact and every log. Before anything moves it is compared with the
environment's or the robot's by `match()`, which names every difference: nothing is padded, renamed or converted
on a guess. Normalisation statistics are provenance and are not part of the spec.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from data.errors import SpecError

ACTION_KINDS = ("joint", "ee_pose", "position", "velocity", "torque")
IMAGE_PREFIX = "observation.images."


@dataclass(frozen=True)
class Feature:
    """One observation.

    name         LeRobot's name, e.g. `observation.state`, `observation.images.front`
    shape        per frame, e.g. (8,) or (96, 96, 3) (height, width, channel; uint8 RGB)
    dtype        numpy's name: float32, uint8, ...
    names        one name per element of a vector; empty for images
    unit         one unit per element (`m`, `rad`, `1`, `px`); empty for images
    quaternions  first index of each w-first unit quaternion in the vector: networks see it as a 6-D rotation
    angles       index of each angle that wraps at 2 pi: networks see its cosine and sine
    categories   what the values 0, 1, ... of an integer column stand for; a policy reads no such column
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    quaternions: tuple[int, ...] = ()
    angles: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        return self.name.startswith(IMAGE_PREFIX)


@dataclass(frozen=True)
class ActionSpec:
    """What an action means.

    kind         joint: joint positions [rad] then gripper; ee_pose: position [m], quaternion (w first), gripper; position: a point
    absolute     True: a target; False: a change relative to the observation of the chunk
    """

    kind: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    absolute: bool = True
    quaternions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ACTION_KINDS:
            raise SpecError(f"action kind {self.kind!r} is unknown; allowed: {', '.join(ACTION_KINDS)}")
        if len(self.names) != len(self.units):
            raise SpecError(f"{len(self.names)} action names but {len(self.units)} units")

    @property
    def dim(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class PolicySpec:
    """The contract of a policy with whatever feeds it and whatever obeys it."""

    task: str
    robot: str
    observations: tuple[Feature, ...]
    action: ActionSpec
    rate_hz: float
    n_obs_steps: int = 1
    horizon: int = 1
    n_action_steps: int = 1

    def feature(self, name: str) -> Feature:
        for feature in self.observations:
            if feature.name == name:
                return feature
        raise SpecError(f"the spec has no observation {name!r}; it has: {', '.join(f.name for f in self.observations)}")

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no white space, so that equal specs have equal bytes."""
        raw = dataclasses.asdict(self)
        for feature in raw["observations"]:
            if not feature["categories"]:
                del feature["categories"]  # it came later: specs without it keep the bytes that they had
        return json.dumps(raw, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> PolicySpec:
        """Raises SpecError if the text is not a spec."""
        try:
            raw = json.loads(text)
            raw["observations"] = tuple(Feature(**_tuples(f)) for f in raw["observations"])
            raw["action"] = ActionSpec(**_tuples(raw["action"]))
            return cls(**raw)
        except (ValueError, KeyError, TypeError) as error:
            raise SpecError(f"not a policy spec: {error}") from error

    def hash(self) -> str:
        """sha256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _tuples(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}


def match(policy: PolicySpec, other: PolicySpec) -> list[str]:
    """Every reason why `policy` cannot be used where `other` is offered; empty when it can.

    `other` may offer more observations than the policy reads. n_obs_steps, horizon and n_action_steps are the
    policy's own business.
    """
    differences = []
    for field in ("task", "robot", "rate_hz"):
        mine, theirs = getattr(policy, field), getattr(other, field)
        if mine != theirs:
            differences.append(f"{field}: the policy wants {mine!r}, found {theirs!r}")
    offered = {f.name: f for f in other.observations}
    for feature in policy.observations:
        found = offered.get(feature.name)
        if found is None:
            differences.append(f"observation {feature.name!r} is missing; offered: {', '.join(sorted(offered)) or '(none)'}")
            continue
        differences += _compare(f"observation {feature.name!r}", feature, found)
    differences += _compare("action", policy.action, other.action)
    return differences


def _compare(what: str, mine: Feature | ActionSpec, theirs: Feature | ActionSpec) -> list[str]:
    return [
        f"{what} {field.name}: the policy wants {getattr(mine, field.name)!r}, found {getattr(theirs, field.name)!r}"
        for field in dataclasses.fields(mine)
        if getattr(mine, field.name) != getattr(theirs, field.name)
    ]


def require_match(policy: PolicySpec, other: PolicySpec, what: str) -> None:
    """Raises SpecError naming every difference. `what` says who offers `other`, e.g. "environment pick_place"."""
    differences = match(policy, other)
    if differences:
        raise SpecError(f"the policy does not fit {what}: " + "; ".join(differences))
