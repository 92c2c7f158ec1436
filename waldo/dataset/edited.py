"""What the commands that edit recordings have in common: where the result goes, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from data.editing.opening import Place
from data.editing.plan import Plan
from data.errors import ConfigError
from data.results import Figure
from data.source import Given


def place(cfg: DictConfig) -> Place:
    """`dataset`, `backup` and `link` of an editing command; an empty `dataset` edits in place."""
    return Place(Path(cfg.dataset).expanduser() if cfg.dataset else None, bool(cfg.backup), bool(cfg.link))


def given(cfg: DictConfig) -> Given:
    """What the user says about a recording that does not say it itself."""
    return Given(float(cfg.fps), cfg.task, cfg.robot)


def mapping(cfg: DictConfig, name: str) -> dict[Any, Any]:
    """An option that is a mapping, {} where nothing was said. Raises ConfigError for anything else."""
    value = OmegaConf.to_container(cfg[name]) if OmegaConf.is_config(cfg[name]) else cfg[name]
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{name}={value}: wanted a mapping, {{a: b}}")
    return value


def listed(cfg: DictConfig, name: str) -> list[Any] | None:
    """An option that is a list, None where nothing was said. Raises ConfigError for anything else."""
    value = OmegaConf.to_container(cfg[name]) if OmegaConf.is_config(cfg[name]) else cfg[name]
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{name}={value}: wanted a list, [a,b]")
    return value


def told(action: str, plan: Plan, root: Path | str, before: int | None = None) -> list[Figure]:
    """Print where the result is and how much is in it; the figures of the run. before: frames there were, where that says something."""
    frames = sum(map(len, plan.pieces))
    less = f", {before - frames} fewer" if before is not None and before != frames else ""
    print(f"{root}: {len(plan.pieces)} episodes, {frames} frames{less}")
    return [Figure(f"{action}/episodes", float(len(plan.pieces))), Figure(f"{action}/frames", float(frames))]


def frames_before(plan: Plan) -> int:
    """Frames of all origins."""
    return sum(int(origin.index.lengths.sum()) for origin in plan.origins)


def result_of(cfg: DictConfig, plan: Plan) -> Path:
    """Where the result of a command is that may have edited in place."""
    return Path(cfg.dataset).expanduser() if cfg.dataset else plan.origins[0].root
