"""Noise that is a pure function of its seed, and is normal."""

import numpy as np
from scipy import stats

from data.noise import fold, normal, uniform


def test_a_row_does_not_depend_on_its_neighbours():
    seeds = np.array([7, 0, 2**63, 123456789], np.uint64)
    together = normal(seeds, (3, 5))
    for i, seed in enumerate(seeds):
        np.testing.assert_array_equal(together[i], normal(np.array([seed], np.uint64), (3, 5))[0])
    np.testing.assert_array_equal(together[::-1], normal(seeds[::-1], (3, 5)))


def test_signed_seeds_are_the_same_streams():
    np.testing.assert_array_equal(normal(np.array([5], np.int64), (4,)), normal(np.array([5], np.uint64), (4,)))


def test_the_first_numbers_stay_what_they_are():
    """An artefact exported today must draw the same noise tomorrow. SplitMix64 restated with Python's own integers."""

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return x ^ (x >> 31)

    gamma = 0x9E3779B97F4A7C15
    for seed in (0, 42, 2**64 - 1):
        start = mix((seed + gamma) % 2**64)
        expected = [((mix((start + i * gamma) % 2**64) >> 11) + 0.5) / 2**53 for i in range(1, 5)]
        np.testing.assert_array_equal(uniform(np.array([seed], np.uint64), (4,))[0], expected)


def test_uniform_numbers_are_uniform_and_never_0_or_1():
    u = uniform(np.arange(50, dtype=np.uint64), (2000,))
    assert 0 < u.min() and u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3


def test_normal_numbers_are_normal_within_and_across_seeds():
    for x in (normal(np.arange(20, dtype=np.uint64), (5000,)).ravel(), normal(np.arange(50_000, dtype=np.uint64), (2,)).ravel()):
        n = len(x)
        assert stats.kstest(x, "norm").pvalue > 1e-3
        # Standard errors of the first four moments of n normal numbers.
        assert abs(x.mean()) < 4 / np.sqrt(n)
        assert abs(x.var() - 1) < 4 * np.sqrt(2 / n)
        assert abs((x**3).mean()) < 4 * np.sqrt(15 / n)
        assert abs((x**4).mean() - 3) < 4 * np.sqrt(96 / n)


def test_neighbouring_seeds_and_positions_are_uncorrelated():
    x = normal(np.arange(4000, dtype=np.uint64), (8,)).astype(float)
    correlation = np.corrcoef(np.concatenate([x[:-1].T, x[1:].T]))
    assert np.abs(correlation - np.eye(16)).max() < 5 / np.sqrt(4000)


def test_an_odd_number_of_values_is_complete():
    assert normal(np.arange(3, dtype=np.uint64), (3, 3)).shape == (3, 3, 3)
    assert normal(np.arange(3, dtype=np.uint64), (1,)).shape == (3, 1)


def test_folded_streams_differ_from_each_other_and_from_their_parent():
    seeds = np.arange(1000, dtype=np.uint64)
    streams = np.concatenate([seeds, *(fold(seeds, i) for i in range(40))])
    assert len(np.unique(streams)) == len(streams)
    np.testing.assert_array_equal(fold(seeds, 3)[17:18], fold(seeds[17:18], 3))
    first, second = normal(fold(seeds, 0), (50,)).ravel(), normal(fold(seeds, 1), (50,)).ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(len(first))
