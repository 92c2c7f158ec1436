"""Inserting a peg: only a tip in the hole and deep enough counts, and the expert finds the hole."""

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import multiply, quat_about_z, rotate
from sim.demonstrate import demonstrate
from sim.tasks.peg_insertion import BLOCK_TOP, DEPTH, LEVELS, PEG_HALF, PEG_LENGTH, PegInsertion, PegInsertionConfig, lower_end

SEEDS = np.arange(70, 74)
TASK = {"_target_": "sim.tasks.peg_insertion.PegInsertion"}
EXPERT = {"task": TASK, "expert": "sim.tasks.peg_insertion.PegInsertionExpert", "max_steps": 300}
TURNED = 0.3  # [rad] of the block in the states placed by hand


def put(env, tip, lean=0.0):
    """The block at (0.5, 0.2), turned; the tip of the peg at `tip` (3,) in its frame, the peg leaning by `lean` [rad]."""
    turn = quat_about_z(np.array(TURNED))
    foot, rows = np.array([0.5, 0.2, 0.0]), np.array([0])
    quat = multiply(turn, np.array([np.cos(lean / 2), np.sin(lean / 2), 0.0, 0.0]))
    middle = foot + rotate(turn, np.asarray(tip, float)) + rotate(quat, np.array([0, 0, PEG_LENGTH / 2]))
    env.physics.set_body("block", foot[None], turn[None], rows)
    env.physics.set_body("peg", middle[None], quat[None], rows)


