"""Brake-verified commit: no setpoint whatsoever leads out of a limit. Every claim is checked by other formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from real.kinematics import Kinematics
from real.robots.panda import SPEC
from real.safety.arc import Arc
from real.safety.commit import Committer, Motion, approach
from real.safety.limits import MotionLimits, Setpoint, shape
from real.safety.workspace import Workspace
from tests.real.fakes import BOX, DT

KINEMATICS = Kinematics(SPEC)
WORKSPACE = Workspace.of(tuple(BOX[0]), tuple(BOX[1]))
HOME = np.array(SPEC.q_home)
ULP = 5e-16


def committer(speed: float = 1.0, acceleration: float = 1.0, jerk: float = 1.0) -> Committer:
    return Committer(KINEMATICS, MotionLimits.of(SPEC, speed, acceleration, jerk), WORKSPACE, DT)


def to(q: np.ndarray, v: np.ndarray | None = None) -> Setpoint:
    zero = np.zeros(len(q))
    return Setpoint(np.asarray(q, float), zero if v is None else v, zero, 0.04)


def inside(motions: list[Motion], limits: MotionLimits) -> None:
    """Every limit, from the positions alone by finite differences and from the profile's own derivatives."""
    q = np.array([m.q for m in motions])
    v, a = np.array([m.v for m in motions]), np.array([m.a for m in motions])
    assert ((q >= limits.q_min) & (q <= limits.q_max)).all()
    assert (np.abs(v) <= limits.v_max * (1 + 1e-9)).all() and (np.abs(a) <= limits.a_max * (1 + 1e-9)).all()
    for order, bound in ((1, limits.v_max), (2, limits.a_max), (3, limits.j_max)):
        value = np.abs(np.diff(q, order, axis=0)) / DT**order
        assert (value <= bound * (1 + 1e-9) + 2**order * ULP / DT**order).all(), f"difference {order}: {(value / bound).max()}"
    assert (WORKSPACE.room(KINEMATICS.joint_origins(q)[:, -1]) >= 0).all()


def jumps(rng: np.random.Generator, i: int, motion: Motion, last: Setpoint) -> Setpoint:
    return to(rng.uniform(SPEC.q_min, SPEC.q_max), rng.normal(size=7) * 3) if i % 150 == 0 else last


def walk(rng: np.random.Generator, i: int, motion: Motion, last: Setpoint) -> Setpoint:
    return to(last.q + rng.normal(size=7) * 0.03, rng.normal(size=7))


def corners(rng: np.random.Generator, i: int, motion: Motion, last: Setpoint) -> Setpoint:
    if i % 200:
        return last
    return to(np.where(rng.random(7) < 0.5, SPEC.q_min, SPEC.q_max), np.where(rng.random(7) < 0.5, -5.0, 5.0))


def pushing(rng: np.random.Generator, i: int, motion: Motion, last: Setpoint) -> Setpoint:
    """Always a little further the way it is going, at top speed: into the walls."""
    way = np.where(motion.v == 0, rng.normal(size=7), motion.v)
    return to(motion.q + 0.2 * np.sign(way), np.sign(way) * 3)


@pytest.mark.parametrize("adversary", [jumps, walk, corners, pushing])
@pytest.mark.parametrize("jerk", [1.0, 0.1])
def test_no_adversary_leaves_a_limit(adversary, jerk: float) -> None:  # type: ignore[no-untyped-def]
    here = committer(jerk=jerk)
    rng = np.random.default_rng(3)
    motion, setpoint = here.rest(HOME), to(HOME)
    motions = [motion] * 3
    refused = 0
    for i in range(1600):
        setpoint = adversary(rng, i, motion, setpoint)
        shaped, _ = shape(setpoint, here.limits)
        motion, verdict = here.step(motion, shaped)
        refused += not verdict.ok
        motions.append(motion)
    inside(motions, here.limits)
    assert refused > 10, "the adversary never met a wall, so this test shows nothing"
    # And the way out of anywhere is short.
    for _ in range(300):
        motion, _ = here.step(motion, None)
        motions.append(motion)
    assert motion.at_rest
    inside(motions, here.limits)


wild = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([1e308, -1e308, 5e-324, np.nan, np.inf]), st.floats(-3, 3))
vector = st.lists(wild, min_size=7, max_size=7).map(lambda x: np.array(x, float))


