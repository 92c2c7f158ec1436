"""Decode once: resumable, shared, never stale, and nothing half-made ever seen."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.cache import open_column, open_frames
from data.errors import DatasetError
from data.source import Clip
from data.store import Dataset
from tests.data.conftest import TOP, record

CONTENT = "0123456789abcdef" * 4
SIZE = (4, 6)


def image(row: int) -> np.ndarray:
    return np.full((*SIZE, 3), row, np.uint8)


def clips(count=5, length=3, seen=None, fail=None):
    def decode(k, size):
        for row in range(k * length, (k + 1) * length):
            if fail is not None and k == fail:
                raise DatasetError(f"clip {k} is broken")
            yield image(row)
        if seen is not None:
            seen.append(k)

    return [Clip(f"clip {k}", np.arange(k * length, (k + 1) * length), lambda size, k=k: decode(k, size)) for k in range(count)]


def opened(folder, made=clips, content=CONTENT, count=15):
    return open_frames([folder], "top-4x6", content, made, count, SIZE, False)


def test_every_frame_is_where_it_belongs_and_read_only(tmp_path):
    frames = opened(tmp_path)
    assert isinstance(frames, np.memmap) and frames.shape == (15, 4, 6, 3)
    for row in range(15):
        np.testing.assert_array_equal(frames[row], image(row))
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0
    assert [p.name for p in tmp_path.iterdir()] == [f"top-4x6-{CONTENT[:16]}.npy"]


def test_it_is_decoded_once(tmp_path):
    opened(tmp_path)

    def again():
        raise AssertionError("decoded again")

    np.testing.assert_array_equal(opened(tmp_path, again)[14], image(14))


CUT = """
import os, signal, sys
import numpy as np
from tests.data.test_cache import clips, opened
from pathlib import Path
import data.cache

decode, done = data.cache._decode_clip, []

def cut(clip, size, array):
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    decode(clip, size, array)
    done.append(clip)

