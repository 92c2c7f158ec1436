"""A checkpoint is a folder: model.safetensors, config.yaml, spec.json, stats.safetensors, provenance.json. No pickle.

It is written beside its place and renamed into it, so that an interrupted save leaves the one before.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from yaml import YAMLError  # type: ignore[import-untyped]

from data.config import build, locate
from data.errors import CheckpointError, WaldoError
from data.spec import PolicySpec
from policies.module import SpecModule
from policies.normalize import Normalizer

FILES = ("model.safetensors", "config.yaml", "spec.json", "stats.safetensors", "provenance.json")


def config_node(module: SpecModule) -> dict[str, Any]:
    """The YAML node from which data.config.build makes this module again."""
    cls = type(module)
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", **dataclasses.asdict(module.config)}


def save(module: SpecModule, folder: Path, provenance: Mapping[str, Any], weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write `module` to `folder`, replacing what was there. `weights`: other values for its parameters, e.g. an average."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    state = {**module.state_dict(), **(weights or {})}
    safetensors.torch.save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, fresh / FILES[0])
    (fresh / FILES[1]).write_text(OmegaConf.to_yaml(OmegaConf.create(config_node(module))))
    (fresh / FILES[2]).write_text(module.spec.to_json())
    safetensors.numpy.save_file(module.normalizer.state(), fresh / FILES[3])
    (fresh / FILES[4]).write_text(json.dumps(dict(provenance), indent=1, sort_keys=True))
    replace_folder(fresh, folder)


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put a finished folder in the place of another: at every instant one of the two is whole."""
    for path in fresh.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Finish a replacement that was cut between its two renames."""
    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():
        old.rename(folder)


def load(folder: Path, trust: str = "", device: str = "cpu") -> Any:
    """The module saved in `folder`, in evaluation mode. Only `policies.*` is built, and the package named by `trust`.

    Raises CheckpointError if the folder is missing, incomplete or damaged, ConfigError for a class that is not trusted.
    """
    folder = Path(folder)
    recover(folder)
    if not folder.is_dir():
        raise CheckpointError(f"there is no checkpoint at {folder}; `waldo train` writes one to <out>/checkpoint")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise CheckpointError(f"{folder} is not a checkpoint: {', '.join(missing)} missing; found: {found}")
    try:
        spec = PolicySpec.from_json((folder / FILES[2]).read_text())
        normalizer = Normalizer.from_state(spec, safetensors.numpy.load_file(folder / FILES[3]))
        node = _node(folder / FILES[1])
        trusted = ("policies", trust) if trust else ("policies",)
        found = locate(node["_target_"], trusted)
        if not (inspect.isclass(found) and issubclass(found, SpecModule)):
            raise CheckpointError(f"{node['_target_']} is not a policy or a critic")
        module = build(node, spec, normalizer, trusted=trusted)
        module.load_state_dict(safetensors.torch.load_file(folder / FILES[0]))
    except WaldoError as error:
        raise type(error)(f"{folder}: {error}") from error
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{folder} is damaged: {str(error).splitlines()[0]}") from error
    return module.eval().to(device)


def _node(path: Path) -> dict[str, Any]:
    """The options in config.yaml. Raises CheckpointError for what `save` never writes, references to elsewhere included."""
    text = path.read_text()
    try:
        node = OmegaConf.to_container(OmegaConf.create(text))
    except YAMLError as error:
        raise CheckpointError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str) or "${" in text:
        raise CheckpointError(f"{path.name} needs `_target_`, the dotted path of a class, and plain options without references")
    return {str(key): value for key, value in node.items()}


def provenance(folder: Path) -> dict[str, Any]:
    """What was noted when the checkpoint was made."""
    return json.loads((Path(folder) / FILES[4]).read_text())
