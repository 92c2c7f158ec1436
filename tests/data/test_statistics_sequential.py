"""E-values against their integral, their fairness by enumeration, and how often a test that is looked at all the time is wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate

from data.statistics import clopper_pearson, confidence_sequence, mcnemar_exact, non_inferiority
from data.statistics.sequential import evidence_above, evidence_below, evidence_path, stakes


def universal_portfolio(values, mean, low):
    """The integral over the arcsine law that the stakes stand for, substituted so that it has no poles."""

    def owned(angle):
        c = math.sin(angle) ** 2
        return float(np.prod([1 + c * (x - mean) / (mean - low) for x in values]))

    return integrate.quad(owned, 0, math.pi / 2)[0] * 2 / math.pi


@pytest.mark.parametrize(
    ("values", "mean", "low", "high"),
    [
        ([1, 1, 0, 1, 1, 1], 0.5, 0, 1),
        ([0, -1, 0, 0, 1, 0, 0, 0, 1] * 4, -0.15, -1, 1),
        ([0.2, 0.9, 0.55, 1.0, 0.31], 0.4, 0, 1),
        ([3.0, 7.5, 9.0], 5.0, 2, 10),
        ([-1] * 5, 0.3, -1, 1),
    ],
)
def test_an_e_value_is_the_universal_portfolio(values, mean, low, high):
    assert evidence_above(values, mean, low, high) == pytest.approx(universal_portfolio(values, mean, low), rel=1e-9)
    turned = [-x for x in values]
    assert evidence_below(values, mean, low, high) == pytest.approx(universal_portfolio(turned, -mean, -high), rel=1e-9)
    above, below = evidence_path(values, mean, low, high)
    for n in (1, len(values)):
        assert math.exp(above[n - 1]) == pytest.approx(evidence_above(values[:n], mean, low, high))
        assert math.exp(below[n - 1]) == pytest.approx(evidence_below(values[:n], mean, low, high))


def test_an_e_value_by_hand():
    # One success against "at most one half": the mean of 1 + c over the arcsine law, whose mean is one half.
    assert evidence_above([1], 0.5, 0, 1) == pytest.approx(1.5)
    assert evidence_above([0], 0.5, 0, 1) == pytest.approx(0.5)
    # Two: the mean of (1 + c)^2 = 1 + 2 / 2 + 3 / 8.
    assert evidence_above([1, 1], 0.5, 0, 1) == pytest.approx(2.375)
    assert evidence_above([], 0.5, 0, 1) == 1 == evidence_below([], 0.5, 0, 1)


@pytest.mark.parametrize(("law", "mean"), [((0.2, 0.5, 0.3), 0.1), ((0.15, 0.85, 0.0), -0.15), ((0.5, 0.0, 0.5), 0.0)])
def test_the_bets_are_fair_if_the_hypothesis_is_just_true_and_lose_if_it_is_more_than_true(law, mean):
    """The expectation over all 3^5 outcomes is exactly 1."""
    outcomes = list(itertools.product((-1.0, 0.0, 1.0), repeat=5))
    chance = [math.prod(law[int(x) + 1] for x in outcome) for outcome in outcomes]
    for evidence, harder in ((evidence_above, mean + 0.1), (evidence_below, mean - 0.1)):
        assert sum(c * evidence(o, mean) for c, o in zip(chance, outcomes, strict=True)) == pytest.approx(1, abs=1e-12)
        assert sum(c * evidence(o, harder) for c, o in zip(chance, outcomes, strict=True)) < 1


def test_evidence_falls_as_the_hypothesis_allows_more():
    values = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 80)
    means = np.linspace(-0.99, 0.99, 60)
    assert (np.diff([evidence_above(values, m) for m in means]) < 0).all()
    assert (np.diff([evidence_below(values, m) for m in means]) > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_confidence_sequence_ends_where_the_evidence_does(seed):
    values = np.random.default_rng(seed).random(30 + 40 * seed) < 0.3 + 0.15 * seed
    low, high = confidence_sequence(values, 0.9)
    assert 0 < low < values.mean() < high < 1
    assert evidence_above(values, low, 0, 1) == pytest.approx(20) == evidence_below(values, high, 0, 1)
    turned = confidence_sequence(~values, 0.9)
    assert turned == (pytest.approx(1 - high), pytest.approx(1 - low))


def test_a_confidence_sequence_of_all_successes_all_failures_and_nothing():
    low, high = confidence_sequence(np.ones(20))
    assert high == 1 and evidence_above(np.ones(20), low, 0, 1) == pytest.approx(40)
    assert low < clopper_pearson(20, 20)[0], "what may be looked at at any time is worth less than what is looked at once"
    assert confidence_sequence(np.zeros(20)) == (0, pytest.approx(1 - low))
    assert confidence_sequence([]) == (0, 1)
    assert confidence_sequence([], low=-1) == (-1, 1)


def law_of(discordant, difference):
    return np.array([(discordant - difference) / 2, 1 - discordant, (discordant + difference) / 2])


def results(law, n, seed):
    """a, b (n,) bool with this law of a - b."""
    values = np.random.default_rng(seed).choice([-1, 0, 1], n, p=law)
    return values == 1, values == -1


def test_a_verdict_comes_at_the_first_episode_at_which_the_evidence_suffices_and_stands():
    counts = {"non-inferior": 0, "worse": 0, "undecided": 0}
    for seed, difference in itertools.product(range(5), (-0.5, -0.15, 0.1)):
        a, b = results(law_of(0.5, difference), 120, seed)
        values = a.astype(float) - b
        verdict = non_inferiority(a, b, 0.15, 0.05)
        above, below = ([e(values[: n + 1], -0.15) for n in range(120)] for e in (evidence_above, evidence_below))
        first = next((n for n in range(120) if above[n] >= 20 or below[n] >= 20), None)
        at = 119 if first is None else first
        expected = "undecided" if first is None else "non-inferior" if above[at] >= 20 else "worse"
        assert (verdict.decision, verdict.n) == (expected, at + 1)
        assert (verdict.evidence_for, verdict.evidence_against) == (pytest.approx(above[at]), pytest.approx(below[at]))
        assert verdict.difference == pytest.approx(values[: at + 1].mean())
        assert (verdict.low > -0.15, verdict.high < -0.15) == (expected == "non-inferior", expected == "worse")
        counts[verdict.decision] += 1
    assert min(counts.values()) >= 2, counts


def test_no_episode_and_equal_results_and_opposite_ones():
    nothing = non_inferiority([], [], 0.15, 0.001)
    assert (nothing.decision, nothing.n, nothing.low, nothing.high, nothing.evidence_for) == ("undecided", 0, -1, 1, 1)
    assert math.isnan(nothing.difference)
    for same in (np.ones(60, bool), np.zeros(60, bool)):
        verdict = non_inferiority(same, same, 0.15, 0.001)
        assert (verdict.decision, verdict.n, verdict.difference) == ("non-inferior", 53, 0)
    ones = np.ones(60, bool)
    assert non_inferiority(~ones, ones, 0.15, 0.001).decision == "worse"
    assert non_inferiority(~ones, ones, 0.15, 0.001).low == -1
    better = non_inferiority(ones, ~ones, 0.15, 0.001)
    assert (better.decision, better.high) == ("non-inferior", 1)
    assert non_inferiority(ones, ones, 0, 0.05).decision == "undecided", "equal policies are not better than each other"


def test_a_hundred_thousand_episodes_overflow_nothing():
    with np.errstate(all="raise", under="ignore"):
        values = np.ones(100_000)
        assert evidence_above(values, 0.5, 0, 1) == 1e300
        assert 0 <= evidence_below(values, 0.5, 0, 1) < 1e-3
        assert confidence_sequence(values)[0] > 0.9998
        a, b = results(law_of(0.4, -0.1), 100_000, 0)
        assert non_inferiority(a, b, 0.1, 1e-9).decision == "undecided"
        assert non_inferiority(a[:20_000], b[:20_000], 0.14, 1e-9).decision == "non-inferior"


def most_evidence(values, mean, low):
    """(trials,) the highest e-value that each row of values (trials, n) ever reaches: the bets placed one after the other."""
    owned = np.ones((len(values), len(stakes())))
    pays = 1 + stakes() * ((np.array([-1.0, 0.0, 1.0]) - mean) / (mean - low))[:, None]
    most = np.ones(len(values))
    for column in values.T:
        owned *= pays[column + 1]
        np.maximum(most, owned.mean(1), out=most)
    return most


def wrong(discordant, margin, episodes, trials=10_000):
    """(trials,) twice: the highest evidence for either answer, where the difference is exactly the margin and both are wrong."""
    law = law_of(discordant, -margin)
    values = np.random.default_rng(0).choice(np.array([-1, 0, 1], np.int8), (trials, episodes), p=law)
    return most_evidence(values, -margin, -1.0), most_evidence(-values, margin, -1.0)


def test_ten_thousand_comparisons_that_are_looked_at_at_every_episode_err_less_often_than_allowed():
    for highest in wrong(0.3, 0.15, 150):
        for alpha in (0.2, 0.05, 0.01):
            assert 0 < (highest >= 1 / alpha).mean() < alpha


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("discordant", [0.15, 0.3, 0.6, 1.0])
def test_errors_at_the_boundary_for_several_discordances(discordant, margin):
    for highest in wrong(discordant, margin, 1000):
        for alpha in (0.2, 0.05, 0.01):
            assert (highest >= 1 / alpha).mean() < alpha
        assert clopper_pearson(int((highest >= 1000).sum()), len(highest), 0.99)[0] <= 0.001


def test_the_placing_of_bets_above_is_what_non_inferiority_does():
    a, b = results(law_of(0.5, -0.15), 20 * 150, 3)
    values = (a.astype(int) - b).reshape(20, 150)
    most = most_evidence(values, -0.15, -1.0), most_evidence(-values, 0.15, -1.0)
    found = [non_inferiority(*pair, 0.15, 0.2).decision for pair in zip(a.reshape(20, 150), b.reshape(20, 150), strict=True)]
    for decision, up, down in zip(found, *most, strict=True):
        assert (decision == "undecided") == (max(up, down) < 5)
    assert len(set(found)) > 1


def test_a_fixed_test_that_is_looked_at_at_every_episode_errs_far_too_often():
    """Why all this: McNemar's exact test on equal policies, stopped at the first p < 0.05."""
    stopped = 0
    for seed in range(60):
        a, b = results(law_of(0.5, 0.0), 200, seed)
        stopped += any(mcnemar_exact(a[:n], b[:n])[0] < 0.05 for n in range(10, 201, 5))
    assert stopped > 9  # of 60; three are allowed


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_the_error_for_a_single_rate_by_exact_enumeration(rate):
    """The chance of every (successes, episodes), without those at which the test has stopped."""
    alive, error = np.array([1.0]), 0.0
    gains = np.log1p(stakes() * (1 - rate) / rate), np.log1p(-stakes())
    for n in range(1, 401):
        k = np.arange(n + 1)
        alive = np.append(alive * (1 - rate), 0) + np.append(0, alive * rate)
        evidence = np.exp(np.minimum(k[:, None] * gains[0] + (n - k)[:, None] * gains[1], 700)).mean(1)
        if n in (1, 40):
            values = np.repeat([1.0, 0.0], [n // 2, n - n // 2])
            assert evidence[n // 2] == pytest.approx(evidence_above(values, rate, 0, 1))
        error += alive[evidence >= 20].sum()
        alive[evidence >= 20] = 0
    assert 0.005 < error <= 0.05


def test_a_confidence_sequence_holds_the_mean_at_every_episode():
    """Of values that are no counts; 95 % of sequences should never leave it out."""
    left = 0
    for seed in range(150):
        values = np.random.default_rng(seed).beta(0.4, 0.8, 120)
        above, below = evidence_path(values, 1 / 3, 0, 1)
        left += bool(max(above.max(), below.max()) >= math.log(40))
    assert clopper_pearson(left, 150, 0.99)[0] <= 0.05


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: evidence_above([2.0], 0.5, 0, 1), r"1 of 1 values are outside \[0, 1\]"),
        (lambda: evidence_above([0.5, np.nan], 0.5, 0, 1), "1 of 2 values are outside"),
        (lambda: evidence_above([0.5], 0, 0, 1), "mean is 0; wanted more than 0"),
        (lambda: evidence_below([0.5], 1, 0, 1), "less than 1"),
        (lambda: evidence_path([0.5], 1, 0, 1), "between 0 and 1"),
        (lambda: evidence_path([[0.5]], 0.5, 0, 1), "one per episode"),
        (lambda: confidence_sequence([1.0], level=95), "level is 95"),
        (lambda: confidence_sequence([1.0], low=1, high=0), "low < high"),
        (lambda: non_inferiority([1], [1, 0], 0.1, 0.05), "the same seeds"),
        (lambda: non_inferiority([], [1], 0.1, 0.05), "0 and 1 results"),
        (lambda: non_inferiority([0.5], [1], 0.1, 0.05), "one success"),
        (lambda: non_inferiority([1], [1], 15, 0.05), "margin is 15"),
        (lambda: non_inferiority([1], [1], 0.1, 0), "alpha is 0"),
    ],
)
def test_impossible_input(call, told):
    with pytest.raises(ValueError, match=told):
        call()
