"""Evaluation: rows of the seeds that were asked for, kept over an interruption, never mixed with another policy's."""

import dataclasses
import json

import numpy as np
import pytest

from data.noise import normal
from data.statistics import wilson
from sim.evaluate import evaluate, success_figure
from tests.sim.dummy import SPEC, PointEnv


class Noisy:
    def __init__(self, scale=0.1):
        self.spec = dataclasses.replace(SPEC, n_obs_steps=2, horizon=4, n_action_steps=4)
        self.scale = scale
        self.calls = 0

    def sample(self, obs, num_samples, seeds, guide=None):
        self.calls += 1
        return self.scale * normal(seeds, (num_samples, 4, 2))


SEEDS = [12, 3, 8, 5, 4, 1, 2]


def plain(rows):
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in rows]


def test_rows_come_in_the_order_asked_and_are_on_disk(tmp_path):
    rows = evaluate(PointEnv(3), Noisy(), SEEDS, tmp_path / "out", "a")
    assert [row["seed"] for row in rows] == SEEDS
    assert [row["success"] for row in rows] == [seed % 2 == 0 for seed in SEEDS]
    stored = [json.loads(line) for line in (tmp_path / "out/episodes.jsonl").read_text().splitlines()]
    assert sorted(stored, key=lambda row: row["seed"]) == sorted(rows, key=lambda row: row["seed"])


def test_an_interrupted_evaluation_goes_on_and_gives_the_same_rows(tmp_path):
    expected = evaluate(PointEnv(2), Noisy(), SEEDS, tmp_path / "whole", "a")
    env, reset, groups = PointEnv(2), None, []
    reset = env.reset

    def failing(seeds):
        groups.append(seeds)
        if len(groups) == 3:
            raise KeyboardInterrupt
        return reset(seeds)

    env.reset = failing
    with pytest.raises(KeyboardInterrupt):
        evaluate(env, Noisy(), SEEDS, tmp_path / "cut", "a")
    assert len((tmp_path / "cut/episodes.jsonl").read_text().splitlines()) == 4
    again = PointEnv(2)
    rows = evaluate(again, Noisy(), SEEDS, tmp_path / "cut", "a")
    assert sorted(again.actions) == sorted(SEEDS[4:])  # only what was missing was run
    assert plain(rows) == plain(expected)


def test_more_episodes_are_added_to_those_there_are(tmp_path):
    evaluate(PointEnv(2), Noisy(), SEEDS[:3], tmp_path, "a")
    policy = Noisy()
    rows = evaluate(PointEnv(2), policy, SEEDS, tmp_path, "a")
    assert plain(rows) == plain(evaluate(PointEnv(2), Noisy(), SEEDS, tmp_path / "fresh", "a"))
    assert evaluate(PointEnv(2), policy, SEEDS[:2], tmp_path, "a") == rows[:2]


@pytest.mark.parametrize("identities", [("a", "b"), ("", ""), ("a", ""), ("", "a")])
def test_episodes_of_something_else_are_set_aside_not_counted(tmp_path, identities):
    first = evaluate(PointEnv(2), Noisy(0.1), SEEDS, tmp_path, identities[0])
    second = evaluate(PointEnv(2), Noisy(0.3), SEEDS, tmp_path, identities[1])
    assert all(a["total_reward"] != b["total_reward"] for a, b in zip(first, second))
    kept = [json.loads(line) for line in (tmp_path / "episodes-1.jsonl").read_text().splitlines()]
    assert sorted(kept, key=lambda row: row["seed"]) == sorted(first, key=lambda row: row["seed"])
    assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == len(SEEDS)


def test_the_first_seeds_are_filmed_and_the_file_says_how_it_ended(tmp_path):
    evaluate(PointEnv(3), Noisy(), SEEDS, tmp_path, "a", videos=2)
    assert sorted(p.name for p in (tmp_path / "videos").iterdir()) == ["seed_12_success.mp4", "seed_3_failure.mp4"]
    evaluate(PointEnv(3), Noisy(), SEEDS, tmp_path, "b", videos=1)
    assert [p.name for p in (tmp_path / "videos").iterdir()] == ["seed_12_success.mp4"]
    assert len(list((tmp_path / "videos-1").iterdir())) == 2


def test_the_figure_is_the_rate_with_its_interval():
    rows = [{"success": i < 7} for i in range(20)]
    figure = success_figure("success/flow", rows)
    assert (figure.value, figure.n, (figure.low, figure.high)) == (0.35, 20, wilson(7, 20))
    assert isinstance(figure.value, float) and figure.unit == ""
    assert np.isclose(figure.low, 0.1812, atol=1e-4) and np.isclose(figure.high, 0.5671, atol=1e-4)
