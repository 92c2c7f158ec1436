"""What is planned is what happens: by simulation with other code, by enumeration, and from the command line."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from data.results import read_summary
from data.statistics import clopper_pearson, non_inferiority, planning, wilson
from waldo import cli

TRIALS = 10_000


def score(x, y, n):
    """(trials,) bool: y is better than x by the chi-squared test of the 2 x 2 table."""
    s = x + y
    with np.errstate(invalid="ignore"):
        return ((y - x) ** 2 * 2 * n / (s * (2 * n - s)) >= stats.chi2.ppf(0.95, 1)) & (y > x)


def fisher(x, y, n):
    return (y > x) & (2 * stats.hypergeom.sf(y - 1, 2 * n, n, x + y) <= 0.05)


def mcnemar(only_x, only_y):
    return (only_y > only_x) & (2 * stats.binom.sf(only_y - 1, only_x + only_y, 0.5) <= 0.05)


def test_the_tests_of_the_simulation_are_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.integers(10, 25, 40), rng.integers(15, 31, 40)
    tables = [[[i, 30 - i], [j, 30 - j]] for i, j in zip(x, y, strict=True)]
    up = y > x
    assert (score(x, y, 30) == up & [stats.chi2_contingency(t, correction=False).pvalue <= 0.05 for t in tables]).all()
    assert (fisher(x, y, 30) == up & [stats.fisher_exact(t).pvalue <= 0.05 for t in tables]).all()
    assert (mcnemar(x, y) == up & [stats.binomtest(int(i), int(i + j)).pvalue <= 0.05 for i, j in zip(x, y, strict=True)]).all()


def apart(n, p, q, test):
    """Simulated power of a test with n episodes of each policy on seeds of their own."""
    rng = np.random.default_rng(n)
    return test(rng.binomial(n, p, TRIALS), rng.binomial(n, q, TRIALS), n).mean()


def together(n, p, q, discordant):
    """Simulated power of McNemar's test."""
    cells = [(discordant - (q - p)) / 2, (discordant + (q - p)) / 2, 1 - discordant]
    only_x, only_y, _ = np.random.default_rng(n).multinomial(n, cells, TRIALS).T
    return mcnemar(only_x, only_y).mean()


@pytest.mark.parametrize("rates", [(0.64, 0.74), (0.87, 0.99), (0.05, 0.2), (0.0, 0.3)])
@pytest.mark.parametrize(("exact", "test"), [(False, score), (True, fisher)])
def test_episodes_on_separate_seeds_are_those_of_a_simulation_within_ten_per_cent(rates, exact, test):
    n = planning.unpaired(*rates, exact=exact)
    assert apart(math.floor(0.9 * n), *rates, test) < 0.8 < apart(math.ceil(1.1 * n), *rates, test)
    assert apart(n, *rates, test) == pytest.approx(0.8, abs=0.035)
    assert planning.unpaired(*reversed(rates), exact=exact) == n


@pytest.mark.parametrize(("p", "q", "discordant"), [(0.64, 0.74, 0.43), (0.64, 0.74, 0.15), (0.87, 0.99, 0.14), (0.5, 0.53, 0.1)])
def test_seeds_of_mcnemars_test_are_those_of_a_simulation_within_ten_per_cent(p, q, discordant):
    n = planning.paired(p, q, discordant)
    assert together(math.floor(0.9 * n), p, q, discordant) < 0.8 < together(math.ceil(1.1 * n), p, q, discordant)
    assert together(n, p, q, discordant) == pytest.approx(0.8, abs=0.03)
    assert planning.paired(q, p, discordant) == n


@pytest.mark.parametrize(
    ("p", "q", "discordant", "margin", "alpha", "verdict"),
    [
        pytest.param(0.99, 0.87, 0.14, 0.0, 0.025, "non-inferior", marks=pytest.mark.slow),
        pytest.param(0.8, 0.8, 0.2, 0.15, 0.001, "non-inferior", marks=pytest.mark.slow),
        (0.2, 0.9, 0.72, 0.15, 0.001, "worse"),
    ],
)
def test_a_sequential_tests_end_is_that_of_the_test_itself_within_ten_per_cent(p, q, discordant, margin, alpha, verdict):
    plan = planning.sequential(p, q, discordant, margin, alpha)
    rng = np.random.default_rng(5)
    limit = int(3 * plan.quantile(0.8))
    law = [(discordant - p + q) / 2, 1 - discordant, (discordant + p - q) / 2]
    values = rng.choice([-1, 0, 1], (600, limit), p=law)
    found = [non_inferiority(row == 1, row == -1, margin, alpha) for row in values]
    stops = np.sort([v.n if v.decision == verdict else math.inf for v in found])
    for share in (0.5, 0.8):
        assert stops[int(share * len(stops))] == pytest.approx(plan.quantile(share), rel=0.1)
    assert plan.wrong <= alpha
    np.testing.assert_array_equal(plan.times, planning.sequential(p, q, discordant, margin, alpha).times)


