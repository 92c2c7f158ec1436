"""Write a recording in another format, and say what that format could not hold.

The target appears when it is complete, and not before. Formats:

  robomimic     HDF5 of robomimic and robosuite; lossless
  zarr          diffusion_policy's replay buffer, a folder, or one file if the target ends in .zip; lossless
  minari        Minari's HDF5 storage, for offline RL; lossless
  mcap          a folder of logs, one per episode, to look at in Foxglove
  lerobot       LeRobotDataset v3.0; lossless with codec=png
  lerobot_v21   LeRobotDataset v2.1, one file per episode, for older trainers; videos are copied where that is possible

examples:
  waldo data export datasets/pick_place format=robomimic target=pick_place.hdf5
  waldo data export datasets/pick_place format=zarr target=pick_place.zarr.zip episodes=[0,1,2]
  waldo data export datasets/pick_place format=mcap target=logs/pick_place codec=png
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from data.errors import ConfigError
from data.export import Exported, export
from data.results import Figure
from data.source import Given
from data.store import Dataset

DEFAULTS = {"codec": "", "valid": 0.0, "next_obs": True}  # options of single formats: passed on where they are set


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    options = {name: cfg[name] for name, default in DEFAULTS.items() if cfg[name] != default}
    dataset = opened(cfg)
    return told(dataset, export(dataset, cfg.format, Path(cfg.target), cfg.overwrite, options=options))


def opened(cfg: DictConfig) -> Dataset:
    """The recording that the options describe. Raises DatasetError, ConfigError for options of a wrong kind."""
    chosen: dict[str, Any] = {}
    for name, kind in (("episodes", list), ("cameras", list), ("mapping", dict)):
        value = OmegaConf.to_container(cfg[name]) if OmegaConf.is_config(cfg[name]) else cfg[name]
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"{name}={value}: wanted {'a list, [a,b]' if kind is list else 'a mapping, {a: b}'}")
        chosen[name] = value
    given = Given(float(cfg.fps), cfg.task, cfg.robot)
    return Dataset.open(cfg.path, given=given, fps=float(cfg.resample), **chosen)


def told(dataset: Dataset, written: Exported) -> list[Figure]:
    """Print where it is and what was lost; the figures of the run."""
    print(f"wrote {written.path}")
    if written.lost:
        print("What it does not hold as the recording does:")
    for sentence in written.lost:
        print(f"  {sentence}")
    files = [written.path] if written.path.is_file() else [path for path in written.path.rglob("*") if path.is_file()]
    return [
        Figure("export/episodes", float(dataset.num_episodes)),
        Figure("export/frames", float(dataset.num_frames)),
        Figure("export/size", sum(path.stat().st_size for path in files) / 1e6, "MB"),
    ]
