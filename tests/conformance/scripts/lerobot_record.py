"""lerobot records episodes, into a new dataset or behind those that are there.

python lerobot_record.py ROOT PLAN

PLAN is a folder with plan.json = {"fps", "robot_type", "features", "episodes": [{"file", "tasks"}]}: per episode an .npz
with one array (T, ...) per feature (cameras uint8 (T, H, W, 3)) and the task of each frame.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cpu_torchvision
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("plan", type=Path)
    args = parser.parse_args()
    cpu_torchvision.prepare()
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    plan = json.loads((args.plan / "plan.json").read_text(encoding="utf-8"))
    if args.root.exists():
        dataset = LeRobotDataset("local/data", args.root, revision="v3.0")
    else:
        features = {name: feature | {"shape": tuple(feature["shape"])} for name, feature in plan["features"].items()}
        dataset = LeRobotDataset.create("local/data", plan["fps"], features, args.root, plan["robot_type"])
    for episode in plan["episodes"]:
        with np.load(args.plan / episode["file"]) as file:
            arrays = dict(file)
        for t, task in enumerate(episode["tasks"]):
            dataset.add_frame({name: values[t] for name, values in arrays.items()} | {"task": task})
        dataset.save_episode()
    dataset.finalize()
    print(json.dumps({"episodes": dataset.meta.total_episodes, "frames": dataset.meta.total_frames}))


if __name__ == "__main__":
    main()
