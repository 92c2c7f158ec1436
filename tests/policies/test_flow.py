"""Flow matching against distributions that are known: exactly where the velocity has a closed form, then a trained mixture."""

import numpy as np
import pytest
import torch
from torch import nn

from data.batches import Drawn
from data.spec import ActionSpec, Feature, PolicySpec
from policies.imitation.bc import BCConfig, BCPolicy
from policies.imitation.flow import FlowConfig, FlowPolicy
from policies.normalize import Normalizer
from policies.train import TrainConfig, train
from tests.policies.dummy import make_batch, make_normalizer, make_obs, make_spec, seeds_of, stir, tiny_flow

SWITCH = Feature("observation.state", (1,), names=("which",), units=("1",))
PLANE = ActionSpec("position", ("x", "y"), ("m", "m"))


class ToPoint(nn.Module):
    """The exact velocity towards data that is one point c: x_t = (1 - t) x0 + t c, hence c - x0 = (c - x_t) / (1 - t)."""

    def __init__(self, c):
        super().__init__()
        self.c, self.times = nn.Parameter(c), []

    def forward(self, x, t, cond):
        self.times.append(float(t[0]))
        return (self.c - x) / (1 - t)[:, None, None]


def test_the_exact_velocity_has_no_loss_and_samples_the_point_it_leads_to():
    policy = tiny_flow(steps=7)
    batch = make_batch(policy, 5)
    batch["action"] = batch["action"][:1].expand(5, -1, -1)
    policy.net = ToPoint(batch["action"][:1])
    torch.manual_seed(0)
    assert policy.loss(batch)[0].item() < 1e-6
    policy.net.times = []
    chunks = policy.sample(make_obs(policy.spec, 5), 3, seeds_of(5))
    expected = policy.normalizer.decode_action(batch["action"][0].numpy())
    np.testing.assert_allclose(chunks, np.broadcast_to(expected, (5, 3, *expected.shape)), atol=1e-4)
    np.testing.assert_allclose(policy.net.times, np.arange(7) / 7, atol=1e-6)


def test_a_guide_sees_where_the_flow_is_heading_and_may_move_it():
    policy = tiny_flow(steps=4)
    target = make_batch(policy, 1)["action"]
    policy.net = ToPoint(target)
    seen = []

    def guide(x, t, x1_hat):
        seen.append((t, x.shape, (x1_hat - target).abs().max().item()))
        return x + 1.0 if t == 0.75 else x

    chunks = policy.sample(make_obs(policy.spec, 2), 3, seeds_of(2), guide)
    assert [t for t, *_ in seen] == [0, 0.25, 0.5, 0.75]
    assert all(shape == (6, policy.spec.horizon, policy.action_dim) and off < 1e-4 for _, shape, off in seen)
    expected = policy.normalizer.decode_action(target[0].numpy() + 1.0)  # what the last step adds stays, v was known before it
    np.testing.assert_allclose(chunks[1, 2], expected, atol=1e-4)


