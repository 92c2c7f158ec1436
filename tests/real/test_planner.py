"""The planner's arithmetic is the simulator's: the same actions become the same joint targets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from data.errors import SpecError
from data.noise import fold
from data.spec import ActionSpec, Feature, PolicySpec
from real.kinematics import Kinematics
from real.messages import State
from real.planner import Planner
from real.robots.panda import SPEC
from sim.env import ArmConfig, ArmVecEnv
from tests.real.stub_policies import spec

HOME = np.array(SPEC.q_home)


class Replay:
    """Gives the next actions of a recording, and remembers what it was asked."""

    def __init__(self, actions: np.ndarray, n_action_steps: int = 4, horizon: int = 8) -> None:
        self.spec = spec(n_action_steps, horizon)
        self.actions, self.asked = actions, []  # type: ignore[var-annotated]
        self.ways: list[np.ndarray] = [np.zeros(8)]

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        start = len(self.asked) * self.spec.n_action_steps
        self.asked.append((obs, seeds))
        ways = [self.actions[start : start + self.spec.horizon] + way for way in self.ways[:num_samples]]
        return np.stack(ways)[None]


def state(t: float, q: np.ndarray) -> State:
    return State(t, round(t / 0.002), 1, 11, True, 0.0, 0.08, 0.08, q, np.zeros(7), q)


SEEN = {"observation.environment_state": np.zeros(10, np.float32)}


def test_chunks_are_the_joint_targets_of_the_simulator() -> None:
    env = ArmVecEnv(ArmConfig(task={"_target_": "sim.tasks.pick_place.PickPlace"}, home_noise=0.0, threads=1), num_envs=1)
    kinematics = Kinematics(SPEC)
    place, quat = kinematics.forward(HOME)
    steps = np.arange(1, 25)[:, None]
    tool = place + np.concatenate([0.004 * steps, 0.006 * steps, -0.003 * steps], 1)
    actions = np.concatenate([tool, np.repeat(quat, 24, 0), np.full((24, 1), 0.05)], 1).astype(np.float32)
    actions[13, :3] += 0.3  # a jump, which the speed limit turns into a fast move
    model = Replay(actions)
    planner = Planner(model, kinematics)
    planner.begin(1, 11)
    env.reset(np.array([0]))
    wanted = []
    for action in actions:
        wanted.append(env.joint_targets(action[None].astype(float), np.array([0]))[0])
        env._q_target[0] = wanted[-1]
    env.close()
    for k in range(0, 16, 4):
        t = 0.05 * k
        here = state(t, HOME if k == 0 else wanted[k - 1])  # an arm that is commanded what the simulator was
        planner.see(here, SEEN)
        chunk = planner.plan(here, t, t)
        assert chunk.t_obs == t and chunk.dt == 0.05 and len(chunk.q) == 9
        np.testing.assert_array_equal(chunk.q[0], HOME if k == 0 else wanted[k - 1])
        np.testing.assert_array_equal(chunk.q[1:], wanted[k : k + 8])
        np.testing.assert_array_equal(chunk.width[1:], np.float32(0.05))
        assert model.asked[-1][1] == fold(np.array([11], np.uint64), k // 4)


def test_windows_hold_the_newest_frames_and_begin_with_the_first_one_repeated() -> None:
    model = Replay(np.zeros((64, 8), np.float32) + [0.3, 0, 0.48, 0, 1, 0, 0, 0.05])
    planner = Planner(model, Kinematics(SPEC))
    planner.begin(1, 0)
    for i in range(3):
        planner.see(state(0.05 * i, HOME), {"observation.environment_state": np.full(10, i, np.float32)})
        planner.plan(state(0.05 * i, HOME), 0.05 * i, 0.0)
    windows = [obs["observation.environment_state"][0, :, 0].tolist() for obs, _ in model.asked]
    assert windows == [[0, 0], [0, 1], [1, 2]]
    position, quat = Kinematics(SPEC).forward(HOME)
    seen = model.asked[0][0]["observation.state"]
    assert seen.shape == (1, 2, 8) and seen.dtype == np.float32
    np.testing.assert_allclose(seen[0, 1], np.concatenate([position[0], quat[0], [0.08]]), atol=1e-6)


def test_of_several_ways_the_one_that_was_announced_is_gone_on_with() -> None:
    """Two ways lie 0.2 m apart and are drawn in changing order: the first draw decides for all that follow."""
    left, right = np.zeros(8), np.zeros(8)
    left[1], right[1] = 0.1, -0.1
    model = Replay(np.zeros((64, 8)) + [0.4, 0, 0.4, 0, 1, 0, 0, 0.05])
    planner = Planner(model, Kinematics(SPEC), proposals=2)
    planner.begin(1, 0)
    taken = []
    for k in range(4):
        model.ways = [left, right] if k % 2 == 0 else [right, left]
        planner.see(state(0.2 * k, HOME), SEEN)
        chunk = planner.plan(state(0.2 * k, HOME), 0.2 * k, 0.0)
        taken.append(Kinematics(SPEC).tool(chunk.q[-1])[0, 1] > 0)
    assert taken == [True] * 4
    planner.begin(2, 0)
    planner.see(state(0.0, HOME), SEEN)
    planner.plan(state(0.0, HOME), 0.0, 0.0)
    assert planner._expected[0, 1] == -0.1, "a new episode begins with a new draw"


def test_one_broken_proposal_is_enough_to_be_refused() -> None:
    model = Replay(np.zeros((64, 8)) + [0.4, 0, 0.4, 0, 1, 0, 0, 0.05])
    model.ways = [np.zeros(8), np.full(8, np.nan)]
    planner = Planner(model, Kinematics(SPEC), proposals=2)
    planner.begin(1, 0)
    planner.see(state(0.0, HOME), SEEN)
    assert np.isnan(planner.plan(state(0.0, HOME), 0.0, 0.0).q[1:]).all()


def test_a_nan_stays_a_nan() -> None:
    actions = np.zeros((64, 8)) + [0.3, 0, 0.48, 0, 1, 0, 0, 0.05]
    actions[2, 4] = np.nan
    planner = Planner(Replay(actions), Kinematics(SPEC))
    planner.begin(1, 0)
    planner.see(state(0.0, HOME), SEEN)
    chunk = planner.plan(state(0.0, HOME), 0.0, 0.0)
    assert np.isfinite(chunk.q[:3]).all() and np.isnan(chunk.q[3:]).all()


def test_what_perception_does_not_give_is_named() -> None:
    planner = Planner(Replay(np.zeros((64, 8))), Kinematics(SPEC))
    planner.begin(1, 0)
    with pytest.raises(SpecError, match="environment_state"):
        planner.see(state(0.0, HOME), {})
    with pytest.raises(SpecError, match="shape"):
        planner.see(state(0.0, HOME), {"observation.environment_state": np.zeros(4, np.float32)})


@pytest.mark.parametrize(("kind", "absolute"), [("position", True), ("ee_pose", False)])
def test_actions_without_a_meaning_for_an_arm_are_refused(kind: str, absolute: bool) -> None:
    model = Replay(np.zeros((8, 2)))
    action = ActionSpec(kind, ("x", "y"), ("m", "m"), absolute)
    model.spec = PolicySpec("pusht", "pusht", (Feature("observation.state", (2,)),), action, 10.0)
    with pytest.raises(SpecError, match="absolute"):
        Planner(model, Kinematics(SPEC))
