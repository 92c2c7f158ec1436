"""Measure two policies on the same seeds: success with its interval, and whether the difference is more than luck.

Episodes run side by side; each is a function of its seed alone, so that the same seeds are the same problems for both.
"""

from pathlib import Path

import numpy as np

from data.noise import normal
from data.spec import PolicySpec
from data.statistics import mcnemar_exact, paired_difference
from real.kinematics import Kinematics
from real.robots.panda import SPEC as PANDA
from sim.env import ArmConfig, ArmVecEnv
from sim.evaluate import evaluate, success_figure
from sim.tasks.pick_place import PickPlace


class Touch(PickPlace):
    """The scene of pick_place, another aim: hold the tool within 4 cm of the cube."""

    name = "touch"

    def success(self, physics):
        tool = Kinematics(PANDA).tool(physics.joints()[0])
        return np.linalg.norm(tool - physics.body("cube")[0], axis=1) < 0.04


class Reach:
    """Go towards where the cube is, give or take `blur` metres: a policy written by hand."""

    def __init__(self, offered: PolicySpec, blur: float):
        seen = tuple(f for f in offered.observations if f.name in ("observation.state", "observation.environment_state"))
        self.spec = PolicySpec("touch", "panda", seen, offered.action, offered.rate_hz, n_obs_steps=1, horizon=8, n_action_steps=8)
        self.blur = blur

    def sample(self, obs, num_samples, seeds, guide=None):
        state, cube = obs["observation.state"][:, -1], obs["observation.environment_state"][:, -1, :3]
        goal = cube + [0, 0, 0.02] + self.blur * normal(seeds, (num_samples, 3))[:, 0]
        share = np.linspace(1 / 8, 1, 8)[None, :, None] * 0.6
        chunk = np.repeat(state[:, None], 8, 1)
        chunk[:, :, :3] += share * (goal - state[:, :3])[:, None]
        return np.repeat(chunk[:, None], num_samples, 1)


env = ArmVecEnv(ArmConfig(task={"_target_": f"{__name__}.Touch"}, num_envs=40, max_steps=60, threads=1))
seeds = np.arange(100_000, 100_040)  # never those that anything was trained or chosen on
success = {}
for name, blur in (("steady", 0.01), ("shaky", 0.06)):
    rows = evaluate(env, Reach(env.spec, blur), seeds, Path("outputs") / name, identity=f"{name} {blur}")
    print(success_figure(f"success/{name}", rows))
    success[name] = [row["success"] for row in rows]

gain = paired_difference(success["steady"], success["shaky"])
p, only_steady, only_shaky = mcnemar_exact(success["steady"], success["shaky"])
print(f"steady - shaky = {gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]; {only_steady} seeds to {only_shaky}, p = {p:.2g}")
