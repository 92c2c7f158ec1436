"""Publish a LeRobot dataset on the Hugging Face Hub, with a card that says what is in it.

The card is made from the dataset (tasks, features, units, rate); a README.md of its own keeps its text. The version of the
format becomes a tag, which is how lerobot finds it. You need a token that may write: `hf auth login`.

examples:
  waldo data push datasets/pick_place repo=me/pick_place license=cc-by-4.0
  waldo data push datasets/pick_place repo=me/pick_place license=other private=true
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data import hub
from data.results import Figure
from data.store import Dataset


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    print(hub.push(cfg.path, cfg.repo, cfg.license, cfg.private))
    return [Figure("push/episodes", float(Dataset.open(cfg.path).num_episodes))]