@pytest.fixture
def placed(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    return env


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_hole_is_as_wide_as_the_level_says_and_goes_through(arm, level):
    model = arm(1, task=TASK | {"level": level}).physics.model
    hole = PEG_HALF + LEVELS[level]["clearance"]
    for side in ("x", "y"):
        axis = "xy".index(side)
        for name, sign in (("1", 1), ("2", -1)):
            geom = model.geom(f"block_{side}{name}")
            assert sign * geom.pos[axis] - geom.size[axis] == pytest.approx(hole)  # the inner face
            assert sign * geom.pos[axis] + geom.size[axis] == pytest.approx(0.05)  # the outer face
            assert geom.pos[2] + geom.size[2] == pytest.approx(BLOCK_TOP)


def test_pegs_and_blocks_start_where_the_level_says(arm):
    level = LEVELS["medium"]
    env = arm(64, task=TASK)
    seen = env.reset(np.arange(64))["observation.environment_state"]
    yaw = [2 * np.arctan2(seen[:, i + 6], seen[:, i + 3]) for i in (0, 7)]
    for name, values in (("x", seen[:, 0]), ("x", seen[:, 7]), ("peg_y", seen[:, 1]), ("block_y", seen[:, 8])):
        low, high = level[name]
        assert (values >= low - 1e-6).all() and (values <= high + 1e-6).all() and np.ptp(values) > 0.8 * (high - low)
    for turned in yaw:
        assert np.abs(turned).max() <= np.pi / 4 + 1e-5 and np.ptp(turned) > 0.8 * np.pi / 2
    np.testing.assert_allclose(seen[:, 2], PEG_LENGTH / 2, atol=1e-6)
    np.testing.assert_allclose(env.physics.body("holder")[0][:, :2], seen[:, :2], atol=1e-6)
    assert not env.task.success(env.physics).any()


def test_left_alone_the_peg_stands_in_its_holder(arm):
    env = arm(4, task=TASK | {"level": "hard"})
    hold = env.reset(SEEDS)["observation.state"]
    before = env.physics.body("peg")
    for _ in range(30):
        env.step(hold)
    np.testing.assert_allclose(env.physics.body("peg")[0], before[0], atol=1e-3)
    assert np.abs(np.abs((env.physics.body("peg")[1] * before[1]).sum(1)) - 1).max() < 1e-4


@pytest.mark.parametrize(
    ("tip", "done"),
    [
        ([0.0, 0.0, BLOCK_TOP - DEPTH - 0.001], True),
        ([0.0, 0.0, BLOCK_TOP - DEPTH + 0.001], False),
        ([0.0012, -0.0012, 0.005], True),  # touching two walls
        ([0.0, 0.0, 0.09], False),  # over the hole
        ([0.018, 0.0, 0.005], False),  # as deep, but in the wall
        ([0.0, -0.1, 0.0], False),  # standing beside the block
    ],
)
def test_it_is_done_when_the_tip_is_deep_in_the_hole(placed, tip, done):
    put(placed, tip)
    np.testing.assert_allclose(placed.task.tip(placed.physics)[0], tip, atol=1e-9)
    assert placed.task.success(placed.physics)[0] == done
    assert (placed.task.reward(placed.physics)[0] == 1.0) == done


def test_the_tip_is_the_lower_end_whichever_way_the_peg_was_taken():
    middle = np.array([[0.4, 0.1, 0.2]])
    for quat in ([1.0, 0, 0, 0], [0.0, 1.0, 0, 0]):  # upright, and upside down
        np.testing.assert_allclose(lower_end(middle, np.array([quat])), [[0.4, 0.1, 0.14]], atol=1e-12)


def test_a_peg_lying_across_the_block_is_no_success(placed):
    put(placed, [0.0, 0.0, BLOCK_TOP + PEG_HALF], lean=np.pi / 2)
    hold = placed.observe()["observation.state"]
    for _ in range(20):
        assert not placed.step(hold)[4]["success"].any()


def test_a_peg_let_go_of_over_the_hole_falls_in_and_a_twisted_one_does_not(arm):
    env = arm(2, task=TASK)
    hold = env.reset(SEEDS[:2])["observation.state"]
    block, turn = env.physics.body("block")
    for row, twist in ((0, 0.0), (1, np.pi / 4)):
        quat = multiply(quat_about_z(np.array(twist)), turn[row])
        env.physics.set_body("peg", block[[row]] + [0, 0, BLOCK_TOP + PEG_LENGTH / 2 + 0.002], quat[None], np.array([row]))
    for _ in range(30):
        env.step(hold)
    assert env.task.success(env.physics).tolist() == [True, False]


def test_the_reward_rises_as_the_peg_goes_in(placed):
    rewards = []
    for tip in ([0.1, -0.3, 0.02], [0.1, -0.2, 0.08], [0.0, 0.0, 0.08], [0.0, 0.0, 0.05], [0.0, 0.0, 0.03]):
        put(placed, tip)
        rewards.append(placed.task.reward(placed.physics)[0])
    assert (np.diff(rewards) > 0).all() and rewards[-1] < 0.95


def test_the_expert_inserts_it_and_earns_more_and_more(arm):
    env = arm(4, reward="dense", **EXPERT)
    for demo in demonstrate(env, SEEDS, ["clean"] * 4):
        reward = demo.columns["next.reward"][:, 0]
        done = int(np.argmax(reward == 1.0))
        assert demo.success and demo.columns["next.terminated"][-1] and 60 < len(reward) < 260
        assert reward[:done].max() < 0.96 and reward[0] < 0.2
        thirds = [part.mean() for part in np.array_split(reward, 3)]
        assert thirds[0] < thirds[1] < thirds[2]


def test_half_of_those_who_make_mistakes_fail(arm):
    env = arm(12, **EXPERT)
    good = sum(demo.success for demo in demonstrate(env, np.arange(12), ["wrong"] * 12))
    assert 2 <= good <= 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "esay"}, "did you mean 'easy'"),
        ({"x": [0.6, 0.4]}, "env.task.x must be .low, high., found"),
        ({"clearance": 0.0}, "env.task.clearance=0.0; allowed: 0.0005 to 0.01"),
        ({"peg_yaw": -1.0}, "env.task.peg_yaw=-1.0; allowed"),
        ({"block_y": [0.0, 0.2]}, "the holder and the block overlap"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PegInsertion(PegInsertionConfig(**options))
