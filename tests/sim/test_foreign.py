"""Environments in other processes: the same numbers as in this one, whatever the others in the batch do to themselves."""

import os
import re
import signal

import numpy as np
import pytest

from data.errors import ConfigError, WaldoError
from data.store import Dataset
from sim.collect import collect
from tests.sim.open_toy import BLIND, open_toy
from tests.sim.toy import Toy


@pytest.fixture
def toy():
    made = []

    def make(*args, **options):
        made.append(open_toy(*args, **options))
        return made[-1]

    yield make
    for env in made:
        env.close()


def episodes(env, seeds, steps=12, expert=False):
    """Everything that is seen of each seed: seed -> list of tuples of arrays; errors: seed -> message. In groups of env.num_envs."""
    seen, errors = {}, {}
    for first in range(0, len(seeds), env.num_envs):
        group = np.array(seeds[first : first + env.num_envs])
        obs = env.reset(group)
        active = np.arange(env.num_envs) < len(group)
        rows = {int(seed): [] for seed in group}
        for step in range(steps):
            action = np.zeros((env.num_envs, 2), np.float32)
            for i, seed in enumerate(group):
                rng = np.random.default_rng([int(seed), step])
                action[i] = rng.normal(size=2)
            if expert:
                action[active] = env.expert_actions(np.flatnonzero(active))
            before, (obs, reward, terminated, truncated, info) = obs, env.step(action, active)
            for i, seed in enumerate(group):
                if active[i] and i not in info["error"]:
                    values = [before[name][i].tolist() for name in sorted(before)]
                    last = [obs[name][i].tolist() for name in sorted(obs)]
                    rows[int(seed)].append((values, last, action[i].tolist(), reward[i], terminated[i], truncated[i], info["success"][i]))
            errors |= {int(group[i]): message for i, message in info["error"].items()}
            assert not info["success"][list(info["error"])].any() and terminated[list(info["error"])].all()
            active &= ~(terminated | truncated)
        assert not active.any()
        seen |= rows
    return seen, errors


SEEDS = list(range(100, 110))


def test_a_seed_shows_the_same_here_and_in_any_number_of_processes(toy):
    expected, errors = episodes(toy(1), SEEDS)
    assert errors == {} and len({str(rows) for rows in expected.values()}) == len(SEEDS)
    assert all(len(rows) == 12 and rows[-1][5] for rows in expected.values())
    for options in ({"num_envs": 10}, {"num_envs": 5, "isolate": True, "workers": 1}, {"num_envs": 7, "isolate": True, "workers": 3}):
        assert episodes(toy(**options), SEEDS) == (expected, {}), options
    assert episodes(toy(4, isolate=True, workers=2), SEEDS[::-1]) == (expected, {})


def test_the_numbers_are_the_environments_own(toy):
    env = toy(2, isolate=True, workers=2)
    obs = env.reset(np.array([5, 6]))
    after, reward, *_, info = env.step(np.array([[0.5, -0.25], [1, 1]]))
    for row, seed in enumerate((5, 6)):
        twin = Toy(render_mode="rgb_array")
        np.random.seed(seed)  # noqa: NPY002
        raw, _ = twin.reset(seed=seed)
        np.testing.assert_array_equal(obs["observation.state"][row], raw["agent"]["position"].astype(np.float32))
        np.testing.assert_array_equal(obs["observation.environment_state"][row], np.float32([0, raw["mood"][0], 0, 1, 2]))
        raw, own, *_, own_info = twin.step(np.array([[0.5, -0.25], [1, 1]][row], np.float64))
        np.testing.assert_array_equal(after["observation.state"][row], raw["agent"]["position"].astype(np.float32))
        assert (reward[row], info["success"][row]) == (own, own_info["done"]["well"])
        np.testing.assert_array_equal(after["observation.images.side"][row], twin.render())
        np.testing.assert_array_equal(after["observation.images.top"][row], raw["pixels"])


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", r"after step 4: ValueError: the motor is hot \(toy.py:\d+\)"),
        ("leave", "after step 4: SystemExit: tired"),
        ("nan", "after step 5: ValueError: observation.state is not finite"),
        ("shape", "after step 5: ValueError: observation.state has 3 numbers now and had 2"),
    ],
)
def test_an_environment_that_raises_breaks_its_own_episode_only(toy, isolate, fault, message):
    expected, _ = episodes(toy(1), SEEDS)
    seen, errors = episodes(toy(5, fault, 5, [102], isolate=isolate, workers=2), SEEDS)
    assert list(errors) == [102]
    assert re.search(message, errors[102]), errors[102]
    assert {seed: rows for seed, rows in seen.items() if seed != 102} == {seed: rows for seed, rows in expected.items() if seed != 102}
    assert [row[2:] for row in seen[102]] == [row[2:] for row in expected[102][:4]]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("exit", "after step 4: its process exited with status 3; it printed: about to go"),
        ("kill", "after step 4: its process was ended by SIGKILL"),
        ("hang", "after step 4: it did not answer for 1 s"),
    ],
)
def test_an_episode_that_takes_its_process_along_leaves_its_neighbours_as_they_were(toy, fault, message):
    expected, _ = episodes(toy(1), SEEDS[:6])
    seen, errors = episodes(toy(3, fault, 5, [101], isolate=True, workers=1, timeout=1.0), SEEDS[:6])
    assert list(errors) == [101] and message in errors[101]
    assert len(seen.pop(101)) == 4
    assert seen == {seed: rows for seed, rows in expected.items() if seed != 101}