@given(st.lists(st.tuples(vector, vector, vector, wild), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_float_as_setpoint(setpoints: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]], seed: int) -> None:
    here = committer(acceleration=0.5)
    motion = here.rest(HOME)
    motions = [motion] * 3
    for q, v, a, width in setpoints:
        shaped, _ = shape(Setpoint(q, v, a, width), here.limits)
        assert (shaped is None) == (not np.isfinite(np.concatenate([q, v, a, [width]])).all())
        for _ in range(5):
            motion, _ = here.step(motion, shaped)
            motions.append(motion)
    inside(motions, here.limits)


def test_it_gets_there() -> None:
    """Safe is easy for an arm that does not move: a far target is reached, at the speed limit, and held exactly."""
    here = committer()
    motion, target = here.rest(HOME), HOME + np.array([0.8, 0.2, -0.3, 0.3, 0.5, 0.3, -1.0])
    fastest = np.zeros(7)
    for _ in range(800):
        motion, verdict = here.step(motion, to(target))
        assert verdict.ok
        fastest = np.maximum(fastest, np.abs(motion.v))
    np.testing.assert_allclose(motion.q, target, atol=1e-6)
    assert (fastest / here.limits.v_max).max() > 0.7


def test_a_moving_setpoint_is_followed_without_lag() -> None:
    """A sine within the limits: once on it, the command stays within a tenth of a milliradian of it."""
    here = committer()
    motion, size, w = here.rest(HOME), 0.2, 2.0
    worst = 0.0
    for i in range(2000):
        t = (i + 1) * DT
        s, c = np.sin(w * t), np.cos(w * t)
        setpoint = Setpoint(HOME + size * s, np.full(7, size * w * c), np.full(7, -size * w * w * s), 0.04)
        motion, verdict = here.step(motion, setpoint)
        assert verdict.ok
        if i > 500:
            worst = max(worst, float(np.abs(motion.q - setpoint.q).max()))
    assert worst < 1e-4


def test_without_a_setpoint_the_verified_stop_is_followed_exactly() -> None:
    here = committer()
    motion = here.rest(HOME)
    for _ in range(150):
        motion, _ = here.step(motion, to(HOME + 0.3))
    assert np.abs(motion.v).max() > 0.5
    promised = motion.brake.knots[0][-1]
    length = motion.brake.duration
    ticks = 0
    while not motion.at_rest:
        motion, _ = here.step(motion, None)
        ticks += 1
    assert ticks == int(np.ceil(length / DT))
    np.testing.assert_array_equal(motion.q, promised)
    still, _ = here.step(motion, None)
    assert still is motion


def test_rest_on_the_face_of_the_workspace_can_be_left_and_not_crossed() -> None:
    here = committer()
    motion = here.rest(HOME)
    place, quat = KINEMATICS.forward(HOME)
    q = HOME[None]
    for i in range(1500):  # straight down at 0.3 m/s, through the table
        if i % 10 == 0:
            place = place - [0, 0, 0.006]
            q = KINEMATICS.inverse(np.maximum(place, [-9, -9, -0.1]), quat, q)
        motion, _ = here.step(motion, to(q[0]))
    height = KINEMATICS.forward(motion.q)[0][0, 2]
    assert BOX[0][2] <= height < BOX[0][2] + 0.01, f"stopped {height} m above"
    for _ in range(1500):
        motion, _ = here.step(motion, to(HOME))
    np.testing.assert_allclose(motion.q, HOME, atol=1e-3)


def test_a_setpoint_that_the_planner_cannot_use_is_a_reason_to_brake() -> None:
    here = committer()
    motion = here.rest(HOME)
    for _ in range(100):
        motion, _ = here.step(motion, to(HOME + 0.3))
    after, verdict = here.step(motion, to(HOME * np.nan))
    braked, _ = here.step(motion, None)
    assert not verdict.ok and "no motion" in verdict.why
    np.testing.assert_array_equal(after.q, braked.q)


def test_approach_joins_its_two_laws_smoothly() -> None:
    limits = MotionLimits.of(SPEC)
    near = 0.5 * limits.a_max / 20.0**2
    below, above = approach(near * (1 - 1e-6), limits), approach(near * (1 + 1e-6), limits)
    np.testing.assert_allclose(below, above, rtol=1e-5)
    assert (approach(-near, limits) == -approach(near, limits)).all()
    assert not approach(np.zeros(7), limits).any()


