"""What a check that needs an environment is given, `Trial`: a study, the environment, what came of rollouts and of replays there.

A check is one file waldo/diagnosis/NAME.py with

    def check(trial: Trial) -> list[Alarm]

It is found by its file name; nothing is registered. Those that need no environment are in policies/diagnosis.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np

import policies.diagnosis
from data.evaluation import Evaluation
from data.spec import PolicySpec, match
from policies.base import Guide, Sampler
from policies.diagnosis import Alarm, Study
from sim.base import VecEnv
from sim.rollout import rollout
from waldo.diagnosis import replay

REPLAYED = 10  # demonstrations that are done again: ten of ten is no accident (odds 1000 to 1)
FOLLOWS = 0.8  # correlation of a target with the state that follows it; of a change with the state it is about 0
LABELS = ("task", "robot", "rate_hz")  # of a spec: what may differ while everything else can still be tried


@dataclass(frozen=True)
class Outcome:
    """One episode of the policy. trace: observation vectors, action, limited per control step; empty where it was not kept."""

    seed: int
    success: bool
    length: int
    milestones: Mapping[str, int] = field(default_factory=dict)
    trace: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)


class Relabelled:
    """A sampler under another spec's labels, so that it can be tried where they say that it does not belong."""

    def __init__(self, sampler: Sampler, spec: PolicySpec) -> None:
        self._sampler = sampler
        self.spec = dataclasses.replace(sampler.spec, **{name: getattr(spec, name) for name in LABELS})

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray, guide: Guide | None = None) -> np.ndarray:
        return self._sampler.sample(obs, num_samples, seeds, guide)


class Trial:
    """outcomes   episodes of the policy; env   None where there is none; milestones   names of the steps towards success"""

    def __init__(
        self,
        study: Study,
        env: VecEnv | None,
        outcomes: Sequence[Outcome] = (),
        milestones: Sequence[str] = (),
    ) -> None:
        self.study, self.env, self.outcomes = study, env, tuple(outcomes)
        self.milestones: tuple[str, ...] = tuple(milestones or getattr(env, "milestones", ()))

    @property
    def rate(self) -> float:
        """Of successes; NaN without episodes."""
        return float(np.mean([o.success for o in self.outcomes])) if self.outcomes else float("nan")

    @functools.cached_property
    def sample(self) -> np.ndarray:
        """The demonstrations that are replayed and looked at: recorded episode numbers."""
        trained = self.study.trained
        return trained[np.unique(np.linspace(0, len(trained) - 1, min(REPLAYED, len(trained))).round().astype(int))]

    @property
    def seeds(self) -> np.ndarray:
        """Of the sample: those of the recording, where it was made by seeds."""
        return int(self.study.dataset.provenance.get("first_seed", 0)) + self.sample

    @functools.cached_property
    def partners(self) -> tuple[replay.Partner, ...]:
        """What of the recording can be compared with the environment."""
        if self.env is None or self.env.spec.action.dim != self.study.policy.spec.action.dim:
            return ()
        known = {f.name: f for f in self.study.part.offer.observations}
        offered = [f for f in self.env.spec.observations if f.name in known and known[f.name].shape == f.shape]
        found = replay.partners_of(self.study.part.offer.action, offered)
        names = {name for feature in offered for name in feature.names}
        return found if any(p.name in names for p in found) or self._follow(found) else ()

    def _follow(self, partners: Sequence[replay.Partner]) -> bool:
        """Whether the states follow the actions, where only their place says that they belong together."""
        names = sorted({p.feature for p in partners})
        table = self.study.dataset.table([*names, "action"])
        fits = [np.corrcoef(table["action"][:, p.element], table[p.feature][:, p.index])[0, 1] for p in partners]
        return bool(fits) and bool((np.abs(fits) >= FOLLOWS).all())

    def play(self, ratio: float = 1.0, held: bool = False, change: replay.Change | None = None) -> replay.Replay:
        assert self.env is not None
        names = sorted({p.feature for p in self.partners})
        tables = [self.study.table([*names, "action"], int(e)) for e in self.sample]
        recorded = [np.stack([table[p.feature][:, p.index] for p in self.partners], 1) for table in tables]
        return replay.run(self.env, self.seeds, [t["action"] for t in tables], recorded, self.partners, ratio, held, change)

    @functools.cached_property
    def asis(self) -> replay.Replay | None:
        """The demonstrations done again as they were recorded; None where nothing can be compared."""
        return self.play() if self.partners else None


def attempt(env: VecEnv, sampler: Sampler, seeds: np.ndarray) -> list[Outcome]:
    """Rollouts of a policy in an environment that it may not be made for; [] where its shapes do not fit."""
    named = Relabelled(sampler, env.spec)
    if match(named.spec, env.spec):
        return []
    results = rollout(env, named, seeds)
    return [Outcome(r.seed, r.success, r.length, dict(r.milestones), r.trace) for r in results]


def outcomes_of(evaluation: Evaluation) -> list[Outcome]:
    """Of an earlier evaluation."""
    return [
        Outcome(
            int(row["seed"]),
            bool(row["success"]),
            int(row["length"]),
            row.get("milestones") or {},
            evaluation.trace(int(row["seed"])) or {},
        )
        for row in evaluation.rows
    ]


def offline_checks() -> dict[str, Callable[[Study], list[Alarm]]]:
    """Name -> check, of all that need a policy and its data."""
    return {name: module.check for name, module in _modules(policies.diagnosis).items()}


def checks() -> dict[str, Callable[[Trial], list[Alarm]]]:
    """Name -> check, of all that need an environment or its episodes."""
    import waldo.diagnosis

    return {name: module.check for name, module in _modules(waldo.diagnosis).items()}


def _modules(package: ModuleType) -> dict[str, ModuleType]:
    names = sorted(path.stem for path in Path(str(package.__file__)).parent.glob("*.py") if path.stem != "__init__")
    found = {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}
    return {name: module for name, module in found.items() if hasattr(module, "check")}
