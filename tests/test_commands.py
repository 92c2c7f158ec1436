"""The real commands, one after the other, as small as they go: what each leaves is what the next one takes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.results import read_summary
from waldo import cli

SMALL = ("train.steps=4", "train.batch_size=8", "train.warmup=1", "train.threads=1", "train.device=cpu")
ARM = ("env.num_envs=3", "env.threads=1", "env.max_steps=24")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with demonstrations, a flow policy, a critic and the steered artefact, all made by commands."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("WALDO_DATASETS", raising=False)
        waldo("collect", "episodes=4", "images=false", "dataset=datasets/pick_place", "env.num_envs=4", "env.threads=1", "out=collect")
        waldo("train", "policy=flow_mlp", "policy.width=32", "policy.depth=1", *SMALL, "out=flow")
        waldo("refine", "checkpoint=flow/checkpoint", "offline.width=16", "offline.depth=1", *SMALL, "out=critic")
        steered = ("checkpoint=flow/checkpoint", "critic=critic/checkpoint", "steer=best_of_n")
        waldo("export", *steered, "artefact=artefact", "out=export")
        waldo("evaluate", *steered, "episodes=4", "videos=0", *ARM, "out=evaluate")
        waldo("evaluate", "checkpoint=artefact", "episodes=4", "videos=0", *ARM, "out=evaluate_artefact")
    return folder


@pytest.fixture(autouse=True)
def inside(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.delenv("WALDO_DATASETS", raising=False)


def waldo(*words):
    assert cli.main(list(words)) == 0, words


def figures(folder):
    return {figure.name: figure for figure in read_summary(Path(folder))[2]}


def rows(folder):
    lines = [json.loads(line) for line in (Path(folder) / "episodes.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in lines]


def test_every_command_leaves_its_summary_and_its_configuration():
    for folder in ("collect", "flow", "critic", "export", "evaluate"):
        command, provenance, _ = read_summary(Path(folder))
        assert provenance["command_line"].startswith(f"waldo {command} ")
        assert (Path(folder) / "config.yaml").exists()
    assert figures("collect")["collect/episodes"].value == 4
    assert figures("export")["parity/max_difference"].value < 1e-5
    success = figures("evaluate")["success"]
    assert (success.value, success.n, success.low) == (0.0, 4, 0.0) and 0.4 < success.high < 0.6  # Wilson: 0 of 4


def test_a_checkpoint_says_which_dataset_it_comes_from():
    from data.store import Dataset

    told = json.loads(Path("flow/checkpoint/provenance.json").read_text())
    assert told["dataset"] == Dataset.open("pick_place").content_hash
    assert (told["step"], told["seed"]) == (4, 0)
    assert json.loads(Path("artefact/artifact.json").read_text())["provenance"]["dataset"] == told["dataset"]


def test_the_artefact_is_evaluated_like_the_policy_it_was_made_from():
    """The same seeds, the same lengths; an untrained policy fails alike, so compare what it does."""
    from omegaconf import OmegaConf

    from policies.artifact import Artifact
    from waldo.export import parity
    from waldo.policy import load_sampler

    assert (
        [row["seed"] for row in rows("evaluate")] == [row["seed"] for row in rows("evaluate_artefact")] == [100000, 100001, 100002, 100003]
    )
    steer = OmegaConf.create({"_target_": "policies.steering.best_of_n.BestOfN", "num_samples": 8, "pessimism": 1.0})
    steered = load_sampler("flow/checkpoint", "critic/checkpoint", steer)
    assert parity(steered, Artifact.load("artefact"))[0] < 1e-5


def test_the_artefact_carries_the_limits_of_its_robot():
    from real.robots.panda import SPEC

    limits = json.loads(Path("artefact/artifact.json").read_text())["limits"]
    assert limits["name"] == "panda" and limits["hash"] == SPEC.hash()
    np.testing.assert_allclose(limits["dq_max"], SPEC.dq_max)


def test_an_artefact_that_differs_from_its_policy_is_not_kept(monkeypatch, capsys):
    before = Path("artefact/artifact.json").read_bytes()
    monkeypatch.setattr("waldo.export.export", lambda policy, folder, *rest: shutil.copytree("artefact", folder))
    monkeypatch.setattr("waldo.export.parity", lambda sampler, artefact: (0.3, 1.0, 1.0))
    assert cli.main(["export", "checkpoint=flow/checkpoint", "artefact=artefact", "out=export_2"]) == 2
    assert "differs from the policy by 0.3" in capsys.readouterr().err
    assert Path("artefact/artifact.json").read_bytes() == before
    assert not list(Path().glob("artefact.*"))


def test_another_checkpoint_in_the_same_folder_is_evaluated_anew(capsys):
    first = rows("evaluate_artefact")
    waldo("evaluate", "checkpoint=flow/checkpoint", "untrained=true", "episodes=2", "videos=0", *ARM, "out=evaluate_artefact")
    assert "held episodes of something else" in capsys.readouterr().out
    assert len(rows("evaluate_artefact")) == 2
    kept = [json.loads(line) for line in Path("evaluate_artefact/episodes-1.jsonl").read_text().splitlines()]
    assert len(kept) == len(first)


def test_a_policy_has_the_same_identity_in_every_process():
    code = "import sys; from omegaconf import OmegaConf as O; from waldo.policy import identity, load_sampler; \
print(identity(load_sampler(sys.argv[1], '', O.create({'_target_': ''})), O.create({'_target_': 'x'})))"
    found = set()
    for seed in ("0", "1", "2"):  # of the hashes of words, which differ from process to process
        call = [sys.executable, "-c", code, "flow/checkpoint"]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        found.add(subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_training_goes_on_in_the_same_folder_and_evaluates_afterwards():
    waldo("train", "policy=bc", "policy.width=16", "policy.depth=1", *SMALL, "out=bc")
    words = [word for word in SMALL if "steps" not in word]
    after = ("env=pick_place", *ARM, "evaluate.episodes=2", "evaluate.videos=0")
    waldo("train", "policy=bc", "policy.width=16", "policy.depth=1", *words, "train.steps=6", *after, "out=bc")
    assert json.loads(Path("bc/checkpoint/provenance.json").read_text())["step"] == 6
    assert figures("bc")["success"].n == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "data.path=nowhere"), "no dataset 'nowhere'"),
        (("train", "data.observations=[observation.stat]"), "'observation.stat' is not in"),
        (("train", "horizon=10", "policy=flow"), "horizon 10 is not divisible by 4"),
        (("train", "horizon=4"), "n_action_steps must lie between 1 and horizon=4, found 8"),
        (("train", "train.device=tpu"), "device='tpu' is unknown"),
        (("train", "train.precision=fp8"), "precision='fp8' is unknown"),
        (("train", "env=pick_place", "env.action=joint"), "does not fit environment pick_place: action kind"),
        (("train", "out=flow", "policy=bc"), "holds another run"),
        (("evaluate", "checkpoint=nowhere"), "there is no checkpoint at nowhere"),
        (("evaluate", "checkpoint=flow/checkpoint", "env.rate_hz=10"), "rate_hz: the policy wants 20.0, found 10.0"),
        (("evaluate", "checkpoint=flow/checkpoint", "steer=best_of_n"), "steering needs a critic"),
        (("evaluate", "checkpoint=artefact", "critic=critic/checkpoint"), "its steering is exported with it"),
        (("export", "checkpoint=artefact", "artefact=again"), "is an artefact"),
        (("refine", "checkpoint=critic/checkpoint"), "is not a policy"),
        (("evaluate", "checkpoint=critic/checkpoint"), "is not a policy"),
        (("evaluate", "checkpoint=flow/checkpoint", "env=none"), "this needs an environment"),
        (("evaluate", "checkpoint=flow/checkpoint", "critic=flow/checkpoint", "steer=best_of_n"), "is not a critic"),
        (("collect", "dataset=datasets/pick_place", "episodes=6", "images=false", "seed=50"), "begun with another first_seed"),
        (("collect", "env=none", "dataset=d"), "this needs an environment"),
        (("collect", "episodes=0"), "at least one demonstration"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words, message, capsys):
    def files():
        """What a refused run may change is the note of what was asked: its own config.yaml, and the summary of a finished run."""
        return sorted(str(path) for path in Path().rglob("*") if path.is_file() and path.parent != Path("flow"))

    before = files()
    checkpoint = Path("flow/checkpoint/model.safetensors").read_bytes()
    small = SMALL if words[0] in ("train", "refine") else ()
    out = () if any(word.startswith("out=") for word in words) else ("out=mistake",)
    assert cli.main([words[0], *small, *words[1:], *out]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert files() == before
    assert Path("flow/checkpoint/model.safetensors").read_bytes() == checkpoint