def test_inside_names_where_an_arm_may_not_start() -> None:
    here = committer()
    assert here.inside(HOME)
    assert not here.inside(np.where(np.arange(7) == 3, -0.0699, HOME))  # at a joint's end, inside the margin
    assert not here.inside(HOME + np.array([1.6, 0, 0, 0, 0, 0, 0]))  # the tool behind the box's side


def arc(q: np.ndarray = HOME, v: float = 0.0, a: float = 0.0, j: float = 0.0) -> Arc:
    """One tick of the first joint: velocity, acceleration and jerk as shares of its limits. The other joints rest."""
    here, one = committer(), np.where(np.arange(7) == 0, 1.0, 0.0)
    return Arc(q, v * here.v_max * one, a * here.a_max * one, np.full((1, 7), DT), (j * here.j_max * one)[None])


def near_end(distance: float) -> np.ndarray:
    return np.where(np.arange(7) == 6, committer().limits.q_max - distance, HOME)


@pytest.mark.parametrize(
    ("step", "taken"),
    [
        (arc(), True),
        (arc(j=0.999), True),
        (arc(j=1.001), False),
        (arc(v=0.5, a=0.9999), True),
        (arc(v=0.5, a=1.001), False),
        (arc(v=0.5, a=0.5, j=0.9), False),  # 0.5 + 0.9 of the limit after one tick
        (arc(v=1.0), True),
        (arc(v=1.001), False),
        (arc(v=0.999, a=0.9), False),  # the acceleration cannot fall fast enough to stay under the speed limit
        (arc(v=-0.999, a=-0.9), False),
    ],
)
def test_a_step_is_taken_only_inside_every_limit(step: Arc, taken: bool) -> None:
    """No planner is involved: whatever proposed the step."""
    here = committer()
    found = here._verified(here.rest(step.position), step)
    assert (found is not None) == taken
    if found is not None:
        np.testing.assert_allclose(found.q, step.knots[0][-1])


def test_a_step_towards_a_joints_end_is_taken_only_if_there_is_room_to_stop() -> None:
    """1 rad/s of the last joint: v^2 / 2 a + v a / 2 j = 25 mm / 20 + ... = 26 mrad to stop from, and 2 mrad in the tick."""
    here = committer()
    one = np.where(np.arange(7) == 6, 1.0, 0.0)
    for distance, taken in ((0.030, True), (0.026, False)):
        step = Arc(near_end(distance), one, 0 * one, np.full((1, 7), DT), np.zeros((1, 7)))
        assert (here._verified(here.rest(step.position), step) is not None) == taken
    for distance, taken in ((0.030, True), (0.026, False)):
        low = np.where(np.arange(7) == 6, here.limits.q_min + distance, HOME)
        step = Arc(low, -one, 0 * one, np.full((1, 7), DT), np.zeros((1, 7)))
        assert (here._verified(here.rest(low), step) is not None) == taken


def test_a_turn_inside_the_tick_is_seen() -> None:
    """5 mrad/s towards the end with 10 rad/s^2 away from it: the joint turns after 0.5 ms, 1.25 micro-radians further on."""
    here = committer()
    one = np.where(np.arange(7) == 6, 1.0, 0.0)
    for way, end in ((1, here.limits.q_max), (-1, here.limits.q_min)):
        for distance, taken in ((1e-6, False), (1e-5, True)):
            q = np.where(np.arange(7) == 6, end - way * distance, HOME)
            step = Arc(q, way * 0.005 * one, -way * 10 * one, np.full((1, 7), DT), np.zeros((1, 7)))
            motion = Motion(q, step.velocity, step.acceleration, here.rest(q).brake)
            assert (here._verified(motion, step) is not None) == taken


def test_a_step_towards_a_wall_is_taken_only_if_the_tool_can_stop_in_front_of_it() -> None:
    here = committer()
    _, quat = KINEMATICS.forward(HOME)
    for height, taken in ((0.06, True), (0.015, False)):
        q = KINEMATICS.inverse(np.array([[0.45, 0.0, BOX[0][2] + height]]), quat, HOME[None], iterations=200)[0]
        down = np.linalg.pinv(KINEMATICS.jacobian(q)[0]) @ np.array([0, 0, -0.35, 0, 0, 0])
        step = Arc(q, down, 0 * down, np.full((1, 7), DT), np.zeros((1, 7)))
        assert here.inside(q) and (here._verified(here.rest(q), step) is not None) == taken
