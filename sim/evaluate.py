"""Success rates with their intervals: one policy on given seeds, one row per episode, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.durable import replacing
from data.errors import DatasetError
from data.evaluation import LATENCY, MANIFEST, ROWS, TRACES, VIDEOS, Manifest, manifest_of
from data.lerobot.video import write_mp4
from data.results import EpisodeLog, Figure
from data.statistics import success_rate
from policies.base import Sampler
from sim.base import VecEnv, settings_of
from sim.caption import caption
from sim.players import Experts
from sim.rollout import FILM_EVERY, EpisodeResult, rollout

NAMED = 5  # broken episodes that are told of at the end


def describe(env: VecEnv, player: Sampler | Experts, policy: str = "", identity: str = "", commit: str = "") -> Manifest:
    """What is evaluated, and where, without its seeds."""
    spec = env.spec
    return Manifest(
        policy=policy or type(player).__name__,
        identity=identity,
        task=spec.task,
        robot=spec.robot,
        environment=settings_of(env),
        seeds=(),
        rate_hz=spec.rate_hz,
        max_steps=env.max_steps,
        n_action_steps=1 if isinstance(player, Experts) else player.spec.n_action_steps,
        milestones=tuple(getattr(env, "milestones", ())),
        features={f.name: list(f.names) for f in spec.observations if not f.is_image},
        instruction=env.instruction if hasattr(env, "instruction") else "",
        commit=commit,
    )


def evaluate(
    env: VecEnv,
    player: Sampler | Experts,
    seeds: Iterable[int],
    out: Path,
    identity: str = "",
    label: str = "evaluate",
    videos: int = 0,
    camera: str = "",
    manifest: Manifest | None = None,
    traces: bool = True,
) -> list[dict[str, Any]]:
    """Rows of every seed; `out` becomes an evaluation folder (data.evaluation). Films the first `videos` seeds. Episodes in which
    the environment broke count as failed, and are named.

    player     a policy, or the environment's scripted experts
    identity   says what is evaluated, and where: rows that `out` holds of the same are kept, rows of anything else are set
               aside under another name. Without it nothing is known to be the same
    manifest   instead of `identity`: what `describe` says, with more of what is known
    traces     keep what was observed and done, for reports and diagnosis
    """
    out.mkdir(parents=True, exist_ok=True)
    wanted = [int(s) for s in seeds]
    prepare(out, dataclasses.replace(manifest or describe(env, player, identity=identity), seeds=tuple(wanted)))
    with EpisodeLog(out / ROWS) as log:
        done = log.done_seeds()
        todo = [seed for seed in wanted if seed not in done]
        kept = len(wanted) - len(todo)
        with tqdm(total=len(wanted), initial=kept, desc=label, unit="episode", mininterval=0.5) as bar:

            def show(running: int) -> None:
                group = min(env.num_envs, len(todo) - written)
                bar.set_postfix(running=running, refresh=False)
                bar.update(kept + written + group - running - bar.n)

            written = 0
            episodes = _episodes(player)(env, todo, film=wanted[:videos], camera=camera, on_step=show)
            for number, result in enumerate(episodes, 1):
                _keep(result, out, env.spec.rate_hz, traces)
                log.append(result.row())  # last: what has a row is complete
                written = number
        rows = {row["seed"]: row for row in log.rows()}
    tell_broken([rows[seed] for seed in wanted], out)
    return [rows[seed] for seed in wanted]


def film_failures(env: VecEnv, player: Sampler | Experts, rows: list[dict[str, Any]], out: Path, most: int, camera: str = "") -> None:
    """Play the first `most` failed episodes that have no film again, and film them: the same seed is the same episode."""
    filmed = {path.stem.split("_")[1] for path in (out / VIDEOS).glob("seed_*.mp4")}
    failed = [row["seed"] for row in rows if not row["success"] and not row.get("error")]
    wanted = [seed for seed in failed[:most] if str(seed) not in filmed]
    if wanted:
        for result in tqdm(
            _episodes(player)(env, wanted, film=wanted, camera=camera), total=len(wanted), desc="film failures", unit="episode"
        ):
            _keep(result, out, env.spec.rate_hz, traces=False)


def tell_broken(rows: list[dict[str, Any]], out: Path) -> None:
    broken = [row for row in rows if row.get("error")]
    for row in broken[:NAMED]:
        print(f"seed {row['seed']} counts as failed: {row['error']}")
    if len(broken) > NAMED:
        print(f"... and {len(broken) - NAMED} more, in {out / ROWS}")


def _keep(result: EpisodeResult, out: Path, rate_hz: float, traces: bool) -> None:
    """The film and the trace of an episode."""
    outcome = "success" if result.success else "failure"
    if result.frames:
        (out / VIDEOS).mkdir(exist_ok=True)
        film = caption(np.stack(result.frames), rate_hz / FILM_EVERY, outcome)
        write_mp4(out / VIDEOS / f"seed_{result.seed}_{outcome}.mp4", film, rate_hz / FILM_EVERY)
    if traces and result.trace:
        (out / TRACES).mkdir(exist_ok=True)
        with replacing(out / TRACES / f"seed_{result.seed}.npz") as path, path.open("wb") as file:
            np.savez(file, allow_pickle=False, **result.trace)


def _episodes(player: Sampler | Experts) -> Callable[..., Iterator[EpisodeResult]]:
    """How episodes of a player are had: sim.rollout.rollout without its policy."""
    return player.episodes if isinstance(player, Experts) else partial(_rollout, player)


def _rollout(policy: Sampler, env: VecEnv, seeds: list[int], **options: Any) -> Iterator[EpisodeResult]:
    return rollout(env, policy, seeds, **options)


def prepare(out: Path, manifest: Manifest) -> None:
    """`out` holds nothing but episodes of the same policy and environment afterwards: a figure never mixes two."""
    try:
        before = manifest_of(out).identity if (out / MANIFEST).exists() else ""
    except DatasetError:  # of another schema, or damaged
        before = ""
    if (out / ROWS).exists() and not (manifest.identity and before == manifest.identity):
        number = next(n for n in range(1, 10_000) if not (out / f"episodes-{n}.jsonl").exists())
        for name in (ROWS, MANIFEST, TRACES, VIDEOS, LATENCY):
            if (path := out / name).exists():
                path.rename(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        print(f"{out / ROWS} held episodes of something else; they are in episodes-{number}.jsonl now")
    manifest.write(out)


def success_figure(name: str, rows: list[dict[str, Any]]) -> Figure:
    """The success rate with its 95 % Wilson interval."""
    return success_rate(name, sum(bool(row["success"]) for row in rows), len(rows))
