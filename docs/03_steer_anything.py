"""Wrap any callable as a policy, and steer it with a critic. Steering never touches weights, and needs none.

A policy is anything with `spec` and `sample`; a critic is anything with `spec` and `q`. Both may come from any library.
"""

import numpy as np

from data.noise import normal
from data.spec import ActionSpec, Feature, PolicySpec
from policies.steering.best_of_n import BestOfN, BestOfNConfig

# What the policy sees and does, in words a machine can compare: it is checked against every environment and robot.
SPEC = PolicySpec(
    task="reach",
    robot="point",
    observations=(Feature("observation.state", (2,), names=("x", "y"), units=("m", "m")),),
    action=ActionSpec("position", ("x", "y"), ("m", "m")),
    rate_hz=10.0,
    n_obs_steps=1,
    horizon=8,
    n_action_steps=4,
)
GOAL = np.array([1.0, 0.5])


class Wanderer:
    """Somebody else's policy: it walks in any direction. Noise comes from the seeds, so that a row's result is its own."""

    spec = SPEC

    def sample(self, obs, num_samples, seeds, guide=None):
        here = obs["observation.state"][:, -1]  # (B, 2)
        steps = 0.1 * normal(seeds, (num_samples, SPEC.horizon, 2))  # (B, K, horizon, 2)
        return here[:, None, None] + np.cumsum(steps, 2)


class Distance:
    """A critic: minus the distance from the goal at the end of what is executed. Two members that disagree show their doubt."""

    spec = SPEC

    def q(self, obs, actions):
        """actions (B, K, n_action_steps, 2) -> (E, B, K)"""
        away = np.linalg.norm(actions[:, :, -1] - GOAL, axis=-1)
        return np.stack([-away, -1.1 * away])


def walk(policy, steps=20):
    """Execute chunk after chunk, four points side by side, and say how far from the goal they end."""
    x = np.zeros((4, 2), np.float32)
    for k in range(steps):
        seeds = np.arange(4, dtype=np.uint64) + np.uint64(1000 * k)
        x = policy.sample({"observation.state": x[:, None]}, 1, seeds)[:, 0, SPEC.n_action_steps - 1].astype(np.float32)
    return np.linalg.norm(x - GOAL, axis=1)


for n in (1, 4, 16):
    steered = BestOfN(BestOfNConfig(num_samples=n), Wanderer(), Distance())
    print(f"best of {n:2d}: ends {walk(steered).mean():.2f} m from the goal")
assert walk(steered).mean() < 0.2 < walk(Wanderer()).mean()
