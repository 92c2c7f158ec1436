"""The whole way from demonstrations to success, on an easy pick_place: what was learned is far above what was not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.statistics import mcnemar_exact, wilson
from policies.imitation.bc import BCConfig, BCPolicy
from policies.imitation.flow import FlowConfig, FlowPolicy
from policies.inputs import DataConfig, Inputs
from policies.train import TrainConfig, train
from sim.collect import collect
from sim.env import ArmConfig, ArmVecEnv
from sim.rollout import rollout

# Cube and bin move by 4 cm instead of 16, the cube hardly turns, the arm starts from one posture.
EASY = {
    "_target_": "sim.tasks.pick_place.PickPlace",
    "cube_x": [0.48, 0.52],
    "cube_y": [-0.23, -0.19],
    "cube_yaw": 0.1,
    "bin_x": [0.48, 0.52],
    "bin_y": [0.21, 0.25],
}
HELD_OUT = np.arange(100_000, 100_020)


@pytest.fixture(scope="module")
def env() -> Iterator[ArmVecEnv]:
    made = ArmVecEnv(
        ArmConfig(task=EASY, expert="sim.tasks.pick_place.PickPlaceExpert", num_envs=20, threads=1, home_noise=0.0, max_steps=180)
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def inputs(env: ArmVecEnv, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    root = tmp_path_factory.mktemp("demonstrations") / "easy"
    counts = collect(env, root, np.arange(40), {"clean": 1.0}, {}, images=False)
    assert counts["success"] >= 36
    return Inputs(DataConfig(path=str(root), only_success=True), n_obs_steps=2, horizon=16, n_action_steps=8)


def successes(env: ArmVecEnv, policy: Any) -> list[bool]:
    return [result.success for result in rollout(env, policy, HELD_OUT)]


def learn(make: Any, inputs: Inputs, out: Path, **settings: Any) -> Any:
    torch.manual_seed(0)
    policy, windows = make(inputs.spec, inputs.normalizer), inputs.windows()
    config = TrainConfig(
        **{"batch_size": 128, "lr": 2e-3, "warmup": 50, "ema": 0.99, "threads": 1, "device": "cpu", "precision": "fp32"} | settings
    )
    train(policy, windows, config, out, 0, {})
    return policy


def require_far_above(trained: list[bool], untrained: list[bool], least: int) -> None:
    """At least `least` successes; intervals that do not touch; a paired test that leaves no doubt."""
    assert sum(trained) >= least
    assert wilson(sum(trained), len(trained))[0] > wilson(sum(untrained), len(untrained))[1]
    assert mcnemar_exact(trained, untrained)[0] < 0.01


def test_forty_demonstrations_teach_what_chance_does_not(env: ArmVecEnv, inputs: Inputs, tmp_path: Path) -> None:
    """Measured when this was written: 16 of 20, and 0 of 20 before. Required: 10 of 20."""
    torch.manual_seed(0)
    config = BCConfig(width=128, depth=2)
    untrained = successes(env, BCPolicy(config, inputs.spec, inputs.normalizer).eval())
    policy = learn(lambda *context: BCPolicy(config, *context), inputs, tmp_path, steps=800)
    require_far_above(successes(env, policy), untrained, least=10)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_flow_learns_it_too(env: ArmVecEnv, inputs: Inputs, tmp_path: Path) -> None:
    """A distribution over both ways round the wall takes longer to learn than one mean does. Required: 10 of 20."""
    torch.manual_seed(0)
    config = FlowConfig(network="mlp", width=256, depth=3)
    untrained = successes(env, FlowPolicy(config, inputs.spec, inputs.normalizer).eval())
    policy = learn(lambda *context: FlowPolicy(config, *context), inputs, tmp_path, steps=4000)
    require_far_above(successes(env, policy), untrained, least=10)
