"""Push: when the T lies on its outline, and that the engines do to it what the expert thinks they do."""

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import multiply, quat_about_z
from sim.bullet import contacts
from sim.demonstrate import demonstrate
from sim.experts import DOWN
from sim.pushing import compose, errors
from sim.tasks.push import APART, CLEARANCE, LEVELS, LOW, LYING, Push, PushConfig, planar, pushes

SEEDS = np.arange(70, 74)
TASK = {"_target_": "sim.tasks.push.Push"}
EXPERT = {"task": TASK, "expert": "sim.tasks.push.PushExpert", "max_steps": 500}


def put(env, block, target, z=LYING):
    """Poses x, y, yaw of the T and of its target in row 0."""
    for name, (x, y, yaw), height in (("block", block, z), ("target", target, 0.0005)):
        env.physics.set_body(name, np.array([[x, y, height]]), quat_about_z(np.array([yaw])), np.array([0]))
    return bool(env.task.success(env.physics)[0])


def test_the_yaw_of_a_flat_body_is_the_angle_it_was_turned_by():
    yaw = np.linspace(-3.1, 3.1, 9)
    np.testing.assert_allclose(planar(np.ones((9, 3)), quat_about_z(yaw))[:, 2], yaw)
    np.testing.assert_allclose(planar(np.ones((9, 3)), -quat_about_z(yaw))[:, 2], yaw)
    tilted = multiply(quat_about_z(yaw), np.array([np.cos(0.05), np.sin(0.05), 0, 0]))
    np.testing.assert_allclose(planar(np.ones((9, 3)), tilted)[:, 2], yaw, atol=1e-9)


def test_the_t_starts_in_its_ranges_and_away_from_its_target(arm):
    ranges = LEVELS["medium"]
    env = arm(100, task=TASK)
    seen = env.reset(np.arange(100))["observation.environment_state"]
    block, target = planar(seen[:, :3], seen[:, 3:7]), planar(seen[:, 7:10], seen[:, 10:])
    for poses, names in ((block, ("block_x", "block_y")), (target, ("target_x", "target_y"))):
        for axis, name in enumerate(names):
            low, high = ranges[name]
            assert (poses[:, axis] >= low - 1e-6).all() and (poses[:, axis] <= high + 1e-6).all()
            assert np.ptp(poses[:, axis]) > 0.8 * (high - low)
    distance, turned = errors(block, target)
    assert distance.min() >= APART - 1e-6 and turned.max() <= ranges["turn"] + 1e-5 and turned.max() > 1.2
    assert np.abs(target[:, 2]).max() <= ranges["target_yaw"] + 1e-5
    np.testing.assert_allclose(seen[:, 2], LYING, atol=1e-6)
    assert not env.task.success(env.physics).any()


@pytest.mark.parametrize(
    ("block", "done"),
    [
        ((0.5, 0.1, 0.4), True),
        ((0.5 + 0.024, 0.1, 0.4), True),
        ((0.5 + 0.018, 0.1 - 0.019, 0.4), False),  # 2.6 cm
        ((0.5, 0.1, 0.4 + 0.2), True),
        ((0.5, 0.1, 0.4 - 0.22), False),
        ((0.5, 0.1, 0.4 + np.pi), False),
    ],
)
def test_the_t_must_lie_near_and_straight(arm, block, done):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    assert put(env, block, (0.5, 0.1, 0.4)) == done
    assert (env.task.reward(env.physics)[0] == 1.0) == done


def test_yaws_are_compared_round_the_circle(arm):
    env = arm(1, task={**TASK, "level": "hard"})
    env.reset(SEEDS[:1])
    assert put(env, (0.5, 0.1, np.pi - 0.05), (0.5, 0.1, -np.pi + 0.05))


