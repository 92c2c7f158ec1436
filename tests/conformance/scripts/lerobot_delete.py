"""lerobot's delete_episodes: python lerobot_delete.py ROOT TARGET 1 3 writes what is left to TARGET."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cpu_torchvision


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("episodes", type=int, nargs="+")
    args = parser.parse_args()
    cpu_torchvision.prepare()
    from lerobot.datasets.dataset_tools import delete_episodes
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    left = delete_episodes(LeRobotDataset("local/data", args.root, revision="v3.0"), args.episodes, args.target)
    print(json.dumps({"episodes": left.meta.total_episodes, "frames": left.meta.total_frames}))


if __name__ == "__main__":
    main()
