"""`waldo leaderboard`: the ranking against statistics worked out by other code, and what happens to folders that are damaged."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data.evaluation import MANIFEST, ROWS, read
from data.results import read_summary
from data.statistics import wilson
from tests.test_compare import WHERE, damage, write
from waldo import cli
from waldo.comparison.ranking import boards, letters, overall


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WALDO_TRACEBACK", raising=False)


def leaderboard(*words):
    return cli.main(["leaderboard", *words, "out=out"])


def figures():
    return {figure.name: figure for figure in read_summary(Path("out"))[2]}


def board(*folders, alpha=0.05):
    (made,) = boards([read(Path(folder)) for folder in folders], alpha)
    return made


@st.composite
def relations(draw):
    k = draw(st.integers(1, 7))
    apart = np.zeros((k, k), bool)
    for i, j in itertools.combinations(range(k), 2):
        apart[i, j] = apart[j, i] = draw(st.booleans())
    return apart


@given(relations())
def test_two_share_a_letter_if_and_only_if_nothing_tells_them_apart(apart):
    found = letters(apart)
    assert all(found), "everyone has a letter"
    for i, j in itertools.combinations(range(len(apart)), 2):
        assert bool(set(found[i]) & set(found[j])) != apart[i, j]
    assert found[0].startswith("a")


def test_letters_of_a_chain_in_which_only_neighbours_are_alike():
    apart = np.array([[False, False, True], [False, False, False], [True, False, False]])
    assert letters(apart) == ["a", "ab", "b"]


def test_more_than_26_letters_are_still_different():
    assert len(set(letters(~np.eye(60, dtype=bool)))) == 60


def paired(n, both, only_a, only_b):
    """Successes of two on n seeds, with these counts."""
    a = [True] * (both + only_a) + [False] * (n - both - only_a)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * (n - both - only_a - only_b)
    return a, b


def test_the_p_value_is_the_binomial_tail_of_the_discordant_seeds_corrected_for_all_pairs():
    a, b = paired(100, 70, 20, 5)
    c = [good and i % 2 == 0 for i, good in enumerate(a)]
    for name, success in (("a", a), ("b", b), ("c", c)):
        write(name, success)
    made = board("a", "b", "c")
    assert [s.name for s in made.standings] == ["a", "b", "c"]
    raw = [stats.binomtest(min(x, y), x + y).pvalue for x, y in ((20, 5), (45, 0), _discordant(b, c))]
    ordered = sorted(raw)
    assert made.standings[2].p == pytest.approx(max(3 * ordered[0], 0))
    holm_ab = max((3 - i) * p for i, p in enumerate(ordered[: ordered.index(raw[0]) + 1]))
    assert made.standings[1].p == pytest.approx(min(1, holm_ab))
    assert made.standings[1].behind.value == pytest.approx(-0.15)


def _discordant(a, b):
    return sum(x and not y for x, y in zip(a, b, strict=True)), sum(y and not x for x, y in zip(a, b, strict=True))


def test_equal_policies_are_all_first_and_one_that_never_succeeds_is_not():
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        write(name, rng.random(100) < 0.9)
    write("none", [False] * 100)
    made = board("none", "x", "y")
    assert [made.rank(i) for i in range(3)] == ["=1", "=1", "3"]
    assert [s.letters for s in made.standings] == ["a", "a", "b"]
    assert made.standings[2].interval == wilson(0, 100)


def test_of_equal_policies_a_wrong_order_is_called_as_seldom_as_was_asked():
    """8 equal policies on 60 seeds: the best is chosen by looking, and must still not be called better."""
    rng = np.random.default_rng(5)
    wrong = 0
    blank = read(write("blank", [True] * 60))
    for _ in range(100):
        equal = [
            replace(blank, folder=Path(str(i)), rows=tuple({**row, "success": bool(rng.random() < 0.7)} for row in blank.rows))
            for i in range(8)
        ]
        (made,) = boards(equal, 0.05)
        wrong += any(s.letters != "a" for s in made.standings)
    assert wrong <= 11, "at most 5 % of 100; 12 and more would have a chance of 1 in 200"


def test_the_ranking_is_on_the_seeds_that_all_have():
    write("long", [True] * 50 + [False] * 50)
    write("short", [True] * 40, first=100_010)
    made = board("long", "short")
    assert made.shared == 40
    assert [(s.name, s.rate, len(s.success)) for s in made.standings] == [("long", 1.0, 40), ("short", 1.0, 40)]


def test_without_a_common_seed_each_stands_on_its_own_and_nothing_is_tested(capsys):
    write("e/a", [True] * 30)
    write("e/b", [False] * 30, first=200_000)
    assert leaderboard("e") == 0
    assert "no seed that all have, so each stands on its own and nothing is tested" in capsys.readouterr().out
    made = board("e/a", "e/b")
    assert [(s.rate, s.letters, s.behind) for s in made.standings] == [(1.0, "", None), (0.0, "", None)]


def test_environments_are_apart_and_named_by_what_differs(capsys):
    hard = {**WHERE, "task": {**WHERE["task"], "level": "hard"}}
    write("e/flow", [True] * 20)
    write("e/flow_hard", [False] * 20, environment=hard)
    write("e/arm", [True] * 20, robot="ur5e")
    assert leaderboard("e") == 0
    said = capsys.readouterr().out
    for title in ("reach · panda · task.level=easy", "reach · panda · task.level=hard", "reach · ur5e"):
        assert f"\n{title}: 20 seeds" in f"\n{said}"
    assert figures()["success/reach · panda · task.level=hard/flow_hard"].high == wilson(0, 20)[1]
    assert figures()["environments"].value == 3


def test_damaged_folders_are_named_and_left_out(capsys):
    write("e/good", [True] * 20)
    for how in ("schema", "json", "half", "cut", "broken", "twice", "nothing", "words"):
        damage(write(f"e/{how}", [True] * 20), how)
    write("e/brief", [True] * 4)
    assert leaderboard("e", "least=5") == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out: ")]
    assert len(said) == 9
    for how in ("schema", "json", "half", "cut", "broken", "twice", "nothing", "words", "brief"):
        assert sum(f"e/{how}" in line for line in said) == 1, how
    assert (figures()["evaluations"].value, figures()["left_out"].value) == (1, 9)
    page = Path("out/leaderboard.html").read_text()
    assert "e/brief holds 4 episodes; least=5 are wanted" in page


def test_the_jobs_of_a_sweep_over_shards_are_one_evaluation_and_those_of_another_sweep_are_not(capsys):
    for i in range(2):
        write(f"e/shards_of_one/{i}", [True] * 10, first=100_000 + 10 * i, identity="same")
        write(f"e/other/{i}", [True] * 10, identity=str(i))
    write("e/running", [True] * 20)
    write("e/running/shards/0", [True] * 5, first=100_100)
    assert leaderboard("e") == 0
    names = [name for name in figures() if name.startswith("success/")]
    assert [name.rpartition("panda/")[2] for name in names] == ["other/0", "other/1", "running", "shards_of_one"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "paths=nowhere: there is no such folder"),
        (("empty",), f"empty holds no {MANIFEST}"),
        (("bad",), "holds 1 evaluations, none of which can be used: bad/x holds no finished episode"),
        ((), "there is no default: paths=..."),
        (("empty", "alpha=2"), "alpha=2.0: a chance of error"),
    ],
)
def test_what_cannot_be_ranked_is_one_clear_line(words, message, capsys):
    Path("empty").mkdir()
    damage(write("bad/x", [True] * 5), "nothing")
    assert leaderboard(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and message in error
    assert not Path("out").exists()


def tasks(runs):
    """Two policies in four environments."""
    rng = np.random.default_rng(2)
    for task in ("a", "b", "c", "d"):
        for policy, p in (("flow", 0.8), ("bc", 0.5)):
            for run in range(runs):
                write(f"{task}/{policy}{run}", rng.random(50) < p, task=task, policy=policy)
    write("a/random", [False] * 50, task="a", policy="random")
    return boards([read(path.parent) for path in sorted(Path().rglob(ROWS))], 0.05)


def test_over_several_environments_the_middle_half_of_the_rates_counts():
    found = overall(tasks(1))
    assert [row.policy for row in found] == ["flow", "bc"], "random was not evaluated in all of them"
    rates = sorted(read(Path(f"{task}/flow0")).success.mean() for task in "abcd")
    assert found[0].value == pytest.approx((rates[1] + rates[2]) / 2)
    assert found[0].low < found[0].value < found[0].high and found[0].resampled == "episodes"


def test_with_several_trainings_they_are_what_is_drawn_anew():
    found = overall(tasks(3))
    scores = np.array([[read(Path(f"{task}/flow{run}")).success.mean() for run in range(3)] for task in "abcd"])
    assert found[0].value == pytest.approx(np.sort(scores.ravel())[3:-3].mean())
    assert found[0].resampled == "3 trainings"


def test_the_page_is_one_file_that_fetches_nothing(capsys):
    rng = np.random.default_rng(0)
    for name, p in (("<b>flow</b> & co", 0.9), ("bc", 0.85), ("random", 0.02)):
        write(f"e/{name}", rng.random(80) < p, policy=name)
    assert leaderboard("e") == 0
    page = Path("out/leaderboard.html").read_text()
    assert not re.search(r'(?:src|href)="(?!#|data:)', page) and "<script" not in page and "@import" not in page
    assert "<b>flow</b>" not in page and "&lt;b&gt;flow&lt;/b&gt; &amp; co" in page
    assert "<svg" in page and "Not drawn: 1 that is 40 points or more behind." in page
    assert capsys.readouterr().out.splitlines()[-2:] == ["report: out/leaderboard.html", "out"]
