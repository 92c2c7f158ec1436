"""The gate that every change passes: a small policy, trained here and now, must not be worse than the one that was recorded.

The recorded episodes are in docs/results/gate, made by the commands below and `waldo evaluate ... episodes=300 videos=0 traces=false`;
docs/results/README.md has them in full. They are recorded again when the environment gets another setting, or when a change is meant to
move the success rate, and then the change says so. Measured: 290 of 300 succeed. With the same weights the verdict comes after 53 seeds,
with others as good (97 %, unlike on 6 % of the seeds) after 76 in the median and 166 in 99 of 100. By simulation, 300 seeds are enough for
99 of 100 trainings that reach 94 %, and for 88 that reach 92 %; the rest would be undecided, which does not pass either.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from data.evaluation import read
from data.results import read_summary
from waldo import cli

RECORDED = Path(__file__).resolve().parents[1] / "docs/results/gate"
WHERE = ("env=reach", "env.task.level=easy")
COLLECT = ("episodes=40", "images=false", "styles.clean=1", "styles.sloppy=0", "dataset=outputs/gate_dataset")
NETWORK = ("policy=bc", "policy.width=128", "policy.depth=2", "data.path=outputs/gate_dataset")
TIME = ("n_obs_steps=1", "horizon=8", "n_action_steps=4")
TRAIN = ("train.steps=1000", "train.batch_size=128", "train.lr=0.002", "train.warmup=50", "train.ema=0.99")
MACHINE = ("train.threads=1", "train.device=cpu", "train.precision=fp32")
TRAINED, SPOILED = "outputs/gate/checkpoint", "outputs/spoiled"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The policy as it is trained today, and the same with a little noise on its weights."""
    made = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert cli.main(["collect", *WHERE, *COLLECT, "out=outputs/collect"]) == 0
        assert cli.main(["train", *NETWORK, *TIME, *TRAIN, *MACHINE, "out=outputs/gate"]) == 0
    shutil.copytree(made / TRAINED, made / SPOILED)
    weights, rng = load_file(made / SPOILED / "model.safetensors"), np.random.default_rng(0)
    noisy = {key: (w + 0.03 * w.std() * rng.standard_normal(w.shape)).astype(w.dtype) for key, w in weights.items()}
    save_file(noisy, made / SPOILED / "model.safetensors")
    return made


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("WALDO_TRACEBACK", raising=False)


def gate(*words):
    return cli.main(["compare", *words])


def figures(out):
    return {figure.name: figure.value for figure in read_summary(Path(out))[2]}


def test_the_policy_of_today_is_not_worse_than_the_recorded_one():
    assert gate(str(RECORDED), TRAINED, *WHERE, "episodes=300", "margin=0.15", "alpha=0.001", "out=today") == 0
    assert figures("today")["seeds"] <= 300
    played = read(Path("today/candidate"))
    assert played.complete and set(played.seeds) <= set(read(RECORDED).seeds), "an evaluation folder like any other"
    assert figures("today")["success/candidate"] == played.success.mean()


def test_a_spoiled_policy_is_rejected(capsys):
    assert gate(str(RECORDED), SPOILED, *WHERE, "episodes=300", "out=spoiled") == 1
    assert figures("spoiled")["seeds"] <= 100
    assert "The candidate is WORSE: it is more than 15 points below the reference (alpha 0.001)." in capsys.readouterr().out


def test_two_policies_play_the_same_seeds_and_what_was_played_is_kept(capsys):
    words = (TRAINED, SPOILED, *WHERE, "env.num_envs=10", "group=10", "episodes=60", "out=both")
    assert gate(*words) == 1
    one, other = read(Path("both/candidate")), read(Path("both/reference"))
    np.testing.assert_array_equal(one.seeds, other.seeds)
    assert one.seeds[0] == 100_000 and len(one.seeds) in (20, 30, 40)
    assert len(one.seeds) - 10 < figures("both")["seeds"] <= len(one.seeds)
    kept = Path("both/candidate/episodes.jsonl").read_bytes()
    assert gate(*words) == 1
    assert Path("both/candidate/episodes.jsonl").read_bytes() == kept, "nothing is played twice"
    assert gate("both/reference", "both/candidate") == 1, "and the folders can be compared again"
    assert gate(TRAINED, "both/candidate", *WHERE, "env.num_envs=10", "out=against") == 1
    assert figures("against")["seeds"] == figures("both")["seeds"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((str(RECORDED), TRAINED, "env=reach", "env.task.level=hard"), "env.task.level 'hard' and 'easy'"),
        ((str(RECORDED), TRAINED, *WHERE, "env.rate_hz=10"), "does not fit environment reach"),
        ((str(RECORDED), TRAINED), "its episodes have to be played"),
        ((str(RECORDED), "outputs/gate", *WHERE), "outputs/gate/checkpoint is one"),
    ],
)
def test_a_policy_that_cannot_meet_the_recorded_one_is_one_clear_line(words, message, capsys):
    assert gate(*words, "out=mistake") == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not Path("mistake").exists()
