"""Samplers as tables, against networks that are exact: the velocity, noise and clean chunk of data whose distribution is known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from data.errors import ConfigError
from policies.imitation.diffusion import DiffusionConfig, DiffusionPolicy, ddim
from policies.schedule import REGRESSION, Schedule, euler
from tests.policies.dummy import make_batch, make_normalizer, make_obs, make_spec, seeds_of, stir


def alpha_bar(level, levels=100):
    """Cumulative alpha of the cosine schedule (Nichol and Dhariwal 2021, eq. 17), each beta capped at 0.999."""

    def f(i):
        return math.cos((i / levels + 0.008) / 1.008 * math.pi / 2) ** 2

    return math.prod(1 - min(1 - f(i + 1) / f(i), 0.999) for i in range(level + 1))


def level_of(t, levels=100):
    return round((1 - t) * levels) - 1


def exact_v(x, a, s):
    """E[v | x] for data of mean 0 and deviation s per element, where x = sqrt(a) x1 + sqrt(1 - a) noise."""
    x1 = math.sqrt(a) * s**2 / (a * s**2 + 1 - a) * x
    noise = math.sqrt(1 - a) / (a * s**2 + 1 - a) * x
    return math.sqrt(a) * noise - math.sqrt(1 - a) * x1


def exact_velocity(x, t, s):
    """E[x1 - x0 | x] for the same data, where x = (1 - t) x0 + t x1."""
    return (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2) * x


def walk(schedule, network, x=1.0):
    for t, keep, gain in zip(schedule.times, schedule.keep, schedule.gain, strict=True):
        x = keep * x + gain * network(x, t)
    return x


@pytest.mark.parametrize("s", [0.2, 0.5, 1.0])
def test_exact_networks_turn_noise_into_the_datas_spread(s):
    """Every step is linear in x, so that x = 1 goes to the factor by which noise of deviation 1 is scaled: s."""
    assert walk(euler(400), lambda x, t: exact_velocity(x, t, s)) == pytest.approx(s, rel=0.02)
    schedule = ddim(DiffusionConfig(levels=400, steps=400))
    assert walk(schedule, lambda x, t: exact_v(x, alpha_bar(level_of(t, 400), 400), s)) == pytest.approx(s, rel=0.02)


def test_ddim_by_its_formula():
    """x <- sqrt(a') x1_hat + sqrt(1 - a') noise_hat (Song et al. 2021, eq. 12 with sigma = 0), both read from v."""
    schedule = ddim(DiffusionConfig(steps=10))
    rng, x = np.random.default_rng(0), 0.7
    np.testing.assert_allclose(schedule.times, np.arange(10) / 10, atol=1e-12)
    for i, t in enumerate(schedule.times):
        level, v = level_of(t), rng.normal()
        a = alpha_bar(level)
        after = alpha_bar(level - 10) if level >= 10 else 1.0
        x1_hat, noise_hat = math.sqrt(a) * x - math.sqrt(1 - a) * v, math.sqrt(1 - a) * x + math.sqrt(a) * v
        expected = math.sqrt(after) * x1_hat + math.sqrt(1 - after) * noise_hat
        assert schedule.keep[i] * x + schedule.gain[i] * v == pytest.approx(expected, abs=1e-5)
        assert schedule.hat_keep[i] * x + schedule.hat_gain[i] * v == pytest.approx(x1_hat, abs=1e-5)
        x = expected


@pytest.mark.parametrize("schedule", [euler(10), ddim(DiffusionConfig(steps=10)), ddim(DiffusionConfig(steps=100)), REGRESSION])
def test_a_network_that_is_off_by_a_little_gives_a_chunk_that_is_off_by_a_little(schedule):
    """The worst case over signs of an error of 0.01 at every step; actions range over [-1, 1]."""
    error = 0.0
    for keep, gain in zip(schedule.keep, schedule.gain, strict=True):
        error = abs(keep) * error + abs(gain) * 0.01
    assert error < 0.02


def test_a_schedule_survives_its_file_and_uneven_columns_are_refused():
    schedule = ddim(DiffusionConfig(steps=5))
    assert Schedule.from_dict(schedule.as_dict()) == schedule
    assert len(schedule) == 5
    with pytest.raises(ValueError, match="differ in length"):
        Schedule.from_dict({**schedule.as_dict(), "keep": [1.0]})


class PointV(nn.Module):
    """The exact v of data that is one chunk."""

    def __init__(self, chunk, levels):
        super().__init__()
        self.chunk, self.levels = nn.Parameter(chunk), levels

    def forward(self, x, t, cond):
        a = torch.tensor([alpha_bar(level_of(float(one), self.levels), self.levels) for one in t])[:, None, None].float()
        noise = (x - a.sqrt() * self.chunk) / (1 - a).sqrt()
        return a.sqrt() * noise - (1 - a).sqrt() * self.chunk


def test_diffusion_trained_on_one_chunk_to_perfection_has_no_loss_and_samples_it():
    spec = make_spec()
    policy = stir(DiffusionPolicy(DiffusionConfig(network="mlp", width=16, depth=1, levels=50, steps=5), spec, make_normalizer(spec)))
    batch = make_batch(policy, 6)
    batch["action"] = batch["action"][:1].expand(6, -1, -1)
    policy.net = PointV(batch["action"][:1], 50)
    torch.manual_seed(0)
    assert policy.loss(batch)[0].item() < 1e-5
    seen = []
    chunks = policy.sample(
        make_obs(spec, 2), 3, seeds_of(2), lambda x, t, hat: seen.append((t, (hat - policy.net.chunk).abs().max().item())) or x
    )
    expected = policy.normalizer.decode_action(batch["action"][0].numpy())
    np.testing.assert_allclose(chunks, np.broadcast_to(expected, chunks.shape), atol=2e-3)
    np.testing.assert_allclose([t for t, _ in seen], np.arange(5) / 5, atol=1e-6)
    assert max(off for _, off in seen) < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "policy.steps=0 must lie"),
        ({"steps": 200}, "policy.steps=200"),
        ({"beta_schedule": "round"}, "beta_schedule='round'"),
    ],
)
def test_diffusion_that_cannot_be_is_refused(options, message):
    spec = make_spec()
    with pytest.raises(ConfigError, match=message):
        DiffusionPolicy(DiffusionConfig(**{"network": "mlp", "width": 16, **options}), spec, make_normalizer(spec))
