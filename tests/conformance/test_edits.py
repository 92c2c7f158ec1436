"""lerobot and rerun read what waldo's edits and repairs leave, lerobot appends to it; and edits of what lerobot wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.editing.compact import compact
from data.editing.delete import delete
from data.editing.merge import merge
from data.editing.opening import Place
from data.editing.relabel import Labels, relabel
from data.editing.split import Rule, split
from data.editing.trim import trim
from data.repair import repair
from data.store import Dataset
from tests.conformance.conftest import Official
from tests.conformance.samples import CAMERAS, LENGTHS, TOP, WRIST, alike, film, make_arrays, make_images, make_plan, record, same
from tests.conformance.shown import show

pytestmark = pytest.mark.conformance
Episodes = list[tuple[int, slice]]  # seed, and which of its frames


def holds(official: Official, root: Path, episodes: Episodes, codec: str = "h264") -> None:
    """lerobot and waldo read these pieces of what `samples.record` wrote: every value, and the right frame at every time."""
    told, found = official.read(root, root.parent / f"{root.name}.npz")
    dataset = Dataset.open(root)
    table = dataset.table([name for name in dataset.column_keys if name in make_arrays(1, 0)])
    assert told["lengths"] == dataset.lengths.tolist()
    for name, values in table.items():
        expected = np.concatenate([make_arrays(LENGTHS[seed], seed)[name][cut] for seed, cut in episodes])
        same(values, expected, f"waldo's {name}")
        same(found[name], expected, f"lerobot's {name}")
    np.testing.assert_array_equal(found["index"].ravel(), np.arange(dataset.num_frames))
    np.testing.assert_array_equal(found["episode_index"].ravel(), np.repeat(np.arange(len(dataset)), dataset.lengths))
    for camera in CAMERAS:
        key = f"observation.images.{camera}"
        expected = np.concatenate([make_images(LENGTHS[seed], seed, camera)[cut] for seed, cut in episodes])
        compare = same if codec == "png" else alike
        compare(found[key], expected, f"lerobot's {camera}")
        compare(np.asarray(dataset.images(key)), expected, f"waldo's {camera}")
    assert told["task_of_frame"] == [dataset.tasks[i] for i in dataset.table(["task_index"])["task_index"].ravel()]
    assert told["tasks"] == list(dataset.tasks)


ALL = slice(None)
EDITS: dict[str, tuple[Callable[[Path], object], Episodes]] = {
    "delete": (lambda root: delete(root, [1]), [(0, ALL), (2, ALL)]),
    "delete_of_joined": (lambda root: (compact(root), delete(root, [0])), [(1, ALL), (2, ALL)]),
    "trim": (lambda root: trim(root, {0: (3, None), 1: (2, 9), 2: (None, 4)}), [(0, slice(3, None)), (1, slice(2, 9)), (2, slice(0, 4))]),
    "trim_and_compact": (lambda root: (trim(root, {1: (5, 9)}), compact(root)), [(0, ALL), (1, slice(5, 9)), (2, ALL)]),
    "compact": (lambda root: compact(root), [(0, ALL), (1, ALL), (2, ALL)]),
    "relabel": (lambda root: relabel(root, Labels(tasks={0: "x"}, episode_tasks={2: "y"})), [(0, ALL), (1, ALL), (2, ALL)]),
    "repair": (lambda root: (shutil.rmtree(root / "meta/episodes"), repair(root)), [(0, ALL), (1, ALL), (2, ALL)]),
}


@pytest.mark.parametrize("codec", ["h264", "png"])
@pytest.mark.parametrize("name", EDITS)
def test_lerobot_reads_what_an_edit_leaves_and_appends_to_it(official, tmp_path, name, codec):
    root = record(tmp_path / "ours", codec=codec)
    change, episodes = EDITS[name]
    change(root)
    holds(official, root, episodes, codec)
    shown = show(official, root, tmp_path)
    assert len(shown.complaints) == 1  # it draws no matrices, of which there are two in each episode
    assert f"({2 * len(episodes)} failure occurrences)" in shown.complaints[0]
    assert {f"/{key}": sum(told["frames"][f"/{key}"] for told in shown.episodes.values()) for key in (TOP, WRIST)} == dict.fromkeys(
        (f"/{TOP}", f"/{WRIST}"), Dataset.open(root).num_frames
    )
    features = json.loads((root / "meta/info.json").read_text())["features"]
    arrays = make_arrays(LENGTHS[1], 1) | {TOP: make_images(LENGTHS[1], 1), WRIST: make_images(LENGTHS[1], 1, "wrist")}
    plan = make_plan(tmp_path / "plan", features, [(arrays, ["something new"] * LENGTHS[1])] * 2)
    official.run("lerobot_record.py", root, plan)
    holds(official, root, [*episodes, (1, ALL), (1, ALL)], codec)
    record(root, LENGTHS[2:], ["a third writer"], first=len(episodes) + 2, codec=codec)
    assert official.read(root, tmp_path / "again.npz")[0]["tasks"][-2:] == ["something new", "a third writer"]
    delete(root, [0, -1])
    compact(root)
    holds(official, root.rename(tmp_path / "late"), [*episodes[1:], (1, ALL), (1, ALL)], codec)


def test_lerobot_reads_merged_and_split_datasets(official, tmp_path):
    one, two = record(tmp_path / "one"), record(tmp_path / "two")
    compact(two)
    merge([one, two], tmp_path / "both")
    holds(official, tmp_path / "both", [(i, ALL) for i in (0, 1, 2, 0, 1, 2)])
    split(tmp_path / "both", Rule(episodes={"a": [1, 5], "b": [0, 2, 4]}), tmp_path / "parts")
    holds(official, tmp_path / "parts/a", [(1, ALL), (2, ALL)])
    holds(official, tmp_path / "parts/b", [(0, ALL), (2, ALL), (1, ALL)])


@pytest.mark.parametrize("dtype", ["video", "image"])
def test_edits_of_what_lerobot_wrote(official, tmp_path, dtype):
    """AV1 in one file, no names, two tasks in an episode."""
    features = {name: {"dtype": "float32", "shape": [3], "names": None} for name in ("observation.state", "action")}
    features[TOP] = {"dtype": dtype, "shape": [*CAMERAS["top"], 3], "names": ["height", "width", "channels"]}
    rng = np.random.default_rng(0)
    episodes = []
    for i, length in enumerate(LENGTHS):
        arrays = {name: rng.normal(size=(length, 3)).astype(np.float32) for name in ("observation.state", "action")}
        episodes.append((arrays | {TOP: make_images(length, i)}, ["lift"] * 2 + ["push"] * (length - 2) if i == 1 else ["push"] * length))
    theirs = tmp_path / "theirs"
    official.run("lerobot_record.py", theirs, make_plan(tmp_path / "plan", features, episodes))
    assert repair(theirs).notes == ()
    delete(theirs, [0], Place(tmp_path / "less"))
    trim(tmp_path / "less", {0: (1, 8)})
    for step in ("edited", "compacted"):
        told, found = official.read(tmp_path / "less", tmp_path / "read.npz")
        dataset = Dataset.open(tmp_path / "less")
        assert told["lengths"] == [7, 5], step
        assert told["task_of_frame"] == ["lift"] + ["push"] * 11
        for name in ("observation.state", "action"):
            same(found[name], np.concatenate([episodes[1][0][name][1:8], episodes[2][0][name]]), name)
        expected = np.concatenate([film()[LENGTHS[0] + 1 : LENGTHS[0] + 8], film()[-LENGTHS[2] :]])
        (same if dtype == "image" else alike)(found[TOP], expected, TOP)
        (same if dtype == "image" else alike)(np.asarray(dataset.images(TOP)), expected, TOP)
        assert set(told["stats"]) == set(dataset.features)
        compact(tmp_path / "less")
