"""Train a flow-matching policy from Python, on demonstrators who go round an obstacle on either side.

The mean of both ways leads into the obstacle. A flow learns the distribution: its chunks go left or right, not through.
"""

from pathlib import Path

import numpy as np
import torch

from data.record import Recorder
from data.spec import Feature
from policies import checkpoint
from policies.imitation.flow import FlowConfig, FlowPolicy
from policies.inputs import DataConfig, Inputs
from policies.train import TrainConfig, train

FEATURES = [
    Feature("observation.state", (2,), names=("x", "y"), units=("m", "m")),
    Feature("action", (2,), names=("x", "y"), units=("m", "m")),
]

# 60 demonstrations from (0, 0) to (1, 0), past an obstacle of radius 0.15 at (0.5, 0): y = +- 0.3 sin(pi x).
rng = np.random.default_rng(0)
with Recorder("datasets/round", fps=10, features=FEATURES, robot_type="point") as recorder:
    for _ in range(60):
        x = np.linspace(0, 1, 9)
        side = rng.choice([-1, 1]) * rng.normal(1, 0.05)
        path = np.stack([x, 0.3 * side * np.sin(np.pi * x)], 1)
        recorder.add_episode({"observation.state": path[:-1], "action": path[1:]}, task="go round")

# The dataset says its columns; what its actions mean, a recording that was not made by waldo has to be told.
data = DataConfig(path="round", observations=["observation.state"], task="round", action_kind="position")
inputs = Inputs(data, n_obs_steps=1, horizon=8, n_action_steps=8)
windows = inputs.windows()

torch.manual_seed(0)
policy = FlowPolicy(FlowConfig(network="mlp", width=64, depth=2), inputs.spec, inputs.normalizer)
settings = TrainConfig(steps=600, batch_size=128, lr=4e-3, warmup=50, ema=0.99, device="cpu")
folder = train(policy, windows, settings, Path("outputs/round"), seed=0, provenance={"example": 2})

policy = checkpoint.load(folder)  # weights, configuration, spec and statistics: all that a policy is
start = {"observation.state": np.zeros((1, 1, 2), np.float32)}  # (B, n_obs_steps, 2)
chunks = policy.sample(start, num_samples=200, seeds=np.array([7], np.uint64))[0]  # (200, horizon, 2), in metres
middle = chunks[:, 3]  # half way
through = np.linalg.norm(middle - [0.5, 0], axis=1) < 0.15
print(f"left {np.mean(middle[:, 1] > 0):.0%}, right {np.mean(middle[:, 1] < 0):.0%}, through the obstacle {through.mean():.1%}")
assert through.mean() < 0.1 and 0.25 < np.mean(middle[:, 1] > 0) < 0.75
