"""Everything that lerobot reads of a dataset, as numbers: columns and frames, or windows.

python lerobot_read.py ROOT TARGET.npz [--episodes 0 2] [--deltas '{"action": [0.0, 0.1]}']

Columns are written in the dtype in which lerobot keeps them, cameras as uint8 (N, H, W, 3). With --deltas: what
`dataset[i]` gives for every frame, windows (N, T, ...) and `<name>_is_pad` (N, T). Last line: the description, as JSON.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import cpu_torchvision
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--episodes", type=int, nargs="*")
    parser.add_argument("--deltas", type=json.loads)
    args = parser.parse_args()
    cpu_torchvision.prepare()
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset(
        "local/data", args.root, episodes=args.episodes, delta_timestamps=args.deltas, video_backend="torchcodec", revision="v3.0"
    )
    meta = dataset.meta
    items = [dataset[i] for i in range(len(dataset))]
    arrays = {name: np.stack([np.asarray(item[name]) for item in items]) for name in items[0] if name != "task"}
    for name in meta.camera_keys:  # float (..., 3, H, W) in [0, 1]
        arrays[name] = np.moveaxis(np.rint(arrays[name] * 255).astype(np.uint8), -3, -1)
    if args.deltas is None:  # dataset[i] rounds float64 to float32; the columns themselves do not
        exact = dataset.hf_dataset.with_format(None)
        names = [name for name in exact.column_names if name not in meta.camera_keys]
        kinds = {name: "str" if meta.features[name]["dtype"] == "string" else meta.features[name]["dtype"] for name in names}
        arrays |= {name: np.array(exact[name][:], kinds[name]) for name in names}
    np.savez(args.target, **arrays)
    rows = [meta.episodes[i] for i in range(meta.total_episodes)]
    print(
        json.dumps(
            {
                "lerobot": version("lerobot"),
                "fps": meta.fps,
                "robot_type": meta.robot_type,
                "frames": meta.total_frames,
                "lengths": [row["length"] for row in rows],
                "episode_tasks": [row["tasks"] for row in rows],
                "tasks": meta.tasks.sort_values("task_index").index.tolist(),
                "task_of_frame": [item["task"] for item in items],
                "features": {name: [f["dtype"], list(f["shape"]), f["names"]] for name, f in meta.features.items()},
                "stats": {name: {k: np.asarray(v).tolist() for k, v in s.items()} for name, s in meta.stats.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
