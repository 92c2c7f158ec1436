"""Record a dataset and read it back.

A dataset is a folder in the LeRobotDataset v3.0 format: parquet for numbers, video for cameras. Every episode is safe on
disk when `add_episode` of the next one returns; killed at any instant, the folder opens without repair.
"""

import numpy as np

from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from data.windows import Windows

# One Feature per column, with a name and a unit for every element. `next.*` is what came of the frame's action.
FEATURES = [
    Feature("observation.state", (2,), names=("x", "y"), units=("m", "m")),
    Feature("action", (2,), names=("vx", "vy"), units=("m/s", "m/s")),
    Feature("next.reward", (1,), names=("reward",)),
    Feature("next.success", (1,), "bool", names=("success",)),
    Feature("next.terminated", (1,), "bool", names=("terminated",)),
]


def demonstrate(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One episode: a point that walks home. Returns its columns and the frames of one camera."""
    x, states, actions, frames = rng.uniform(-1, 1, 2), [], [], []
    while np.linalg.norm(x) > 0.05:
        states.append(x)
        actions.append(-2 * x)
        frame = np.full((32, 32, 3), 40, np.uint8)
        row, column = (16 - 15 * x[::-1] * [1, -1]).astype(int)
        frame[row - 1 : row + 2, column - 1 : column + 2] = 255
        frames.append(frame)
        x = x + 0.1 * actions[-1]
    last = np.arange(len(states)) == len(states) - 1
    signals = {"next.reward": last.astype(np.float32), "next.success": last, "next.terminated": last}
    return {"observation.state": np.array(states), "action": np.array(actions), **signals}, np.array(frames)


rng = np.random.default_rng(0)
with Recorder("datasets/home", fps=10, features=FEATURES, robot_type="point", cameras={"top": (32, 32)}) as recorder:
    for _ in range(5):
        columns, frames = demonstrate(rng)
        recorder.add_episode(columns, task="go home", images={"top": frames})

dataset = Dataset.open("home")  # a path, or a name under $WALDO_DATASETS or ./datasets
print(dataset)
print(dataset.episode(0))
print("pictures", dataset.images("observation.images.top").shape)

# What an imitation policy is trained on: two observed frames, eight actions, never across the end of an episode.
windows = Windows(dataset.table(["observation.state", "action"]), dataset.episode_ends, n_obs_steps=2, horizon=8)
batch = windows.batch(np.arange(4))
print(len(windows), "windows;", {name: values.shape for name, values in batch.items()})
