"""Aggregates over tasks and seeds against scipy, statsmodels' numbers, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from data.statistics.aggregate import holm, iqm, stratified_bootstrap


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 3), (4, 5), (7, 9), (3, 40)])
def test_the_interquartile_mean_is_scipys_trimmed_mean_of_all_runs(shape):
    scores = np.random.default_rng(0).random(shape)
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores.ravel(), 0.25))


def test_the_interquartile_mean_by_hand():
    assert iqm([[0.0, 0.2, 0.4, 100.0]]) == pytest.approx(0.3)
    assert iqm([[0.1, 0.9], [0.5, 0.3]]) == pytest.approx(0.4)
    assert iqm([0.5]) == 0.5


def test_the_bootstrap_of_a_mean_is_known_in_closed_form():
    """Drawing seeds anew within tasks, the variance of the mean is the sum over tasks of their own variance / seeds, / tasks^2."""
    scores = np.random.default_rng(1).normal([[0], [5], [9]], [[1], [0.2], [2]], (3, 25))
    value, low, high = stratified_bootstrap(scores, lambda s: float(s.mean()), resamples=4000)
    deviation = np.sqrt(scores.var(axis=1).sum() / 25) / 3
    assert value == scores.mean()
    np.testing.assert_allclose((low, high), value + deviation * np.array([-1.96, 1.96]), atol=0.03)
    assert stratified_bootstrap(scores, seed=3) == stratified_bootstrap(scores, seed=3) != stratified_bootstrap(scores, seed=4)


def test_tasks_are_strata_and_not_a_sample():
    """Tasks far apart, seeds that agree: drawing over tasks as well would give an interval as wide as the tasks are far apart."""
    scores = np.array([[0.0] * 6, [0.5] * 6, [1.0] * 6])
    assert stratified_bootstrap(scores) == (pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.5))


def test_the_bootstrap_of_the_interquartile_mean_covers():
    """Two tasks symmetric about 0.3 and 0.7: the interquartile mean of their mixture is 0.5 by symmetry."""
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(100):
        _, low, high = stratified_bootstrap(rng.normal([[0.3], [0.7]], 0.1, (2, 20)), resamples=150, seed=seed)
        held += low <= 0.5 <= high
    assert 86 <= held <= 99


def test_holm_by_hand_and_as_statsmodels_has_it():
    p = [0.01, 0.04, 0.03, 0.005, 0.2, 0.03]
    np.testing.assert_allclose(holm(p), [0.05, 0.12, 0.12, 0.03, 0.2, 0.12])  # statsmodels 0.15.0, multipletests(p, method="holm")
    np.testing.assert_allclose(holm([0.9, 0.6]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.03]), [0.03])
    assert holm([]).shape == (0,)


def test_holm_keeps_the_error_of_all_comparisons_together():
    """Ten tests of hypotheses that are all true, on the same data: uncorrected, four in ten families would hold a wrong call."""
    rng = np.random.default_rng(0)
    families = stats.norm.sf(rng.normal(size=(4000, 10)) * np.sqrt(0.7) + rng.normal(size=(4000, 1)) * np.sqrt(0.3))
    assert (families.min(1) < 0.05).mean() > 0.25
    assert 0.02 < np.mean([holm(p).min() < 0.05 for p in families]) < 0.057


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: iqm([]), "at least one"),
        (lambda: iqm([1.0, np.nan]), "1 of them not finite"),
        (lambda: stratified_bootstrap([0.5, 0.6]), r"wanted \(tasks, seeds\)"),
        (lambda: stratified_bootstrap([[0.5]], level=2), "level is 2"),
        (lambda: stratified_bootstrap([[0.5]], resamples=0), "0 resamples"),
        (lambda: holm([0.1, 1.2]), "from 0.1 to 1.2"),
        (lambda: holm([0.1, np.nan]), "wanted"),
    ],
)
def test_impossible_input(call, told):
    with pytest.raises(ValueError, match=told):
        call()
