"""Power laws that are known are found again, and their intervals hold them as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from data.statistics import clopper_pearson
from data.statistics.scaling import power_law

DEMONSTRATIONS = [10, 20, 50, 100, 200]


def counted(a, b, n, c=0.0, x=DEMONSTRATIONS):
    """Successes of n episodes without chance: rounded."""
    return np.rint(n * (1 - c - a * np.asarray(x, float) ** -b)).astype(int), np.full(len(x), n)


@pytest.mark.parametrize(("a", "b"), [(3.0, 0.6), (0.5, 0.1), (9.0, 1.3), (0.4, 0.0)])
def test_a_known_law_is_found_again(a, b):
    fit = power_law(DEMONSTRATIONS, *counted(a, b, 10**7))
    assert (fit.a, fit.b, fit.c) == (pytest.approx(a, rel=1e-3), pytest.approx(b, abs=1e-3), 0)
    assert fit.predict(1000)[0] == pytest.approx(1 - a * 1000**-b, abs=1e-3)
    if b:
        assert fit.needed(0.95)[0] == pytest.approx((a / 0.05) ** (1 / b), rel=0.01) and fit.r == pytest.approx(-1, abs=1e-3)
    else:
        assert fit.needed(0.95)[0] > 1e6


def test_a_floor_is_found_again_and_sets_an_end_to_what_can_be_reached():
    fit = power_law(DEMONSTRATIONS, *counted(5.0, 1.0, 10**7, c=0.1), floor=True)
    assert (fit.a, fit.b, fit.c) == (pytest.approx(5, rel=0.01), pytest.approx(1, abs=0.01), pytest.approx(0.1, abs=1e-3))
    assert fit.needed(0.85)[0] == pytest.approx(100, rel=0.02)
    assert fit.needed(0.95) == (math.inf, math.inf, math.inf)
    assert fit.c_interval[0] < 0.1 < fit.c_interval[1] < 0.11


def test_the_best_law_and_its_interval_are_those_of_a_direct_search():
    """The likelihood of counts, maximised in log a and b by another method; the ends of b's interval by profiling it."""
    x, k, n = np.array(DEMONSTRATIONS, float), np.array([31, 52, 71, 85, 92]), 100

    def loss(log_a, b):
        rate = np.clip(np.exp(log_a - b * np.log(x)), 1e-12, 1 - 1e-12)
        return -((n - k) * np.log(rate) + k * np.log(1 - rate)).sum()

    best = optimize.minimize(lambda p: loss(*p), (1.0, 0.5), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000})
    fit = power_law(x, k, [n] * 5, dispersion=False)
    assert (math.log(fit.a), fit.b) == (pytest.approx(best.x[0], abs=1e-3), pytest.approx(best.x[1], abs=1e-3))
    for end in fit.b_interval:
        profile = min(loss(log_a, end) for log_a in np.linspace(0, 3, 3001))
        assert 2 * (profile - best.fun) == pytest.approx(3.841, abs=0.12)


def test_points_without_a_failure_are_points_like_others():
    fit = power_law(DEMONSTRATIONS, [31, 70, 98, 100, 100], [100] * 5)
    assert fit.b > 1 and math.isfinite(fit.b_interval[1])
    _, low, high = fit.predict(200)
    assert 0.9 < low < 0.999 < high < 1


def test_a_law_that_only_the_first_point_speaks_for_has_no_upper_end():
    fit = power_law(DEMONSTRATIONS, [60, 100, 100, 100, 100], [100] * 5)
    assert fit.b_interval[0] > 1 and fit.b_interval[1] == math.inf == fit.a_interval[1]
    assert fit.predict(200)[1] > 0.97


def test_all_failures_give_no_hope_and_its_limit():
    fit = power_law(DEMONSTRATIONS, [0] * 5, [100] * 5)
    value, low, high = fit.predict(200)
    assert value == pytest.approx(0, abs=1e-6) and low == pytest.approx(0, abs=1e-6) and 0.003 < high < 0.05
    assert fit.needed(0.95)[0] == math.inf


