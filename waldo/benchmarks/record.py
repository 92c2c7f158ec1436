"""What recording a 480x640 camera costs a control loop at 30 Hz, beside lerobot 0.4.4, and how fast two can be.

The loop sleeps between its ticks, as a robot's does, while the frames before are encoded in the background; what counts is the
99th percentile of what the recorder costs the caller. A frame that its driver has closed for writing is kept as it is, any other is
copied; both are measured, and a bare copy at the same pace. lerobot writes a picture file per frame and encodes when the episode is
saved, or encodes while recording (streaming); both are measured, in turns with waldo. Two cameras are recorded one frame upon the
other, with nothing dropped, saving included.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.record import Recorder
from data.results import Figure
from data.spec import Feature
from waldo.bench import Measurement
from waldo.benchmarks.data import film
from waldo.rival import lerobot

if TYPE_CHECKING:
    from omegaconf import DictConfig

FEATURES = (Feature("observation.state", (7,)), Feature("action", (7,)))
HEIGHT, WIDTH = 480, 640
RATE = 30.0  # [Hz]
FEWEST = 300  # frames behind a 99th percentile
ROUNDS = 2


def paced(root: Path, images: np.ndarray, rate: float, frames: int, copied: bool = False) -> tuple[np.ndarray, float]:
    """What each add_frame took [ms], (frames,), and save_episode [s]. copied: the driver uses one array for every frame."""
    took, image = np.zeros(frames), np.zeros_like(images[0])
    with Recorder(root, rate, FEATURES, "arm", {"top": (HEIGHT, WIDTH)}) as recorder:
        begun = time.perf_counter()
        for t in range(frames):
            time.sleep(max(0.0, begun + t / rate - time.perf_counter()))
            vector = np.sin(0.1 * t + np.arange(7, dtype=np.float32))
            if not copied:
                image = np.empty_like(image)
            np.copyto(image, images[t % len(images)])  # the driver
            image.flags.writeable = copied
            before = time.perf_counter()
            recorder.add_frame({"observation.state": vector, "action": vector}, {"top": image})
            took[t] = time.perf_counter() - before
        before = time.perf_counter()
        recorder.save_episode("bench")
        saved = time.perf_counter() - before
    return took * 1e3, saved


def bare_copy(images: np.ndarray, rate: float, frames: int) -> np.ndarray:
    """What copying a frame takes at this pace when nothing else happens [ms], (frames,)."""
    took, source, target = np.zeros(frames), images[0].copy(), np.zeros_like(images[0])
    begun = time.perf_counter()
    for t in range(frames):
        time.sleep(max(0.0, begun + t / rate - time.perf_counter()))
        np.copyto(source, images[t % len(images)])
        before = time.perf_counter()
        np.copyto(target, source)
        took[t] = time.perf_counter() - before
    return took * 1e3


def two_cameras(root: Path, images: np.ndarray, seconds: float) -> tuple[float, float, int]:
    """Frames per second of each of two cameras, processor seconds per frame, and how many frames of each were recorded."""
    count, vector = 0, np.zeros(7, np.float32)
    with Recorder(root, RATE, FEATURES, "arm", {"top": (HEIGHT, WIDTH), "wrist": (HEIGHT, WIDTH)}) as recorder, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it falls behind is the purpose
        begun, used = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds:
            both = {"top": images[count % len(images)], "wrist": images[(count + 7) % len(images)]}
            recorder.add_frame({"observation.state": vector, "action": vector}, both)
            count += 1
        recorder.save_episode("bench")
        took, used = time.perf_counter() - begun, time.process_time() - used
    return count / took, used / (2 * count), count


def measure(cfg: DictConfig) -> Measurement:
    images = film(150, HEIGHT, WIDTH, cfg.seed)
    frames = max(FEWEST, round(cfg.seconds * RATE))
    ours: list[tuple[np.ndarray, float]] = []
    copied: list[np.ndarray] = []
    bare: list[np.ndarray] = []
    theirs: dict[str, list[dict[str, float]]] = {"": [], "streaming": []}
    with tempfile.TemporaryDirectory(prefix="waldo-bench-") as name:
        folder = Path(name)
        for turn in range(ROUNDS):
            ours.append(paced(folder / f"paced{turn}", images, RATE, frames))
            copied.append(paced(folder / f"copied{turn}", images, RATE, frames, copied=True)[0])
            bare.append(bare_copy(images, RATE, frames))
            for way, found in theirs.items():
                words = ("record", folder / f"lerobot{way}{turn}", "--frames", frames, "--paced", *([f"--{way}"] if way else []))
                run, missing = lerobot(*words)
                if missing:
                    print(f"no baseline{' ' + way if way else ''}: {missing}")
                    break
                found.append(run)
            else:
                continue
            break
        faster = paced(folder / "faster", images, 50.0, frames)
        rate, each, count = two_cameras(folder / "two", images, cfg.seconds)

    p50, p99, most = (float(np.median([np.quantile(took, q) for took, _ in ours])) for q in (0.5, 0.99, 1.0))
    headline = Figure("add_frame of a closed frame at 30 Hz, p99", p99, "ms", frames * len(ours))
    others = [
        Figure("add_frame of a closed frame at 30 Hz, p50", p50, "ms", frames * len(ours)),
        Figure("add_frame of a closed frame at 30 Hz, max", most, "ms", frames * len(ours)),
        Figure("add_frame of a closed frame at 50 Hz, p99", float(np.quantile(faster[0], 0.99)), "ms", frames),
    ]
    for label, runs in (("add_frame of an open frame at 30 Hz, which is copied", copied), ("a bare copy at 30 Hz, nothing recorded", bare)):
        for q in (50, 99):
            others.append(Figure(f"{label}, p{q}", float(np.median([np.percentile(took, q) for took in runs])), "ms", frames * len(runs)))
    others += [
        Figure("save_episode", float(np.median([saved for _, saved in ours])), "s", len(ours)),
        Figure("two cameras, each, one frame upon the other", rate, "frames/s", count),
        Figure("processor time per frame", each * 1e3, "ms/frame", 2 * count),
    ]
    baseline = None
    for way, found in theirs.items():
        if not found:
            continue
        label = f"lerobot{', ' + way if way else ''}"
        middle = {key: float(np.median([run[key] for run in found])) for key in ("add_frame_p50_ms", "add_frame_p99_ms", "save_episode_s")}
        p99_row = Figure(f"{label}: add_frame at 30 Hz, p99", middle["add_frame_p99_ms"], "ms", frames * len(found))
        baseline = baseline or p99_row
        others += [p99_row] * (p99_row is not baseline)
        others += [
            Figure(f"{label}: add_frame at 30 Hz, p50", middle["add_frame_p50_ms"], "ms", frames * len(found)),
            Figure(f"{label}: save_episode", middle["save_episode_s"], "s", len(found)),
            Figure(f"{label}: frames dropped", sum(run["dropped"] for run in found), "", frames * len(found)),
        ]
    return Measurement(headline, baseline, lower_is_better=True, others=others)