def test_a_t_that_slides_past_or_hangs_in_the_air_does_not_count(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    pose = (0.5, 0.1, 0.4)
    assert not put(env, pose, pose, z=0.05)
    assert put(env, pose, pose)
    first = env.physics.model.joint("block").dofadr[0]
    for dof, speed in ((0, 0.1), (1, -0.1), (5, 1.0)):
        put(env, pose, pose)
        env.physics.qvel[0, first + dof] = speed
        assert not env.task.success(env.physics)[0]


def test_a_t_that_nobody_pushes_stays_and_one_that_slides_stops(arm):
    env = arm(1, task=TASK)
    hold = env.reset(SEEDS[:1])["observation.state"]
    put(env, (0.5, 0.1, 0.4), (0.5, -0.1, 0.0))
    for _ in range(20):
        env.step(hold)
    position, quat = env.physics.body("block")
    np.testing.assert_allclose(planar(position, quat)[0], [0.5, 0.1, 0.4], atol=1e-3)
    env.physics.qvel[0, env.physics.model.joint("block").dofadr[0]] = 0.3
    for _ in range(20):
        env.step(hold)
    # Coulomb: v^2 / (2 mu g) with mu = 0.8.
    assert env.physics.body("block")[0][0, 0] - 0.5 == pytest.approx(0.3**2 / (2 * 0.8 * 9.81), abs=1.5e-3)


def test_reward_rises_as_the_t_comes_and_turns(arm):
    env = arm(1, task=TASK)
    env.reset(SEEDS[:1])
    rewards = []
    for block in ((0.5, -0.2, 1.5), (0.5, -0.1, 1.5), (0.5, -0.1, 0.7), (0.5, 0.0, 0.7), (0.5, 0.05, 0.3), (0.5, 0.1, 0.0)):
        put(env, block, (0.5, 0.1, 0.0))
        rewards.append(env.task.reward(env.physics)[0])
    assert (np.diff(rewards) > 0).all() and 0 < rewards[0] < 0.3 and rewards[-2] < 0.96 and rewards[-1] == 1.0


def test_the_t_slides_with_its_own_friction_on_both_engines(arm):
    """The gripper's pads would add a torsion that holds the T upright between them, and let it turn differently in each engine."""
    model = arm(1, task=TASK).physics.model
    groups = [group for of in contacts.groups(model).values() for group in of]
    touching = contacts.pairs(model, groups)
    found = contacts.friction(model, model.geom_friction, groups, touching)
    block = [model.body("block").id in (groups[i].body, groups[j].body) for i, j in touching]
    assert sum(block) >= 3  # the table and both pads
    for i, j in np.array(touching)[block]:
        assert found[i, 0] * found[j, 0] == pytest.approx(0.8, rel=0.02)
        assert found[i, 1] * found[j, 0] + found[j, 1] * found[i, 0] < 0.005  # [m], a tenth of the pads'


def straight_pushes(env, which):
    """What each of the pushes `which` does, and what the expert thinks that it does: (B, 3) each."""
    count, known = env.num_envs, pushes()
    env.reset(np.arange(count))
    yaw = np.linspace(-3, 3, count)
    pose = np.stack([np.full(count, 0.5), np.zeros(count), yaw], 1)
    rows = np.arange(count)
    env.physics.set_body("block", np.stack([pose[:, 0], pose[:, 1], np.full(count, LYING)], 1), quat_about_z(yaw), rows)
    flat = np.zeros((count, 1))
    start = compose(pose, np.concatenate([known.start[which] - CLEARANCE * known.direction[which], flat], 1))[:, :2]
    way = compose(np.stack([flat[:, 0], flat[:, 0], yaw], 1), np.concatenate([known.direction[which], flat], 1))[:, :2]
    quat = multiply(quat_about_z((yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4), DOWN)
    for height in [*np.linspace(0.3, LOW, 40), *[LOW] * 8]:
        env.step(np.concatenate([start, flat + height, quat, flat], 1))
    for gone in np.arange(0.0, 0.15, 0.006):
        to = start + way * np.minimum(gone, CLEARANCE + known.length[which])[:, None]
        env.step(np.concatenate([to, flat + LOW, quat, flat], 1))
    for _ in range(4):
        env.step(np.concatenate([to, flat + LOW, quat, flat], 1))
    return planar(*env.physics.body("block")), compose(pose, known.effect[which])


@pytest.mark.parametrize("engine", ["mujoco", pytest.param("pybullet", marks=pytest.mark.slow)])
def test_a_push_does_what_the_model_says(arm, engine):
    known = pushes()
    which = np.random.default_rng(5).choice(np.flatnonzero((known.length > 0.03) & (known.length < 0.1)), 24)
    seen, thought = straight_pushes(arm(24, task=TASK, engine=engine), which)
    distance, angle = errors(seen, thought)
    assert np.median(distance) < 0.008 and np.median(angle) < np.radians(6)
    more = (seen - thought)[:, 2]
    expected = known.effect[which, 2]
    turned = expected + (more + np.pi) % (2 * np.pi) - np.pi
    assert np.corrcoef(expected, turned)[0, 1] > 0.8


def test_the_expert_pushes_it_there_and_earns_more_and_more(arm):
    env = arm(4, reward="dense", **EXPERT)
    for demo in demonstrate(env, SEEDS, ["clean"] * 4):
        reward = demo.columns["next.reward"][:, 0]
        assert demo.success and demo.columns["next.terminated"][-1]
        begin, middle, end = (part.mean() for part in np.array_split(reward, 3))
        assert begin < middle < end and reward[-1] == 1.0 and reward[0] < 0.8


@pytest.mark.slow
def test_half_turns_do_not_lead_out_of_reach(arm):
    """Greedy pushes did, from these starts."""
    env = arm(4, **{**EXPERT, "task": {**TASK, "level": "hard"}})
    assert all(demo.success for demo in demonstrate(env, [12, 34, 66, 70], ["clean"] * 4))


@pytest.mark.slow
def test_half_of_those_who_make_mistakes_fail(arm):
    env = arm(40, **EXPERT)
    good = sum(demo.success for demo in demonstrate(env, np.arange(40), ["wrong"] * 40))
    assert 8 <= good <= 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "heard"}, "did you mean 'hard'"),
        ({"block_x": [0.6, 0.5]}, "env.task.block_x must be .low, high., found"),
        ({"tolerance": 0.0}, "env.task.tolerance=0.0; allowed: more than 0, up to 0.1"),
        ({"tolerance_yaw": 4.0}, "env.task.tolerance_yaw=4.0; allowed: more than 0, up to 3.14"),
        ({"level": "easy", "block_x": [0.5, 0.5], "block_y": [0.0, 0.05]}, "leave no two places 0.06 m apart"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Push(PushConfig(**options))
