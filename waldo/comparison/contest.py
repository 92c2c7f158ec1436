"""The two sides of a comparison: episodes that are in a folder, or a policy that plays; and how they meet, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from omegaconf import DictConfig, OmegaConf

from data.errors import ConfigError, DatasetError
from data.evaluation import MANIFEST, Evaluation, Manifest, is_evaluation, read

WEIGHTS, ARTEFACT = "model.safetensors", "artifact.json"


class Side(Protocol):
    manifest: Manifest

    def on(self, seeds: Sequence[int]) -> np.ndarray:
        """(n,) bool, success on the given seeds."""

    def close(self) -> None: ...


class Recorded:
    """The episodes of a finished evaluation."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation, self.manifest, self.seeds = evaluation, evaluation.manifest, evaluation.seeds
        self._success = dict(zip(evaluation.seeds.tolist(), evaluation.success.tolist(), strict=True))

    def on(self, seeds: Sequence[int]) -> np.ndarray:
        return np.array([self._success[seed] for seed in seeds], bool)

    def close(self) -> None:
        pass


class Playing:
    """A checkpoint or an artefact. Its episodes are kept in `out`, an evaluation like any other, and are not played again."""

    def __init__(self, path: str, env: DictConfig, out: Path, trust: str) -> None:
        from waldo.evaluate import opened  # late: two folders are compared without torch and without a simulator

        alone = {"checkpoint": path, "critic": "", "steer": {}, "policy": {}, "untrained": False, "trust": trust}
        self._env, self._player, self.manifest = opened(OmegaConf.create({**alone, "env": env}))
        self._out = out

    def on(self, seeds: Sequence[int]) -> np.ndarray:
        from sim.evaluate import evaluate

        rows = evaluate(self._env, self._player, seeds, self._out, label=self._out.name, manifest=self.manifest)
        return np.array([row["success"] for row in rows], bool)

    def close(self) -> None:
        self._env.close()


def open_side(name: str, path: str, cfg: DictConfig, out: Path) -> Recorded | Playing:
    """What lies in the folder `path`, given as the option `name`.

    Raises DatasetError for an evaluation that cannot be read or is not finished, CheckpointError for a policy that cannot be loaded, and
    ConfigError for a folder that is neither, and for a policy without an environment to play in.
    """
    folder = Path(path)
    if is_evaluation(folder):
        return Recorded(read(folder))
    if not any((folder / file).is_file() for file in (WEIGHTS, ARTEFACT)):
        hint = f"; {folder / 'checkpoint'} is one" if (folder / "checkpoint" / WEIGHTS).is_file() else ""
        what = f"is neither an evaluation ({MANIFEST}), nor a checkpoint ({WEIGHTS}), nor an artefact ({ARTEFACT}){hint}"
        raise ConfigError(f"{name}={path} {what if folder.exists() else 'does not exist'}")
    if not cfg.env.get("_target_"):
        raise ConfigError(f"{name}={path} is a policy, and its episodes have to be played: say where, as in evaluate, env=pick_place")
    if cfg.threads:
        import torch

        torch.set_num_threads(cfg.threads)
    return Playing(path, cfg.env, out / name, cfg.trust)


def seeds_of(sides: Sequence[Recorded | Playing], cfg: DictConfig) -> list[int]:
    """Those of the side whose episodes are there, at most cfg.episodes of them; where both play, as many from cfg.seed on."""
    recorded = [side for side in sides if isinstance(side, Recorded)]
    wanted = recorded[0].seeds.tolist() if recorded else range(cfg.seed, cfg.seed + cfg.episodes)
    return list(wanted[: cfg.episodes])


def meet(sides: Sequence[Side], seeds: Sequence[int], group: int, enough: Callable[[np.ndarray, np.ndarray], bool]) -> list[np.ndarray]:
    """Success of both sides (n,) bool on the first n seeds; n grows by `group` until it is `enough`, or all."""
    if not seeds:
        raise DatasetError("there is no seed to compare on")
    results: list[np.ndarray] = []
    for n in range(group, len(seeds) + group, group):
        results = [side.on(seeds[:n]) for side in sides]
        if enough(*results):
            break
    return results
