"""Groups among points: planted ones are found, noise stays one group, and the silhouette is that of the book."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from data.clusters import clusters, distinctive, silhouette


def test_the_silhouette_of_four_points_on_a_line():
    apart = squareform(pdist(np.array([[0.0], [1.0], [10.0], [11.0]])))
    # Of the point 0: 1 to its own, 10.5 on average to the others; of the point 1: 1 and 9.5.
    assert silhouette(apart, np.array([0, 0, 1, 1])) == pytest.approx((1 - 1 / 10.5 + 1 - 1 / 9.5) / 2)


@pytest.mark.parametrize("columns", [2, 12])
def test_planted_groups_are_found_whatever_else_was_recorded(columns):
    rng = np.random.default_rng(columns)
    truth = np.repeat([0, 1, 2], [20, 10, 6])
    centres = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    points = np.concatenate([centres[truth] + rng.normal(0, 0.1, (36, 2)), np.full((36, columns - 2), 7.0)], 1)
    order = rng.permutation(36)
    assert (clusters(points[order]) == truth[order]).all(), "the largest is 0"


@pytest.mark.parametrize("columns", [3, 10, 25])
def test_noise_is_one_group(columns):
    rng = np.random.default_rng(0)
    found = [clusters(rng.uniform(size=(n, columns))).any() for n in (8, 20, 60) for _ in range(20)]
    assert np.mean(found) <= 0.05


def test_too_few_and_equal_points_are_one_group():
    assert not clusters(np.array([[0.0], [0.0], [9.0], [9.0]])).any()
    assert not clusters(np.ones((20, 3))).any()
    assert not clusters(np.zeros((20, 0))).any()


def test_the_column_that_sets_a_group_apart_is_named_and_others_are_not():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (40, 3))
    chosen = np.arange(40) < 15
    points[chosen, 1] += 10
    ((column, inside, outside),) = distinctive(points, chosen)
    assert column == 1
    assert inside == pytest.approx(np.median(points[:15, 1])) and outside == pytest.approx(np.median(points[15:, 1]))