def test_noise_draws_share_one_encoding_and_average_the_same_loss():
    policy, batch = tiny_flow(noise_draws=1), make_batch(tiny_flow(), 4)
    losses = {}
    for draws in (1, 64):
        policy.config.noise_draws = draws
        torch.manual_seed(0)
        losses[draws] = np.array([policy.loss(batch)[0].item() for _ in range(256 // draws)])
    # Both estimate the same expectation; the means of 256 draws each agree within their standard error.
    error = losses[1].std() / np.sqrt(256)
    assert abs(losses[1].mean() - losses[64].mean()) < 5 * error


# A mixture of two Gaussians, whose weights depend on what is observed.
WEIGHTS = {0.0: (0.3, 0.7), 1.0: (0.8, 0.2)}  # observation -> weights
MEANS = np.array([[-0.55, 0.45], [0.5, -0.35]])
COVARIANCES = np.array([[[0.020, 0.012], [0.012, 0.015]], [[0.010, -0.006], [-0.006, 0.025]]])


def draw_mixture(which, n, rng):
    mode = (rng.random(n) < WEIGHTS[which][1]).astype(int)
    roots = np.linalg.cholesky(COVARIANCES)
    return MEANS[mode] + np.einsum("nij,nj->ni", roots[mode], rng.normal(size=(n, 2)))


@pytest.fixture(scope="module")
def mixture_policy(tmp_path_factory):
    spec = PolicySpec("mixture", "none", (SWITCH,), PLANE, 10.0)
    normalizer = Normalizer(spec, {"observation.state": ([0], [1]), "action": ([-1, -1], [1, 1])})
    torch.manual_seed(0)
    policy = FlowPolicy(FlowConfig(network="mlp", width=64, depth=2, steps=60), spec, normalizer)
    rng = np.random.default_rng(0)
    n = 20_000
    which = np.repeat([0.0, 1.0], n)
    columns = {
        "observation.state": normalizer.encode("observation.state", which[:, None, None]),
        "action": normalizer.encode("action", np.concatenate([draw_mixture(w, n, rng) for w in WEIGHTS])[:, None]),
    }
    config = TrainConfig(steps=800, batch_size=512, lr=4e-3, warmup=50, ema=0.99, save_every=800, threads=1, device="cpu", precision="fp32")
    train(policy, Drawn(lambda rows, _: {k: v[rows] for k, v in columns.items()}, 2 * n), config, tmp_path_factory.mktemp("mixture"), 0, {})
    return policy


@pytest.mark.parametrize("which", [0.0, 1.0])
def test_a_trained_flow_draws_from_the_mixture_it_was_shown(mixture_policy, which):
    n = 4000
    x = mixture_policy.sample({"observation.state": np.full((1, 1, 1), which, np.float32)}, n, seeds_of(1))[0, :, 0]
    # The modes are apart by more than 8 standard deviations: which one a point belongs to is certain.
    mode = (np.linalg.norm(x - MEANS[0], axis=1) > np.linalg.norm(x - MEANS[1], axis=1)).astype(int)
    for k in range(2):
        mine = x[mode == k]
        assert abs(len(mine) / n - WEIGHTS[which][k]) < 0.05
        np.testing.assert_allclose(mine.mean(0), MEANS[k], atol=0.03)
        np.testing.assert_allclose(np.cov(mine.T), COVARIANCES[k], atol=0.005)  # against entries of 0.006 to 0.025


def test_regression_answers_the_mean_between_the_modes():
    """What the flow is for: the same data, regressed, ends where nobody ever went."""
    spec = PolicySpec("mixture", "none", (SWITCH,), PLANE, 10.0)
    normalizer = Normalizer(spec, {"observation.state": ([0], [1]), "action": ([-1, -1], [1, 1])})
    torch.manual_seed(0)
    policy = BCPolicy(BCConfig(width=32, depth=1), spec, normalizer)
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    batch = {
        "observation.state": torch.full((500, 1, 1), -1.0),
        "action": torch.from_numpy(draw_mixture(0.0, 500, rng).astype(np.float32))[:, None],
    }
    for _ in range(150):
        optimizer.zero_grad()
        policy.loss(batch)[0].backward()
        optimizer.step()
    chunk = policy.sample({"observation.state": np.zeros((1, 1, 1), np.float32)}, 1, seeds_of(1))[0, 0, 0]
    np.testing.assert_allclose(chunk, batch["action"].mean((0, 1)), atol=0.03)


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_a_row_does_not_depend_on_its_neighbours_and_samples_differ(network):
    policy = tiny_flow(make_spec(camera=True), network=network)
    obs, seeds = make_obs(policy.spec, 4), seeds_of(4, first=100)
    together = policy.sample(obs, 3, seeds)
    again = policy.sample({k: v[::-1] for k, v in obs.items()}, 3, seeds[::-1])[::-1]
    alone = np.concatenate([policy.sample({k: v[i : i + 1] for k, v in obs.items()}, 3, seeds[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(together, again, atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)  # the order of sums may differ with the batch size
    assert np.abs(together[:, 0] - together[:, 1]).max((1, 2)).min() > 1e-2


def test_regression_ignores_seeds_and_repeats_its_chunk():
    spec = make_spec()
    policy = stir(BCPolicy(BCConfig(width=16, depth=1), spec, make_normalizer(spec)))
    chunks = policy.sample(make_obs(spec, 2), 3, seeds_of(2))
    np.testing.assert_array_equal(chunks, policy.sample(make_obs(spec, 2), 3, seeds_of(2, first=9)))
    np.testing.assert_array_equal(chunks[:, 0], chunks[:, 2])