def test_a_neighbour_that_cannot_be_repeated_fails_and_says_so(toy):
    env = toy(3, "exit", 3, [1], isolate=True, workers=1, kwargs={"loose": True}, **BLIND)
    env.reset(np.array([0, 1, 2]))
    for _ in range(2):
        assert env.step(np.zeros((3, 2)))[4]["error"] == {}
    _, _, terminated, _, info = env.step(np.zeros((3, 2)))
    assert terminated.all() and "status 3" in info["error"][1]
    assert info["error"][0] == "its process had to be replaced, and its repetition went another way"
    env.reset(np.array([0, 2, 3]))
    assert env.step(np.zeros((3, 2)))[4]["error"] == {}


def test_experts_go_on_after_a_neighbour_has_taken_their_process_along(toy):
    options = {"expert": "hook", "outside": "error", "kwargs": {"bound": 100.0}}
    expected, _ = episodes(toy(1, **options), SEEDS[:4], expert=True)
    rng = np.random.default_rng([100, 1])
    np.testing.assert_allclose(expected[100][4][2], rng.normal(size=2) + 5 + np.array([0.004, 0.1]), rtol=1e-6)
    seen, errors = episodes(toy(4, "exit", 6, [103], isolate=True, workers=1, **options), SEEDS[:4], expert=True)
    assert list(errors) == [103]
    assert {s: r for s, r in seen.items() if s != 103} == {s: r for s, r in expected.items() if s != 103}


@pytest.mark.parametrize(
    ("isolate", "fault"), [(False, "raise"), (True, "raise"), (True, "exit"), pytest.param(True, "hang", marks=pytest.mark.slow)]
)
def test_a_reset_that_fails_is_an_episode_that_fails_at_once(toy, isolate, fault):
    env = toy(3, fault, 0, [7], isolate=isolate, workers=1, timeout=1.0, start_timeout=10.0 if fault == "hang" else 60.0)
    env.reset(np.array([6, 7, 8]))
    _, reward, terminated, _, info = env.step(np.zeros((3, 2)))
    assert list(info["error"]) == [1] and "after step 0: " in info["error"][1]
    assert terminated.tolist() == [False, True, False] and reward[1] == 0
    _, _, terminated, _, info = env.step(np.zeros((3, 2)))
    assert info["error"] == {} and terminated.tolist() == [False, True, False]
    env.reset(np.array([6, 9, 8]))  # it is made anew
    assert not env.step(np.zeros((3, 2)))[2].any()


def test_a_worker_that_is_killed_between_two_steps_costs_no_episode(toy):
    expected, _ = episodes(toy(1), SEEDS[:4])
    env = toy(4, isolate=True, workers=2)
    seen, errors = {}, {}
    original, steps = env._rows.step, []

    def step(rows, pictures):
        steps.append(1)
        if len(steps) == 6:
            os.kill(env._rows.pids[0], signal.SIGKILL)
        return original(rows, pictures)

    env._rows.step = step
    seen, errors = episodes(env, SEEDS[:4])
    assert (seen, errors) == (expected, {})


def test_a_picture_that_takes_the_process_along_ends_only_its_own_episode(toy):
    env = toy(3, "draw", 4, [51], isolate=True, workers=1, **BLIND)
    twin = toy(3, **BLIND)
    for vec in (env, twin):
        vec.reset(np.array([50, 51, 52]))
        for _ in range(4):
            vec.step(np.zeros((3, 2)))
    frames = env.render()
    assert [int(frame.max()) for frame in frames] == [4, 0, 4]
    found, wanted = env.step(np.ones((3, 2))), twin.step(np.ones((3, 2)))
    assert list(found[4]["error"]) == [1] and "status 7" in found[4]["error"][1]
    np.testing.assert_array_equal(found[0]["observation.state"][[0, 2]], wanted[0]["observation.state"][[0, 2]])


def test_what_an_environment_prints_is_no_message(toy):
    expected, _ = episodes(toy(1), SEEDS[:3])
    assert episodes(toy(3, kwargs={"chatty": True}, isolate=True, workers=1), SEEDS[:3]) == (expected, {})


def test_an_action_that_is_not_finite_moves_nothing(toy):
    env = toy(2, isolate=True, workers=2, **BLIND)
    before = env.reset(np.array([1, 2]))
    with pytest.raises(WaldoError, match="the action of row 1 has vy=nan; allowed is a finite number"):
        env.step(np.array([[0, 0], [0, np.nan]]))
    after = env.step(np.zeros((2, 2)))[0]
    twin = toy(2, **BLIND)
    twin.reset(np.array([1, 2]))
    np.testing.assert_array_equal(after["observation.state"], twin.step(np.zeros((2, 2)))[0]["observation.state"])
    assert before["observation.state"].shape == (2, 2)


def test_demonstrations_of_an_expert_in_another_process_are_recorded_with_its_pictures(toy, tmp_path):
    env = toy(2, expert="hook", outside="error", kwargs={"bound": 100.0, "ends": 7}, isolate=True)
    counts = collect(env, tmp_path / "d", np.arange(100, 103), {"clean": 1.0}, {"seed": 100})
    dataset = Dataset.open(tmp_path / "d")
    assert (counts["episodes"], counts["frames"]) == (3, 21) and dataset.tasks == (env.instruction,)
    side = dataset.images("observation.images.side")  # shows the time at which it was taken
    np.testing.assert_allclose([picture.mean() for picture in side[:7]], np.arange(7), atol=1.5)
    np.testing.assert_allclose(dataset.episode(0)["observation.environment_state"][:, 0], np.arange(7))
    with pytest.raises(ConfigError, match="knows only the style clean"):
        collect(env, tmp_path / "e", np.arange(2), {"sloppy": 1.0}, {})
