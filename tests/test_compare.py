"""`waldo compare`: the verdict against e-values worked out by hand, the exit status, and one clear line for every mistake."""

import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from data.evaluation import MANIFEST, ROWS, Manifest
from data.results import read_summary
from data.statistics import mcnemar_exact, paired_difference, wilson
from waldo import cli
from waldo.comparison import contest
from waldo.comparison.verdict import unpaired

WHERE = {"task": {"_target_": "sim.tasks.reach.Reach", "level": "easy"}, "engine": "mujoco", "rate_hz": 20.0}


def write(folder, success, first=100_000, **manifest):
    """An evaluation folder: one row per entry of `success`, from seed `first` on."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    seeds = tuple(range(first, first + len(success)))
    said = {"policy": "BCPolicy", "identity": str(folder), "task": "reach", "robot": "panda", "environment": WHERE, "seeds": seeds}
    Manifest(**{**said, "rate_hz": 20.0, "max_steps": 160, **manifest}).write(folder)
    rows = [
        {"seed": seed, "success": bool(good), **dict.fromkeys(("total_reward", "max_reward"), float(good)), "length": 40}
        for seed, good in zip(seeds, success, strict=True)
    ]
    (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))  # EpisodeLog waits for the disk after each
    return folder


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WALDO_TRACEBACK", raising=False)


def compare(*words):
    return cli.main(["compare", *words, "out=out"])


def figures(folder="out"):
    return {figure.name: figure for figure in read_summary(Path(folder))[2]}


def evidence(values, mean, low):
    """The e-value against "the mean is at most `mean`", exactly: prod(1 + c (x - mean) / (mean - low)) as a polynomial in c, whose powers
    have the moments C(2k, k) / 4^k of the arcsine law.
    """
    polynomial = [Fraction(1)]
    for value in values:
        slope = Fraction(Fraction(value) - mean) / (mean - low)
        shifted = [Fraction(0), *(slope * c for c in polynomial)]
        polynomial = [a + b for a, b in zip([*polynomial, Fraction(0)], shifted, strict=True)]
    return sum(c * Fraction(math.comb(2 * k, k), 4**k) for k, c in enumerate(polynomial))


def first_above(values, mean, low, wanted):
    return next((n for n in range(1, len(values) + 1) if evidence(values[:n], mean, low) >= wanted), None)


def test_two_policies_that_always_agree_are_settled_where_the_evidence_by_hand_passes_a_thousand(capsys):
    write("new", [True] * 80)
    write("old", [True] * 80)
    n = first_above([0] * 80, Fraction(-3, 20), -1, 1000)
    assert 40 < n < 70
    assert compare("old", "new") == 0
    found = figures()
    assert (found["verdict"].value, found["seeds"].value) == (0, n)
    assert found["evidence/not_worse"].value == pytest.approx(float(evidence([0] * n, Fraction(-3, 20), -1)), rel=1e-9)
    assert found["evidence/worse"].value == pytest.approx(float(evidence([0] * n, Fraction(3, 20), -1)), rel=1e-9)
    said = capsys.readouterr().out
    assert "The candidate is not worse: it is not more than 15 points below the reference (alpha 0.001)." in said
    assert f"It took the first {n} of 80 seeds" in said


def test_a_policy_that_is_worse_is_rejected_where_the_evidence_by_hand_says_so(capsys):
    bad, good = ([i % 4 == 0 for i in range(60)], [i % 5 != 0 for i in range(60)])
    write("new", bad)
    write("old", good)
    values = [int(b) - int(a) for a, b in zip(bad, good, strict=True)]  # turned round: evidence that this mean is above 0.15
    n = first_above(values, Fraction(15, 100), -1, 1000)
    assert compare("old", "new") == 1
    assert figures()["seeds"].value == n
    assert "The candidate is WORSE: it is more than 15 points below the reference" in capsys.readouterr().out
    assert compare("new", "old") == 0, "and it is the reference's good that counts"
    assert compare("candidate=new", "reference=old") == 1


def test_too_few_seeds_are_undecided_and_a_wider_margin_or_more_error_settles_them(capsys):
    write("new", [True] * 30)
    write("old", [True] * 30)
    assert compare("old", "new") == 2
    assert "UNDECIDED: 30 seeds cannot settle" in capsys.readouterr().out
    assert figures()["evidence/not_worse"].value < 1000
    assert compare("old", "new", "alpha=0.05") == 0
    assert compare("old", "new", "margin=0.4") == 0
    write("bad", [False] * 30)
    assert compare("bad", "new", "margin=0") == 0
    assert "The candidate is better: it is above the reference" in capsys.readouterr().out


def test_one_look_at_all_seeds_is_newcombes_interval_against_the_margin():
    rng = np.random.default_rng(3)
    old = rng.random(120) < 0.9
    new = np.where(rng.random(120) < 0.08, ~old, old)
    write("new", new)
    write("old", old)
    apart = paired_difference(new, old, 1 - 2 * 0.01)
    for margin in (0.02, -apart.low - 1e-6, -apart.low + 1e-6, 0.3):
        assert compare("old", "new", "sequential=false", "alpha=0.01", f"margin={margin:.9f}") == (0 if apart.low > -margin else 2)
    assert figures()["difference/level_0.98"].low == pytest.approx(apart.low)
    assert "evidence/worse" not in figures()
    write("bad", ~old)
    assert compare("old", "bad", "sequential=false", "alpha=0.01") == 1


def test_all_figures_are_those_of_the_statistics():
    rng = np.random.default_rng(1)
    new, old = rng.random(90) < 0.7, rng.random(100) < 0.8
    write("new", new, first=100_010)
    write("old", old)
    assert compare("old", "new") in (0, 1, 2)
    found, a, b = figures(), new, old[10:]
    p, only_a, only_b = mcnemar_exact(a, b)
    assert found["mcnemar/p"].value == p
    assert (found["mcnemar/only_candidate"].value, found["mcnemar/only_reference"].value) == (only_a, only_b)
    for name, success in (("candidate", a), ("reference", b)):
        figure = found[f"success/{name}"]
        assert (figure.value, figure.n) == (success.mean(), 90), "on the seeds that both have"
        assert (figure.low, figure.high) == wilson(int(success.sum()), 90)
    apart = paired_difference(a, b)
    assert (found["difference"].value, found["difference"].low, found["difference"].high) == (apart.value, apart.low, apart.high)


def test_all_successes_and_all_failures_have_intervals_that_are_right():
    write("all", [True] * 100)
    write("none", [False] * 100)
    assert compare("all", "none") == 1
    found = figures()
    assert (found["success/candidate"].low, found["success/reference"].high) == (0.0, 1.0)
    assert found["success/candidate"].high == pytest.approx(0.037, abs=1e-3)
    assert found["seeds"].value == first_above([1] * 100, Fraction(15, 100), -1, 1000) < 25
    assert compare("none", "none") == 0 and compare("none", "all") == 0


def test_an_unpaired_test_of_the_planned_size_has_the_planned_power():
    """By simulation, with the same one-sided z-test: rates 0.9 and 0.85, margin 0.15, and a margin that is not kept."""
    rng = np.random.default_rng(0)
    for p, q, margin in ((0.9, 0.85, 0.15), (0.5, 0.9, 0.15)):
        n = unpaired(round(1e6 * p), round(1e6 * q), 1_000_000, margin, 0.01)
        a, b = rng.binomial(n, p, 40_000) / n, rng.binomial(n, q, 40_000) / n
        z = (a - b + margin) / np.sqrt((a * (1 - a) + b * (1 - b)) / n)
        assert (np.sign(p - q + margin) * z > 2.326).mean() == pytest.approx(0.8, abs=0.04)


def damage(folder, how):
    rows = (folder / ROWS).read_text().splitlines(keepends=True)
    said = json.loads((folder / MANIFEST).read_text())
    if how == "schema":
        (folder / MANIFEST).write_text(json.dumps({**said, "schema": 99}))
    elif how == "json":
        (folder / MANIFEST).write_text("{")
    elif how == "half":
        (folder / ROWS).write_text("".join(rows[:-5]))
    elif how == "cut":
        (folder / ROWS).write_text("".join(rows)[:-20])
    elif how == "broken":
        (folder / ROWS).write_text("".join([rows[0], "{\n", *rows[1:]]))
    elif how == "twice":
        (folder / ROWS).write_text("".join([*rows, rows[3]]))
    elif how == "nothing":
        (folder / ROWS).unlink()
    elif how == "words":
        (folder / ROWS).write_text("".join(rows).replace('"success": true', '"success": "yes"', 1))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("schema", "is of schema 99; this version reads schema 1"),
        ("json", "cannot be read"),
        ("half", "is not finished: 15 of 20 episodes"),
        ("cut", "is not finished: 19 of 20 episodes"),
        ("broken", "line 2 is not an episode row"),
        ("twice", "holds seed 100003 twice"),
        ("nothing", "holds no finished episode"),
        ("words", "success is 'yes'"),
    ],
)
def test_a_damaged_evaluation_is_one_clear_line_and_no_verdict(how, message, capsys):
    write("new", [True] * 20)
    damage(write("old", [True] * 20), how)
    for words in (("new", "old"), ("old", "new")):
        assert compare(*words) == 3
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and error.startswith("error: ") and message in error
        assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("task", "new"), "were evaluated in different environments: task 'reach' and 'stack'"),
        (("level", "new"), "env.task.level 'easy' and 'hard'"),
        (("arm", "new"), "robot 'panda' and 'ur5e'"),
        (("later", "new"), "share no seed: 100000 to 100019 and 200000 to 200019"),
        (("nowhere", "new"), "reference=nowhere does not exist"),
        (("empty", "new"), "reference=empty is neither an evaluation (evaluation.json), nor a checkpoint"),
        (("new", "trained"), "trained/checkpoint is one"),
        (("new", "trained/checkpoint"), "its episodes have to be played: say where, as in evaluate, env=pick_place"),
        (("new",), "one reference and one candidate are wanted, found 'new'"),
        (("new", "new", "new"), "one reference and one candidate are wanted, found 'new' and 'new' and 'new'"),
        (("new", "new", "candidate=new"), "candidate is said twice: new and candidate=new"),
        ((), "there is no default: candidate=..., reference=..."),
        (("new", "new", "margin=15"), "margin=15.0: a difference of success rates is wanted"),
        (("new", "new", "alpha=0"), "alpha=0.0: a chance of error"),
        (("new", "new", "episodes=0"), "episodes=0: at least one is wanted"),
        (("new", "new", "group=0"), "group=0: at least one is wanted"),
        (("new", "new", "margn=0.1"), "unknown option 'margn'; did you mean 'margin'?"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_line_and_no_verdict(words, message, capsys):
    write("new", [True] * 20)
    write("task", [True] * 20, task="stack")
    write("level", [True] * 20, environment={**WHERE, "task": {**WHERE["task"], "level": "hard"}})
    write("arm", [True] * 20, robot="ur5e")
    write("later", [True] * 20, first=200_000)
    Path("empty").mkdir()
    Path("trained/checkpoint").mkdir(parents=True)
    Path("trained/checkpoint/model.safetensors").touch()
    assert compare(*words) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and message in error
    assert not Path("out").exists()


def test_a_bug_and_a_mistake_never_look_like_a_verdict(monkeypatch, capsys):
    write("new", [True] * 80)
    monkeypatch.setattr("waldo.compare.compare", lambda *_: {}["x"])
    assert compare("new", "new") == 4
    assert "KeyError: 'x'" in capsys.readouterr().err
    for words in (("new", "nowhere", "--traceback"), ("nowhere", "new")):
        assert compare(*words) == 3
    assert "ConfigError" not in capsys.readouterr().out
    assert cli.main(["--config-dir", "new", "compare", "nowhere", "new"]) == 3
    monkeypatch.setattr("waldo.compare.compare", _interrupted)
    assert compare("new", "new") == 130


def _interrupted(*_):
    raise KeyboardInterrupt


def test_the_process_ends_with_the_verdict():
    write("good", [True] * 80)
    write("bad", [False] * 80)
    done = subprocess.run([sys.executable, "-m", "waldo", "compare", "good", "bad", "out=out"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    code = "import sys; from waldo.cli import main; main(sys.argv[1:]); print([m for m in ('torch', 'mujoco') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, "compare", "bad", "good", "out=out"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", "a gate over two folders starts fast"


def test_a_sweep_of_comparisons_ends_with_the_worst_verdict(capsys):
    for name, success in (("good", [True] * 80), ("bad", [False] * 80)):
        write(name, success)
    assert cli.main(["compare", "-m", "candidate=good,bad", "reference=good", "out=sweep"]) == 1
    assert {name: round(figure.value) for name, figure in figures("sweep").items() if name.endswith(": verdict")} == {
        "candidate=good reference=good: verdict": 0,
        "candidate=bad reference=good: verdict": 1,
    }


def test_commits_that_differ_are_named_and_no_mistake(capsys):
    write("new", [True] * 80, commit="1" * 40)
    write("old", [True] * 80, commit="2" * 40)
    assert compare("old", "new") == 0
    assert "Commits: candidate 1111111111, reference 2222222222." in capsys.readouterr().out
    write("same", [True] * 80, commit="1" * 40, identity="new")
    assert compare("same", "new") == 0
    assert "one and the same" in capsys.readouterr().out


class Side:
    """Plays what it is told, and counts."""

    def __init__(self, success):
        self.success, self.played = success, 0

    def on(self, seeds):
        self.played = len(seeds)
        return np.array(self.success[: len(seeds)], bool)

    def close(self):
        pass


@pytest.mark.parametrize(("group", "played"), [(1, 7), (5, 10), (25, 25), (100, 30)])
def test_two_policies_play_group_by_group_until_it_is_enough(group, played):
    a, b = Side([True] * 30), Side([False] * 30)
    first, second = contest.meet([a, b], range(30), group, lambda a, b: len(a) >= 7)
    assert len(first) == len(second) == a.played == b.played == played
    assert first.all() and not second.any()


def test_help_says_which_is_which_and_what_the_statuses_are(capsys):
    assert cli.main(["compare", "--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: waldo compare REFERENCE CANDIDATE [option" in text
    assert "0 not worse, 1 worse, 2 undecided, 3 a mistake in the input, 4 a bug" in text
