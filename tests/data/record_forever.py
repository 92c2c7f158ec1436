"""A process that records until it is killed, and one that starts such processes quickly: `python -m tests.data.record_forever`.

Each line on its standard input, "ROOT CODEC WAIT", forks a recorder. It prints its process number, "ready", and the number of
committed episodes whenever it has grown; "gone" follows when it is dead. The content of an episode depends on its number alone
and comes again after PERIOD episodes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from data.record import Recorder
from data.spec import Feature

FEATURES = (
    Feature("observation.state", (7,)),
    Feature("action", (4,), "float64"),
    Feature("next.terminated", (1,), "bool"),
    Feature("stage", (1,), "int64"),
)
CAMERAS = {"top": (64, 64), "left": (64, 64), "right": (64, 64)}
FPS = 20
PERIOD = 12
ROBOT = "dummy"


def length_of(episode: int) -> int:
    return 3 + 5 * (episode % PERIOD) % 14


def arrays_of(episode: int) -> dict[str, np.ndarray]:
    rng, length = np.random.default_rng(episode % PERIOD), length_of(episode)
    return {
        "observation.state": rng.normal(size=(length, 7)).astype(np.float32),
        "action": rng.normal(size=(length, 4)),
        "next.terminated": np.arange(length) == length - 1,
        "stage": rng.integers(-(2**62), 2**62, length),
    }


def images_of(episode: int, camera: str) -> np.ndarray:
    """Noise on squares: every frame differs from every other."""
    rng = np.random.default_rng([episode % PERIOD, sorted(CAMERAS).index(camera)])
    frames = rng.integers(0, 40, (length_of(episode), *CAMERAS[camera], 3)).astype(np.uint8)
    for t, frame in enumerate(frames):
        x, y = rng.integers(0, 48, 2)
        frame[y : y + 16, x : x + 16] += np.uint8(60 + 10 * (t % 8))
    return frames


def add(recorder: Recorder, episode: int, wait: bool) -> None:
    """Record one episode, frame by frame."""
    arrays, images = arrays_of(episode), {name: images_of(episode, name) for name in CAMERAS}
    for t in range(length_of(episode)):
        recorder.add_frame({name: values[t] for name, values in arrays.items()}, {name: frames[t] for name, frames in images.items()})
    recorder.save_episode(f"task {episode % 5}", wait)


def say(what: object) -> None:
    """One line in one piece: a kill in the middle of a `print` leaves half of it."""
    os.write(1, f"{what}\n".encode())


def record(root: Path, codec: str, wait: bool) -> None:
    with Recorder(root, FPS, FEATURES, ROBOT, CAMERAS, codec=codec) as recorder:
        told, number = recorder.committed, recorder.committed
        say("ready")
        while True:
            add(recorder, number, wait)
            number += 1
            if recorder.committed > told:
                told = recorder.committed
                say(told)


def main() -> None:
    for line in sys.stdin:
        root, codec, wait = line.split()
        child = os.fork()
        if not child:
            say(os.getpid())
            record(Path(root), codec, wait == "wait")
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
