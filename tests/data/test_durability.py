"""Killed at any instant, out of disk, interrupted: what was committed is there, and nothing needs repair."""

from __future__ import annotations

import errno
import functools
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.durable import Staging
from data.errors import DatasetError
from data.lerobot.writer import Writer
from data.record import Recorder
from data.store import Dataset
from tests.data import record_forever as forever
from tests.data.conftest import CAMERAS, FEATURES, LENGTHS, TASKS, litter, make_arrays, make_images, record

RENAMES = 6  # video, data, episodes, tasks, stats, info: one episode with a new task


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the recorder runs after it."""


def one_more(root: Path) -> None:
    """Append the episode number 2 of `record`, with a task that is new."""
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_episode(make_arrays(LENGTHS[2], 2), "a new task", {"top": make_images(LENGTHS[2], 2)})


class Spawner:
    """Starts recorders that record until they are killed, each in milliseconds."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.data.record_forever"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def kill_one(self, root: Path, codec: str, wait: bool, chance: random.Random) -> int:
        """Let one record for a while and kill it; returns how many episodes it had said were safe, 0 if it said nothing."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{root} {codec} {'wait' if wait else 'go-on'}\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        said: list[str] = []
        if chance.random() < 0.8:
            said.append(self.process.stdout.readline().strip())
            time.sleep(chance.uniform(0, 0.8))
        else:
            time.sleep(chance.uniform(0, 0.05))  # while it opens what the one before has left
        os.kill(pid, signal.SIGKILL)
        while (line := self.process.stdout.readline().strip()) != "gone":
            assert line, "the recorder ended by itself"
            said.append(line)
        return max((int(line) for line in said if line != "ready"), default=0)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture(scope="module")
def spawner():
    spawner = Spawner()
    yield spawner
    spawner.close()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Callable[[str], list[dict[str, np.ndarray]]]:
    """codec -> what the frames of each episode, recorded in peace, decode to."""

    @functools.cache
    def recorded(codec: str) -> list[dict[str, np.ndarray]]:
        root = tmp_path_factory.mktemp("peace") / codec
        with Recorder(root, forever.FPS, forever.FEATURES, forever.ROBOT, forever.CAMERAS, codec=codec) as recorder:
            for i in range(forever.PERIOD):
                forever.add(recorder, i, wait=False)
        dataset = Dataset.open(root)
        films = {name: dataset.images(f"observation.images.{name}") for name in forever.CAMERAS}
        starts = dataset.episode_ends - [forever.length_of(i) for i in range(forever.PERIOD)]
        return [{name: film[start:end] for name, film in films.items()} for start, end in zip(starts, dataset.episode_ends, strict=True)]

    return recorded


def check_all(root: Path, count: int, expected: list[dict[str, np.ndarray]]) -> None:
    """Exactly the episodes 0 .. count - 1 are there, every number as given, every picture as in peace."""
    dataset = Dataset.open(root)
    assert dataset.num_episodes == count
    films = {name: dataset.images(f"observation.images.{name}") for name in forever.CAMERAS}
    start = 0
    for i, end in enumerate(dataset.episode_ends):
        episode = dataset.episode(i)
        assert len(episode) == forever.length_of(i) and episode.task == f"task {i % 5}"
        for name, values in forever.arrays_of(i).items():
            np.testing.assert_array_equal(episode[name], values, err_msg=f"{name} of episode {i}")
        for name, film in films.items():
            np.testing.assert_array_equal(film[start:end], expected[i % forever.PERIOD][name], err_msg=f"{name} of episode {i}")
        start = end


def kill_again_and_again(tmp_path, spawner, expected, codec: str, kills: int, seed: int) -> None:
    """Twelve kills per dataset: after each it opens without repair, holds what was promised, and the next recorder goes on."""
    chance = random.Random(seed)
    promised, root = 0, tmp_path / "none"
    committed = 0
    for kill in range(kills):
        if kill % 12 == 0:
            committed += promised
            promised, root = 0, tmp_path / f"{codec}{kill}"
        wait = chance.random() < 0.7
        told = spawner.kill_one(root, codec, wait, chance)
        promised = max(promised, told)
        if not (root / "meta/info.json").exists():
            assert promised == 0
            continue
        found = Dataset.open(root).num_episodes
        # Not told yet may be the one that was just committed; without waiting, one more may have been on its way.
        assert promised <= found <= promised + (1 if wait else 2) or told == 0
        check_all(root, found, expected)
        promised = found
    with Recorder(root, forever.FPS, forever.FEATURES, forever.ROBOT, forever.CAMERAS, codec=codec) as recorder:
        forever.add(recorder, promised, wait=True)
    check_all(root, promised + 1, expected)
    assert not litter(root)
    assert committed + promised > kills


@pytest.mark.parametrize("codec", ["h264", "png"])
def test_sigkill_at_random_instants(tmp_path, spawner, uninterrupted, codec):
    kill_again_and_again(tmp_path, spawner, uninterrupted(codec), codec, kills=8, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sigkill_at_two_hundred_random_instants(tmp_path, spawner, uninterrupted):
    kill_again_and_again(tmp_path, spawner, uninterrupted("h264"), "h264", kills=200, seed=1)


@pytest.mark.parametrize("survived", range(RENAMES + 1))
def test_killed_between_any_two_renames(tmp_path, monkeypatch, holds, survived):
    root = record(tmp_path / "d", LENGTHS[:2])
    renames = []
    replace = Path.replace

    def rename(self: Path, target: Path) -> Path:
        if len(renames) == survived:
            raise Killed
        renames.append(Path(target).name)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", rename)
        patch.setattr(Writer, "abort", lambda self: None)  # a killed process cleans nothing up
        patch.setattr(Staging, "abort", lambda self: None)
        if survived < RENAMES:
            with pytest.raises(DatasetError, match="2 episodes are safe"):
                one_more(root)
        else:
            one_more(root)
    committed = 3 if survived == RENAMES else 2
    assert (renames[-1:] == ["info.json"]) == (committed == 3)
    dataset = holds(root, committed)
    assert len(dataset.tasks) == committed
    if committed == 2:
        one_more(root)
    dataset = holds(root, 3)
    assert dataset.tasks == ("push", "lift", "a new task")
    assert dataset.stats["index"]["count"].tolist() == [24]  # the statistics of the lost attempt are not counted
    assert not litter(root)
    assert len(list(root.glob("data/*/*.parquet"))) == 3


def test_a_left_over_beyond_the_commit_is_ignored_and_then_replaced(tmp_path, holds):
    root = record(tmp_path / "d")
    (root / "data/chunk-000/file-003.parquet").write_bytes(b"PAR1 torn")
    (root / "videos/observation.images.top/chunk-000/file-003.mp4").write_bytes(b"torn")
    (root / "meta/.info.json.tmp").write_bytes(b"{")
    holds(root, 3)
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        assert not litter(root)
        recorder.add_episode(make_arrays(6, 3), TASKS[0], {"top": make_images(6, 3)})
    holds(root, 4).images("observation.images.top")


def recorded(root: Path, episodes: range, codec: str, task: str = "push") -> Path:
    """Episodes of `make_arrays` and `make_images`, 7 + number frames each."""
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS, codec=codec) as recorder:
        for i in episodes:
            recorder.add_episode(make_arrays(7 + i, i), task, {"top": make_images(7 + i, i)})
    return root


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(("codec", "fails_at"), [*(("h264", n) for n in range(6)), *(("png", n) for n in range(5))])
def test_a_disk_that_fills_up_at_any_file(tmp_path, monkeypatch, holds, codec, fails_at, code):
    root = recorded(tmp_path / "d", range(2), codec)
    before = sorted(p for p in root.rglob("*"))
    count = 0
    fsync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count > fails_at:
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DatasetError, match=r"the disk is full \(.*\): 2 episodes are safe in .*; episode 2 is lost"):
            recorded(root, range(2, 3), codec, "a new task")
    assert sorted(p for p in root.rglob("*")) == before
    holds(root, 2)
    recorded(root, range(2, 3), codec, "a new task")
    holds(root, 3)


@pytest.mark.parametrize(("codec", "cameras", "limit"), [("h264", 1, 40_000), ("png", 1, 40_000), ("png", 2, 300_000)])
def test_a_file_size_limit_is_a_full_disk(tmp_path, holds, codec, cameras, limit):
    """A real refusal by the kernel, where frames are encoded or, at the last, where pictures go into the data file: noise does not compress."""
    root, sizes = tmp_path / "d", {f"camera{i}": CAMERAS["top"] for i in range(cameras)}
    noise = np.random.default_rng(0).integers(0, 256, (60, *CAMERAS["top"], 3)).astype(np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(root, 10, FEATURES, "dummy", sizes, codec=codec)
    recorder.add_episode(make_arrays(7, 0), "push", dict.fromkeys(sizes, make_images(7, 0)))
    recorder.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DatasetError, match=r"the disk is full \(File too large\): 1 episodes are safe"):
            recorder.add_episode(make_arrays(60, 1), "push", dict.fromkeys(sizes, noise))  # a quick encoder is refused already here
            recorder.flush()
        with pytest.raises(DatasetError, match="the disk is full"):
            recorder.add_episode(make_arrays(60, 1), "push", dict.fromkeys(sizes, noise))
        with pytest.raises(DatasetError, match="the disk is full"):
            recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not litter(root)
    holds(root, 1).images("observation.images.camera0")


@pytest.mark.parametrize("codec", ["h264", "png"])
@pytest.mark.parametrize("size", [300, 420, 560])
def test_a_full_tmpfs(tmp_path, holds, codec, size):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        root = folder / "d"
        with pytest.raises(DatasetError, match=r"the disk is full \(No space left on device\): \d+ episodes are safe") as told:
            recorded(root, range(100), codec)
        safe = int(str(told.value).split("): ")[1].split()[0])
        assert safe > 1
        holds(root, safe)
        assert not litter(root)
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        recorded(root, range(safe, safe + 1), codec)  # room was made, and it goes on
        holds(root, safe + 1).images("observation.images.top")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_ctrl_c_keeps_what_is_committed_and_drops_the_rest(tmp_path, holds):
    root = tmp_path / "d"
    with pytest.raises(KeyboardInterrupt), Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_episode(make_arrays(7, 0), "push", {"top": make_images(7, 0)})
        recorder.add_frame({k: v[0] for k, v in make_arrays(2, 1).items()}, {"top": make_images(1, 1)[0]})
        raise KeyboardInterrupt
    holds(root, 1)
    assert not litter(root)
    with pytest.raises(DatasetError, match="is closed"):
        recorder.save_episode("push")


def test_ctrl_c_while_frames_are_handed_over_does_not_taint_the_next_episode(tmp_path, monkeypatch, holds):
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr(recorder._mailbox, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                recorder.add_episode(make_arrays(9, 9), "push", {"top": make_images(9, 9)})
        recorder.add_episode(make_arrays(7, 0), "push", {"top": make_images(7, 0)})
    dataset = holds(tmp_path / "d", 1)
    assert np.abs(dataset.images("observation.images.top").astype(int) - make_images(7, 0)).mean() < 4
