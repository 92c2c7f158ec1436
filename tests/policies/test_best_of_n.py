"""Best of N with a critic whose ranking is known."""

import numpy as np
import pytest

from data.errors import SpecError
from policies.steering.best_of_n import BestOfN, BestOfNConfig, scores
from tests.policies.dummy import POINT, Scripted, make_obs, make_spec, seeds_of

SPEC = make_spec(action=POINT, horizon=4, n_action_steps=2)


class Judge:
    """Values a chunk by the x of its executed actions; the two members differ by its y."""

    spec = SPEC

    def __init__(self):
        self.seen = []

    def q(self, obs, actions):
        self.seen.append(actions.shape)
        x, y = actions[..., 0].mean(-1), actions[..., 1].mean(-1)
        return np.stack([x + y, x - y])


def proposals(x, y):
    chunks = np.zeros((len(x), 4, 2), np.float32)
    chunks[:, :2, 0], chunks[:, :2, 1] = np.array(x)[:, None], np.array(y)[:, None]
    chunks[:, 2:, 0] = -1000 * chunks[:, :1, 0]  # what is not executed must not count
    return chunks


def steered(n, pessimism, x, y):
    judge = Judge()
    return BestOfN(BestOfNConfig(num_samples=n, pessimism=pessimism), Scripted(SPEC, proposals(x, y)), judge), judge


def test_the_best_of_all_proposals_comes_first():
    policy, judge = steered(5, 0.0, [0.1, 0.9, -0.3, 0.5, 0.7], [0] * 5)
    chunks = policy.sample(make_obs(SPEC, 3), 1, seeds_of(3))
    assert judge.seen == [(3, 5, 2, 2)]
    np.testing.assert_allclose(chunks[:, 0, 0, 0], [0.9, 0.9, 0.9], rtol=1e-6)
    assert chunks.shape == (3, 1, 4, 2)
    np.testing.assert_allclose(chunks[0, 0, 2, 0], -900, rtol=1e-6)  # the whole chunk is returned


def test_several_are_returned_best_first():
    policy, _ = steered(2, 0.0, [0.1, 0.9, -0.3, 0.5, 0.7, 0.2], [0] * 6)
    np.testing.assert_allclose(policy.sample(make_obs(SPEC, 1), 3, seeds_of(1))[0, :, 0, 0], [0.9, 0.7, 0.5], rtol=1e-6)


@pytest.mark.parametrize(("pessimism", "best"), [(0.0, 0.9), (1.0, 0.6), (-1.0, 0.9)])
def test_doubt_counts_against_a_chunk(pessimism, best):
    policy, _ = steered(3, pessimism, [0.9, 0.6, 0.2], [0.5, 0.1, 0.0])  # member values x + y and x - y: mean x, deviation |y|
    assert policy.sample(make_obs(SPEC, 1), 1, seeds_of(1))[0, 0, 0, 0] == pytest.approx(best)


def test_scores_are_mean_minus_deviation():
    q = np.array([[[1.0, 4.0]], [[3.0, 4.0]]])  # (E = 2, B = 1, K = 2)
    np.testing.assert_allclose(scores(q, 1.0), [[2 - 1, 4]])


def test_equal_values_keep_the_order_of_the_proposals():
    policy, _ = steered(4, 1.0, [0.3] * 4, [0] * 4)
    policy.sampler.chunks[:, 3, 1] = np.arange(4)  # tells them apart without being valued
    assert policy.sample(make_obs(SPEC, 1), 1, seeds_of(1))[0, 0, 3, 1] == 0


def test_a_critic_of_other_chunks_is_refused():
    judge = Judge()
    judge.spec = make_spec(action=POINT, horizon=4, n_action_steps=3)
    with pytest.raises(SpecError, match="chunks of 3 steps of position, the policy executes 2 of position"):
        BestOfN(BestOfNConfig(), Scripted(SPEC, proposals([0], [0])), judge)