def test_more_certainty_less_difference_and_more_discordance_take_more():
    assert planning.unpaired(0.64, 0.74, power=0.9) > 1.2 * planning.unpaired(0.64, 0.74)
    assert planning.unpaired(0.64, 0.74, alpha=0.01) > 1.2 * planning.unpaired(0.64, 0.74)
    assert planning.unpaired(0.64, 0.69) == pytest.approx(4 * planning.unpaired(0.64, 0.74), rel=0.1)
    needed = [planning.paired(0.64, 0.74, share) for share in (0.1, 0.2, 0.3, 0.4, 0.6)]
    assert needed == sorted(needed) and needed[-1] > 4 * needed[0]
    assert planning.sequential(0.9, 0.7, 0.3, 0, 0.025).quantile(0.9) > planning.sequential(0.9, 0.7, 0.3, 0, 0.025).quantile(0.5)


def test_pairing_helps_as_much_as_the_results_on_a_seed_hang_together():
    separate = planning.unpaired(0.64, 0.74, exact=True)
    alone, together, much = (planning.paired(0.64, 0.74, planning.independent_discordance(0.64, 0.74, c)) for c in (0, 0.3, 0.6))
    assert alone == pytest.approx(separate, rel=0.02), "policies that fail independently gain nothing"
    assert together < 0.75 * separate and much < 0.45 * separate


def test_the_discordance_of_a_correlation_by_hand_and_from_data():
    assert planning.independent_discordance(0.5, 0.5) == pytest.approx(0.5)
    assert planning.independent_discordance(0.5, 0.5, 1.0) == pytest.approx(0)
    assert planning.independent_discordance(0.6, 0.8) == pytest.approx(0.6 * 0.2 + 0.8 * 0.4)
    easy = np.random.default_rng(0).random(200_000)
    a, b = easy < 0.7, easy + np.random.default_rng(1).normal(0, 0.2, 200_000) < 0.6
    share = planning.independent_discordance(a.mean(), b.mean(), np.corrcoef(a, b)[0, 1])
    assert share == pytest.approx((a != b).mean(), abs=1e-9)


@pytest.mark.parametrize(("rate", "bound", "alpha"), [(0.9, 0.8, 0.05), (0.3, 0.1, 0.01), (1.0, 0.95, 0.05)])
def test_a_rate_above_a_bound_takes_what_the_exact_interval_says(rate, bound, alpha):
    n = planning.above(rate, bound, 0.8, alpha)

    def power(m):
        shown = [k for k in range(m + 1) if clopper_pearson(k, m, 1 - 2 * alpha)[0] > bound]
        return stats.binom.pmf(shown, m, rate).sum()

    assert power(n - 1) < 0.8 and all(power(m) >= 0.8 for m in range(n, n + 5))
    assert planning.sequential_above(rate, bound, alpha).quantile(0.8) > n


@pytest.mark.parametrize(("half", "successes", "n"), [(0.05, 190, 380), (0.1, 46, 92), (0.01, 4799, 9598)])
def test_a_width_takes_what_wilsons_interval_says(half, successes, n):
    assert planning.width(half) in (n + 1, n + 2)
    assert np.ptp(wilson(successes, n)) / 2 > half > np.ptp(wilson(successes + 1, n + 2)) / 2
    assert planning.width(half, rate=0.0) < planning.width(half, rate=0.1) < planning.width(half)
    exact = planning.exact_width(0.05, 0.9)
    assert np.ptp(clopper_pearson(round(0.9 * exact), exact)) / 2 <= 0.05 and exact > planning.width(0.05, 0.9)
    zero = planning.width(0.05, rate=0.0)
    assert np.ptp(wilson(0, zero)) / 2 <= 0.05 < np.ptp(wilson(0, zero - 1)) / 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: planning.unpaired(0.7, 0.7), "both rates are 0.7"),
        (lambda: planning.unpaired(64, 74), "rates are 64 and 74"),
        (lambda: planning.unpaired(0.5, 0.500001), "too close"),
        (lambda: planning.paired(0.6, 0.7, 0.05), "differ on 0.1 to 0.7 of the seeds"),
        (lambda: planning.paired(0.6, 0.7, 0.2, power=80), "power is 80"),
        (lambda: planning.sequential(0.6, 0.7, 0.2, margin=0.1), "neither side is true"),
        (lambda: planning.sequential(0.6, 0.6001, 0.2), "too many episodes to simulate"),
        (lambda: planning.sequential(0.6, 0.7, 0.2, trials=0), "0 trials"),
        (lambda: planning.above(0.7, 0.8), "only what is true"),
        (lambda: planning.width(0.6), "half is 0.6"),
        (lambda: planning.independent_discordance(0.6, 0.7, 0.99), "lies between"),
    ],
)
def test_impossible_input(call, told):
    with pytest.raises(ValueError, match=told):
        call()


