"""`waldo generalise`: its counting against numbers worked out by hand, and the command itself, as small as it goes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from data.errors import ConfigError, DatasetError
from data.evaluation import Manifest, read
from data.novelty import Novelty, shared_vectors, starts_of
from data.results import read_summary
from waldo import cli
from waldo.compose import composed
from waldo.generalise import conditions_of, named
from waldo.generalise_cells import ENGINE, LEVEL, NOMINAL, Condition, Distances, bins, compared, figures_of, separation
from waldo.reports.generalise import write_report

PLACES = [Condition(NOMINAL, NOMINAL, ""), Condition("engine_x", ENGINE, "x"), Condition("level_y", LEVEL, "y")]


def outcomes(*counts):
    """Alternating counts of successes and failures."""
    return np.concatenate([np.full(count, i % 2 == 0) for i, count in enumerate(counts)])


def test_the_distance_is_that_to_the_nearest_start_in_standard_deviations():
    starts = np.array([[0.0, 10.0, 5.0], [2.0, 10.0, 5.0], [0.0, 30.0, 5.0], [2.0, 30.0, 5.0]])  # deviations 1, 10 and none
    known = Novelty(starts)
    np.testing.assert_allclose(known.usual, 2.0)  # to the neighbour along either axis
    found = known.distance(np.array([[0.0, 10.0, 5.0], [5.0, 30.0, 5.0], [2.0, 70.0, 5.0], [-3.0, -30.0, 5.0]]))
    np.testing.assert_allclose(found, [0, 3, 4, 5])
    assert known.distance(np.array([[0.0, 10.0, 5.05]]))[0] == pytest.approx(0.05 / 0.005)  # what never varied is counted in thousandths


def test_the_distance_does_not_depend_on_units():
    rng = np.random.default_rng(0)
    starts, others = rng.normal(size=(40, 3)), rng.normal(size=(20, 3))
    scale, shift = np.array([0.3, 70.0, 4.0]), np.array([1.0, -200.0, 0.0])
    np.testing.assert_allclose(Novelty(starts * scale + shift).distance(others * scale + shift), Novelty(starts).distance(others))


@pytest.mark.parametrize("starts", [np.zeros((1, 3)), np.zeros(4), np.array([[np.nan], [1.0]])])
def test_starts_that_say_nothing_are_refused(starts):
    with pytest.raises(DatasetError, match="at least two demonstrations"):
        Novelty(starts)


def test_the_arms_own_start_counts_only_where_there_is_nothing_else():
    recorded = ["action", "observation.state", "observation.environment_state", "observation.images.top"]
    assert shared_vectors(recorded, ["observation.state", "observation.environment_state", "action"]) == ["observation.environment_state"]
    assert shared_vectors(recorded, ["observation.state", "action"]) == ["observation.state"]
    with pytest.raises(DatasetError, match="share no observation vector; the episodes have action, observation.images.top"):
        shared_vectors(recorded, ["observation.images.top", "action"])


def test_policies_are_called_after_as_much_of_their_path_as_tells_them_apart():
    assert named(["a/flow/checkpoint", "a/bc/checkpoint"]) == {"flow": "a/flow/checkpoint", "bc": "a/bc/checkpoint"}
    assert named(["a/flow/checkpoint", "b/flow", "b/bc dagger"]) == {
        "a_flow": "a/flow/checkpoint",
        "b_flow": "b/flow",
        "b_bc_dagger": "b/bc dagger",
    }
    for paths in ([], ["a/flow", "./a/flow/checkpoint"]):
        with pytest.raises(ConfigError, match="at least one checkpoint is wanted, and none twice"):
            named(paths)


def test_conditions_are_what_differs_from_the_environment_as_it_was_given():
    names = [c.name for c in conditions_of(composed("generalise", ["paths=[x]", "env.engine=pybullet", "env.task.level=hard"]))]
    assert names == [NOMINAL, "randomize_light", "randomize_medium", "randomize_strong", "engine_mujoco", "level_easy", "level_medium"]
    words = ["paths=[x]", "randomize=[none,0,0.3]", "engines=[]", "levels=[medium]"]
    only = conditions_of(composed("generalise", words))
    assert [(c.name, c.options) for c in only[1:]] == [("randomize_0.3", {"randomize": {"level": "0.3"}})]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env=pusht", "data=pusht_human"], r"no option randomize: give randomize=\[\]"),
        (["env=pusht", "data=pusht_human", "randomize=[]"], r"no option engine: give engines=\[\]"),
        (["randomize=[strnog]"], "strong"),
        (["levels=[easy,easy]"], "names one twice"),
        (["env=none"], "no option randomize"),
    ],
)
def test_conditions_that_cannot_be(words, message):
    with pytest.raises(ConfigError, match=message):
        conditions_of(composed("generalise", ["paths=[x]", *words]))


def test_every_cell_is_held_against_its_twin_in_the_nominal_condition():
    nominal = outcomes(12, 8)
    success = {
        ("a", NOMINAL): nominal,
        ("a", "engine_x"): outcomes(2, 18),  # 10 seeds lost, none won
        ("a", "level_y"): outcomes(12, 4, 4),  # 4 won, none lost
    }
    first, engine, level = compared(success, ["a"], PLACES)
    assert (first.figure.name, first.figure.value, first.figure.n, first.change, first.p) == ("success/a/nominal", 0.6, 20, None, None)
    assert engine.change.value == pytest.approx(-0.5) and engine.change.high < 0 < level.change.value == pytest.approx(0.2)
    assert engine.p == pytest.approx(2 * 2 * 0.5**10)  # twice the coins' tail, and twice for the two rows
    assert level.p == pytest.approx(2 * 0.5**4)
    names = [figure.name for figure in figures_of([first, engine, level], None)]
    assert names[3:] == ["change/a/engine_x", "p/a/engine_x", "change/a/level_y", "p/a/level_y"]


def test_rates_against_distance_are_those_of_equally_many_episodes():
    values = np.stack([np.arange(60.0), np.arange(60.0) + 60])
    success = {("a", NOMINAL): outcomes(60), ("a", "level_y"): outcomes(15, 45)}
    cells = compared(success, ["a"], [PLACES[0], PLACES[2]])
    distances = Distances((NOMINAL, "level_y"), values, np.arange(100.0), ("observation.environment_state",))
    found = bins(distances, cells, "a")
    assert [x for x, _ in found] == [9.5, 29.5, 49.5, 69.5, 89.5, 109.5]
    assert [(figure.value, figure.n) for _, figure in found] == [(1.0, 20)] * 3 + [(0.75, 20)] + [(0.0, 20)] * 2
    assert separation(distances, cells, "a") == (1.0, pytest.approx(0, abs=1e-6))  # every failure began farther out than every success
    assert distances.near == pytest.approx(94.05)


def test_where_all_succeed_distance_tells_nothing():
    cells = compared({("a", NOMINAL): outcomes(5)}, ["a"], PLACES[:1])
    distances = Distances((NOMINAL,), np.ones((1, 5)), np.ones(3), ("x",))
    assert separation(distances, cells, "a") is None
    assert [figure.name for figure in figures_of(cells, distances)] == ["success/a/nominal", "success/a/distance_1"]


def test_the_page_says_what_each_policy_loses(tmp_path):
    success = {("a", NOMINAL): outcomes(40), ("a", "engine_x"): outcomes(10, 30), ("a", "level_y"): outcomes(39, 1)}
    success |= {("<b>", name): outcomes(0, 40) for name in (NOMINAL, "engine_x", "level_y")}
    cells = compared(success, ["a", "<b>"], PLACES)
    distances = Distances((NOMINAL, "level_y"), np.ones((2, 40)), np.ones(3), ("observation.environment_state",))
    place = Manifest("a", "", "lift", "panda", {"engine": "mujoco", "task": {"level": "easy"}}, (1,), 20.0, 100)
    page = write_report(tmp_path, place, cells, distances, {}, ["abc", "def"]).read_text()
    assert "falls from 100% to 25% in x; 1 of 2 conditions cost it nothing" in page
    assert "succeeds in 0%, and in no condition significantly less" in page
    assert "(engine mujoco, level easy)" in page and "different versions of the code: abc, def" in page
    assert "<b>" not in page and "http" not in page.partition("</style>")[2].replace("http://www.w3.org", "")


SMALL = ("train.steps=2", "train.batch_size=8", "train.warmup=1", "train.threads=1", "train.device=cpu")
WORDS = ("env=reach", "env.threads=1", "env.max_steps=6", "data.path=collect/dataset", "episodes=3", "randomize=[strong]", "levels=[hard]")


def waldo(*words):
    assert cli.main(list(words)) == 0, words


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generalise")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("WALDO_DATASETS", raising=False)
        waldo(
            "collect",
            "env=reach",
            "episodes=4",
            "images=false",
            "dataset=collect/dataset",
            "env.num_envs=4",
            "env.threads=1",
            "out=collect",
        )
        waldo("train", "policy=bc", "policy.width=16", "policy.depth=1", "data.path=collect/dataset", *SMALL, "out=one")
        shutil.copytree("one", "two")
        waldo("generalise", "paths=[one/checkpoint,two/checkpoint]", "engines=[]", *WORDS, "out=out")
    return folder


@pytest.fixture
def inside(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.delenv("WALDO_DATASETS", raising=False)


def figures(folder):
    return {figure.name: figure for figure in read_summary(Path(folder))[2]}


def test_every_cell_is_an_evaluation_of_its_own_on_the_same_seeds(inside):
    cells = [Path("out") / policy / name for policy in ("one", "two") for name in (NOMINAL, "randomize_strong", "level_hard")]
    found = [read(cell) for cell in cells]
    assert all(evaluation.seeds.tolist() == [100000, 100001, 100002] for evaluation in found)
    environments = [evaluation.manifest.environment for evaluation in found[:3]]
    assert [env.get("randomize", {}).get("level", "none") for env in environments] == ["none", "strong", "none"]
    assert [env["task"]["level"] for env in environments] == ["medium", "medium", "hard"]
    assert {evaluation.manifest.policy for evaluation in found} == {"one", "two"}
    assert all(figures(cell)["success"].n == 3 for cell in cells)
    config = OmegaConf.load(cells[1] / "config.yaml")
    assert (config.checkpoint, config.env.randomize.level) == ("one/checkpoint", "strong")
    summary = figures("out")
    assert summary["success/one/level_hard"].n == 3 and summary["p/two/randomize_strong"].value == 1.0
    assert summary["success/one/distance_1"].n == 6  # three starts of each of two levels
    assert Path("out/generalise.html").stat().st_size < 1_000_000


def test_starts_are_read_from_the_traces(inside):
    evaluation = read(Path("out/one/nominal"))
    starts = starts_of(evaluation, ["observation.environment_state"])
    assert starts.shape == (3, 3) and (starts == starts_of(read(Path("out/two/nominal")), ["observation.environment_state"])).all()
    with pytest.raises(DatasetError, match=r"keeps no trace of observation\.nothing for seed 100000"):
        starts_of(evaluation, ["observation.nothing"])


def test_a_second_time_only_what_is_missing_is_played(inside, capsys):
    before = figures("out")
    spoiled = Path("out/two/randomize_strong")
    (spoiled / "summary.json").unlink()
    rows = (spoiled / "episodes.jsonl").read_text().splitlines()
    (spoiled / "episodes.jsonl").write_text(rows[0] + "\n" + rows[1][:20])
    waldo("generalise", "paths=[one/checkpoint,two/checkpoint]", "engines=[]", *WORDS, "out=out")
    said = capsys.readouterr().out
    assert said.count("finished before") == 5 and f"{spoiled}: finished before" not in said
    assert figures("out") == before
    again = [json.loads(row) for row in (spoiled / "episodes.jsonl").read_text().splitlines()]
    assert [{**row, "wall_s": 0} for row in again] == [{**json.loads(row), "wall_s": 0} for row in rows]


def test_mistakes_are_told_before_anything_is_played(inside, capsys):
    for words, message in (
        (["paths=[one/checkpoint]", "env=stack", "distance=false"], "stack"),
        (["paths=[one/checkpoint]", "env=reach", "data.path=nowhere"], "no dataset 'nowhere'"),
        (["paths=[nowhere/checkpoint]", "env=reach"], "nowhere"),
        (["paths=[one/checkpoint]", "env=reach", "episodes=1"], "at least 2"),
        (["paths=[one/checkpoint]", "env=reach", "levels=[hrad]", "distance=false"], "hard"),
    ):
        assert cli.main(["generalise", *words, "out=mistake"]) == 2
        assert message in capsys.readouterr().err
        assert not Path("mistake").exists()
