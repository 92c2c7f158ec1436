"""What a hook saves: pictures per second of an environment as it draws itself and as its hook draws it, and its steps without and with the hook.

    .venv-aloha/bin/python tests/benchmarks/hook_pictures.py aloha gym_aloha/AlohaTransferCube-v0
    .venv-metaworld/bin/python tests/benchmarks/hook_pictures.py metaworld Meta-World/drawer-open-v3

Runs in the environment's own interpreter. Each way runs in a process of its own (dm_control takes whatever OpenGL context is current for its
own), one after the other, several times round; printed are the medians, and last one line of JSON.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS, SECONDS = 5, 2.0
WAYS = ("own 480x640", "hook 480x640", "hook 240x320", "hook 96x96", "own step", "hook step")


def measure(name, env_id, way):
    """Times per second that a way can be gone."""
    hooks = Path(__file__).resolve().parents[2] / "sim" / "foreign" / "hooks"
    spec = importlib.util.spec_from_file_location(f"hook_{name}", hooks / f"{name}.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    own, _, what = way.partition(" ")
    height, width = (int(n) for n in what.split("x")) if "x" in what else (480, 640)
    if own == "hook":
        env = hook.make(env_id, {})
    elif name == "aloha":
        importlib.import_module("gym_aloha")
        env = importlib.import_module("gymnasium").make(env_id, obs_type="pixels_agent_pos")
    else:
        env = hook.make(env_id, {"height": height, "width": width, "camera_name": "corner4"})
    env.reset(seed=0)
    action = env.action_space.sample() * 0
    act = (lambda: env.step(action)) if what == "step" else env.render if own == "own" else lambda: hook.render(env, "", height, width)
    act()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS and count < 450:
        act()
        count += 1
    return count / (time.perf_counter() - begin)


def main():
    name, env_id = sys.argv[1:3]
    if len(sys.argv) > 3:
        print(measure(name, env_id, sys.argv[3]), flush=True)
        os._exit(0)
    surroundings = {"MUJOCO_GL": "egl", "LP_NUM_THREADS": "0", **os.environ}
    found = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            words = [sys.executable, "-W", "ignore", __file__, name, env_id, way]
            done = subprocess.run(words, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            found[way].append(float(done.stdout.split()[-1]))
    medians = {way: round(statistics.median(values), 1) for way, values in found.items()}
    for way, value in medians.items():
        print(f"{way:14} {value:8.1f} /s")
    print(json.dumps({"id": env_id, "rounds": ROUNDS, **medians}))


if __name__ == "__main__":
    main()
