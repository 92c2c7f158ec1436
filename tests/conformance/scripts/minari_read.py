"""What minari reads of a dataset under MINARI_DATASETS_PATH: python minari_read.py NAME-v0 TARGET.npz.

Arrays `<episode>:<name>`: actions, rewards, terminations, truncations, observations or, of a Dict space, observations/<key>,
as `iterate_episodes` gives them. Last line: a description, as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import minari
import numpy as np


def flat(value: Any, name: str) -> dict[str, np.ndarray]:
    """`observations` -> arrays under observations/<key>, deeper ones alike."""
    if isinstance(value, dict):
        return {path: array for key, inner in value.items() for path, array in flat(inner, f"{name}/{key}").items()}
    return {name: np.asarray(value)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    dataset = minari.load_dataset(args.name)
    arrays = {}
    for episode in dataset.iterate_episodes():
        parts = {name: getattr(episode, name) for name in ("observations", "actions", "rewards", "terminations", "truncations")}
        arrays |= {f"{episode.id}:{path}": array for name, value in parts.items() for path, array in flat(value, name).items()}
    np.savez(args.target, **arrays)
    drawn = dataset.sample_episodes(1)[0]
    print(
        json.dumps(
            {
                "minari": minari.__version__,
                "episodes": dataset.total_episodes,
                "steps": dataset.total_steps,
                "drawn": len(drawn.rewards),
                "observation_space": str(dataset.observation_space),
                "action_space": str(dataset.action_space),
            }
        )
    )


if __name__ == "__main__":
    main()
