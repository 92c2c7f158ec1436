"""Success against the number of demonstrations: which commands are given, what is kept, and the law that comes out."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.errors import ConfigError, DatasetError
from data.results import read_summary
from tests import toy_steps
from waldo import cli, scale, steps
from waldo.compose import composed

ROOT = Path(__file__).resolve().parents[1]
TOY = (sys.executable, str(ROOT / "tests" / "toy_steps.py"))
SIZES = (10, 20, 50, 100, 200)
SMALL = ("tasks=[stack]", "sizes=[10,20,50,100,200]")
TRAINABLE = SimpleNamespace(loss=None)


class ToyJob:
    """What `Steps.run` does in this process, done by the toy."""

    def __init__(self, command, words):
        self.command, self.words = command, list(words)

    def perform(self):
        assert toy_steps.main(self.command, self.words) == 0


@pytest.fixture
def toy(monkeypatch, tmp_path):
    monkeypatch.setattr(steps, "WALDO", TOY)
    monkeypatch.setattr(steps, "Job", ToyJob)
    monkeypatch.setattr(scale, "locate", lambda target: TRAINABLE)  # saves the tests torch
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)


def figures(folder):
    return {figure.name: figure for figure in read_summary(Path(folder))[2]}


def runs(folder):
    return {str(path.parent.relative_to(folder)): len(path.read_text().splitlines()) for path in Path(folder).rglob("ran.txt")}


def typed(folder, step):
    """What was typed for a step."""
    return (Path(folder) / step / "command.txt").read_text().splitlines()[0]


def test_the_table_the_law_and_the_page(toy):
    """The toy succeeds by failure = 2 n^-0.7, so this exponent has to come out."""
    assert cli.main(["scale", *SMALL, "out=s"]) == 0
    found = figures("s")
    assert [found[f"success/stack/{n}"].value for n in SIZES] == [0.601, 0.754, 0.871, 0.92, 0.951]
    law = found["exponent/stack"]
    assert law.value == pytest.approx(0.7, abs=0.01) and law.low < 0.7 < law.high and law.high - law.low < 0.2
    assert found["promised/stack/400"].value == pytest.approx(1 - 2 * 400**-0.7, abs=0.005)
    assert found["needed/stack/0.95"].value == pytest.approx((2 / 0.05) ** (1 / 0.7), rel=0.1)
    page = Path("s/scale.html").read_text(encoding="utf-8")
    assert "601 of 1000" in page and "2900 gradient steps" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://arxiv.org", "")


def test_smaller_sets_are_the_first_of_larger_ones_and_everything_else_is_the_same(toy):
    words = ("tasks=[pick_place,stack]", "sizes=[10,200]", "seeds=[0,1]", "policy.steps=5", "env.engine=pybullet")
    assert cli.main(["scale", *words, "out=s"]) == 0
    cells = {
        f"{t}/n_{n:03d}/seed_{i}/{s}" for t in ("pick_place", "stack") for n in (10, 200) for i in (0, 1) for s in ("train", "evaluate")
    }
    assert runs("s") == dict.fromkeys(cells | {"pick_place/demonstrations", "stack/demonstrations"}, 1)
    ten, all_of_them = typed("s", "stack/n_010/seed_1/train"), typed("s", "stack/n_200/seed_1/train")
    assert ten.replace("max_episodes=10 ", "max_episodes=200 ").replace("n_010", "n_200") == all_of_them
    assert "data.path=s/stack/demonstrations_dataset" in ten and "train.steps=2900" in ten and " seed=1 " in ten
    evaluated = typed("s", "stack/n_010/seed_1/evaluate")
    assert "env=stack env.engine=pybullet episodes=100 seed=100000" in evaluated
    assert "env.engine=pybullet" in typed("s", "stack/demonstrations")
    assert figures("s")["success/stack/10"].n == 2 * toy_steps.EPISODES


def test_more_are_recorded_where_the_expert_fails_and_one_that_always_fails_is_named(toy, monkeypatch):
    """An eighth more than wanted is too few for an expert that fails every second time."""
    asked = []

    def half(command, given, out):
        if command == "collect":
            asked.append(int(given["episodes"]))
            return "collect/success", asked[-1] // 2, None
        return ordinary(command, given, out)

    ordinary = toy_steps.figure
    monkeypatch.setattr(toy_steps, "figure", half)
    assert cli.main(["scale", "tasks=[stack]", "sizes=[5,50]", "out=s"]) == 0
    assert asked == [57, 115]
    monkeypatch.setattr(toy_steps, "figure", lambda *_: ("collect/success", 3, None))
    with pytest.raises(DatasetError, match="50 demonstrations that succeed are wanted"):
        scale.run(composed("scale", ["tasks=[stack]", "sizes=[50]"]), Path("other"))


def test_another_size_keeps_what_was_finished(toy):
    assert cli.main(["scale", "tasks=[stack]", "sizes=[10,20,50]", "out=s"]) == 0
    assert cli.main(["scale", "tasks=[stack]", "sizes=[10,20,50,100]", "out=s"]) == 0
    assert runs("s") == {"stack/demonstrations": 1} | {
        f"stack/n_{n:03d}/seed_0/{s}": 1 for n in (10, 20, 50, 100) for s in ("train", "evaluate")
    }
    assert "episodes=113" in typed("s", "stack/demonstrations")
    assert cli.main(["scale", "tasks=[stack]", "sizes=[10,20,50]", "train.steps=10", "out=s"]) == 0
    assert "train.steps=10" in typed("s", "stack/n_010/seed_0/train")


def test_killed_in_the_middle_and_begun_again_it_gives_the_same_table(toy):
    words = ("tasks=[stack]", "sizes=[10,20,50]")
    assert cli.main(["scale", *words, "out=whole"]) == 0
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from tests.test_scale import TOY, TRAINABLE, ToyJob
from waldo import cli, scale, steps
steps.WALDO, steps.Job, scale.locate = TOY, ToyJob, lambda target: TRAINABLE
cli.main(["scale", *{words!r}, "out=s"])
"""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while len(list(Path("s").rglob("evaluate/seconds.txt"))) < 1:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("s/summary.json").exists()
    assert cli.main(["scale", *words, "out=s"]) == 0
    assert figures("s") == figures("whole")


