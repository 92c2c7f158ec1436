"""Mend a damaged LeRobotDataset v3.0, and say what was wrong. Nothing is thrown away.

It mends: counts of info.json that are ahead or behind; what a killed recorder left; tasks.parquet, stats.json, statistics or rows
of meta/episodes that are missing, torn or not finite; names=null and wrong shapes of cameras; columns that count wrongly (index,
episode_index, frame_index, timestamp); videos in a wrong folder. An episode whose rows or videos are not complete is left out.
fps=RATE says the true rate where another one was written down: columns and videos are then shown at it, without encoding.

Afterwards the dataset opens, or it was not touched and the reason is said. Originals of everything that was changed or left out
are in <dataset>.removed.

examples:
  waldo data repair datasets/pick_place dry_run=true          only say what would be done
  waldo data repair datasets/pick_place
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.repair import repair
from data.results import Figure


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    done = repair(cfg.path, bool(cfg.dry_run), float(cfg.fps))
    for note in done.notes:
        print(f"- {note}")
    if not done.notes:
        print(f"{done.root}: nothing to mend, {done.episodes} episodes")
    elif cfg.dry_run:
        print(f"{done.root}: {done.episodes} episodes would be complete; nothing was changed")
    else:
        kept = f"; the originals are in {done.removed}" if done.removed else ""
        print(f"{done.root}: {done.episodes} complete episodes{kept}")
    return [Figure("repair/mended", float(len(done.notes))), Figure("repair/episodes", float(done.episodes))]
