"""How episodes fail: how far they came, when the next step was due, and what tells the ends of one kind apart."""

import numpy as np
import pytest

from data.failures import divided, kinds, last_observations
from tests.evaluated import LIMIT, RATE, left_is_hard, row, trace, write


def told(evaluation):
    return [(failure.kind, failure.seeds) for failure in kinds(evaluation)]


def test_failures_are_told_apart_by_the_next_step_the_most_frequent_first(tmp_path):
    rows = [row(100, 3), row(101, 0), row(102, 1), row(103, 1), row(104, 1, length=60), row(105, 2, error="broke at step 17")]
    rows.append(row(106, 2, error="broke at step 5"))
    rows.append({**row(107, 3), "success": False, "length": LIMIT})
    assert told(write(tmp_path, rows)) == [
        ("end with an error: broke at step #", (105, 106)),
        ("stop before “cube lifted”", (102, 103)),
        ("end early, before “cube lifted”", (104,)),
        ("stop after “cube in the bin”, without lasting success", (107,)),
        ("stop before “at the cube”", (101,)),
    ]


def test_a_failure_is_due_as_long_after_the_last_step_as_others_took_for_the_next(tmp_path):
    rows = [row(100, 3), row(101, 1), row(102, 0), row(103, 1, length=50, error="broke"), row(104, 1, length=60)]
    rows[1]["milestones"] = {"at the cube": 33}
    rows += [{**row(105, 2), "milestones": {"at the cube": 10, "cube lifted": 30}}]
    moments = {seed: at for failure in kinds(write(tmp_path, rows)) for seed, at in failure.moments.items()}
    assert moments[101] == (33 + 15) / RATE, "the others took 10 and 20 steps from the cube to lifting it"
    assert moments[102] == 10 / RATE, "the first step takes 10 (10, 33 and so on: the median)"
    assert moments[103] == 50 / RATE and moments[104] == 60 / RATE, "the end"
    assert moments[105] == 40 / RATE, "the one that got further took 10 from lifting to the bin"


def test_with_nobody_to_compare_with_a_failure_is_at_the_end(tmp_path):
    (failure,) = kinds(write(tmp_path, [row(100, 1), row(101, 1)]))
    assert failure.moments == {100: LIMIT / RATE, 101: LIMIT / RATE}
    assert failure.says() == "stop before “cube lifted”" and failure.says(1) == "stops before “cube lifted”"


def test_without_milestones_there_are_time_and_errors(tmp_path):
    rows = [row(100, 0), row(101, 0, length=30), row(102, 0, error="")]
    assert told(write(tmp_path, rows, milestones=())) == [("run out of time", (100, 102)), ("end before the time is up", (101,))]
    assert kinds(write(tmp_path / "all", [row(100, 3)])) == []


def test_one_kind_is_divided_by_where_it_ends(tmp_path):
    evaluation = left_is_hard(tmp_path)
    (failure,) = kinds(evaluation)
    near, far = sorted(divided(evaluation, failure, []), key=lambda part: part.seeds[0] % 2 == 0)
    assert {seed % 2 for seed in near.seeds} == {1} and {seed % 2 for seed in far.seeds} == {0}
    assert sorted(near.seeds + far.seeds) == list(failure.seeds)
    assert "cube_z -0.48" in far.ends or "cube_x 1." in far.ends or "cube_y 0.8" in far.ends
    assert near.moments == {seed: failure.moments[seed] for seed in near.seeds}


def test_failures_without_traces_stay_together_and_a_damaged_trace_is_named(tmp_path):
    rows = [row(100 + i, 1) for i in range(12)]
    evaluation = write(tmp_path, rows)
    (failure,) = kinds(evaluation)
    assert divided(evaluation, failure, []) == [failure]
    (tmp_path / "traces" / "seed_103.npz").write_bytes(b"nothing")
    trouble: list[str] = []
    assert divided(evaluation, failure, trouble) == divided(evaluation, failure, trouble) == [failure]
    assert len(trouble) == 1 and "seed_103.npz is damaged" in trouble[0]


def test_opposite_quaternions_are_one_rotation(tmp_path):
    q = np.array([0.6, 0.8, 0.0, 0.0])
    traces = {seed: trace(5, np.zeros(6), [0, 0, *(q if seed % 2 else -q)]) for seed in (100, 101)}
    evaluation = write(
        tmp_path, [row(100, 1), row(101, 1)], traces, features={"observation.environment_state": ("b_qw", "b_qx", "b_qy", "b_qz")}
    )
    seeds, ends, names = last_observations(evaluation, (100, 101), [])
    assert list(seeds) == [100, 101]
    assert names == ["b_qw", "b_qx", "b_qy", "b_qz", "state[0]", "state[1]"]
    assert ends[0] == pytest.approx(ends[1])
