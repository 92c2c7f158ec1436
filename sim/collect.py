"""Demonstrations from scripted experts, many at once, into a LeRobotDataset."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.errors import DatasetError, RenderError
from data.lerobot import layout
from data.record import Recorder
from data.signals import ACTOR, EXPERT, RL
from data.spec import Feature, PolicySpec
from data.store import Dataset
from sim.base import VecEnv, settings_of
from sim.demonstrate import Demonstration, demonstrate, mixture
from sim.env import ArmVecEnv

VARIATIONS = Path("meta/variations.jsonl")  # beside a dataset: one line per episode, sim.variation.randomize.Variation as JSON


def features_of(spec: PolicySpec) -> list[Feature]:
    """The columns of a dataset of this environment, cameras apart."""
    action = Feature("action", (spec.action.dim,), names=spec.action.names, units=spec.action.units, quaternions=spec.action.quaternions)
    return [*(f for f in spec.observations if not f.is_image), action, *RL, ACTOR]


def collect(
    env: VecEnv,
    root: Path,
    seeds: np.ndarray,
    styles: Mapping[str, float],
    provenance: Mapping[str, Any],
    overwrite: bool = False,
    images: bool = True,
) -> dict[str, Any]:
    """One demonstration per seed; `styles` are the shares of the ways of demonstrating (sim.experts.STYLES), spread evenly.

    An interrupted collection goes on where it stopped. Returns counts of the whole dataset; images are left out, and that is
    said, without OpenGL. Raises DatasetError if `root` holds another collection.
    """
    if not isinstance(env, ArmVecEnv):
        env.config.images = images  # type: ignore[attr-defined]  # it draws while it runs, or never
    cameras = {f.name: (f.shape[0], f.shape[1]) for f in env.spec.observations if f.is_image and images}
    missing = ""
    try:
        if images and isinstance(env, ArmVecEnv):
            env.render(env.task.cameras[0], np.array([0]))
    except RenderError as error:
        cameras, missing = {}, str(error)
    seen = tuple(f for f in env.spec.observations if not f.is_image or f.name in cameras)
    spec = dataclasses.replace(env.spec, observations=seen).to_json()
    origin = {"first_seed": int(seeds[0]), "styles": dict(styles), "environment": settings_of(env), "spec": spec}
    if not overwrite:
        _require_same(root, origin)
    features = features_of(env.spec)
    chosen = mixture(len(seeds), dict(styles))
    with Recorder(root, env.spec.rate_hz, features, env.spec.robot, cameras, overwrite, provenance={**provenance, **origin}) as recorder:
        already = recorder.committed
        variations = Variations(env, root, seeds[:already])
        with tqdm(total=len(seeds), initial=already, desc="collect", unit="episode") as bar:
            for done in demonstrate(env, seeds[already:], chosen[already:]):
                if done.error:
                    raise DatasetError(f"the demonstration of seed {done.seed} broke the simulation: {done.error}")
                pictures = {name: _pictures(env, done, name, size) for name, size in cameras.items()}
                actor = np.full(len(done.columns["action"]), EXPERT, np.uint8)
                variations.log(done.seed)
                recorder.add_episode({**done.columns, ACTOR.name: actor}, env.instruction, pictures)
                bar.update()
    dataset = Dataset.open(root)
    success = dataset.table(["next.success"])["next.success"].reshape(-1)
    starts = np.concatenate([[0], dataset.episode_ends[:-1]])
    successes = int(np.logical_or.reduceat(success, starts).sum())
    return {"episodes": dataset.num_episodes, "success": successes, "frames": dataset.num_frames, "no_images": missing}


def _pictures(env: VecEnv, done: Demonstration, name: str, size: tuple[int, int]) -> np.ndarray:
    """(T, height, width, 3) uint8 of one camera."""
    if not isinstance(env, ArmVecEnv):
        return done.images[name]
    look = env.look(env.variation(done.seed))
    return np.stack([env.physics.show(state, name.rpartition(".")[2], size, look=look) for state in done.states])


class Variations:
    """Writes what each episode got, if anything varies. done: the seeds of the episodes that are there already."""

    def __init__(self, env: VecEnv, root: Path, done: np.ndarray) -> None:
        self._env = env if isinstance(env, ArmVecEnv) and env.variation(0) is not None else None
        self._path = root / VARIATIONS
        self._episode = 0
        if self._env is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("", encoding="utf-8")
            for seed in done:
                self.log(int(seed))

    def log(self, seed: int) -> None:
        """The next episode is that of `seed`."""
        if self._env is None or (variation := self._env.variation(seed)) is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"episode_index": self._episode, **variation.to_json()}) + "\n")
        self._episode += 1


def _require_same(root: Path, origin: Mapping[str, Any]) -> None:
    """Raises DatasetError if there is a dataset that was begun with another origin."""
    if not (root / layout.INFO).exists():
        return
    there = Dataset.open(root).provenance
    different = [key for key, value in origin.items() if there.get(key) != value]
    if different:
        raise DatasetError(
            f"{root} holds demonstrations that were begun with another {', '.join(different)}; choose another folder, or overwrite it"
        )
