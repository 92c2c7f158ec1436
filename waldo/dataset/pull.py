"""Fetch a dataset from the Hugging Face Hub into the folder of your datasets.

It goes to $WALDO_DATASETS/user/name (else ./datasets/user/name) and is then found as user/name. A download that was cut
off goes on when the command is repeated; until it is complete, there is no dataset of that name.

examples:
  waldo data pull lerobot/pusht
  waldo data pull lerobot/pusht revision=v3.0
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data import hub
from data.errors import ConfigError
from data.results import Figure
from data.store import Dataset


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    asked = hub.parse(str(cfg.path))
    if asked is None:
        raise ConfigError(f"{cfg.path} is no dataset of the Hub; wanted user/name or hf://user/name")
    repo, revision = asked
    folder = hub.pull(repo, cfg.revision or revision)
    dataset = Dataset.open(folder)
    print(dataset)
    return [Figure("pull/episodes", float(dataset.num_episodes)), Figure("pull/frames", float(dataset.num_frames))]
