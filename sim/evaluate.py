"""Success rates with their intervals: one policy on given seeds, one row per episode, resumable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.lerobot.video import write_mp4
from data.results import EpisodeLog, Figure, write_atomic
from data.statistics import wilson
from policies.base import Sampler
from sim.base import VecEnv
from sim.caption import caption
from sim.players import Experts
from sim.rollout import FILM_EVERY, EpisodeResult, rollout

NAMED = 5  # broken episodes that are told of at the end


def evaluate(
    env: VecEnv,
    player: Sampler | Experts,
    seeds: Iterable[int],
    out: Path,
    identity: str = "",
    label: str = "evaluate",
    videos: int = 0,
    camera: str = "",
) -> list[dict[str, Any]]:
    """Rows of every seed, also in `out/episodes.jsonl`. Films the first `videos` seeds to out/videos. Episodes in which the
    environment broke count as failed, and are named.

    player     a policy, or the environment's scripted experts
    identity   says what is evaluated, and where: rows that `out` holds of the same are kept, rows of anything else are set
               aside under another name. Without it nothing is known to be the same
    """
    out.mkdir(parents=True, exist_ok=True)
    _set_aside(out, identity)
    wanted = [int(s) for s in seeds]
    with EpisodeLog(out / "episodes.jsonl") as log:
        done = log.done_seeds()
        todo = [seed for seed in wanted if seed not in done]
        kept = len(wanted) - len(todo)
        with tqdm(total=len(wanted), initial=kept, desc=label, unit="episode", mininterval=0.5) as bar:

            def show(running: int) -> None:
                group = min(env.num_envs, len(todo) - written)
                bar.set_postfix(running=running, refresh=False)
                bar.update(kept + written + group - running - bar.n)

            written = 0
            play = player.episodes if isinstance(player, Experts) else partial(_rollout, player)
            episodes = play(env, todo, film=wanted[:videos], camera=camera, on_step=show)
            for number, result in enumerate(episodes, 1):
                if result.frames:
                    name = f"seed_{result.seed}_{'success' if result.success else 'failure'}.mp4"
                    (out / "videos").mkdir(exist_ok=True)
                    rate_hz = env.spec.rate_hz / FILM_EVERY
                    film = caption(np.stack(result.frames), rate_hz, "success" if result.success else "failure")
                    write_mp4(out / "videos" / name, film, rate_hz)
                log.append(result.row())
                written = number
        rows = {row["seed"]: row for row in log.rows()}
    broken = [rows[seed] for seed in wanted if rows[seed].get("error")]
    for row in broken[:NAMED]:
        print(f"seed {row['seed']} counts as failed: {row['error']}")
    if len(broken) > NAMED:
        print(f"... and {len(broken) - NAMED} more, in {out / 'episodes.jsonl'}")
    return [rows[seed] for seed in wanted]


def _rollout(policy: Sampler, env: VecEnv, seeds: list[int], **options: Any) -> Iterator[EpisodeResult]:
    return rollout(env, policy, seeds, **options)


def _set_aside(out: Path, identity: str) -> None:
    """A figure never mixes the episodes of two policies."""
    rows, note = out / "episodes.jsonl", out / "evaluated.txt"
    if rows.exists() and not (identity and note.exists() and note.read_text() == identity):
        number = next(n for n in range(1, 10_000) if not (out / f"episodes-{n}.jsonl").exists())
        rows.rename(out / f"episodes-{number}.jsonl")
        if (out / "videos").exists():
            (out / "videos").rename(out / f"videos-{number}")
        print(f"{rows} held episodes of something else; they are in episodes-{number}.jsonl now")
    write_atomic(note, identity)


def success_figure(name: str, rows: list[dict[str, Any]]) -> Figure:
    """The success rate with its 95 % Wilson interval."""
    wins = sum(bool(row["success"]) for row in rows)
    low, high = wilson(wins, len(rows))
    return Figure(name, wins / len(rows), "", len(rows), low, high)
