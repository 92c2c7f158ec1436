"""Deal the episodes of a recording out to several datasets: by shares, counts, numbers, task or success.

The parts are datasets in one new folder, which appears when all of them are complete: dataset/train, dataset/valid, ... Their
videos are shared with the whole (clones or hard links), so that they cost no space. Within a part the order stays.

examples:
  waldo data split datasets/pick_place 'fractions={train: 0.9, valid: 0.1}' dataset=datasets/pick_place_parts
  waldo data split datasets/pick_place 'counts={few: 20}' seed=1 dataset=datasets/pick_place_few
  waldo data split datasets/pick_place 'episodes={good: [0,4,7], odd: [2]}' dataset=datasets/sorted
  waldo data split datasets/pick_place by=success dataset=datasets/by_success
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.editing.split import Rule, split
from data.errors import ConfigError
from data.results import Figure
from waldo.dataset.edited import given, mapping


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    episodes = mapping(cfg, "episodes")
    if any(not isinstance(numbers, list) for numbers in episodes.values()):
        raise ConfigError(f"episodes={episodes}: wanted {{part: [0,1,2]}}")
    seed = int(cfg.seed) if cfg.shuffle else None
    rule = Rule(mapping(cfg, "fractions"), mapping(cfg, "counts"), episodes, cfg.by, seed)
    into = Path(cfg.dataset).expanduser()
    plans = split(cfg.path, rule, into, bool(cfg.link), given(cfg))
    figures = []
    for name, plan in plans.items():
        print(f"{into / name}: {len(plan.pieces)} episodes, {sum(map(len, plan.pieces))} frames")
        figures.append(Figure(f"split/{name}", float(len(plan.pieces))))
    left = len(next(iter(plans.values())).origins[0]) - sum(len(plan.pieces) for plan in plans.values())
    if left:
        print(f"{left} episodes are in no part")
    return [*figures, Figure("split/left_out", float(left))]
