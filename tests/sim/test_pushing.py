"""The model of a push, against mechanics done by hand; tests/sim/tasks/test_push.py holds it against the engines."""

import numpy as np
import pytest

from sim.pushing import Pushes, compose, cost, errors, library, slide

RADIUS = 0.05
T = ((0.0, 0.0257142857, 0.06, 0.015), (0.0, -0.0342857143, 0.015, 0.045))
PUSHER, CLEARANCE = 0.012, 0.02


@pytest.fixture(scope="module")
def known():
    return library(T, PUSHER, RADIUS, CLEARANCE)


def test_changes_follow_each_other_as_matrices_do():
    rng = np.random.default_rng(0)
    poses, changes = rng.uniform(-2, 2, (2, 20, 3))

    def matrix(p):
        return np.array([[np.cos(p[2]), -np.sin(p[2]), p[0]], [np.sin(p[2]), np.cos(p[2]), p[1]], [0, 0, 1]])

    for pose, change, out in zip(poses, changes, compose(poses, changes), strict=True):
        np.testing.assert_allclose(matrix(out), matrix(pose) @ matrix(change), atol=1e-12)


def test_errors_are_the_distance_and_the_shortest_turn():
    distance, angle = errors(np.array([[0.3, 0.4, 3.0], [0.0, 0.0, 2 * np.pi - 0.1]]), np.array([0.0, 0.0, -3.0]))
    np.testing.assert_allclose(distance, [0.5, 0.0])
    np.testing.assert_allclose(angle, [2 * np.pi - 6.0, np.pi - 0.1 - (np.pi - 3.0)], atol=1e-12)
    assert cost(np.array([0.03, 0.04, 0.6]), np.zeros(3), (0.05, 0.2)) == pytest.approx(np.sqrt(1 + 9))


def test_the_touched_point_goes_with_the_pusher_and_the_force_acts_there():
    rng = np.random.default_rng(1)
    touch, velocity = rng.uniform(-0.08, 0.08, (50, 2)), rng.normal(0, 0.1, (50, 2))
    vx, vy, turn = slide(touch, velocity, RADIUS).T
    there = np.stack([vx - turn * touch[:, 1], vy + turn * touch[:, 0]], 1)
    np.testing.assert_allclose(there, velocity, atol=1e-12)
    # The twist is normal to the surface (f / f_max)^2 + (m / m_max)^2 = 1: v ~ f and turn ~ m / radius^2.
    np.testing.assert_allclose(turn * RADIUS**2, touch[:, 0] * vy - touch[:, 1] * vx, atol=1e-12)


@pytest.mark.parametrize(("x", "turns"), [(-0.03, 1), (0.0, 0), (0.008, 0), (0.03, -1)])
def test_a_push_beside_the_centre_turns_and_a_flat_one_before_it_does_not(known, x, turns):
    """Down onto the bar: on its left side the T turns to the left."""
    straight = np.abs(known.direction @ [0, -1] - 1) < 1e-9
    top = straight & (known.start[:, 1] > 0.04) & (np.abs(known.length - 0.05) < 1e-9)
    nearest = np.flatnonzero(top)[np.abs(known.start[top, 0] - x).argmin()]
    effect = known.effect[nearest]
    assert np.sign(np.round(effect[2], 6)) == turns
    if turns == 0:
        np.testing.assert_allclose(effect, [0, -0.05, 0], atol=1e-9)
    else:
        assert -0.05 < effect[1] < -0.02 and 0.1 < abs(effect[2]) < 1.0


def test_the_library_is_as_symmetric_as_the_t(known):
    def keys(start, direction, length, effect):
        return {tuple(np.round(row, 6) + 0.0) for row in np.column_stack([start, direction, length, effect])}

    flip = np.array([-1.0, 1.0])
    mirrored = keys(known.start * flip, known.direction * flip, known.length, known.effect * [-1, 1, -1])
    assert keys(known.start, known.direction, known.length, known.effect) == mirrored


def test_the_pusher_comes_down_beside_the_t_and_reaches_every_side(known):
    for centres, gap in ((known.start, 0.0), (known.start - CLEARANCE * known.direction, 0.003)):
        for x, y, half_x, half_y in T:
            beside = np.maximum(np.abs(centres[:, 0] - x) - half_x, np.abs(centres[:, 1] - y) - half_y)
            assert beside.min() > PUSHER + gap - 1e-6
    for normal, place in (((0, -1), 0.0407), ((1, 0), -0.06), ((-1, 0), 0.06), ((0, 1), -0.0793), ((1, 0), -0.015), ((-1, 0), 0.015)):
        touching = known.start + PUSHER * np.array(normal)
        axis = int(normal[1] != 0)
        assert (np.abs(touching[:, axis] - place) < 1e-3).any(), (normal, place)
    assert np.linalg.norm(known.direction, axis=1) == pytest.approx(1.0)
    assert known.length.min() == pytest.approx(0.01) and known.length.max() <= 0.22 + 1e-9


def test_what_one_push_can_do_is_done_with_one(known):
    rng = np.random.default_rng(2)
    price = 0.3 + 5 * known.length
    for which in rng.choice(len(price), 10):
        pose = rng.uniform(-1, 1, 3)
        goal = compose(pose, known.effect[which])
        chosen = known.choose(pose, goal, (0.02, 0.2), price, np.zeros(len(price)))
        assert cost(compose(pose, known.effect[chosen]), goal, (0.02, 0.2)) < cost(pose, goal, (0.02, 0.2))
        assert cost(compose(pose, known.effect[chosen]), goal, (0.02, 0.2)) + price[chosen] <= price[which] + 1e-9


def test_it_looks_two_pushes_ahead():
    """Round a corner: the first push leads away from the goal, and only it makes the second one possible."""
    pushes = Pushes(np.zeros((2, 2)), np.array([[1.0, 0], [0, 1.0]]), np.full(2, 0.1), np.array([[0.0, 0.1, np.pi], [0.05, 0.0, 0.0]]))
    goal = np.array([-0.05, 0.1, np.pi])  # turned first, then pushed: forward is back
    zero = np.zeros(2)
    assert pushes.choose(np.zeros(3), goal, (0.02, 100.0), np.full(2, 0.1), zero) == 0
    assert pushes.choose(np.zeros(3), np.array([0.05, 0.0, 0.0]), (0.02, 0.2), np.full(2, 0.1), zero) == 1


def test_what_cannot_be_done_is_not_chosen(known):
    pose = np.zeros(3)
    goal = known.effect[700]
    price = np.full(len(known.length), 0.3)
    first = known.choose(pose, goal, (0.02, 0.2), price, np.zeros(len(price)))
    price[first] = np.inf
    assert known.choose(pose, goal, (0.02, 0.2), price, np.zeros(len(price))) != first
