"""Why does it fail? Names the most likely cause, with its evidence in numbers and the next thing to try.

Compares the checkpoint with the data that it was trained on (ranges, open-loop error, training, horizon, cameras, the recording itself),
does recorded actions again in the environment (delay, direction, speed, limits, cameras), and lets the policy try (where episodes begin,
where they leave the demonstrations, which step they never get to, how long a chunk takes).

Causes are ranked: certain (two things that have to be equal are not), likely (improbable unless this is so), symptom (how it fails). A
policy that succeeds in nine of ten episodes is told of certain ones only. The exit status is 0, whatever is found.

examples:
  waldo diagnose checkpoint=outputs/flow/checkpoint data=pick_place env=pick_place
  waldo diagnose checkpoint=outputs/flow/checkpoint data=pick_place                       without an environment: checkpoint and data alone
  waldo diagnose checkpoint=outputs/flow/checkpoint data=pick_place env=pick_place evaluation=outputs/eval_flow
  waldo diagnose checkpoint=outputs/flow/checkpoint data=pick_place data.path=datasets/mine env=pick_place episodes=50
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from data import evaluation as evaluations
from data.config import build, typed
from data.errors import ConfigError, SpecError
from data.results import Figure
from data.spec import PolicySpec, match
from data.statistics import success_rate
from policies.base import Sampler
from policies.diagnosis import Study
from policies.inputs import DataConfig, Inputs
from sim.base import VecEnv
from waldo.diagnosis import LABELS, REPLAYED, Outcome, Trial, attempt, outcomes_of
from waldo.diagnosis.conclusion import Diagnosis, conclude
from waldo.diagnosis.open_loop import errors
from waldo.diagnosis.page import write_page
from waldo.policy import load_sampler


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    if cfg.episodes < 0:
        raise ConfigError(f"episodes={cfg.episodes}; it must be 0 or more")
    policy = load_sampler(cfg.checkpoint, trust=cfg.trust)
    study = study_of(policy, Path(cfg.checkpoint), typed(DataConfig, cfg.data, "data"))
    env = open_env(cfg.env, policy, max(cfg.episodes, REPLAYED)) if cfg.env.get("_target_") else None
    try:
        earlier = evaluations.read(Path(cfg.evaluation), complete=False) if cfg.evaluation else None
        outcomes = outcomes_of(earlier) if earlier else episodes_of(env, policy, cfg.seed + np.arange(cfg.episodes))
        trial = Trial(study, env, outcomes, earlier.manifest.milestones if earlier else ())
        diagnosis = conclude(trial)
        print("\n".join(diagnosis.told(f"{cfg.checkpoint} on {study.dataset.root}")))
        if cfg.report:
            print(f"\nthe page: {write_page(trial, diagnosis, out)}")
        return figures(trial, diagnosis)
    finally:
        if env is not None:
            env.close()


def study_of(policy: Sampler, folder: Path, config: DataConfig) -> Study:
    """The policy beside its data. Raises SpecError where the data are of other shapes, DatasetError where there are none."""
    spec, notes = policy.spec, origin(folder)
    images = {f.shape[:2] for f in spec.observations if f.is_image}
    config = dataclasses.replace(config, observations=[f.name for f in spec.observations])
    if len(images) == 1:
        config.image_size = list(images.pop())
    known = int(notes.get("episodes", 0))
    limit, config.max_episodes = config.max_episodes, 0
    inputs = Inputs(config, spec.n_obs_steps, spec.horizon, spec.n_action_steps)
    if known > len(inputs.episodes) and config.only_success:  # it imitated the others, too
        inputs = Inputs(dataclasses.replace(config, only_success=False), spec.n_obs_steps, spec.horizon, spec.n_action_steps)
    offered = dataclasses.replace(inputs.spec, **{name: getattr(spec, name) for name in LABELS})
    if found := match(spec, offered):
        raise SpecError(f"{folder} was not trained on data like {inputs.dataset.root}: {'; '.join(found)}")
    same = notes.get("dataset") == inputs.content_hash and 0 < known <= len(inputs.episodes)
    seen = (known if same else limit) if len(inputs.parts) == 1 else 0
    if notes.get("dataset") not in (None, inputs.content_hash):
        print(f"note: {folder} was trained on another recording than {inputs.dataset.root}, or on an earlier state of it\n")
    normalizer = policy.normalizer  # type: ignore[attr-defined]  # policies and artefacts have one
    return Study(policy, inputs, normalizer, seen, bool(same), str(folder), f"data.path={config.path}")


def origin(folder: Path) -> dict[str, Any]:
    """What was noted when a policy was made; {} where nothing was."""
    for name in ("provenance.json", "artifact.json"):
        if (folder / name).is_file():
            raw = json.loads((folder / name).read_text())
            return dict(raw if name.startswith("prov") else raw.get("provenance", {}))
    return {}


def open_env(node: DictConfig, policy: Sampler, rows: int) -> VecEnv:
    """The environment, whether the policy was made for it or not, with pictures if the policy looks at some."""
    env: Any = build(node, num_envs=min(int(node.get("num_envs", rows)), rows))
    if any(f.is_image for f in policy.spec.observations) and hasattr(env.config, "images"):
        env.config.images = True
    opened: VecEnv = env
    return opened


def episodes_of(env: VecEnv | None, policy: Sampler, seeds: np.ndarray) -> list[Outcome]:
    """New ones; [] where the policy cannot be tried."""
    if env is None or not len(seeds):
        return []
    found = attempt(env, policy, seeds)
    if not found:
        print(f"note: the policy cannot be tried in {env.spec.task}: {'; '.join(match(_unlabelled(policy.spec, env), env.spec))}\n")
    return found


def _unlabelled(spec: PolicySpec, env: VecEnv) -> PolicySpec:
    return dataclasses.replace(spec, **{name: getattr(env.spec, name) for name in LABELS})


def figures(trial: Trial, diagnosis: Diagnosis) -> list[Figure]:
    found = [Figure("alarms", float(len(diagnosis.alarms)))]
    if trial.outcomes:
        wins = sum(o.success for o in trial.outcomes)
        found.append(success_rate("success", wins, len(trial.outcomes)))
    for group, rows in errors(trial.study).items():
        found += [Figure(f"open_loop/{group}/{row.name}", row.error, row.unit, row.n) for row in rows]
    return found + [Figure(name, value, unit) for name, (value, unit) in diagnosis.measured.items()]