def evaluation(folder, success, task="pick_place"):
    """The folder of an evaluation with these results."""
    from data.evaluation import Manifest

    folder.mkdir()
    seeds = tuple(range(100000, 100000 + len(success)))
    Manifest(folder.name, "", task, "panda", {}, seeds, 20.0, 240).write(folder)
    rows = (
        {"seed": s, "success": bool(k), "total_reward": 0.0, "max_reward": 0.0, "length": 9} for s, k in zip(seeds, success, strict=True)
    )
    (folder / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def figures(out):
    return {figure.name: figure.value for figure in read_summary(out)[2]}


def test_the_command_plans_from_rates_and_from_two_evaluations(tmp_path, capsys):
    assert cli.main(["plan", "rates=[0.99,0.87]", "discordant=0.14", f"out={tmp_path / 'given'}"]) == 0
    given = figures(tmp_path / "given")
    assert given["episodes/separate/score"] == planning.unpaired(0.99, 0.87)
    assert given["episodes/mcnemar/0.1400"] == planning.paired(0.99, 0.87, 0.14)
    assert given["median/sequential/0.1400"] < given["episodes/sequential/0.1400"]
    assert f"{planning.paired(0.99, 0.87, 0.14)}" in capsys.readouterr().out
    a = np.repeat([True, True, False, False], [86, 13, 1, 0])
    b = np.repeat([True, False, True, False], [86, 13, 1, 0])
    folders = f"a={evaluation(tmp_path / 'a', a)}", f"b={evaluation(tmp_path / 'b', b)}"
    assert cli.main(["plan", *folders, f"out={tmp_path / 'measured'}"]) == 0
    assert figures(tmp_path / "measured") == given
    assert "on 13 only a, on 1 only b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["rates=[0.9,0.9]", "margin=0.15", "alpha=0.001"], ["episodes/sequential/0.1800", "median/sequential/0.1800"]),
        (["rates=[0.9]", "above=0.8"], ["episodes/binomial", "episodes/sequential", "median/sequential"]),
        (["width=0.05"], ["episodes/wilson", "episodes/clopper_pearson"]),
    ],
)
def test_the_command_plans_for_a_gate_a_bound_and_a_width(words, names, tmp_path):
    assert cli.main(["plan", *words, f"out={tmp_path / 'out'}"]) == 0
    assert set(names) <= set(figures(tmp_path / "out")) and all(v > 10 for v in figures(tmp_path / "out").values())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "say what is to be found out"),
        (["rates=[0.7,0.7]"], "both rates are 0.7"),
        (["rates=[64,74]"], "for 64 % and 74 %"),
        (["rates=[0.7,high]"], "wanted numbers"),
        (["rates=[0.1,0.2,0.3]"], "one or two"),
        (["rates=[0.6,0.7]", "correlation=[0.99]"], "lies between"),
        (["rates=[0.6,0.7]", "discordant=0.05"], "differ on 0.1 to 0.7"),
        (["rates=[0.7,0.85]", "margin=0.15"], "tells on which side"),
        (["rates=[0.6,0.7]", "power=80"], "power=80"),
        (["rates=[0.7]", "above=0.8"], "only what is true"),
        (["a=nowhere"], "a=FOLDER b=FOLDER"),
        (["a=nowhere", "b=nowhere"], "nowhere is no evaluation"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(words, told, tmp_path, capsys):
    assert cli.main(["plan", *words, f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and told in error[0]
    assert not (tmp_path / "out").exists()


def test_two_evaluations_that_agree_or_do_not_belong_together_are_refused(tmp_path, capsys):
    same = np.arange(20) < 15
    folders = [evaluation(tmp_path / name, same, task) for name, task in (("a", "pick_place"), ("b", "pick_place"), ("c", "stack"))]
    assert cli.main(["plan", f"a={folders[0]}", f"b={folders[1]}", f"out={tmp_path / 'out'}"]) == 2
    assert "no difference to plan for" in capsys.readouterr().err
    assert cli.main(["plan", f"a={folders[0]}", f"b={folders[2]}", f"out={tmp_path / 'out'}"]) == 2
    assert "different environments: task" in capsys.readouterr().err
    gate = ["plan", f"a={folders[0]}", f"b={folders[1]}", "margin=0.15", "alpha=0.001", f"out={tmp_path / 'gate'}"]
    assert cli.main(gate) == 0
    assert set(figures(tmp_path / "gate").values()) == {53.0}
