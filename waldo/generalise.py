"""How far policies carry: under randomisation, in the other physics engine, on starts they have not seen.

Plays every policy in every condition on the same seeds, so that each episode has its twin in the nominal condition, which is
`env` with nothing randomised: levels of env.randomize, each engine, each level of the task. The distance of a start is that to
the nearest first observation in `data`, the demonstrations, in their standard deviations.

Each cell, out/POLICY/CONDITION, is an ordinary evaluation. Started again in the same folder the command goes on where it
stopped: what is finished is kept unless the policy, the environment or the code changed. A policy is called after its folder.

examples:
  waldo generalise outputs/demo/flow/checkpoint outputs/demo/bc/checkpoint data.path=outputs/demo/collect/dataset
  waldo generalise outputs/flow/checkpoint randomize=[0.1,0.2,0.4] engines=[] levels=[] distance=false
  waldo generalise outputs/flow/checkpoint env.randomize.groups=[noise,delay]      only these vary, at each level
  waldo generalise outputs/pusht/checkpoint env=pusht data=pusht_human randomize=[] engines=[] levels=[]
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from data.config import typed
from data.errors import ConfigError, DatasetError
from data.evaluation import Evaluation, is_evaluation, read
from data.novelty import Novelty, shared_vectors, starts_of
from data.results import SUMMARY, Figure, write_atomic, write_summary
from data.spec import require_match
from policies.base import Sampler
from policies.inputs import DataConfig, Part
from sim.variation.randomize import settings
from waldo import evaluate, provenance
from waldo.compose import check, composed
from waldo.dataset.terminal import aligned
from waldo.generalise_cells import ENGINE, LEVEL, NOMINAL, RANDOMISATION, Cell, Condition, Distances, compared, figures_of
from waldo.options import options_of
from waldo.policy import build_env, identity, load_sampler


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    from waldo.reports.generalise import significant, write_report

    if cfg.episodes < 2:
        raise ConfigError(f"episodes={cfg.episodes}; at least 2 are wanted")
    paths, conditions = named(list(cfg.paths)), conditions_of(cfg)
    samplers = {name: load_sampler(path, trust=cfg.trust) for name, path in paths.items()}
    demonstrations = Part(typed(DataConfig, cfg.data, "data")) if cfg.distance else None
    environments = {c.name: _environment(cfg, c) for c in conditions}
    for environment in environments.values():  # a mistake is told now, not after an hour
        _try(environment, samplers)
    base = composed("evaluate", [])
    found = {
        (name, condition): _play(_settings(cfg, base, path, environment), samplers[name], out / name / condition)
        for condition, environment in environments.items()
        for name, path in paths.items()
    }
    cells = compared({key: evaluation.success for key, evaluation in found.items()}, list(paths), conditions)
    distances = None
    if demonstrations is not None:
        first = next(iter(paths))
        distances = _distances(demonstrations, {c.name: found[first, c.name] for c in conditions if c.group in (NOMINAL, LEVEL)})
    figures = figures_of(cells, distances)
    commits = sorted({evaluation.manifest.commit[:10] for evaluation in found.values()})
    place = found[next(iter(paths)), NOMINAL].manifest
    page = write_report(out, place, cells, distances, provenance.collect(seed=cfg.seed), commits)
    stars = {(cell.policy, cell.condition.name) for cell in cells if significant(cell)}
    print("\n".join(["", *aligned(_table(cells, stars), right=range(1, len(conditions) + 1)), "", f"report: {page}"]))
    return figures


def named(paths: Sequence[str]) -> dict[str, str]:
    """Name -> path: the last folders of a path that tell it from the others, without `checkpoint`. Raises ConfigError for none, or one twice."""
    folders = [tuple(part for part in Path(path).resolve().parts if part != "checkpoint") for path in paths]
    if not paths or len(set(folders)) < len(folders):
        raise ConfigError(f"paths={list(paths)}: at least one checkpoint is wanted, and none twice")
    depth = next(d for d in range(1, 1 + max(map(len, folders))) if len({folder[-d:] for folder in folders}) == len(folders))
    return {re.sub(r"[^\w.-]", "_", "_".join(folder[-depth:])): path for folder, path in zip(folders, paths, strict=True)}


def conditions_of(cfg: DictConfig) -> list[Condition]:
    """The nominal one first. Raises ConfigError for what the environment does not have, and for a level that does not exist."""
    env = _mapping(cfg.env)
    task = _mapping(env.get("task") if isinstance(env.get("task"), DictConfig) else {})
    for key, node, option in (("randomize", env, "randomize"), ("engines", env, "engine"), ("levels", task, "level")):
        if cfg[key] and option not in {known.name for known in options_of(node.get("_target_") or "") or ()}:
            raise ConfigError(f"this environment has no option {option}: give {key}=[]")
        if len(set(map(str, cfg[key]))) < len(cfg[key]):
            raise ConfigError(f"{key}={list(cfg[key])} names one twice")
    found = [Condition(NOMINAL, NOMINAL, "")]
    for level in map(str, cfg.randomize):
        if settings({"level": level}) is not None:  # else it is the nominal one
            found.append(Condition(f"randomize_{level}", RANDOMISATION, level, {"randomize": {"level": level}}))
    engine, own = env.get("engine", "mujoco"), task.get("level", "medium")
    found += [Condition(f"engine_{name}", ENGINE, name, {"engine": name}) for name in cfg.engines if name != engine]
    found += [Condition(f"level_{name}", LEVEL, name, {"task": {"level": name}}) for name in cfg.levels if name != own]
    return found


def _environment(cfg: DictConfig, condition: Condition) -> DictConfig:
    made = _mapping(OmegaConf.to_container(cfg.env))
    if cfg.randomize:  # groups that were named vary in the other conditions
        made.randomize = {**(made.get("randomize") or {}), "level": "none"}
    made = _mapping(OmegaConf.merge(made, dict(condition.options)))
    if "num_envs" in made:
        made.num_envs = min(made.num_envs, cfg.episodes)
    return made


def _try(environment: DictConfig, samplers: Mapping[str, Sampler]) -> None:
    """Raises what opening it raises, and SpecError for a policy of another task or robot."""
    env = build_env(_mapping(OmegaConf.merge(environment, {"num_envs": 1})))
    for name, sampler in samplers.items():
        require_match(sampler.spec, env.spec, f"environment {env.spec.task}, in which {name} was to be played")
    env.close()


def _settings(cfg: DictConfig, base: DictConfig, path: str, environment: DictConfig) -> DictConfig:
    """What `waldo evaluate` would be told for one cell."""
    told: dict[Any, Any] = {name: cfg[name] for name in ("episodes", "seed", "workers", "threads", "trust")}
    own = _mapping(OmegaConf.to_container(base))
    own.env = environment
    own = _mapping(OmegaConf.merge(own, {**told, "checkpoint": path, "videos": 0, "traces": True, "report": False}))
    check("evaluate", own)
    return own


def _mapping(node: Any) -> DictConfig:
    """A node of a configuration that is known to hold names."""
    made = OmegaConf.create(node) if isinstance(node, dict) else node
    assert isinstance(made, DictConfig)
    return made


def _play(own: DictConfig, sampler: Sampler, folder: Path) -> Evaluation:
    """The evaluation in a folder, which is run if it is not finished."""
    wanted = identity(sampler, own.env)
    if (folder / SUMMARY).exists() and is_evaluation(folder):
        try:
            before = read(folder)
        except DatasetError:  # half-written, or of another schema: it is made anew
            before = None
        seeds = set(range(own.seed, own.seed + own.episodes))
        if before is not None and before.manifest.identity == wanted and set(before.seeds.tolist()) == seeds:
            print(f"{folder}: finished before")
            return before
    own.out = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "config.yaml", OmegaConf.to_yaml(own))
    (folder / SUMMARY).unlink(missing_ok=True)
    figures = evaluate.run(own, folder)
    write_summary(folder, "evaluate", provenance.collect(seed=own.seed), figures)
    return read(folder)


def _distances(part: Part, evaluations: Mapping[str, Evaluation]) -> Distances:
    """The starts are the seeds', not the policy's: one policy's traces are enough."""
    first = next(iter(evaluations.values()))
    traced = first.trace(int(first.seeds[0])) or {}
    features = shared_vectors(part.dataset.column_keys, traced)
    begins = (part.dataset.episode_ends - part.dataset.lengths)[part.episodes]
    table = part.dataset.table(features)
    starts = np.concatenate([np.asarray(table[name], float).reshape(part.dataset.num_frames, -1)[begins] for name in features], 1)
    known, found = Novelty(starts), {name: starts_of(evaluation, features) for name, evaluation in evaluations.items()}
    width = next(iter(found.values())).shape[1]
    if width != starts.shape[1]:
        raise DatasetError(f"{', '.join(features)} have {starts.shape[1]} elements in {part.dataset.root} and {width} in the environment")
    return Distances(tuple(found), np.stack([known.distance(values) for values in found.values()]), known.usual, tuple(features))


def _table(cells: Sequence[Cell], stars: Collection[tuple[str, str]]) -> list[list[str]]:
    """A line per policy; a star where the change from the nominal condition is more than chance."""
    policies = list(dict.fromkeys(cell.policy for cell in cells))
    rows = [["", *(cell.condition.label or NOMINAL for cell in cells if cell.policy == policies[0])]]
    for policy in policies:
        own = [cell for cell in cells if cell.policy == policy]
        rows.append([policy, *(f"{cell.figure.value:.0%}{'*' if (policy, cell.condition.name) in stars else ' '}" for cell in own)])
    return rows
