"""Where episodes begin: which places are drawn, and whether one of them decides success by more than chance."""

import numpy as np
import pytest

from data.beginnings import Beginnings, beginnings, divide, places
from tests.evaluated import left_is_hard, row, trace, write


def start(names, values, success, own=()):
    return Beginnings(tuple(names), np.array(values, float), np.array([name in own for name in names]), np.array(success, bool))


def test_the_coordinate_that_decides_is_named_and_the_thing_that_varies_most_is_drawn_first(tmp_path):
    found = beginnings(left_is_hard(tmp_path), [])
    cut = divide(found)
    assert cut.name == "cube_y" and cut.where.startswith("below ") and abs(float(cut.where.split()[1])) < 0.1 and cut.p < 1e-6
    assert cut.worse[0] / cut.worse[1] < 0.1 < 0.9 < cut.better[0] / cut.better[1]
    assert [place.name for place in places(found)] == ["cube"], "the arm begins at the same place, and the bin has no y"
    assert places(found)[0].axes == ("cube_x", "cube_y") and places(found)[0].points.shape == (60, 2)


def test_fishers_p_by_hand():
    cut = divide(start(["a"], [[i] for i in range(10)], [True] * 5 + [False] * 5))
    # The division in the middle is clean: 2 of the 252 ways of choosing 5 of 10; times the six that were tried.
    assert (cut.where, cut.worse, cut.better, cut.tried) == ("above 4.5", (0, 5), (5, 5), 6)
    assert cut.p == pytest.approx(6 * 2 / 252)


@pytest.mark.parametrize(("success_inside", "where"), [(False, "between 9.75 and 29.2"), (True, "outside 9.75 to 29.2")])
def test_a_middle_that_differs_is_found(success_inside, where):
    inside = np.array([10 <= i < 30 for i in range(40)])
    cut = divide(start(["a"], [[i] for i in range(40)], inside == success_inside))
    assert (cut.where, cut.worse, cut.better) == (where, (0, 20), (20, 20))


def test_the_robots_own_start_counts_only_where_nothing_else_varies():
    values, success = [[i, i % 3] for i in range(20)], [True] * 10 + [False] * 10
    assert divide(start(["x", "cube_x"], values, success, own=("x",))).name == "cube_x"
    assert divide(start(["x", "cube_x"], [[i, 0] for i in range(20)], success, own=("x",))).name == "x"


def test_chance_alone_is_seldom_taken_for_a_place():
    rng = np.random.default_rng(0)
    cuts = [divide(start("abcd", rng.uniform(size=(40, 4)), rng.random(40) < 0.7)) for _ in range(30)]
    assert np.mean([cut.p <= 0.05 for cut in cuts]) <= 0.1


def test_nothing_decides_where_all_succeed_all_fail_or_nothing_varies():
    values = [[0.0], [1.0], [2.0]]
    assert divide(start(["a"], values, [True] * 3)) is None
    assert divide(start(["a"], values, [False] * 3)) is None
    assert divide(start(["a"], [[1.0]] * 3, [True, False, True])) is None


def test_things_come_before_the_robot_and_two_elements_without_names_stand_for_a_place():
    rng = np.random.default_rng(0)
    names = ["x", "y", "cube_x", "cube_y", "bin_x", "bin_y"]
    values = rng.normal(0, [9, 9, 0.1, 0.1, 0.3, 0.3], (20, 6))
    both = [True] * 20
    assert [place.name for place in places(start(names, values, both, own=("x", "y")))] == ["bin", "cube"]
    values[:, 2:] = 0.0
    assert [place.name for place in places(start(names, values, both, own=("x", "y")))] == [""]
    (place,) = places(start(["state[0]", "state[1]", "state[2]"], rng.normal(0, [1, 5, 3], (20, 3)), both))
    assert place.axes == ("state[1]", "state[2]")
    assert places(start(["a", "b"], np.zeros((4, 2)), [True] * 4)) == []


def test_without_traces_there_is_no_beginning_and_many_are_thinned_evenly(tmp_path):
    assert beginnings(write(tmp_path / "none", [row(100, 3)]), []) is None
    rows = [row(100 + i, 3) for i in range(30)]
    traces = {100 + i: trace(3, [0, 0, i, 0, 0, 0], np.zeros(6)) for i in range(30)}
    found = beginnings(write(tmp_path / "many", rows, traces), [], most=4)
    assert list(found.values[:, found.names.index("cube_x")]) == [0, 10, 19, 29]
