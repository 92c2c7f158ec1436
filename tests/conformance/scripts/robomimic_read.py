"""What robomimic's SequenceDataset reads: python robomimic_read.py FILE.hdf5 TARGET.npz --vectors state force --images top_image.

Arrays over all frames, in the order of the demos: actions, rewards, dones, obs/<key>, next_obs/<key>. Last line: a
description, as JSON.
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
    parser.add_argument("file", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--vectors", nargs="*", default=[])
    parser.add_argument("--images", nargs="*", default=[])
    parser.add_argument("--mask", help="only the demos of this mask")
    args = parser.parse_args()
    cpu_torchvision.prepare()
    from robomimic.utils import file_utils, obs_utils
    from robomimic.utils.dataset import SequenceDataset

    obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": args.vectors, "rgb": args.images}})
    dataset = SequenceDataset(
        hdf5_path=str(args.file),
        obs_keys=[*args.vectors, *args.images],
        dataset_keys=["actions", "rewards", "dones"],
        seq_length=1,
        hdf5_cache_mode=None,
        hdf5_use_swmr=False,
        load_next_obs=True,
        filter_by_attribute=args.mask,
    )
    rows: dict[str, list[np.ndarray]] = {}
    for i in range(len(dataset)):
        item = dataset[i]
        found = {name: item[name] for name in ("actions", "rewards", "dones")}
        found |= {f"{group}/{name}": values for group in ("obs", "next_obs") for name, values in item[group].items()}
        for name, values in found.items():
            rows.setdefault(name, []).append(np.asarray(values)[0])
    np.savez(args.target, **{name: np.stack(values) for name, values in rows.items()})
    env = file_utils.get_env_metadata_from_dataset(str(args.file))
    print(json.dumps({"robomimic": version("robomimic"), "demos": dataset.demos, "frames": len(dataset), "env": env}))


if __name__ == "__main__":
    main()
