"""Make a page to look through a recording: films and plots of every column, for any browser, without a network.

The page lists the episodes; space plays the films and moves a cursor through the plots, the arrow keys go frame by frame
and from episode to episode. Long recordings show a sample of their episodes unless some are named.

examples:
  waldo data view datasets/pick_place                                 one file, a sample of the episodes
  waldo data view datasets/pick_place episodes=[0,7,12] cameras=[]    these, without films
  waldo data view datasets/pick_place single=false                    a folder with the films beside the page
  waldo data view datasets/pick_place viewer=rerun                    files for the Rerun viewer
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from data.errors import ConfigError, did_you_mean
from data.results import Figure
from data.source import Given
from data.store import Dataset
from data.viewing.page import sample, write_view

VIEWERS = ("page", "rerun")


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.viewer not in VIEWERS:
        raise ConfigError(f"viewer={cfg.viewer}; {did_you_mean(cfg.viewer, VIEWERS)}")
    given = Given(fps=float(cfg.fps), task=str(cfg.task))
    whole = Dataset.open(cfg.path, cameras=[], given=given)
    numbers = None if cfg.episodes is None else [int(number) for number in cfg.episodes]
    if numbers is None:
        elements = sum(int(np.prod(whole.features[name]["shape"])) for name in whole.column_keys)
        numbers = sample(whole.lengths, 4 * elements, cfg.single)
    cameras = None if cfg.cameras is None else [str(key) for key in cfg.cameras]
    dataset = Dataset.open(cfg.path, numbers, cameras, given)
    if cfg.viewer == "rerun":
        from data.viewing.rerun_log import write_rerun

        files = write_rerun(dataset, out)
        print(f"{len(files)} files in {out}; open them with: rerun --bind 127.0.0.1 {out}/*.rrd")
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        return [Figure("view/episodes", float(len(files))), Figure("view/size", megabytes, "MB")]
    view = write_view(dataset, out, whole.num_episodes, cfg.single)
    print(f"{view.page}: {len(view.episodes)} of {whole.num_episodes} episodes, {view.size / 1e6:.1f} MB; open it in a browser")
    return [Figure("view/episodes", float(len(view.episodes))), Figure("view/size", view.size / 1e6, "MB")]
