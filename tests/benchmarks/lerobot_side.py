"""lerobot 0.4.4's side of the dataset benchmarks, run by an interpreter that has it (`make test-conformance` makes one).

    windows ROOT CAMERA --n-obs-steps 2 --horizon 16 --batch-size 64 --num-workers 2 --seconds 10
        shuffled diffusion windows per second: n_obs_steps pictures and all other observations, horizon actions
    record ROOT --frames 300
        what add_frame [ms] and save_episode [s] take with a camera of 480x640
    write ROOT --episodes 10 --frames 100 --height 96 --width 96
        a dataset to measure, recorded by lerobot itself

The last line of each is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SCRIPTS = Path(__file__).resolve().parents[1] / "conformance/scripts"
BACKEND = "torchcodec"  # lerobot's other one needs parts of torchvision that are gone
WARM_UP = 3  # batches of each worker before the clock starts
FPS = 30
CAMERA = "observation.images.top"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    windows = modes.add_parser("windows")
    windows.add_argument("root", type=Path)
    windows.add_argument("camera")
    windows.add_argument("--n-obs-steps", type=int, default=2)
    windows.add_argument("--horizon", type=int, default=16)
    windows.add_argument("--batch-size", type=int, default=64)
    windows.add_argument("--num-workers", type=int, default=0)
    windows.add_argument("--seconds", type=float, default=10.0)
    windows.add_argument("--seed", type=int, default=0)
    record = modes.add_parser("record")
    write = modes.add_parser("write")
    for mode, frames, height, width in ((record, 300, 480, 640), (write, 100, 96, 96)):
        mode.add_argument("root", type=Path)
        mode.add_argument("--frames", type=int, default=frames, help="per episode")
        mode.add_argument("--height", type=int, default=height)
        mode.add_argument("--width", type=int, default=width)
        mode.add_argument("--vcodec", default="libsvtav1", help="lerobot's default, or h264")
    record.add_argument("--streaming", action="store_true", help="lerobot's streaming_encoding: encode while recording")
    record.add_argument("--image-writer-threads", type=int, default=4, help="lerobot's recording script starts 4 per camera")
    record.add_argument("--paced", action="store_true", help="add frames at 30 Hz, as a robot does, rather than one upon the other")
    write.add_argument("--episodes", type=int, default=10)
    args = parser.parse_args()
    sys.path.insert(0, str(SCRIPTS))
    import cpu_torchvision

    cpu_torchvision.prepare()
    measured = {"windows": measure_windows, "record": measure_recording, "write": write_dataset}[args.mode](args)
    print(json.dumps(measured | {"versions": {name: version(name) for name in ("lerobot", "torch", "torchcodec", "datasets", "numpy")}}))


def measure_windows(args: argparse.Namespace) -> dict[str, Any]:
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata

    torch.set_num_threads(1)  # as in DataLoader's workers; more do not help with small pictures, and spin where cores are shared
    meta = LeRobotDatasetMetadata("local/data", args.root, revision="v3.0")
    if args.camera not in meta.camera_keys:
        raise SystemExit(f"{args.root} has no camera {args.camera!r}; it has {', '.join(meta.camera_keys) or 'none'}")
    past = [i / meta.fps for i in range(1 - args.n_obs_steps, 1)]
    deltas = {name: past for name in meta.features if name.startswith("observation.") and name not in meta.camera_keys}
    deltas |= {args.camera: past, "action": [i / meta.fps for i in range(args.horizon)]}
    dataset = LeRobotDataset("local/data", args.root, delta_timestamps=deltas, video_backend=BACKEND, revision="v3.0")
    # No item may be read here before the workers fork: a decoder that the parent opened makes them crash.
    loader = torch.utils.data.DataLoader(
        dataset,
        args.batch_size,
        shuffle=True,
        num_workers=args.num_workers,
        drop_last=True,
        persistent_workers=args.num_workers > 0,
        generator=torch.Generator().manual_seed(args.seed),
    )
    if len(loader) == 0:
        raise SystemExit(f"{args.root} has {len(dataset)} frames, fewer than a batch of {args.batch_size}")

    def endless() -> Any:
        while True:
            yield from loader

    batches = endless()
    for _ in range(WARM_UP * max(1, args.num_workers)):
        batch = next(batches)
    assert batch[args.camera].shape[:3] == (args.batch_size, args.n_obs_steps, 3), batch[args.camera].shape
    assert batch["action"].shape[:2] == (args.batch_size, args.horizon), batch["action"].shape
    windows, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < args.seconds:
        windows += len(next(batches)["action"])
    return {
        "windows_per_s": windows / seconds,
        "windows": windows,
        "seconds": seconds,
        "num_workers": args.num_workers,
        "batch_size": args.batch_size,
        "backend": BACKEND,
        "image": list(meta.features[args.camera]["shape"]),
        "codec": meta.features[args.camera].get("info", {}).get("video.codec"),
        "frames": len(dataset),
        "cpus": len(os.sched_getaffinity(0)),
    }


def measure_recording(args: argparse.Namespace) -> dict[str, Any]:
    dataset = create(args, streaming_encoding=args.streaming, image_writer_threads=args.image_writer_threads)
    frames = film(args.frames, args.height, args.width)
    took = np.zeros(args.frames)
    begun = time.perf_counter()
    for t, image in enumerate(frames):
        if args.paced:
            time.sleep(max(0.0, begun + t / FPS - time.perf_counter()))
        before = time.perf_counter()
        dataset.add_frame(frame(image, t))
        took[t] = time.perf_counter() - before
    # Where streaming cannot keep up, lerobot drops frames with a warning.
    dropped = sum(dataset._streaming_encoder._dropped_frames.values()) if args.streaming else 0
    before = time.perf_counter()
    dataset.save_episode()
    saved = time.perf_counter() - before
    dataset.stop_image_writer()
    dataset.finalize()
    p50, p99 = np.quantile(took, [0.5, 0.99]) * 1e3
    return {
        "add_frame_p50_ms": float(p50),
        "add_frame_p99_ms": float(p99),
        "add_frame_max_ms": float(took.max() * 1e3),
        "save_episode_s": saved,
        "dropped": dropped,
        "frames": args.frames,
        "image": [args.height, args.width, 3],
        "codec": args.vcodec,
        "streaming": args.streaming,
        "image_writer_threads": args.image_writer_threads,
        "paced": args.paced,
    }


def write_dataset(args: argparse.Namespace) -> dict[str, Any]:
    dataset = create(args)
    for episode in range(args.episodes):
        for t, image in enumerate(film(args.frames, args.height, args.width, episode)):
            dataset.add_frame(frame(image, t))
        dataset.save_episode()
    dataset.finalize()
    return {"root": str(args.root), "camera": CAMERA, "episodes": args.episodes, "frames": args.episodes * args.frames}


def create(args: argparse.Namespace, **options: Any) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    if args.root.exists():
        raise SystemExit(f"{args.root} exists; choose a new folder")
    features = {name: {"dtype": "float32", "shape": (7,), "names": None} for name in ("observation.state", "action")}
    features[CAMERA] = {"dtype": "video", "shape": (args.height, args.width, 3), "names": ["height", "width", "channels"]}
    return LeRobotDataset.create("local/data", FPS, features, args.root, "none", vcodec=args.vcodec, **options)


def film(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, height, width, 3): a square that moves over a gradient with a little noise, as a real camera has."""
    rng = np.random.default_rng(seed)
    background = np.zeros((height, width, 3), np.int16)
    background[..., 0] = np.linspace(20, 200, width)
    background[..., 1] = np.linspace(20, 200, height)[:, None]
    frames = np.empty((count, height, width, 3), np.uint8)
    side = height // 4
    for t in range(count):
        frames[t] = np.clip(background + rng.integers(-4, 5, background.shape), 0, 255)
        x = (3 * t + 17 * seed) % (width - side)
        frames[t, side : 2 * side, x : x + side] = 230
    return frames


def frame(image: np.ndarray, t: int) -> dict[str, Any]:
    vector = np.sin(0.1 * t + np.arange(7, dtype=np.float32))
    return {"observation.state": vector, "action": vector + 1, CAMERA: image, "task": "move the square"}


if __name__ == "__main__":
    main()
