"""`waldo diagnose` names what was planted, and raises no alarm where nothing was."""

import json
from pathlib import Path

import pytest

from tests.sabotage import BROKEN, GOOD, VARIANTS, Kit
from waldo import cli

QUICK = ("wrong_normalisation", "action_shifted", "wrong_rate", "corrupted", "other_limits", "short_episode")
IMAGES = ("swapped_cameras", "frozen_camera", "frozen_at_work", "good_reach_images")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("small"), small=True)


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.mark.parametrize("name", QUICK)
def test_a_cause_that_is_in_the_data_is_named_first(small, name):
    case = getattr(small, name)()
    diagnosis = small.diagnose(case)
    assert diagnosis.alarms[0].cause == case.planted
    assert diagnosis.alarms[0].weight == "certain"


def test_the_command_ends_with_the_cause_a_summary_and_a_page(small, tmp_path, capsys):
    case = small.action_shifted()
    words = (
        "diagnose",
        f"checkpoint={case.checkpoint}",
        *case.data,
        *case.env,
        "episodes=2",
        "env.max_steps=60",
        f"out={tmp_path / 'out'}",
    )
    assert cli.main(list(words)) == 0
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("The cause is action shifted: ") for line in said)
    figures = {figure["name"]: figure for figure in json.loads((tmp_path / "out/summary.json").read_text())["figures"]}
    assert figures["alarms"]["value"] >= 1 and {"open_loop/trained/x", "success", "latency/chunk", "replay/distance"} <= set(figures)
    assert "action shifted" in (tmp_path / "out/diagnosis.html").read_text()


def test_without_an_environment_the_checkpoint_and_its_data_are_looked_at(small, tmp_path, capsys):
    case = small.wrong_normalisation()
    assert cli.main(["diagnose", f"checkpoint={case.checkpoint}", *case.data, "report=false", f"out={tmp_path / 'out'}"]) == 0
    assert "The cause is wrong normalisation" in capsys.readouterr().out
    assert not (tmp_path / "out/diagnosis.html").exists()


def test_the_episodes_of_an_earlier_evaluation_are_taken(small, tmp_path, capsys):
    case = small.short_episode()
    env = [word for word in case.env if word != "env.max_steps=15"] + ["env.max_steps=12"]
    where = f"out={tmp_path / 'evaluation'}"
    assert cli.main(["evaluate", f"checkpoint={case.checkpoint}", "episodes=6", "videos=0", *env, where]) == 0
    words = ("diagnose", f"checkpoint={case.checkpoint}", *case.data, *env, f"evaluation={tmp_path / 'evaluation'}", "report=false")
    assert cli.main([*words, f"out={tmp_path / 'out'}"]) == 0
    assert "success in 0 of 6 episodes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["checkpoint=nowhere"], "there is no checkpoint at nowhere"),
        (["data.path=nowhere"], "no dataset 'nowhere'"),
        (["evaluation=nowhere"], "nowhere is no evaluation"),
        (["episodes=-1"], "episodes=-1; it must be 0 or more"),
        (["data=pusht_human", "data.path=nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(small, tmp_path, capsys, words, expected):
    case = small.wrong_normalisation()
    capsys.readouterr()
    assert cli.main(["diagnose", f"checkpoint={case.checkpoint}", *case.data, *words, f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and expected in error


def test_data_of_other_shapes_are_refused_in_words(small, tmp_path, capsys):
    case, other = small.wrong_normalisation(), small.reach(12, False, "env.action=joint")
    words = (f"checkpoint={case.checkpoint}", *case.data, f"data.path={other}", f"out={tmp_path / 'out'}")
    assert cli.main(["diagnose", *words]) == 2
    assert "was not trained on data like" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.needs_gl) if n in IMAGES else n for n in (*BROKEN, *VARIANTS)])
def test_the_planted_cause_is_named_first(kit, name):
    case = getattr(kit, name)()
    diagnosis = kit.diagnose(case)
    assert diagnosis.alarms and diagnosis.alarms[0].cause == case.planted, "\n".join(diagnosis.told(name))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.needs_gl) if n in IMAGES else n for n in GOOD])
def test_a_policy_that_works_raises_no_alarm(kit, name):
    diagnosis = kit.diagnose(getattr(kit, name)())
    assert diagnosis.alarms == (), "\n".join(diagnosis.told(name))
    assert any("success in" in line and int(line.split()[2]) >= 10 for line in diagnosis.about), diagnosis.about


def test_the_planted_causes_are_ten():
    assert len(BROKEN) == 10 and len({*BROKEN, *VARIANTS, *GOOD}) == len(BROKEN) + len(VARIANTS) + len(GOOD)
    assert all(callable(getattr(Kit, name)) for name in (*BROKEN, *VARIANTS, *GOOD)) and Path(__file__).with_name("sabotage.py").exists()