def test_points_that_scatter_more_than_their_episodes_explain_widen_the_intervals():
    smooth, rough = ([30, 49, 71, 83, 90], [45, 34, 85, 70, 96])
    widths = [np.ptp(power_law(DEMONSTRATIONS, k, [100] * 5).b_interval) for k in (smooth, rough)]
    assert widths[1] > 2 * widths[0]
    fit = power_law(DEMONSTRATIONS, rough, [100] * 5)
    assert fit.dispersion > 3
    assert np.ptp(power_law(DEMONSTRATIONS, rough, [100] * 5, dispersion=False).b_interval) < 0.6 * widths[1]
    assert math.isnan(power_law([10, 100], [30, 60], [100] * 2).dispersion)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b", "n", "least"), [(3.0, 0.6, 100, 0.91), (3.0, 0.6, 20, 0.88), (1.0, 0.2, 100, 0.91), (6.0, 1.2, 50, 0.91)]
)
def test_intervals_hold_the_law(a, b, n, least):
    """Without widening, 95 % for many episodes and 92 % for 20 a point, as the likelihood ratio is approximate; with widening, which is
    estimated from five points, rather more than 95 %."""
    rng = np.random.default_rng(0)
    truth = a * np.array(DEMONSTRATIONS, float) ** -b
    for dispersion, fewest, most in ((False, least, 0.985), (True, 0.94, 1.0)):
        held = np.zeros(3)
        for _ in range(200):
            fit = power_law(DEMONSTRATIONS, rng.binomial(n, 1 - truth), [n] * 5, dispersion=dispersion)
            ends = (fit.b_interval, fit.predict(1000)[1:], fit.needed(0.95)[1:])
            held += [low <= true <= high for true, (low, high) in zip((b, 1 - a * 1000**-b, (a / 0.05) ** (1 / b)), ends, strict=True)]
        assert (fewest <= held / 200).all() and (held / 200 <= most).all(), held / 200


@pytest.mark.slow
def test_intervals_hold_the_law_when_each_training_gives_another_policy():
    """The logit of each policy's rate is off by 0.4: the episodes alone would be too sure."""
    rng = np.random.default_rng(1)
    truth = 3 * np.array(DEMONSTRATIONS, float) ** -0.6
    held = np.zeros(2)
    for _ in range(200):
        rate = 1 / (1 + np.exp(-np.log(truth / (1 - truth)) - rng.normal(0, 0.4, 5)))
        k = rng.binomial(100, 1 - rate)
        for i, dispersion in enumerate((True, False)):
            low, high = power_law(DEMONSTRATIONS, k, [100] * 5, dispersion=dispersion).b_interval
            held[i] += low <= 0.6 <= high
    assert clopper_pearson(int(held[0]), 200)[1] > 0.95 and held[1] < 0.9 * 200, held


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: power_law([10, 20], [1], [2, 2]), r"shapes \(2,\), \(1,\), \(2,\)"),
        (lambda: power_law([10, 10], [1, 1], [2, 2]), "at least 2 different"),
        (lambda: power_law([10, 20], [1, 1], [2, 2], floor=True), "at least 3 different"),
        (lambda: power_law([0, 20], [1, 1], [2, 2]), "positive"),
        (lambda: power_law([10, 20], [3, 1], [2, 2]), "successes"),
        (lambda: power_law([10, 20], [2, 2], [2, 2]), "all 4 episodes succeeded"),
        (lambda: power_law([10, 20], [1, 2], [2, 2], level=95), "level is 95"),
        (lambda: power_law([10, 20], [1, 2], [2, 2]).predict(0), "x is 0"),
        (lambda: power_law([10, 20], [1, 2], [2, 2]).needed(95), "success is 95"),
    ],
)
def test_impossible_input(call, told):
    with pytest.raises(ValueError, match=told):
        call()