data.cache._decode_clip = cut
data.cache.ThreadPoolExecutor = lambda workers: __import__("concurrent.futures").futures.ThreadPoolExecutor(1)
opened(Path(sys.argv[1]))
"""


def test_a_build_that_was_killed_goes_on_where_it_stopped(tmp_path):
    done = subprocess.run([sys.executable, "-c", CUT, str(tmp_path)], cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == -signal.SIGKILL
    assert not list(tmp_path.glob("*.npy")) and len(list(tmp_path.glob("*.part"))) == 1
    seen: list[int] = []
    frames = opened(tmp_path, lambda: clips(seen=seen))
    finished = 5 - len(seen)
    assert 1 <= finished <= 3 and sorted(seen) == list(range(finished, 5))
    for row in range(15):
        np.testing.assert_array_equal(frames[row], image(row))
    assert len(list(tmp_path.iterdir())) == 1


def test_after_a_crash_of_the_machine_it_begins_anew(tmp_path, monkeypatch):
    part = tmp_path / f"top-4x6-{CONTENT[:16]}.npy.part"
    np.lib.format.open_memmap(part, "w+", np.uint8, (15, *SIZE, 3)).flush()
    part.with_name(part.name.removesuffix(".part") + ".journal").write_text("another boot\nclip 0\nclip 1\n")
    seen: list[int] = []
    np.testing.assert_array_equal(opened(tmp_path, lambda: clips(seen=seen))[0], image(0))
    assert sorted(seen) == list(range(5))


def test_what_is_broken_leaves_nothing_behind(tmp_path):
    with pytest.raises(DatasetError, match="clip 3 is broken"):
        opened(tmp_path, lambda: clips(fail=3))
    assert list(tmp_path.iterdir()) == []


def test_another_content_takes_the_place_of_the_old_one(tmp_path):
    opened(tmp_path)
    opened(tmp_path, content="f" * 64)
    assert [p.name for p in tmp_path.iterdir()] == [f"top-4x6-{'f' * 16}.npy"]


def _child(root: str, queue) -> None:
    dataset = Dataset.open(root)
    queue.put(int(dataset.images(TOP).astype(np.int64).sum()))


def test_processes_share_one_cache_and_build_it_once(root):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(str(root), queue)) for _ in range(3)]
    for child in children:
        child.start()
    sums = {queue.get(timeout=60) for _ in children}
    for child in children:
        child.join()
    assert sums == {int(Dataset.open(root).images(TOP).astype(np.int64).sum())}
    assert len(list((root / ".cache").glob("*"))) == 1


def test_a_dataset_that_was_read_in_the_parent_is_read_right_after_a_fork(root):
    dataset = Dataset.open(root)
    whole, first = dataset.images(TOP), dataset.frames(TOP, 0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def child(i: int) -> None:
        again = dataset.frames(TOP, i)
        start = int(dataset.episode_ends[i] - dataset.lengths[i])
        queue.put((np.array_equal(again, whole[start : start + len(again)]), float(dataset.table(["action"])["action"].sum())))

    children = [context.Process(target=child, args=(i,)) for i in range(3)]
    for process in children:
        process.start()
    found = [queue.get(timeout=60) for _ in children]
    for process in children:
        process.join()
    assert all(same for same, _ in found) and len({total for _, total in found}) == 1 and len(first) == 7


def test_columns_too_large_for_memory_are_mapped(state_root, monkeypatch):
    small = Dataset.open(state_root).table(["action", "next.terminated", "observation.force"])
    monkeypatch.setattr("data.store.IN_MEMORY", 10)
    monkeypatch.setattr("data.store.PIECE", 2)
    large = Dataset.open(state_root)
    for name, values in large.table(list(small)).items():
        assert isinstance(values, np.memmap)
        np.testing.assert_array_equal(values, small[name])
    np.testing.assert_array_equal(large.episode(1)["action"], small["action"][7:19])
    part = Dataset.open(state_root, episodes=[0, 2])
    np.testing.assert_array_equal(part.table(["action"])["action"], small["action"][np.r_[0:7, 19:24]])


def test_a_column_in_pieces(tmp_path):
    pieces = [np.arange(3.0), np.arange(3.0, 5)]
    column = open_column([tmp_path], "x", CONTENT, (5,), np.dtype(np.float64), lambda: iter(pieces))
    np.testing.assert_array_equal(column, np.arange(5.0))


def test_a_dataset_grows_and_its_index_follows(tmp_path, monkeypatch):
    """The saved index is used, extended by what was appended, and dropped when a file was changed."""
    from data.lerobot import catalog, metadata

    monkeypatch.setattr(catalog, "MANY", 0)
    root = record(tmp_path / "demo", (5, 6, 7), cameras=True)
    first = Dataset.open(root)
    assert (root / ".cache/index.npz").exists()
    read: list[int] = []
    original = metadata._read_episodes
    monkeypatch.setattr(metadata, "_read_episodes", lambda *a: read.append(a[2]) or original(*a))
    again = Dataset.open(root)
    assert read == [] and again.lengths.tolist() == [5, 6, 7] and again.content_hash == first.content_hash
    assert [again.episode_tasks(i) for i in range(3)] == [first.episode_tasks(i) for i in range(3)]
    (root / ".cache/index.npz").unlink()
    Dataset.open(root)
    assert read == [0]


def test_the_index_does_not_survive_a_changed_file(tmp_path, monkeypatch):
    from data.lerobot import catalog

    monkeypatch.setattr(catalog, "MANY", 0)
    root = record(tmp_path / "demo", (5, 6, 7), cameras=True)
    Dataset.open(root)
    video = root / f"videos/{TOP}/chunk-000/file-001.mp4"
    video.write_bytes(video.read_bytes()[:-30])
    with pytest.raises(DatasetError, match="file-001.mp4 .* is not a complete mp4 video"):
        Dataset.open(root)
    assert Dataset.open(root, episodes=[0, 2]).num_episodes == 2
    video.unlink()
    with pytest.raises(DatasetError, match=r"file-001.mp4 is missing"):
        Dataset.open(root)
    (root / ".cache/index.npz").write_bytes(b"no index")
    assert Dataset.open(root, cameras=()).num_episodes == 3


def test_episodes_that_were_appended_are_read_and_no_others(tmp_path, monkeypatch):
    from data.lerobot import catalog, metadata
    from data.record import Recorder
    from tests.data.conftest import CAMERAS, FEATURES, make_arrays, make_images

    monkeypatch.setattr(catalog, "MANY", 0)
    root = record(tmp_path / "demo", (5, 6, 7), cameras=True)
    Dataset.open(root)
    old = (root / ".cache/index.npz").read_bytes()
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_episode(make_arrays(4, 3), "a new task", {"top": make_images(4, 3)})
    (root / ".cache/index.npz").write_bytes(old)
    read: list[int] = []
    original = metadata._read_episodes
    monkeypatch.setattr(metadata, "_read_episodes", lambda *a: read.append(a[2]) or original(*a))
    grown = Dataset.open(root)
    assert read == [3] and grown.lengths.tolist() == [5, 6, 7, 4] and grown.episode(3).task == "a new task"
    np.testing.assert_array_equal(grown.episode(3)["action"], make_arrays(4, 3)["action"])
    assert len(grown.frames(TOP, 3)) == 4
