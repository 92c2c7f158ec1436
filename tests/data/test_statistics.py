"""Against scipy, against published tables, by hand, and by how often the intervals hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from data.statistics import clopper_pearson, mcnemar_exact, mean_interval, paired_difference, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (0, 50), (1, 7), (17, 20), (50, 50), (194, 206)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_intervals_equal_scipys(successes, n, level):
    test = stats.binomtest(successes, n)
    np.testing.assert_allclose(wilson(successes, n, level), test.proportion_ci(level, "wilson"), atol=1e-12)
    np.testing.assert_allclose(clopper_pearson(successes, n, level), test.proportion_ci(level, "exact"), atol=1e-12)


def test_intervals_by_hand():
    # 0 of n: Wilson's upper limit is z^2 / (n + z^2), Clopper-Pearson's 1 - (alpha / 2)^(1 / n).
    z2 = 1.959963984540054**2
    assert wilson(0, 10) == (0.0, pytest.approx(z2 / (10 + z2)))
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    low, high = wilson(3, 10)
    assert wilson(7, 10) == (pytest.approx(1 - high), pytest.approx(1 - low))


def pairs(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (9, 2), (0, 12), (3, 4)])
def test_mcnemar_is_a_fair_coin_on_the_discordant_pairs(only_a, only_b):
    p, found_a, found_b = mcnemar_exact(*pairs(20, only_a, only_b, 10))
    assert (found_a, found_b) == (only_a, only_b)
    expected = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert p == pytest.approx(expected)


def test_mcnemar_by_hand():
    assert mcnemar_exact(*pairs(3, 5, 0, 2))[0] == pytest.approx(2 / 2**5)
    assert mcnemar_exact(*pairs(3, 5, 1, 2))[0] == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar_exact([1, 0, 1], [1, 0, 1]) == (1.0, 0, 0)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        # The first row by hand: rates 0.96 (0.8654, 0.9890) and 0.76 (0.6259, 0.8570), phi = -24 / sqrt(48 * 2 * 38 * 12) = -0.1147,
        # lower limit 0.2 - sqrt(0.0946^2 + 2 * 0.1147 * 0.0946 * 0.0970 + 0.0970^2) = 0.0569
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((20, 12, 2, 16), (0.0562, 0.3292)),
        ((0, 12, 0, 38), (0.1196, 0.3741)),
    ],
)
def test_paired_difference(table, interval):
    found = paired_difference(*pairs(*table))
    assert (found.low, found.high) == (pytest.approx(interval[0], abs=1e-4), pytest.approx(interval[1], abs=1e-4))
    assert found.value == pytest.approx((table[1] - table[2]) / sum(table)) and found.n == sum(table)
    back = paired_difference(*reversed(pairs(*table)))
    assert (back.low, back.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_paired_difference_of_equal_policies_contains_zero():
    found = paired_difference([1] * 20, [1] * 20)
    assert found.value == 0 and found.low < 0 < found.high


def test_paired_difference_covers():
    """Both succeed on an easy seed more often: 95 % of the intervals should hold the true difference of 0.15."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        easy = rng.random(60)
        found = paired_difference(easy < 0.75, easy + rng.normal(0, 0.1, 60) < 0.60)
        held += found.low <= 0.15 <= found.high
    low, high = clopper_pearson(held, 1000, 0.999)
    assert high > 0.95 and low < 0.99, held


def test_mean_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    mean, low, high = mean_interval(values)
    student = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert mean == values.mean()
    np.testing.assert_allclose((low, high), student, atol=0.02)
    assert mean_interval(values) == (mean, low, high)
    assert mean_interval([2.0]) == (2.0, 2.0, 2.0) == mean_interval([2.0, 2.0])


def test_mean_interval_equals_scipys_bootstrap_for_skewed_values():
    values = np.random.default_rng(1).exponential(1, 60)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="BCa", rng=2).confidence_interval
    np.testing.assert_allclose(mean_interval(values)[1:], theirs, atol=0.03)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: wilson(5, 4), "5 successes in 4 trials"),
        (lambda: clopper_pearson(0, 0), "n >= 1"),
        (lambda: wilson(1, 2, 95), "level is 95; wanted a fraction"),
        (lambda: mcnemar_exact([1, 0], [1]), "2 and 1 results; wanted the same seeds"),
        (lambda: paired_difference([0.5], [1]), "one success"),
        (lambda: mean_interval([]), "at least one"),
        (lambda: mean_interval([1, np.nan]), "1 of them not finite"),
    ],
)
def test_impossible_input(call, told):
    with pytest.raises(ValueError, match=told):
        call()
