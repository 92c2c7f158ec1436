"""The path past a chunk's waypoints: begins where the arm is, follows what can be followed, leaves tremor out."""

from __future__ import annotations

import numpy as np
import pytest

from real.chunk import Chunk
from real.path import SHARE, Path, _bounded_least_squares
from real.robots.panda import SPEC
from real.safety.limits import MotionLimits

HOME, ZERO = np.array(SPEC.q_home), np.zeros(7)
LIMITS = MotionLimits.of(SPEC)
DT = 0.05


def chunk(q: np.ndarray) -> Chunk:
    return Chunk(1, 1, 1, 1.0, 1.01, DT, np.asarray(q, float), np.linspace(0.08, 0.01, len(q)), bytes(32))


def moving(size: float, n: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Waypoints on a slow sine, and their times from t_obs."""
    t = DT * np.arange(n)
    return HOME + size * (1 - np.cos(3.0 * t))[:, None], t


def test_it_begins_with_the_commanded_state_and_is_smooth() -> None:
    rng = np.random.default_rng(0)
    v, a = rng.normal(size=7) * 0.3, rng.normal(size=7)
    path = Path(chunk(HOME + np.cumsum(rng.normal(size=(16, 7)) * 0.02, 0)), 1.03, HOME + 0.01, v, a, LIMITS)
    first = path.at(1.03)
    np.testing.assert_allclose(first.q, HOME + 0.01, atol=1e-12)
    np.testing.assert_allclose(first.v, v, atol=1e-12)
    np.testing.assert_allclose(first.a, a, atol=1e-12)
    h = 1e-6
    for t in (1.04, 1.055, 1.0801, 1.3, 1.6):  # inside pieces and across their joints
        before, here, after = path.at(t - h), path.at(t), path.at(t + h)
        np.testing.assert_allclose((after.q - before.q) / (2 * h), here.v, atol=1e-5)
        np.testing.assert_allclose((after.v - before.v) / (2 * h), here.a, atol=1e-2)
        assert np.abs(after.a - before.a).max() < 1e-2


def test_a_slow_motion_is_followed_closely() -> None:
    q, t = moving(0.15)
    path = Path(chunk(q), 1.0, HOME, ZERO, ZERO, LIMITS)
    for i in range(1, 15):
        assert np.abs(path.at(1.0 + t[i]).q - q[i]).max() < 2e-3


def test_tremor_is_left_out_and_the_motion_kept() -> None:
    q, _ = moving(0.15)
    rng = np.random.default_rng(1)
    path = Path(chunk(q + rng.normal(size=q.shape) * 0.02), 1.0, HOME, ZERO, ZERO, LIMITS)
    samples = [path.at(1.0 + x) for x in np.arange(0, 0.75, 0.002)]
    assert (np.abs([s.a for s in samples]).max(0) <= SHARE * LIMITS.a_max * 1.1).all()
    wanted = HOME[None] + 0.15 * (1 - np.cos(3.0 * np.arange(0, 0.75, 0.002)))[:, None]
    assert np.sqrt(np.mean((np.array([s.q for s in samples]) - wanted) ** 2)) < 0.012, "less than the tremor"


def test_a_seam_is_closed_within_the_limits() -> None:
    """The waypoints lie 0.1 rad from where the arm is: no jump, and it is there before the chunk is half over."""
    q = np.tile(HOME + 0.1, (16, 1))
    path = Path(chunk(q), 1.03, HOME, ZERO, ZERO, LIMITS)
    samples = [path.at(1.03 + x) for x in np.arange(0, 0.7, 0.002)]
    assert (np.abs([s.a for s in samples]).max(0) <= SHARE * LIMITS.a_max * 1.1).all()
    assert np.abs(path.at(1.45).q - q[0]).max() < 0.01


def test_corners_are_cut_no_more_than_the_limits_ask_for() -> None:
    """A fast zigzag: the limits are used up to their share, and rounding off stays as small as they allow."""
    zigzag = HOME + np.where(np.arange(16)[:, None] % 4 < 2, 0.06, -0.06)
    path = Path(chunk(zigzag), 1.0, HOME, ZERO, ZERO, LIMITS)
    a = np.array([path.at(1.0 + x).a for x in np.arange(0, 0.75, 0.002)])
    share = np.abs(a).max(0) / LIMITS.a_max
    assert (share <= SHARE * 1.1).all() and share.max() > 0.9 * SHARE
    far = Path(chunk(np.tile(HOME + 0.8, (16, 1))), 1.0, HOME, ZERO, ZERO, LIMITS)
    v = np.array([far.at(1.0 + x).v for x in np.arange(0, 0.75, 0.002)])
    assert (np.abs(v).max(0) <= SHARE * LIMITS.v_max * 1.1).all()


def test_bounded_least_squares_against_cases_with_a_known_answer() -> None:
    eye = np.eye(3)
    wanted = np.array([[0.5], [2.0], [-3.0]])
    low, high = np.full((3, 1), -1.0), np.full((3, 1), 1.0)
    np.testing.assert_allclose(_bounded_least_squares(eye, wanted, eye, low, high), [[0.5], [1.0], [-1.0]], atol=1e-3)
    # min (x - 2)^2 / 2 + (y - 2)^2 / 2 with x + y <= 2: by symmetry both are 1
    rows, two = np.array([[1.0, 1.0]]), np.full((2, 1), 2.0)
    found = _bounded_least_squares(np.eye(2), two, rows, np.full((1, 1), -9.0), np.full((1, 1), 2.0))
    np.testing.assert_allclose(found, [[1.0], [1.0]], atol=1e-3)
    free = _bounded_least_squares(np.diag([2.0, 4.0]), two, rows, np.full((1, 1), -9.0), np.full((1, 1), 9.0))
    np.testing.assert_allclose(free, [[1.0], [0.5]], atol=1e-12)


def test_past_the_end_it_rests_and_the_gripper_looks_one_waypoint_ahead() -> None:
    q, _ = moving(0.1)
    path = Path(chunk(q), 1.0, HOME, ZERO, ZERO, LIMITS)
    end = path.at(1.76)
    assert not end.v.any() and not end.a.any()
    np.testing.assert_allclose(end.q, path.at(99.0).q)
    widths = np.linspace(0.08, 0.01, 16)
    assert path.at(1.0).width == widths[1] and path.at(1.049).width == widths[1] and path.at(1.051).width == widths[2]
    assert path.at(9.0).width == widths[-1]


@pytest.mark.parametrize("late", [0.76, 5.0])
def test_a_chunk_that_is_over_already_is_a_rest_where_the_arm_is(late: float) -> None:
    q, _ = moving(0.1)
    path = Path(chunk(q), 1.0 + late, HOME, ZERO, ZERO, LIMITS)
    np.testing.assert_array_equal(path.at(1.0 + late).q, HOME)
    assert not path.at(99.0).v.any()
