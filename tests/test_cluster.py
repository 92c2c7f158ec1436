"""Sweeps through Ray: what its launcher is told, and that a sharded evaluation gives the rows of a plain one, also when a worker is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distributions
from pathlib import Path

import pytest

from data.errors import ConfigError
from waldo import cli, cluster
from waldo.cluster import ALONE, TELLS, launcher_error, launcher_words

HERE = {distribution.name for distribution in distributions()}
needs_ray = pytest.mark.skipif(
    not HERE >= {"ray", "hydra-ray-launcher"},
    reason="Ray or its Hydra launcher is not installed: pip install ray; pip install --no-deps hydra-ray-launcher",
)


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(cluster, "version", lambda name: "2.60.0")
    monkeypatch.setenv(ALONE, "")  # so that what is set here is taken back
    monkeypatch.delenv(ALONE)
    monkeypatch.setenv(TELLS, "")
    monkeypatch.delenv(TELLS)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_other_launchers_are_told_nothing(installed):
    assert launcher_words(["seed=1,2", "hydra/launcher=basic"]) == [] and ALONE not in os.environ


@pytest.mark.parametrize("word", ["hydra/launcher=ray", "+hydra/launcher=ray"])
def test_ray_alone_on_a_machine_stays_on_it(installed, word):
    assert launcher_words(["seed=1,2", word, "hydra.launcher.ray.init.address=null"]) == [
        "++hydra.launcher.ray.init.include_dashboard=false"
    ]
    assert os.environ[ALONE] == os.environ[TELLS] == "0"


def test_a_cluster_that_runs_is_left_as_it_is(installed, monkeypatch):
    words = ["++hydra.launcher.ray.init.object_store_memory=null"]
    assert launcher_words(["hydra/launcher=ray", "hydra.launcher.ray.init.address='10.0.0.7:6379'"]) == words
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    assert launcher_words(["hydra/launcher=ray"]) == words and ALONE not in os.environ


def test_without_ray_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(cluster, "version", missing)
    with pytest.raises(ConfigError, match="needs the package ray: pip install ray"):
        launcher_words(["hydra/launcher=ray"])


def test_only_errors_of_ray_are_explained():
    lost = type("WorkerCrashedError", (Exception,), {"__module__": "ray.exceptions"})("The worker died unexpectedly.\nmore")
    assert str(launcher_error(lost)).startswith(
        "Ray lost a job: WorkerCrashedError: The worker died unexpectedly. What was finished is kept"
    )
    refused = launcher_error(ConnectionError("Failed to connect to Ray cluster at 10.0.0.7:6379"))
    assert isinstance(refused, ConfigError) and "10.0.0.7:6379; a cluster that wants a token" in str(refused)
    assert launcher_error(KeyError("x")) is None


def rows(*folders):
    lines = [line for folder in folders for line in (folder / "episodes.jsonl").read_text().splitlines()]
    found = [{key: value for key, value in json.loads(line).items() if key not in ("wall_s", "chunk_ms")} for line in lines]
    return sorted(found, key=lambda row: row["seed"])


def workers(process):
    """Processes of Ray's that do a job of this sweep."""
    listed = subprocess.run(["ps", "-eo", "pid,sid,args"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    found = [line.split(None, 2) for line in listed]
    return [int(pid) for pid, session, args in found if int(session) == process.pid and args.startswith("ray::_run_job")]


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_shards_on_ray_give_the_rows_of_one_evaluation_also_when_a_worker_is_killed(tmp_path):
    words = ["evaluate", "policy=expert", "env=reach", "episodes=40", "videos=0", "traces=false", "env.num_envs=2", "env.threads=1"]
    assert cli.main([*words, f"out={tmp_path}/one"]) == 0
    sweep = [*words, "-m", "shard=0/2,1/2", "hydra/launcher=ray", f"out={tmp_path}/sweep"]
    process = subprocess.Popen([sys.executable, "-m", "waldo", *sweep], start_new_session=True)
    end = time.monotonic() + 200
    while not list(tmp_path.glob("sweep/*/episodes.jsonl")) or not workers(process):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    os.kill(workers(process)[0], signal.SIGKILL)
    assert process.wait() == 0
    folders = sorted(path.parent for path in tmp_path.glob("sweep/*/episodes.jsonl"))
    assert len(folders) == 2 and rows(*folders) == rows(Path(tmp_path / "one"))
