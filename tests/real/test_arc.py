"""Constant-jerk arcs against hand-computed motion and dense sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from real.safety.arc import Arc, cut, reach, stop

A_MAX, J_MAX = np.array([10.0]), np.array([1000.0])


def one(x: float) -> np.ndarray:
    return np.array([x])


def test_stop_from_rest_is_empty() -> None:
    arc = stop(one(0.3), one(0.0), one(0.0), A_MAX, J_MAX)
    assert arc.duration == 0.0
    assert reach(arc)[0] == reach(arc)[1] == 0.3


def test_stop_without_plateau() -> None:
    """v = 0.04 rad/s, j = 1000: the acceleration falls to -sqrt(j v) = -6.32 in 6.32 ms and comes back; x = v T / 2."""
    arc = stop(one(0.0), one(0.04), one(0.0), A_MAX, J_MAX)
    length = 2 * np.sqrt(0.04 / 1000)
    assert arc.duration == pytest.approx(length, rel=1e-12)
    assert arc.knots[0][-1, 0] == pytest.approx(0.04 * length / 2, rel=1e-12)
    assert arc.peaks()[1][0] == pytest.approx(np.sqrt(0.04 * 1000), rel=1e-12)


def test_stop_with_plateau() -> None:
    """v = 1, a = 10, j = 1000: T = v / a + a / j = 0.11 s, and by symmetry x = v T / 2."""
    arc = stop(one(0.0), one(1.0), one(0.0), A_MAX, J_MAX)
    assert arc.duration == pytest.approx(0.11, rel=1e-12)
    assert arc.knots[0][-1, 0] == pytest.approx(0.055, rel=1e-12)
    assert arc.peaks()[1][0] == pytest.approx(10.0, rel=1e-12)


def test_stop_overshoots_in_velocity_while_the_acceleration_falls() -> None:
    """v = 1, a = 10 > 0: the velocity first rises by a^2 / 2 j = 0.05."""
    arc = stop(one(0.0), one(1.0), one(10.0), A_MAX, J_MAX)
    assert arc.peaks()[0][0] == pytest.approx(1.05, rel=1e-12)


def test_stop_turns_round() -> None:
    """v = 0.01, a = -10: in the 10 ms that a needs to vanish the velocity falls by 0.05, so the joint turns back."""
    arc = stop(one(0.0), one(0.01), one(-10.0), A_MAX, J_MAX)
    low, high = reach(arc)
    t = (10 - np.sqrt(100 - 20)) / 1000  # where v + a t + j t^2 / 2 = 0
    assert high[0] == pytest.approx(0.01 * t - 5 * t**2 + 1000 * t**3 / 6, rel=1e-9)
    assert low[0] < 0 < high[0]


states = st.tuples(st.floats(-3, 3), st.floats(-2.5, 2.5), st.floats(-10, 10), st.floats(0.5, 20), st.floats(20, 8000))


@given(st.lists(states, min_size=1, max_size=7))
@settings(max_examples=300, deadline=None)
def test_any_stop_ends_at_rest_within_its_limits_and_reach(joints: list[tuple[float, ...]]) -> None:
    p, v, a, a_max, j_max = np.array(joints).T
    a = np.clip(a, -a_max, a_max)
    arc = stop(p, v, a, a_max, j_max)
    _, v_end, a_end = (x[-1] for x in arc.knots)
    assert np.abs(v_end).max() < 1e-9 and np.abs(a_end).max() < 1e-9
    v_peak, a_peak, j_peak = arc.peaks()
    assert (a_peak <= a_max * (1 + 1e-9)).all() and (j_peak <= j_max).all()
    q, dq, ddq = arc.at(np.linspace(0, arc.duration * 1.1, 400))
    low, high = reach(arc)
    assert (q >= low - 1e-9).all() and (q <= high + 1e-9).all()
    assert (np.abs(dq) <= v_peak + 1e-9).all() and (np.abs(ddq) <= a_peak + 1e-9).all()
    # The bounds are reached, not only kept: samples lie at most one sampling step of motion away.
    step = arc.duration * 1.1 / 399
    assert (q.max(0) >= high - v_peak * step - 1e-9).all() and (q.min(0) <= low + v_peak * step + 1e-9).all()


def test_the_rest_of_a_stop_is_the_stop_of_the_rest() -> None:
    """Following a verified stop for one tick leads to a state whose own stop is what is left of it."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        v, a = rng.uniform(-2, 2, 7), rng.uniform(-10, 10, 7)
        arc = stop(np.zeros(7), v, a, np.full(7, 10.0), np.full(7, 1000.0))
        t = rng.uniform(0, arc.duration)
        p, v, a = (x[0] for x in arc.at(np.array([t])))
        again = stop(p, v, a, np.full(7, 10.0), np.full(7, 1000.0))
        assert np.abs(again.knots[0][-1] - arc.knots[0][-1]).max() < 1e-9


def test_cut_keeps_the_motion() -> None:
    arc = stop(np.zeros(2), np.array([1.0, -0.5]), np.array([3.0, 0.0]), np.full(2, 10.0), np.full(2, 1000.0))
    for duration in (0.002, 0.03, 1.0):
        part = cut(arc, duration)
        assert part.durations.sum(0) == pytest.approx([duration, duration])
        times = np.linspace(0, duration, 7)
        for mine, theirs in zip(part.at(times), arc.at(times), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_peaks_sees_a_velocity_that_turns_inside_a_piece() -> None:
    arc = Arc(one(0.0), one(0.0), one(2.0), np.array([[0.02]]), np.array([[-200.0]]))
    assert arc.peaks()[0][0] == pytest.approx(2.0**2 / 400)
