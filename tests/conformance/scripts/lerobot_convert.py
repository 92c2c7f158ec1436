"""lerobot's own converter: python lerobot_convert.py ROOT makes LeRobotDataset v3.0 of v2.1, in place.

The original stays beside it as ROOT_old (the converter's choice).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cpu_torchvision


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    args = parser.parse_args()
    cpu_torchvision.prepare()
    from lerobot.datasets.v30.convert_dataset_v21_to_v30 import convert_dataset

    # Its `root` is the folder that holds the dataset, its `repo_id` the dataset's name in there.
    convert_dataset(args.root.name, root=args.root.parent, push_to_hub=False)
    print(json.dumps({"version": json.loads((args.root / "meta/info.json").read_text())["codebase_version"]}))


if __name__ == "__main__":
    main()
