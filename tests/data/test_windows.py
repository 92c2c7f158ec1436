"""Windows and n-step transitions against tables written by hand and a plain-Python reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ConfigError, DatasetError
from data.goals import Hindsight
from data.transitions import Transitions
from data.windows import Windows

# Two episodes of 5 and 3 frames. Frame f of the dataset shows 10 f and does f.
ENDS = np.array([5, 8])
FRAMES = {"observation.state": 10.0 * np.arange(8)[:, None], "action": 1.0 * np.arange(8)[:, None]}


def test_the_table_in_the_module_is_what_happens():
    windows = Windows(FRAMES, ENDS, n_obs_steps=2, horizon=4)
    assert len(windows) == 8
    out = windows.batch(np.arange(8))
    expected = [  # observed, done, padding
        ([0, 0], [0, 1, 2, 3], "...."),
        ([0, 10], [1, 2, 3, 4], "...."),
        ([10, 20], [2, 3, 4, 4], "...*"),
        ([20, 30], [3, 4, 4, 4], "..**"),
        ([30, 40], [4, 4, 4, 4], ".***"),
        ([50, 50], [5, 6, 7, 7], "...*"),
        ([50, 60], [6, 7, 7, 7], "..**"),
        ([60, 70], [7, 7, 7, 7], ".***"),
    ]
    for row, (seen, done, pad) in enumerate(expected):
        assert out["observation.state"][row, :, 0].tolist() == seen
        assert out["action"][row, :, 0].tolist() == done
        assert "".join(".*"[int(p)] for p in out["action_is_pad"][row]) == pad


def test_history_longer_than_the_episode_repeats_its_first_frame():
    out = Windows(FRAMES, ENDS, n_obs_steps=4, horizon=1).batch(np.array([6]))
    assert out["observation.state"][0, :, 0].tolist() == [50, 50, 50, 60]


def test_only_the_chosen_episodes_are_drawn():
    windows = Windows(FRAMES, ENDS, 2, 4, episodes=[1])
    assert len(windows) == 3
    assert windows.batch(np.arange(3))["observation.state"].min() == 50


def test_rows_may_come_in_any_order_and_twice():
    windows = Windows(FRAMES, ENDS, 2, 4)
    rows = np.array([7, 0, 0, 3])
    together = windows.batch(rows)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(together["action"][i], windows.batch(np.array([row]))["action"][0])


@pytest.mark.parametrize(
    ("columns", "ends", "episodes", "message"),
    [
        (FRAMES, [5, 5, 8], None, "at least one frame"),
        (FRAMES, [], None, "at least one frame"),
        (FRAMES, [5, 9], None, "has 8 frames, the episodes have 9"),
        (FRAMES, [5, 8], [], "no episode is left"),
    ],
)
def test_what_is_no_dataset_is_refused(columns, ends, episodes, message):
    with pytest.raises(DatasetError, match=message):
        Windows(columns, np.array(ends, int), 2, 4, episodes)


# Offline RL: three episodes; the first ends for good with reward 1, the second is cut off, the third is short and ends for good.
REWARD = [0, 0, 0.5, 0, 1, 0, 0, 0, 2, 1]
TERMINATED = [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
RL_ENDS = np.array([5, 8, 10])
COLUMNS = {
    "observation.state": 10.0 * np.arange(10)[:, None],
    "action": 1.0 * np.arange(10)[:, None],
    "next.reward": np.array(REWARD),
    "next.terminated": np.array(TERMINATED),
}


def reference(t, n, n_obs, gamma, reward, terminated, ends):
    """The definition, one frame at a time: None where nothing follows that was seen."""
    start = max([0, *[e for e in ends if e <= t]])
    last = min(e for e in ends if e > t) - 1
    total, discount, chunk = 0.0, 1.0, []
    over = False
    for i in range(n):
        if over:
            chunk.append(last)
            continue
        if t + i > last:
            return None  # cut off inside the chunk
        chunk.append(t + i)
        total += discount * reward[t + i]
        discount *= gamma
        if terminated[t + i]:
            over, discount = True, 0.0
    if not over and t + n > last:
        return None  # cut off right after the chunk
    after = last if over else t + n
    seen = [max(start, after + k) for k in range(1 - n_obs, 1)]
    return chunk, total, discount, seen


def test_two_step_transitions_by_hand():
    out = Transitions(COLUMNS, RL_ENDS, n_obs_steps=1, n_action_steps=2, gamma=0.5)
    # frame: reward = r[t] + r[t+1] / 2, then 1/4 of what follows at t + 2, or nothing after the end
    expected = {0: (0, 0.25, 20), 1: (0.25, 0.25, 30), 2: (0.5, 0.25, 40), 3: (0.5, 0, None), 4: (1, 0, None), 5: (0, 0.25, 70)}
    expected |= {8: (2.5, 0, None), 9: (1, 0, None)}  # frames 6 and 7 are followed by nothing that was recorded
    batch = out.batch(np.arange(len(out)))
    assert batch["observation.state"][:, 0, 0].tolist() == [10 * t for t in expected]
    for row, (reward, discount, after) in enumerate(expected.values()):
        assert batch["reward"][row] == reward
        assert batch["discount"][row] == discount
        if after is not None:
            assert batch["next.observation.state"][row, 0, 0] == after


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("n_obs", [1, 3])
def test_every_chunk_length_equals_the_plain_definition(n, n_obs):
    rng = np.random.default_rng(n)
    lengths = rng.integers(1, 9, 30)
    ends = np.cumsum(lengths)
    reward = rng.normal(size=ends[-1])
    terminated = np.zeros(ends[-1], bool)
    terminated[ends[rng.random(30) < 0.6] - 1] = True
    frames = np.arange(ends[-1], dtype=float)[:, None]
    columns = {"observation.state": frames, "action": frames, "next.reward": reward, "next.terminated": terminated}
    expected = {t: r for t in range(ends[-1]) if (r := reference(t, n, n_obs, 0.9, reward, terminated, ends)) is not None}
    out = Transitions(columns, ends, n_obs, n, 0.9)
    assert len(out) == len(expected)
    batch = out.batch(np.arange(len(out)))
    for row, (t, (chunk, total, discount, seen)) in enumerate(expected.items()):
        assert batch["observation.state"][row, -1, 0] == t
        assert batch["action"][row, :, 0].tolist() == chunk
        assert batch["reward"][row] == pytest.approx(total, abs=1e-5)
        assert batch["discount"][row] == pytest.approx(discount, abs=1e-6)
        if discount:
            assert batch["next.observation.state"][row, :, 0].tolist() == seen


def test_returns_telescope():
    """Along an episode that ends for good, n-step rewards and discounts chained give the discounted return."""
    out = Transitions(COLUMNS, RL_ENDS, 1, 2, 0.9)
    batch = out.batch(np.arange(len(out)))
    at = {int(f) // 10: i for i, f in enumerate(batch["observation.state"][:, -1, 0])}
    value = batch["reward"][at[0]] + batch["discount"][at[0]] * (
        batch["reward"][at[2]] + batch["discount"][at[2]] * (batch["reward"][at[4]] + batch["discount"][at[4]] * 1e9)
    )
    assert value == pytest.approx(sum(0.9**i * r for i, r in enumerate(REWARD[:5])), abs=1e-6)


def test_episodes_of_which_nothing_can_be_learned_are_refused():
    columns = COLUMNS | {"next.terminated": np.zeros(10)}
    with pytest.raises(DatasetError, match="no episode is longer than a chunk of 6 steps"):
        Transitions(columns, RL_ENDS, 1, 6, 0.9)
    with pytest.raises(DatasetError, match="'next.reward'"):
        Transitions({k: v for k, v in COLUMNS.items() if k != "next.reward"}, RL_ENDS, 1, 2, 0.9)


def windows_reference(columns, ends, n_obs, horizon, episodes):
    """The definition in a few lines: every frame of the chosen episodes, one at a time."""
    for e in episodes:
        start, stop = (0 if e == 0 else ends[e - 1]), ends[e]
        for t in range(start, stop):
            seen = [columns["observation.state"][max(start, t - k)] for k in reversed(range(n_obs))]
            done = [columns["action"][min(t + k, stop - 1)] for k in range(horizon)]
            yield np.array(seen), np.array(done), np.array([t + k >= stop for k in range(horizon)])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    n_obs=st.integers(1, 5),
    horizon=st.integers(1, 9),
    data=st.data(),
)
def test_windows_equal_the_plain_definition(lengths, n_obs, horizon, data):
    ends = np.cumsum(lengths)
    columns = {"observation.state": np.arange(ends[-1])[:, None] * 10.0, "action": np.arange(ends[-1])[:, None] * 1.0}
    episodes = sorted(data.draw(st.sets(st.integers(0, len(lengths) - 1), min_size=1)))
    windows = Windows(columns, ends, n_obs, horizon, episodes)
    expected = list(windows_reference(columns, ends.tolist(), n_obs, horizon, episodes))
    assert len(windows) == len(expected)
    rows = np.array(data.draw(st.permutations(range(len(windows)))))
    batch = windows.batch(rows)
    for i, row in enumerate(rows):
        for found, wanted in zip(
            (batch["observation.state"][i], batch["action"][i], batch["action_is_pad"][i]), expected[row], strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


def test_goals_lie_ahead_in_the_same_episode_or_are_what_was_asked_for():
    rng = np.random.default_rng(0)
    ends = np.cumsum(rng.integers(1, 30, 40))
    columns = {"observation.state": np.arange(ends[-1])[:, None].astype(float), "action": np.zeros((ends[-1], 1))}
    t = np.arange(ends[-1])
    last = ends[np.searchsorted(ends, t, side="right")] - 1

    def goals(seed=1, **options):
        windows = Windows(columns, ends, 1, 1, goals=Hindsight(["observation.state"], **options))
        return windows.batch(t, seed)["goal.observation.state"][:, 0].astype(int)

    ahead = goals(gamma=0.9)
    assert (ahead <= last).all() and (ahead[t < last] > t[t < last]).all() and (ahead[t == last] == last[t == last]).all()
    assert (goals(current=1.0) == t).all()
    np.testing.assert_array_equal(goals(gamma=0.0), np.minimum(t + 1, last))
    anywhere = goals(random=1.0)
    assert len(set(anywhere.tolist())) > 0.5 * len(t) and anywhere.max() < ends[-1]
    assert (goals(1) == goals(1)).all() and (goals(1, random=1.0) != goals(2, random=1.0)).any()


def test_goals_do_not_depend_on_the_batch_they_come_in():
    windows = Windows(FRAMES, ENDS, 1, 1, goals=Hindsight(["observation.state"], gamma=0.7))
    whole = windows.batch(np.arange(8), 5)["goal.observation.state"]
    for row in range(8):
        np.testing.assert_array_equal(windows.batch(np.array([row]), 5)["goal.observation.state"][0], whole[row])


def test_the_step_into_the_future_is_geometric():
    n = 20000
    columns = {"observation.state": np.arange(n)[:, None].astype(float), "action": np.zeros((n, 1))}
    windows = Windows(columns, np.array([n]), 1, 1, goals=Hindsight(["observation.state"], gamma=0.8))
    rows = np.arange(n // 2)
    steps = windows.batch(rows, 3)["goal.observation.state"][:, 0] - rows
    for k in (1, 2, 5):
        share, expected = (steps == k).mean(), 0.2 * 0.8 ** (k - 1)
        assert abs(share - expected) < 5 * np.sqrt(expected / len(rows))
    uniform_steps = Windows(columns, np.array([n]), 1, 1, goals=Hindsight(["observation.state"], gamma=1.0)).batch(
        np.zeros(2000, int) + rows[:2000], 3
    )
    assert abs((uniform_steps["goal.observation.state"][:, 0] - rows[:2000]).mean() - (n - 1000) / 2) < 500


def test_shares_that_are_no_shares():
    with pytest.raises(ConfigError, match=r"current=0.7, random=0.5"):
        Hindsight(["observation.state"], current=0.7, random=0.5)
