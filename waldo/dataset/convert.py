"""Make a LeRobotDataset v3.0, the native format, of a recording in any format.

Columns keep every value, with their names and units. Cameras become video, which is lossy, or with codec=png pictures that
are exactly those of the recording. A conversion that was interrupted goes on where it stopped when the same command is given
again; the dataset appears when it is complete.

examples:
  waldo data convert demo.hdf5 dataset=datasets/demo
  waldo data convert pusht.zarr.zip dataset=datasets/pusht fps=10 task="push the T onto the target" codec=png
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.export import export
from data.results import Figure
from data.to_lerobot import is_done
from waldo.dataset.export import opened, told


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    dataset, target = opened(cfg), Path(cfg.dataset).expanduser()
    if not cfg.overwrite and is_done(dataset, target, cfg.codec):
        print(f"{target} is that conversion already")
        return [Figure("export/episodes", float(dataset.num_episodes)), Figure("export/frames", float(dataset.num_frames))]
    return told(dataset, export(dataset, "lerobot", target, cfg.overwrite, options={"codec": cfg.codec}))
