"""Say something else of the same frames: tasks, names, units, the robot; or drop features.

No value and no frame changes: units={action: [deg, deg]} corrects what was said wrongly, it converts nothing. Features are named
as they are before the edit. Without dataset= it is edited in place, in one instant.

examples:
  waldo data relabel datasets/pick_place 'tasks={pick: pick the red cube}'
  waldo data relabel datasets/pick_place 'episode_tasks={3: put it back}'
  waldo data relabel datasets/pick_place 'rename={observation.images.cam0: observation.images.wrist}' drop=[observation.debug]
  waldo data relabel datasets/pick_place 'units={action: [rad, rad, rad, m]}' robot_type=arm
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.editing.relabel import Labels, relabel
from data.results import Figure
from waldo.dataset.edited import given, listed, mapping, place, result_of, told


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    labels = Labels(
        **{name: mapping(cfg, name) for name in ("tasks", "episode_tasks", "rename", "names", "units")},
        drop=listed(cfg, "drop") or [],
        robot_type=cfg.robot_type,
    )
    plan = relabel(cfg.path, labels, place(cfg), given(cfg))
    return told("relabel", plan, result_of(cfg, plan))
