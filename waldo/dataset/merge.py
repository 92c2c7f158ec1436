"""Make one dataset of several of the same kind: features, shapes, names, units, frame rate, robot.

Nothing is converted silently: every difference is named, and `waldo data relabel` or `waldo data convert` removes it. Tasks of
the same text become one. meta/waldo.json says which episodes came from where. Videos are shared, not copied. Recordings in other
formats are converted first.

examples:
  waldo data merge datasets/monday datasets/tuesday dataset=datasets/week
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.editing.merge import merge
from data.results import Figure
from waldo.dataset.edited import given, listed, told


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    into = Path(cfg.dataset).expanduser()
    plan = merge(listed(cfg, "paths") or [], into, bool(cfg.link), given(cfg))
    for path, part in zip(listed(cfg, "paths") or [], plan.provenance["merged"], strict=True):
        first, stop = part["episodes"]
        print(f"episodes {first} to {stop - 1} are those of {path}")
    return told("merge", plan, into)
