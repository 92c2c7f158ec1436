"""One evaluation in several processes: killed anywhere and started again, the table is the same, wall-clock columns apart."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.evaluation import WALL_CLOCK, read
from waldo.cli import main

WORDS = ["evaluate", "policy=expert", "env=reach", "env.num_envs=2", "episodes=10", "videos=1", "report=false"]


def table(folder: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in read(folder).rows]


def run(folder: Path, *words: str) -> int:
    return main([*WORDS, *words, f"out={folder}"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "eval"
    assert run(folder) == 0
    return folder


def test_two_processes_give_the_rows_of_one(tmp_path, whole):
    assert run(tmp_path / "two", "workers=2") == 0
    assert table(tmp_path / "two") == table(whole)
    one, two = read(whole), read(tmp_path / "two")
    for seed in one.seeds:
        a, b = one.trace(seed), two.trace(seed)
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert list(one.videos()) == list(two.videos()) == [100000]
    assert not (tmp_path / "two/shards").exists()


def test_jobs_of_a_sweep_over_shards_are_one_evaluation(tmp_path, whole):
    assert main([*WORDS, "-m", "shard=0/2,1/2", "videos=0", f"out={tmp_path / 'sweep'}"]) == 0
    assert table(tmp_path / "sweep") == table(whole)
    assert read(tmp_path / "sweep").trace(100003) is not None


@pytest.mark.parametrize("victim", ["worker", "main"])
def test_what_is_killed_goes_on_and_gives_the_same_table(tmp_path, whole, victim):
    folder = tmp_path / "killed"
    call = [sys.executable, "-m", "waldo", *WORDS, "workers=2", f"out={folder}"]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    logs = [folder / "shards" / str(i) / "episodes.jsonl" for i in range(2)]
    end = time.monotonic() + 120
    while not all(log.exists() and log.stat().st_size for log in logs):
        assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
        time.sleep(0.02)
    pids = [int(p) for p in subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()]
    os.kill(pids[0] if victim == "worker" else process.pid, signal.SIGKILL)
    said = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    if victim == "worker":
        assert "ended with status -9" in said and "goes on" in said
    kept = sum(len(log.read_text().splitlines()) for log in logs)
    assert kept >= 2
    end = time.monotonic() + 20
    while victim == "main" and any(_alive(pid) for pid in pids):  # they end with it
        assert time.monotonic() < end
        time.sleep(0.05)
    before = {json.loads(line)["seed"]: line for log in logs for line in log.read_text().splitlines()}
    assert run(folder, "workers=3") == 0
    assert table(folder) == table(whole)
    after = {json.loads(line)["seed"]: line for line in (folder / "episodes.jsonl").read_text().splitlines()}
    assert all(json.loads(after[seed]) == json.loads(line) for seed, line in before.items())  # not run again: the same wall clock


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["workers=0"], "workers=0; wanted is at least 1"),
        (["episodes=0"], "nothing to evaluate"),
        (["seeds=[4,5,4]"], "4 is named twice"),
        (["shard=2/2"], "shard=2/2; wanted is I/N"),
        (["shard=one"], "shard=one; wanted is I/N"),
    ],
)
def test_what_cannot_be_split_is_said(tmp_path, capsys, words, said):
    assert run(tmp_path / "out", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
