"""Demonstrations from scripted experts, many at once, into a LeRobotDataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.config import locate
from data.errors import ConfigError, DatasetError, RenderError
from data.lerobot import layout
from data.record import Recorder
from data.signals import ACTOR, EXPERT, RL
from data.spec import Feature, PolicySpec
from data.store import Dataset
from sim.env import ArmVecEnv


def features_of(spec: PolicySpec) -> list[Feature]:
    """The columns of a dataset of this environment, cameras apart."""
    action = Feature("action", (spec.action.dim,), names=spec.action.names, units=spec.action.units, quaternions=spec.action.quaternions)
    return [*(f for f in spec.observations if not f.is_image), action, *RL, ACTOR]


def collect(
    env: ArmVecEnv,
    expert: str,
    root: Path,
    seeds: np.ndarray,
    sloppy: float,
    provenance: Mapping[str, Any],
    overwrite: bool = False,
    images: bool = True,
) -> dict[str, Any]:
    """One demonstration per seed; `sloppy` is the share of sloppy demonstrators, spread evenly.

    An interrupted collection goes on where it stopped. Returns counts of the whole dataset; images are left out, and that is
    said, without OpenGL. Raises DatasetError if `root` holds another collection.
    """
    cameras = {f.name: (f.shape[0], f.shape[1]) for f in env.spec.observations if f.is_image and images}
    missing = ""
    try:
        if images:
            env.render(env.task.cameras[0], np.array([0]))
    except RenderError as error:
        cameras, missing = {}, str(error)
    seen = tuple(f for f in env.spec.observations if not f.is_image or f.name in cameras)
    spec = dataclasses.replace(env.spec, observations=seen).to_json()
    settings = {k: v for k, v in dataclasses.asdict(env.config).items() if k not in ("num_envs", "threads", "images")}
    origin = {"first_seed": int(seeds[0]), "sloppy": sloppy, "expert": expert, "environment": settings, "spec": spec}
    if not overwrite:
        _require_same(root, origin)
    features = features_of(env.spec)
    with Recorder(root, env.spec.rate_hz, features, env.robot.name, cameras, overwrite, provenance={**provenance, **origin}) as recorder:
        already = recorder.committed
        with tqdm(total=len(seeds), initial=already, desc="collect", unit="episode") as bar:
            for start in range(already, len(seeds), env.num_envs):
                group = seeds[start : start + env.num_envs]
                flags = [int((start + i + 1) * sloppy) > int((start + i) * sloppy) for i in range(len(group))]
                for arrays, states in _demonstrate(env, expert, group, flags):
                    pictures = {
                        name: np.stack([env.physics.show(state, name.rpartition(".")[2], size) for state in states])
                        for name, size in cameras.items()
                    }
                    actor = np.full(len(states), EXPERT, np.uint8)
                    recorder.add_episode({**arrays, ACTOR.name: actor}, env.task.instruction, pictures)
                    bar.update()
    dataset = Dataset.open(root)
    success = dataset.table(["next.success"])["next.success"].reshape(-1)
    starts = np.concatenate([[0], dataset.episode_ends[:-1]])
    successes = int(np.logical_or.reduceat(success, starts).sum())
    return {"episodes": dataset.num_episodes, "success": successes, "frames": dataset.num_frames, "no_images": missing}


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


def _demonstrate(env: ArmVecEnv, expert: str, seeds: np.ndarray, sloppy: list[bool]) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Run one group side by side. Per seed: the columns (T, ...), and the states to draw the images from."""
    make = locate(expert)
    obs = env.reset(seeds)
    people = [make(np.random.default_rng([int(seed), 1]), flag, env.spec.rate_hz) for seed, flag in zip(seeds, sloppy, strict=True)]
    scripts = [person.script() for person in people]
    rows: list[list[dict[str, Any]]] = [[] for _ in seeds]
    states: list[list[np.ndarray]] = [[] for _ in seeds]
    action = np.zeros((env.num_envs, env.spec.action.dim), np.float32)
    active = np.arange(env.num_envs) < len(seeds)
    while active.any():
        for i in np.flatnonzero(active):
            people[i].obs = {name: values[i] for name, values in obs.items()}
            pose = next(scripts[i], None)
            if pose is None:  # done, or given up
                active[i] = False
                if not rows[i]:
                    raise ConfigError(f"the expert {expert} did nothing")
                rows[i][-1]["next.terminated"] = True
                continue
            row = np.array([i])
            action[i] = pose if env.config.action == "ee_pose" else _as_joints(env, pose, row)
        running = np.flatnonzero(active)
        if not len(running):
            break
        drawn = env.physics.state()
        before = obs
        obs, reward, terminated, truncated, info = env.step(action, active)
        for i in running:
            vectors = {name: values[i].copy() for name, values in before.items() if not name.startswith("observation.images.")}
            signals = {
                "next.reward": reward[i],
                "next.success": info["success"][i],
                "next.terminated": terminated[i],
                "next.truncated": truncated[i],
            }
            rows[i].append({**vectors, "action": action[i].copy(), **signals})
            states[i].append(drawn[i])
        active &= ~(terminated | truncated)
    return [({name: _column([row[name] for row in r]) for name in r[0]}, np.array(s)) for r, s in zip(rows, states, strict=True)]


def _column(values: list[Any]) -> np.ndarray:
    column = np.array(values)
    if column.dtype == bool:
        return column.reshape(len(values), 1)
    return column.astype(np.float32).reshape(len(values), -1)


def _as_joints(env: ArmVecEnv, pose: np.ndarray, row: np.ndarray) -> np.ndarray:
    q = env.kinematics.inverse(pose[None, :3], pose[None, 3:7], env._q_target[row])[0]
    return np.concatenate([q, pose[7:]]).astype(np.float32)
