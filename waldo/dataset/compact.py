"""Join the many small files of a recording into few large ones, without encoding any video again.

A recorder writes a data file and a video per camera for every episode, which is what makes it safe; ten thousand files are slow
to copy and to open. Frames that no episode needs any more, after delete or trim, are taken out, as far as key frames allow.
Every joined video is decoded and compared, bit for bit, with what it was joined from, before it takes the old ones' place.
Recording can go on afterwards, in new files.

examples:
  waldo data compact datasets/pick_place
  waldo data compact datasets/pick_place video_mb=500 check=false
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.editing.compact import compact
from data.lookup import find
from data.results import Figure
from waldo.dataset.edited import place, result_of, told


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    before = _files(find(cfg.path))
    plan = compact(cfg.path, float(cfg.data_mb), float(cfg.video_mb), bool(cfg.check), place(cfg))
    after = _files(result_of(cfg, plan))
    print(f"{before} files became {after}")
    return [*told("compact", plan, result_of(cfg, plan)), Figure("compact/files", float(after))]


def _files(root: Path) -> int:
    return sum(1 for folder in ("meta", "data", "videos") for path in (root / folder).rglob("*") if path.is_file())
