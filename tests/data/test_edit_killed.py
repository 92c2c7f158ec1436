"""An edit that is killed at any instant leaves the old dataset or the new one, whole; the next edit puts things in order."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from data.editing import swap
from data.editing.delete import delete
from data.editing.opening import Place
from data.editing.relabel import Labels, relabel
from data.editing.swap import replacing_folder
from data.errors import DatasetError
from data.store import Dataset
from tests.data.conftest import TOP, make_arrays, record

FORK = multiprocessing.get_context("fork")


def litter(root: Path) -> list[str]:
    return [p.name for p in root.parent.iterdir() if p.name != root.name] + [p.name for p in root.iterdir() if p.name.startswith(".waldo")]


def test_sigkill_at_random_instants(tmp_path):
    root = record(tmp_path / "d", (6, 4))
    frames = [Dataset.open(root).frames(TOP, i) for i in range(2)]
    chance = random.Random(1)

    def edit_once() -> None:
        old = Dataset.open(root).tasks[0]
        relabel(root, Labels(tasks={old: "push" if old == "shove" else "shove"}))

    def edit_forever() -> None:
        while True:
            edit_once()

    began = time.monotonic()
    edit_once()
    takes = time.monotonic() - began
    for _ in range(8):
        process = FORK.Process(target=edit_forever)
        process.start()
        time.sleep(chance.uniform(0, 4 * takes))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        dataset = Dataset.open(root)
        assert dataset.tasks == (("push", "lift"), ("shove", "lift"))[len(dataset.provenance["edits"]) % 2]
        for i in range(2):
            np.testing.assert_array_equal(dataset.episode(i)["action"], make_arrays((6, 4)[i], i)["action"])
            np.testing.assert_array_equal(dataset.frames(TOP, i), frames[i])
    relabel(root, Labels(robot_type="arm"))
    assert not litter(root)
    assert len(Dataset.open(root).provenance["edits"]) > 2


def _killed_in(root: Path, name: str, after: bool, backup: bool) -> None:
    """In a process of its own: delete episode 0, dying before or after the step of the swap that is called `name`."""

    def die() -> None:
        step = getattr(swap, name)

        def dying(*args: object) -> object:
            if after:
                step(*args)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        setattr(swap, name, dying)
        delete(root, [0], Place(backup=backup))

    process = FORK.Process(target=die)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("backup", [False, True])
@pytest.mark.parametrize(
    ("name", "after", "episodes"),
    [("fsync_tree", False, 3), ("fsync_tree", True, 3), ("_exchange", True, 2), ("_put_away", False, 2), ("_put_away", True, 2)],
)
def test_killed_around_every_step(tmp_path, name, after, episodes, backup):
    root = record(tmp_path / "d", (6, 4, 5), cameras=False)
    _killed_in(root, name, after, backup)
    assert len(Dataset.open(root)) == episodes
    relabel(root, Labels(robot_type="arm"))  # the next edit, of whatever kind
    assert len(Dataset.open(root)) == episodes
    assert litter(root) == (["d.bak"] if backup and episodes == 2 else [])
    if backup and episodes == 2:
        assert len(Dataset.open(root.with_name("d.bak"))) == 3


def test_killed_while_the_old_dataset_is_removed(tmp_path):
    root = record(tmp_path / "d", (6, 4, 5), cameras=False)
    _killed_in(root, "_put_away", after=False, backup=False)
    shutil.rmtree(swap.building_of(root) / "meta")  # half of it is gone
    relabel(root, Labels(robot_type="arm"))
    assert len(Dataset.open(root)) == 2
    assert not litter(root)


@pytest.mark.parametrize("after", [False, True])
def test_a_file_system_that_cannot_exchange_folders(tmp_path, monkeypatch, after):
    monkeypatch.setattr(swap, "_exchanged", lambda *_: False)
    root = record(tmp_path / "d", (6, 4, 5), cameras=False)
    _killed_in(root, "_put_away", after, False)
    assert len(Dataset.open(root)) == 2
    delete(root, [0], Place(backup=True))
    assert len(Dataset.open(root)) == 1
    assert litter(root) == ["d.bak"]


def test_killed_between_two_renames_the_next_edit_puts_the_old_one_back(tmp_path, monkeypatch):
    root = record(tmp_path / "d", (6, 4, 5), cameras=False)
    root.rename(tmp_path / ".d.replaced")
    with replacing_folder(root):
        assert len(Dataset.open(root)) == 3


def test_an_edit_that_fails_leaves_everything_as_it_was(tmp_path, monkeypatch):
    root = record(tmp_path / "d", (6, 4, 5), cameras=False)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DatasetError, match=r"could not be written \(No space left on device\); what was there is as it was"):
        delete(root, [0])
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
    assert not litter(root)


@pytest.mark.parametrize("backup", [False, True])
def test_ctrl_c_right_after_the_exchange_keeps_both(tmp_path, monkeypatch, backup):
    root = record(tmp_path / "d", (6, 4, 5), cameras=False)
    with monkeypatch.context() as patch:
        patch.setattr(swap, "fsync_folder", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt) if folder == tmp_path else None)
        with pytest.raises(KeyboardInterrupt):
            delete(root, [0], Place(backup=backup))
    assert len(Dataset.open(root)) == 2
    assert len(Dataset.open(swap.building_of(root))) == 3
    relabel(root, Labels(robot_type="arm"))
    assert litter(root) == (["d.bak"] if backup else [])


def test_two_edits_of_one_dataset_at_once(tmp_path):
    root = record(tmp_path / "d", (6, 4, 5), cameras=False)
    with replacing_folder(root) as folder, pytest.raises(DatasetError, match="being edited by another process"):
        shutil.copytree(root, folder, dirs_exist_ok=True)
        delete(root, [0])
    assert len(Dataset.open(root)) == 3