def test_objects_share_the_demonstrations_evenly_and_are_met_with_one_not_seen(toy):
    words = ["x=objects", "values=[0.018,0.025,0.021]", "sizes=[1,2,3]", "tasks=[stack]", "demonstrations=60", "unseen=0.0195"]
    assert cli.main(["scale", *words, "out=s"]) == 0
    assert [typed("s", f"stack/objects_{i}").split()[3:5] for i in (1, 2, 3)] == [
        ["env.task.cube_half=0.018", "episodes=68"],
        ["env.task.cube_half=0.025", "episodes=34"],
        ["env.task.cube_half=0.021", "episodes=23"],
    ]
    first, last = (typed("s", f"stack/n_00{i}/seed_0/train") for i in (1, 3))
    assert "data.path=s/stack/objects_1_dataset data.max_episodes=60 policy" in first
    assert "data.path=s/stack/objects_1_dataset data.max_episodes=20 'data.also=" in last
    assert "env.task.cube_half=0.0195" in typed("s", "stack/n_001/seed_0/evaluate")
    also = composed("train", [word for word in shlex.split(last) if word.startswith("data.also=")]).data.also
    assert [part.path for part in also] == ["s/stack/objects_2_dataset", "s/stack/objects_3_dataset"]


@pytest.mark.parametrize(
    "words",
    [["policy=flow"], ["policy=flow_mlp", "policy.width=32"], ["policy=bc"], ["policy=diffusion"], ["policy=flow", "policy.steps=5"]],
)
def test_the_words_that_choose_a_policy_choose_that_policy(words):
    cfg = composed("scale", words)
    assert composed("train", scale._train_words(cfg)).policy == cfg.policy
    assert scale._policy_words(cfg.policy) == words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x=rooms"], "x=rooms; allowed: demonstrations, objects, environments"),
        (["tasks=[]"], "tasks="),
        (["tasks=[pick_plaec]"], "did you mean 'pick_place'"),
        (["sizes=[10,10]"], "none twice"),
        (["sizes=[10,0]"], "sizes: 0 is not a whole number from 1 up"),
        (["sizes=[1.5]"], "sizes: 1.5"),
        (["seeds=[-1]"], "seeds: -1"),
        (["episodes=0"], "episodes=0"),
        (["lanes=0"], "lanes=0"),
        (["aim=1"], "aim=1"),
        (["x=objects", "sizes=[1,2]", "values=[0.02]"], "need as many values, found 1"),
        (["x=objects", "sizes=[1,2]", "values=[0.02,0.021]", "demonstrations=1"], "cannot be spread over 2 objects"),
        (["x=objects", "sizes=[1]", "values=[0.02]", "vary=env.task.nothing"], "unknown option 'nothing'"),
        (["policy=none"], "cannot be trained"),
    ],
)
def test_a_mistake_is_told_before_anything_is_recorded(toy, words, message, capsys):
    assert cli.main(["scale", *words, "out=s"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not runs(".")


def test_a_policy_that_only_plays_is_refused():
    with pytest.raises(ConfigError, match="RandomPolicy cannot be trained"):
        scale.run(composed("scale", ["policy=random"]), Path("nowhere"))


def test_a_curve_without_a_failure_has_no_law():
    curve = scale.Curve("stack", ((10, 20, 20), (20, 20, 20), (50, 20, 20)), None)
    assert [figure.name for figure in scale._figures(curve, 0.95)] == ["success/stack/10", "success/stack/20", "success/stack/50"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_one_killed_and_begun_again_gives_the_same_table(tmp_path):
    words = ("tasks=[reach]", "sizes=[2,4,8]", "policy=flow_mlp", "policy.width=32", "train.steps=30", "episodes=6")

    def start(out):
        return subprocess.Popen([sys.executable, "-m", "waldo", "scale", *words, f"out={tmp_path / out}"], stdout=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    process = start("killed")
    end = time.monotonic() + 300
    while not list((tmp_path / "killed").rglob("evaluate/seconds.txt")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start("killed").wait() == 0
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")


def test_a_wrong_kind_of_size_is_an_error_of_ours():
    with pytest.raises(ConfigError, match="sizes"):
        scale._checked(composed("scale", ["sizes=[ten]"]))
