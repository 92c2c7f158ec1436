"""Cut frames off the ends of episodes: named ones, or those in which nothing moves. No video is encoded again.

frames={episode: [start, stop]} keeps frames from start up to, but without, stop; null is the episode's own end, negative
numbers count from it. idle=THRESHOLD drops leading and trailing frames in which no element of observation.state and action
changes by more than the threshold, in the element's own unit, from one frame to the next; an episode that never moves is left alone.

Where the end of an episode is cut off, its last frame becomes next.truncated (and next.done), if there are such columns: the
task did not end there. Without dataset= it is edited in place, in one instant.

examples:
  waldo data trim datasets/pick_place 'frames={3: [10, 80], 5: [null, -4]}'
  waldo data trim datasets/pick_place idle=0.001 keep=5 dataset=datasets/pick_place_trimmed
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.editing.trim import Idle, trim
from data.errors import ConfigError
from data.results import Figure
from waldo.dataset.edited import frames_before, given, listed, mapping, place, result_of, told


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    frames = mapping(cfg, "frames")
    if any(not isinstance(ends, list) for ends in frames.values()):
        raise ConfigError(f"frames={frames}: wanted {{episode: [start, stop]}}")
    idle = None if cfg.idle is None else Idle(float(cfg.idle), tuple(listed(cfg, "columns") or ()), int(cfg.keep))
    plan = trim(cfg.path, {i: tuple(ends) for i, ends in frames.items()}, idle, listed(cfg, "episodes"), place(cfg), given(cfg))
    still = [piece.episode for piece in plan.pieces if plan.is_whole(piece)]
    if idle is not None and still:
        print(f"nothing to cut off in {len(still)} episodes")
    return told("trim", plan, result_of(cfg, plan), frames_before(plan))
