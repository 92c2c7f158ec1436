"""Films of what happened on the arm, drawn afterwards from the states that `waldo run` kept: the loop has no time to draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.config import build
from data.errors import RenderError
from data.lerobot.video import write_mp4

RATE_HZ, SIZE = 10.0, (300, 400)


def draw(run: Path, env_node: Any, most: int = 6) -> list[Path]:
    """`run`/videos/*.mp4 of the first `most` episodes. Without OpenGL: nothing, and a line that says so."""
    from sim.caption import caption

    rows = {row["seed"]: row for row in map(json.loads, (run / "episodes.jsonl").read_text().splitlines())}
    histories = [(seed, run / "history" / f"seed_{seed}.npz") for seed in sorted(rows)][:most]
    env = build(env_node, num_envs=1)
    films = []
    try:
        for seed, path in tqdm([(s, p) for s, p in histories if p.exists()], desc="films", unit="episode"):
            with np.load(path) as history:
                times, states = history["t"], history["state"]
            wanted = np.arange(times[0], times[-1], 1 / RATE_HZ)
            picked = np.minimum(np.searchsorted(times, wanted), len(states) - 1)
            frames = np.stack([env.physics.show(states[i], env.task.film_camera, SIZE, beautiful=True) for i in picked])
            outcome = "success" if rows[seed]["success"] else "failure"
            (run / "videos").mkdir(exist_ok=True)
            films.append(run / "videos" / f"seed_{seed}_{outcome}.mp4")
            write_mp4(films[-1], caption(frames, RATE_HZ, outcome), RATE_HZ)
    except RenderError as error:
        print(f"no films: {error}")
    finally:
        env.close()
    return films
