"""Implicit Q-learning on a chain whose values are known in closed form."""

import numpy as np
import pytest
import torch

from data.spec import ActionSpec, Feature, PolicySpec
from data.transitions import Transitions
from policies.normalize import Normalizer
from policies.offline.iql import IQLConfig, IQLCritic
from tests.policies.dummy import make_batch, make_chunks, make_normalizer, make_obs, make_spec, stir

# Three states in a row. In each, 3 of 4 demonstrators go on (action 1) and 1 of 4 gives up (action -1), which ends the
# episode without a reward; going on from the last state ends it with the reward 1.
P, GAMMA = 0.75, 0.9
STATES = Feature("observation.state", (3,))
SPEC = PolicySpec("chain", "none", (STATES,), ActionSpec("position", ("go",), ("1",)), 10.0)


def demonstrations():
    """Columns of 64 episodes, in exact proportion: 16 + 12 + 9 give up in the first, second, third state, 27 arrive."""
    episodes = [[0]] * 16 + [[0, 1]] * 12 + [[0, 1, 2]] * 9 + [[0, 1, 2]] * 27
    arrived = [False] * 37 + [True] * 27
    ends = np.cumsum([len(e) for e in episodes])
    last = np.zeros(ends[-1], bool)
    last[ends - 1] = True
    columns = {
        "observation.state": 2.0 * np.eye(3, dtype=np.float32)[np.concatenate(episodes)] - 1,
        "action": np.where(last & ~np.repeat(arrived, [len(e) for e in episodes]), -1, 1).astype(np.float32)[:, None],
        "next.reward": (last & np.repeat(arrived, [len(e) for e in episodes])).astype(np.float32),
        "next.terminated": last,
    }
    return columns, ends


def closed_form(expectile):
    """V and Q(go on) per state, from the last to the first.

    The expectile e of {q with chance p, 0 else} solves  expectile p (q - e) = (1 - expectile) (1 - p) e.
    """
    values, advance = np.zeros(3), np.zeros(3)
    for s in (2, 1, 0):
        advance[s] = 1.0 if s == 2 else GAMMA * values[s + 1]
        up, down = expectile * P, (1 - expectile) * (1 - P)
        values[s] = up * advance[s] / (up + down)
    return values, advance


def test_the_closed_form_at_one_half_is_the_mean_discounted_success():
    np.testing.assert_allclose(closed_form(0.5)[0], [P**3 * GAMMA**2, P**2 * GAMMA, P])


@pytest.mark.parametrize("expectile", [0.5, 0.9])
def test_values_converge_to_the_closed_form(expectile):
    columns, ends = demonstrations()
    transitions = Transitions(columns, ends, 1, 1, GAMMA)
    assert len(transitions) == 64 + 48 + 36
    batch = {k: torch.from_numpy(v) for k, v in transitions.batch(np.arange(len(transitions))).items()}
    torch.manual_seed(0)
    normalizer = Normalizer(SPEC, {"observation.state": (-np.ones(3), np.ones(3)), "action": ([-1], [1])})
    critic = IQLCritic(IQLConfig(ensemble=2, width=32, depth=2, expectile=expectile, gamma=GAMMA, target_rate=0.02), SPEC, normalizer)
    optimizer = torch.optim.Adam([p for p in critic.parameters() if p.requires_grad], lr=3e-3)
    for step in range(1200):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / 1200)
        optimizer.zero_grad()
        critic.loss(batch)[0].backward()
        optimizer.step()
        critic.after_step()
    obs = {"observation.state": 2 * np.eye(3, dtype=np.float32)[:, None] - 1}
    values, advance = closed_form(expectile)
    np.testing.assert_allclose(critic.v(obs), values, atol=0.02)
    actions = np.broadcast_to(np.array([1.0, -1.0], np.float32)[None, :, None, None], (3, 2, 1, 1))
    q = critic.q(obs, actions)
    assert q.shape == (2, 3, 2)
    np.testing.assert_allclose(q[:, :, 0], np.broadcast_to(advance, (2, 3)), atol=0.02)
    np.testing.assert_allclose(q[:, :, 1], 0, atol=0.02)


def test_the_loss_is_the_two_terms_of_the_paper():
    """Equations 5 and 6 of Kostrikov et al. 2021, row by row in plain Python."""
    spec = make_spec()
    critic = stir(IQLCritic(IQLConfig(ensemble=3, width=16, depth=1, expectile=0.8), spec, make_normalizer(spec)))
    batch = make_batch(critic, 12, critic=True)
    obs, after = ({k: batch[p + k] for k in ("observation.state", "observation.environment_state")} for p in ("", "next."))
    with torch.no_grad():
        cond, cond_after = critic.condition(obs), critic.condition(after)
        pair = torch.cat([cond, batch["action"].flatten(1)], -1)
        q, target = critic.q_nets(pair), critic.target(pair).min(0).values
        v, v_after = critic.v_net(cond)[:, 0], critic.v_net(cond_after)[:, 0]
    v_loss = np.mean([(0.8 if t > x else 0.2) * (t - x) ** 2 for t, x in zip(target.tolist(), v.tolist())])
    goals = [r + d * x for r, d, x in zip(batch["reward"].tolist(), batch["discount"].tolist(), v_after.tolist())]
    q_loss = np.mean([(value - goal) ** 2 for member in q.tolist() for value, goal in zip(member, goals)])
    loss, info = critic.loss(batch)
    assert info["v_loss"] == pytest.approx(v_loss, rel=1e-4)
    assert info["q_loss"] == pytest.approx(q_loss, rel=1e-4)
    assert loss.item() == pytest.approx(v_loss + q_loss, rel=1e-4)


def test_targets_move_by_their_rate_and_get_no_gradient():
    spec = make_spec()
    critic = stir(IQLCritic(IQLConfig(ensemble=2, width=8, depth=1, target_rate=0.25), spec, make_normalizer(spec)))
    before = [p.clone() for p in critic.target.parameters()]
    critic.loss(make_batch(critic, 6, critic=True))[0].backward()
    assert all(p.grad is None for p in critic.target.parameters())
    critic.after_step()
    for old, new, online in zip(before, critic.target.parameters(), critic.q_nets.parameters()):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * online)


def test_values_of_a_chunk_do_not_depend_on_the_others():
    spec = make_spec(camera=True)
    critic = stir(IQLCritic(IQLConfig(ensemble=2, width=8, depth=1), spec, make_normalizer(spec)))
    obs, chunks = make_obs(spec, 3), make_chunks(spec, (3, 5, spec.n_action_steps))
    q = critic.q(obs, chunks)
    for b in range(3):
        for k in range(5):
            alone = critic.q({n: x[b : b + 1] for n, x in obs.items()}, chunks[b : b + 1, k : k + 1])
            np.testing.assert_allclose(q[:, b, k], alone[:, 0, 0], atol=1e-5)


def test_an_ensemble_of_one_has_no_doubt():
    spec = make_spec()
    critic = stir(IQLCritic(IQLConfig(ensemble=1, width=8, depth=1), spec, make_normalizer(spec)))
    assert critic.loss(make_batch(critic, 6, critic=True))[1]["doubt"] == 0
