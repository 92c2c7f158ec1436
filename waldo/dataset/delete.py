"""Leave episodes out of a recording. The others keep every value and every frame; no video is encoded again.

Without dataset= it is edited in place: the new one is built beside it, of the same files, and takes its place in one instant,
so that a kill at any moment leaves the old one or the new one. A video that several episodes share stays as it is, with frames
that nothing points at; `waldo data compact` takes them out. Recordings in other formats are converted first.

examples:
  waldo data delete datasets/pick_place episodes=[3,17]
  waldo data delete datasets/pick_place episodes=[-1] backup=true            the last one; the old dataset stays as pick_place.bak
  waldo data delete pusht.zarr.zip episodes=[0] dataset=datasets/pusht fps=10 task="push the T"
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.editing.delete import delete
from data.results import Figure
from waldo.dataset.edited import frames_before, given, listed, place, result_of, told


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    plan = delete(cfg.path, listed(cfg, "episodes") or [], place(cfg), given(cfg))
    return told("delete", plan, result_of(cfg, plan), frames_before(plan))
