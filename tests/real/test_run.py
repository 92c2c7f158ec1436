"""`waldo run` from the command line, with the scripted demonstrator in the policy's place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.results import read_summary
from real.audit import audit
from real.cell import Cell, CellConfig
from real.log import read_log
from real.replay import replay
from real.robots.panda import SPEC
from tests.real.fakes import DT, cell

EXPERT = "load=tests.real.stub_policies.Expert"


def start(out: Path, *words: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "waldo"), "run", EXPERT, f"out={out}", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rows(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]


def test_the_demonstrator_does_the_task_on_the_arm(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "clock=step", "episodes=1", "seed=200001", "env.max_steps=240")
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    figures = {f.name: f for f in read_summary(out)[2]}
    assert figures["success"].value == 1.0 and figures["success"].low is not None
    assert figures["ticks_outside/commanded"].value == 0 and figures["faults"].value == 0
    assert figures["peak/velocity"].value <= 1 + 1e-9
    log = read_log(out / "ticks.log")
    assert log.whole and log.header["robot"] == "panda" and len(log.ticks) == figures["ticks"].value
    again = audit(log, SPEC, cell().workspace, DT)
    assert again.outside == 0 and again.active > 1000
    described = Cell(CellConfig(**log.header["cell"]))
    assert replay(log, described.committer(log.header["dt"])).differ == 0
    history = np.load(out / "history" / "seed_200001.npz")
    assert len(history["t"]) == len(history["state"]) > 50
    assert len(np.load(out / "timing.npz")["lateness"]) == len(log.ticks)
    assert "commanded ticks outside a limit: position 0" in said and said.rstrip().endswith(str(out))


def test_the_drill_kills_the_policy_and_the_arm_stops(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "clock=step", "episodes=3", "kill_policy_after=0.7")
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0 and "the policy process has died (SIGKILL)" in said, said
    assert len(rows(out)) == 1 and rows(out)[0]["stage"] == "liveness"
    figures = {f.name: f.value for f in read_summary(out)[2]}
    assert 0 < figures["drill/stop_ticks"] <= 150 and figures["drill/still_ticks"] <= 400
    assert figures["ticks_outside/commanded"] == 0


@pytest.mark.slow
def test_ctrl_c_brakes_and_keeps_what_was_finished(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "episodes=5")
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and not (out / "episodes.jsonl").exists():
        time.sleep(0.1)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "the arm was stopped and holds; 1 of 5" in said, said
    assert rows(out)[0]["stopped_by"] == "interrupted"
    assert audit(read_log(out / "ticks.log"), SPEC, cell().workspace, DT).outside == 0
    assert not (out / "summary.json").exists()


@pytest.mark.slow
def test_in_real_time(tmp_path: Path) -> None:
    """Nothing is asserted about time: the machine may be busy, and then the arm stops instead."""
    out = tmp_path / "run"
    process = start(out, "episodes=2", "seed=200001")
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert {f.name: f.value for f in read_summary(out)[2]}["ticks_outside/commanded"] == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("clock=sometimes",), "clock=sometimes"),
        (("robot.speed=0",), "speed must be a share"),
        (("robot.heartbeat=0",), "no stage can be switched off"),
        (("robot.workspace_low=[0,0]",), "workspace"),
        (("episodes=0",), "episodes=0"),
        (("load=policies.artifact.Artifact.load", "artefact=nowhere"), "no artefact at nowhere"),
    ],
)
def test_mistakes_are_one_line_and_start_nothing(tmp_path: Path, words: tuple[str, ...], what: str) -> None:
    process = start(tmp_path / "run", *words)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and what in said and "Traceback" not in said, said
    assert not (tmp_path / "run").exists()
