"""How often intervals hold the truth, by exact enumeration: no chance is involved, so the limits are sharp."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy import stats

from data.statistics import clopper_pearson, median_interval, wilson


@functools.cache
def limits(interval, n):
    """(low (n + 1,), high (n + 1,)) for every number of successes."""
    return tuple(np.array([interval(k, n) for k in range(n + 1)]).T)


def coverage(interval, n, p):
    """(points,) chance that the interval of n episodes holds the true rate p (points,): of a run of counts, as both limits rise."""
    low, high = limits(interval, n)
    assert (np.diff(low) >= 0).all() and (np.diff(high) >= 0).all()
    first, last = np.searchsorted(high, p, "left"), np.searchsorted(low, p, "right") - 1
    return stats.binom.cdf(last, n, p) - stats.binom.cdf(first - 1, n, p)


def everywhere(interval, n):
    """A grid of rates, and both sides of every limit: between two limits coverage is a smooth hill, its lowest points are at the ends."""
    ends = np.concatenate(limits(interval, n))
    return np.unique(np.clip(np.concatenate([np.linspace(0, 1, 2001), ends - 1e-10, ends + 1e-10]), 0, 1))


SIZES = [range(1, 41), range(41, 71), range(71, 101), (150, 200, 300), (500, 1000)]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{sizes[0]}-{sizes[-1]}")
def test_clopper_pearson_covers_at_every_rate(sizes):
    for n in sizes:
        assert coverage(clopper_pearson, n, everywhere(clopper_pearson, n)).min() >= 0.95 - 1e-7, n


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_clopper_pearson_covers_at_other_levels(level):
    def interval(k, n):
        return clopper_pearson(k, n, level)

    for n in (1, 10, 37):
        assert coverage(interval, n, everywhere(interval, n)).min() >= level - 1e-7


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{sizes[0]}-{sizes[-1]}")
def test_wilson_covers_on_average_and_has_a_known_worst_rate(sizes):
    rates = (np.arange(20_000) + 0.5) / 20_000
    for n in sizes:
        assert coverage(wilson, n, rates).mean() == pytest.approx(0.95, abs=0.01), n
        assert 0.79 < coverage(wilson, n, everywhere(wilson, n)).min() < 0.95, n


def test_enumeration_finds_an_interval_that_is_too_short():
    """The textbook's p +- 1.96 standard errors: nothing at 0 of n."""

    def wald(k, n):
        half = 1.96 * np.sqrt(k / n * (1 - k / n) / n)
        return max(0.0, k / n - half), min(1.0, k / n + half)

    rates = (np.arange(2000) + 0.5) / 2000
    assert coverage(clopper_pearson, 20, rates).mean() > 0.96 > 0.9 > coverage(wald, 20, rates).mean()


@pytest.mark.parametrize("n", [6, 7, 12, 25, 60])
def test_the_median_interval_holds_the_median_whatever_the_law(n):
    """The chance is that of k to n - k heads, and does not depend on the law; one value less on each side would be too few."""
    _, low, high = median_interval(np.arange(n))
    assert low + high == n - 1
    heads = stats.binom(n, 0.5)
    assert heads.cdf(n - 1 - low) - heads.cdf(low) >= 0.95 > heads.cdf(n - 2 - low) - heads.cdf(low + 1)
    rng = np.random.default_rng(n)
    held = [low <= np.log(2) <= high for _, low, high in (median_interval(rng.exponential(size=n)) for _ in range(600))]
    assert np.mean(held) > 0.93


@pytest.mark.parametrize("n", [9, 10, 20, 100])
def test_the_median_interval_is_that_of_the_sign_test(n):
    values = np.random.default_rng(0).normal(size=n)
    expected = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    assert median_interval(values) == (pytest.approx(np.median(values)), expected.low, expected.high)


def test_few_values_prove_no_median_and_none_are_refused():
    assert median_interval([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert median_interval([4.0]) == (4.0, 4.0, 4.0)
    with pytest.raises(ValueError, match="at least one"):
        median_interval([])
    with pytest.raises(ValueError, match="1 of them not finite"):
        median_interval([1.0, np.inf])
