"""Export a steered policy, and run the artefact where there is no torch.

The artefact is a folder: networks as ONNX, the sampler's loop as a table, statistics, limits, a model card, and the sha256
of every file. It has the signature of every policy.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from data.spec import ActionSpec, Feature, PolicySpec
from policies.artifact import Artifact
from policies.export import export
from policies.imitation.flow import FlowConfig, FlowPolicy
from policies.normalize import Normalizer
from policies.offline.iql import IQLConfig, IQLCritic
from policies.steering.best_of_n import BestOfN, BestOfNConfig

state = Feature("observation.state", (2,), names=("x", "y"), units=("m", "m"))
action = ActionSpec("position", ("x", "y"), ("m", "m"))
spec = PolicySpec("reach", "point", (state,), action, rate_hz=10.0, n_obs_steps=2, horizon=8, n_action_steps=4)
normalizer = Normalizer(spec, {"observation.state": ([-1, -1], [1, 1]), "action": ([-1, -1], [1, 1])})

# Networks that were not trained serve here as well; `waldo train` and `waldo refine` make real ones.
torch.manual_seed(0)
policy = FlowPolicy(FlowConfig(network="mlp", width=32, depth=1), spec, normalizer).eval()
critic = IQLCritic(IQLConfig(ensemble=2, width=32, depth=1), spec, normalizer).eval()
steered = BestOfN(BestOfNConfig(num_samples=4), policy, critic)
folder = export(steered, Path("outputs/artefact"), limits={"speed": 0.5}, provenance={"example": 5})
print(sorted(path.name for path in folder.iterdir()))

artefact = Artifact.load(folder)  # every file is compared with its sha256 first
obs = {"observation.state": np.array([[[0.1, 0.2], [0.3, 0.4]]], np.float32)}  # (B, n_obs_steps, 2) in SI units
seeds = np.array([5], np.uint64)
ours, theirs = (one.sample(obs, 1, seeds)[0, 0] for one in (steered, artefact))
print(f"largest difference from torch: {np.abs(ours - theirs).max():.1e} m")
assert np.abs(ours - theirs).max() < 1e-5

# On the robot: numpy and onnxruntime, nothing else.
program = """
import sys, numpy as np
from policies.artifact import Artifact
artefact = Artifact.load("outputs/artefact")
chunk = artefact.sample({"observation.state": np.zeros((1, 2, 2), np.float32)}, 1, np.zeros(1, np.uint64))
print("chunk", chunk.shape, "limits", artefact.limits, "torch loaded:", "torch" in sys.modules)
"""
print(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip())
