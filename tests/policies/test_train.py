"""The training loop: resumed equals uninterrupted, errors stop it in words, the schedule and the averages are what they say."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from data.batches import Drawn
from data.errors import CheckpointError, ConfigError
from policies import checkpoint
from policies.offline.iql import IQLConfig, IQLCritic
from policies.train import TrainConfig, learning_rate, pick_device, train
from tests.policies.dummy import make_batch, make_normalizer, make_spec, tiny_flow

ROOT = Path(__file__).resolve().parents[2]
ROWS = 40


def config(**options):
    return TrainConfig(
        **{
            "steps": 12,
            "batch_size": 8,
            "warmup": 3,
            "save_every": 5,
            "log_every": 2,
            "threads": 1,
            "workers": 0,
            "device": "cpu",
            **options,
        }
    )


def new_critic():
    spec = make_spec()
    torch.manual_seed(0)
    return IQLCritic(IQLConfig(ensemble=2, width=8, depth=1), spec, make_normalizer(spec))


def source(module, critic=False):
    """Rows to draw batches from."""
    columns = {name: value.numpy() for name, value in make_batch(module, ROWS, critic).items()}
    return Drawn(lambda rows, _: {name: values[rows] for name, values in columns.items()}, ROWS)


def run(out, make=tiny_flow, critic=False, stop_after=None, **options):
    """Train; `stop_after` steps SIGKILL the process."""
    module, calls = make(), 0
    draw = source(module, critic).draw

    def counted(rows, seed):
        nonlocal calls
        calls += 1
        if stop_after is not None and calls > stop_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(rows, seed)

    return train(module, Drawn(counted, ROWS), config(**options), Path(out), 5, {})


def bytes_of(out):
    return [(out / name).read_bytes() for name in ("checkpoint/model.safetensors", "train_state.safetensors")]


@pytest.mark.parametrize(("make", "critic"), [("tiny_flow", False), ("new_critic", True)])
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, make, critic):
    run(tmp_path / "whole", globals()[make], critic)
    code = f"from tests.policies import test_train as t; t.run({str(tmp_path / 'cut')!r}, t.{make}, {critic}, stop_after=8)"
    dead = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut/metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6, 8]  # it had gone past the checkpoint of step 5
    assert checkpoint.provenance(tmp_path / "cut/checkpoint")["step"] == 5
    run(tmp_path / "cut", globals()[make], critic)
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")
    rows = [[json.loads(line) for line in (tmp_path / out / "metrics.jsonl").read_text().splitlines()] for out in ("whole", "cut")]
    kept = [[{k: v for k, v in row.items() if k not in ("wall_s", "cpu_s")} for row in half] for half in rows]
    assert kept[0] == kept[1]


def test_a_finished_run_started_again_changes_nothing(tmp_path):
    run(tmp_path)
    before = bytes_of(tmp_path)
    run(tmp_path)
    assert bytes_of(tmp_path) == before


def test_another_seed_gives_other_weights(tmp_path):
    one, two = tiny_flow(), tiny_flow()
    for module, seed in ((one, 1), (two, 2)):
        train(module, source(module), config(), tmp_path / str(seed), seed, {})
    assert not torch.equal(next(one.parameters()), next(two.parameters()))


@pytest.mark.parametrize(
    ("make", "options", "rows", "provenance", "message"),
    [
        (lambda: tiny_flow(width=8), {}, ROWS, {}, "holds another run, with width=16:"),
        (lambda: tiny_flow(make_spec(horizon=4)), {}, ROWS, {}, "with spec="),
        (new_critic, {}, ROWS, {}, "_target_='policies.imitation.flow.FlowPolicy'"),
        (tiny_flow, {"lr": 0.1}, ROWS, {}, "with train.lr=0.001:"),
        (tiny_flow, {"batch_size": 4}, ROWS, {}, "with train.batch_size=8:"),
        (tiny_flow, {"precision": "fp32"}, ROWS, {}, "with train.precision='auto':"),
        (tiny_flow, {}, ROWS - 1, {}, "with rows=40:"),
        (tiny_flow, {}, ROWS, {"dataset": "b"}, "with dataset='a':"),
        (tiny_flow, {"steps": 11}, ROWS, {}, "with 12 steps:"),
    ],
)
def test_the_folder_of_another_run_is_refused_and_left_alone(tmp_path, make, options, rows, provenance, message):
    module = tiny_flow()
    train(module, source(module), config(), tmp_path, 5, {"dataset": "a"})
    before = bytes_of(tmp_path)
    other = make()
    with pytest.raises(CheckpointError, match=message):
        train(other, Drawn(source(module).draw, rows), config(**options), tmp_path, 5, {"dataset": "a"} | provenance)
    assert bytes_of(tmp_path) == before


def test_the_folder_of_another_seed_or_of_other_statistics_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(CheckpointError, match="holds another run, with seed=5:"):
        train(tiny_flow(), source(tiny_flow()), config(), tmp_path, 6, {})
    module = tiny_flow()
    module.normalizer = type(module.normalizer)(module.spec, {k: (low, high + 1) for k, (low, high) in module.normalizer.ranges.items()})
    with pytest.raises(CheckpointError, match="holds another run, with statistics="):
        train(module, source(tiny_flow()), config(), tmp_path, 5, {})


def test_a_run_may_be_made_longer(tmp_path):
    run(tmp_path)
    run(tmp_path, steps=15, save_every=3, log_every=1)
    assert checkpoint.provenance(tmp_path / "checkpoint")["step"] == 15


def test_a_damaged_training_state_is_one_clear_error(tmp_path):
    run(tmp_path)
    path = tmp_path / "train_state.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="train_state.safetensors is damaged"):
        run(tmp_path)


@pytest.mark.parametrize("save_every", [1, 5])
@pytest.mark.parametrize("poison", ["action", "observation.state"])
def test_a_loss_that_is_nan_stops_and_keeps_what_was_good(tmp_path, save_every, poison):
    module = tiny_flow()
    draw, calls = source(module).draw, 0

    def poisoned(rows, seed):
        nonlocal calls
        calls += 1
        batch = draw(rows, seed)
        return batch | {poison: np.full_like(batch[poison], np.nan)} if calls == 7 else batch

    with pytest.raises(CheckpointError, match="the loss became nan at step 7"):
        train(module, Drawn(poisoned, ROWS), config(save_every=save_every, log_every=50), tmp_path, 5, {})
    assert checkpoint.provenance(tmp_path / "checkpoint")["step"] == {1: 6, 5: 5}[save_every]
    for name in ("checkpoint/model.safetensors", "train_state.safetensors"):
        assert all(v.isfinite().all() for v in safetensors.torch.load_file(tmp_path / name).values())


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    module = tiny_flow()
    parameter = next(p for p in module.parameters() if p.requires_grad)
    loss = module.loss
    module.loss = lambda batch: (loss(batch)[0] + (parameter.flatten()[0] - parameter.detach().flatten()[0]).sqrt(), {"loss": 1.0})
    with pytest.raises(CheckpointError, match="gradient"):
        train(module, source(module), config(), tmp_path, 5, {})
    assert not (tmp_path / "checkpoint").exists()


def test_the_learning_rate_warms_up_and_falls_as_a_cosine():
    c = TrainConfig(steps=110, warmup=10, lr=2.0)
    rates = [learning_rate(step, c) for step in range(110)]
    np.testing.assert_allclose(rates[:10], 0.2 * np.arange(1, 11))
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(1.0)  # half way down
    assert learning_rate(110, c) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(rates[10:], [1 + math.cos(math.pi * i / 100) for i in range(100)])


def test_the_saved_weights_are_the_average_of_the_walk(tmp_path):
    """ema = 0.5 by hand: after step k the average moves by max(0.5, 9 / (10 + k)) towards the weights of that step."""
    module, walk = tiny_flow(), []
    average = {name: p.detach().clone() for name, p in module.named_parameters()}
    module.after_step = lambda: walk.append({name: p.detach().clone() for name, p in module.named_parameters()})
    train(module, source(module), config(ema=0.5), tmp_path, 5, {})
    for step, weights in enumerate(walk):
        share = 1 - min(0.5, (1 + step) / (10 + step))
        average = {name: value + share * (weights[name] - value) for name, value in average.items()}
    saved = safetensors.torch.load_file(tmp_path / "checkpoint/model.safetensors")
    for name, p in module.named_parameters():
        torch.testing.assert_close(saved[name], average[name], rtol=1e-5, atol=1e-6)
        assert torch.equal(p.detach(), saved[name])  # and the module that trained ends with them


def test_evaluations_see_the_average_and_do_not_disturb_the_training(tmp_path):
    run(tmp_path / "plain")
    module, seen = tiny_flow(), []

    def evaluate(one, step):
        assert not one.training
        torch.manual_seed(99)  # whatever an evaluation does with the generator
        seen.append((step, next(one.parameters()).detach().clone()))
        return {"success": 0.5}

    train(module, source(module), config(evaluate_every=6), tmp_path / "watched", 5, {}, evaluate)
    assert bytes_of(tmp_path / "plain") == bytes_of(tmp_path / "watched")
    assert [step for step, _ in seen] == [6, 12]
    assert torch.equal(seen[-1][1], next(module.parameters()).detach())
    rows = [json.loads(line) for line in (tmp_path / "watched/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "success" in row] == [6, 12]


def test_kept_checkpoints_are_named_after_their_step(tmp_path):
    run(tmp_path, keep=True)
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*")) == ["checkpoint-000005", "checkpoint-000010", "checkpoint-000012"]
    assert checkpoint.provenance(tmp_path / "checkpoint-000010")["step"] == 10


def test_settings_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="steps and batch_size must be positive"):
        run(tmp_path, batch_size=0)
    with pytest.raises(ConfigError, match="device='gpu' is unknown; allowed: auto, cpu, cuda, mps"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device='cuda' is not available here"):
            pick_device("cuda")
