"""What is drawn, and in which order: exact shares, no dependence on workers, nothing lost at an interruption."""

import numpy as np
import pytest

from data.batches import Batches, Drawn, Mixture
from data.errors import ConfigError, DatasetError


def numbered(count, weights=None, offset=0):
    return Drawn(lambda rows, seed: {"row": rows + offset, "noise": rows * 0 + seed % 1000}, count, weights)


def rows_of(batches, start, stop, workers=0):
    return [arrays["row"].tolist() for arrays, _ in batches.run(start, stop, workers)]


@pytest.mark.parametrize("order", ["random", "epoch"])
def test_the_same_seed_gives_the_same_batches_whatever_the_workers_and_wherever_one_begins(order):
    whole = rows_of(Batches(numbered(37), 8, 3, order), 0, 20)
    for workers in (1, 2, 5):
        assert rows_of(Batches(numbered(37), 8, 3, order), 0, 20, workers) == whole
    for start in (1, 7, 19):
        assert rows_of(Batches(numbered(37), 8, 3, order), start, 20, 2) == whole[start:]
    assert rows_of(Batches(numbered(37), 8, 4, order), 0, 20) != whole


def test_an_epoch_shows_every_row_once_before_any_twice():
    drawn = np.array(rows_of(Batches(numbered(37), 8, 0, "epoch"), 0, 37)).reshape(-1)  # 8 epochs, batches across their ends
    for epoch in range(8):
        assert sorted(drawn[37 * epoch : 37 * epoch + 37].tolist()) == list(range(37))
    assert drawn[:37].tolist() != drawn[37:74].tolist()


def test_an_epoch_shorter_than_a_batch():
    drawn = np.array(rows_of(Batches(numbered(3), 8, 0, "epoch"), 0, 3)).reshape(-1)
    assert np.bincount(drawn).tolist() == [8, 8, 8]


def test_weights_say_how_often():
    weights = np.array([1.0, 0, 3, 6])
    drawn = np.array(rows_of(Batches(numbered(4, weights), 500, 0), 0, 40)).reshape(-1)
    share = np.bincount(drawn, minlength=4) / len(drawn)
    assert share[1] == 0
    np.testing.assert_allclose(share, weights / 10, atol=5 * np.sqrt(0.25 / len(drawn)))


def test_a_mixture_keeps_its_shares_and_its_order():
    parts = [numbered(1000), numbered(10, np.arange(10.0), offset=5000)]
    mixture = Mixture(parts, [0.25, 0.75])
    assert len(mixture) == 1010
    np.testing.assert_array_equal(mixture.batch(np.array([1009, 3, 1000, 3]))["row"], [5009, 3, 5000, 3])
    drawn = np.array(rows_of(Batches(mixture, 500, 1), 0, 40)).reshape(-1)
    assert abs((drawn >= 5000).mean() - 0.75) < 0.02
    second = np.bincount(drawn[drawn >= 5000] - 5000, minlength=10) / (drawn >= 5000).sum()
    np.testing.assert_allclose(second, np.arange(10) / 45, atol=0.02)


def test_a_mixture_without_shares_draws_by_size():
    assert Mixture([numbered(30), numbered(10)]).weights is None
    drawn = np.array(rows_of(Batches(Mixture([numbered(30), numbered(10, offset=30)]), 500, 1), 0, 20)).reshape(-1)
    np.testing.assert_allclose(np.bincount(drawn, minlength=40), 250, atol=6 * np.sqrt(250))


def test_an_error_of_a_worker_arrives_and_the_rest_is_dropped():
    def draw(rows, seed):
        raise DatasetError("a frame cannot be read")

    with pytest.raises(DatasetError, match="a frame cannot be read"):
        list(Batches(Drawn(draw, 5), 2, 0).run(0, 10, 2))


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: Batches(numbered(5), 2, 0, "shuffle"), ConfigError, "order='shuffle' is unknown; allowed: random, epoch"),
        (lambda: Batches(numbered(0), 2, 0), DatasetError, "nothing to draw"),
        (lambda: Batches(numbered(3, np.ones(3)), 2, 0, "epoch"), ConfigError, "use order=random with weights"),
        (lambda: Batches(numbered(3, np.array([1, -1, 1.0])), 2, 0), DatasetError, "not negative"),
        (lambda: Batches(numbered(3, np.zeros(3)), 2, 0), DatasetError, "not all 0"),
        (lambda: Batches(numbered(3, np.ones(4)), 2, 0), DatasetError, r"weights of shape \(4,\) for 3 rows"),
        (lambda: Mixture([numbered(3), numbered(3)], [1]), ConfigError, "one number >= 0 for each of the 2 datasets"),
    ],
)
def test_what_is_no_order_and_no_weight_is_refused(make, error, told):
    with pytest.raises(error, match=told):
        make()
