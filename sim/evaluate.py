"""Success rates with their intervals: one policy on given seeds, one row per episode, resumable."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.results import EpisodeLog, Figure
from data.statistics import wilson
from data.video import write_mp4
from policies.base import Sampler
from sim.base import VecEnv
from sim.rollout import rollout


def evaluate(
    env: VecEnv, sampler: Sampler, seeds: Iterable[int], out: Path, label: str = "evaluate", videos: int = 0, camera: str = ""
) -> list[dict[str, Any]]:
    """Rows of every seed, from `out/episodes.jsonl` where they are there already. Films the first `videos` seeds to out/videos."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = [int(s) for s in seeds]
    with EpisodeLog(out / "episodes.jsonl") as log:
        done = log.done_seeds()
        todo = [seed for seed in wanted if seed not in done]
        with tqdm(total=len(wanted), initial=len(wanted) - len(todo), desc=label, unit="episode") as bar:

            def show(running: int) -> None:
                bar.set_postfix(running=running)

            for result in rollout(env, sampler, todo, film=wanted[:videos], camera=camera, on_step=show):
                if result.frames:
                    name = f"seed_{result.seed}_{'success' if result.success else 'failure'}.mp4"
                    (out / "videos").mkdir(exist_ok=True)
                    write_mp4(out / "videos" / name, np.stack(result.frames), env.spec.rate_hz)
                log.append(result.row())
                bar.update()
        rows = {row["seed"]: row for row in log.rows()}
    return [rows[seed] for seed in wanted]


def success_figure(name: str, rows: list[dict[str, Any]]) -> Figure:
    """The success rate with its 95 % Wilson interval."""
    wins = sum(bool(row["success"]) for row in rows)
    low, high = wilson(wins, len(rows))
    return Figure(name, wins / len(rows), "", len(rows), low, high)
