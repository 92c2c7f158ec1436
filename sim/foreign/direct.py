"""Step environments in a plain loop, for measuring: what `waldo bench foreign` compares a child process with.

Run by its path in any interpreter, as child.py is. argv: the plan as JSON, how many environments. For every line with a number on
stdin it steps all of them so many times with random actions, and prints the median time for a step of one [s], resets apart.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any


def main() -> None:
    child: Any = importlib.import_module("child")  # beside this file
    maker, _ = child.own_modules()
    np = importlib.import_module("numpy")
    made = maker.Maker(json.loads(sys.argv[1]))
    envs = [made.make() for _ in range(int(sys.argv[2]))]
    space = envs[0].action_space
    rng = np.random.default_rng(0)
    for episode, env in enumerate(envs):
        env.reset(seed=episode)
    print("ready", flush=True)
    for line in sys.stdin:
        spent = []
        for actions in rng.uniform(space.low, space.high, (int(line), len(envs), *space.shape)).astype(space.dtype):
            began = time.perf_counter()
            ended = []
            for env, action in zip(envs, actions):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    ended.append(env)
            spent.append(time.perf_counter() - began)
            for env in ended:
                episode += 1
                env.reset(seed=episode)
        print(np.median(spent) / len(envs), flush=True)


if __name__ == "__main__":
    main()
