"""lerobot 0.4.4 opens, indexes, appends to and deletes from what waldo records; waldo reads what lerobot writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.store import Dataset
from data.windows import Windows
from tests.conformance.conftest import Official
from tests.conformance.samples import (
    CAMERAS,
    FLAT,
    FPS,
    LENGTHS,
    NUMBERS,
    TASKS,
    TOP,
    WRIST,
    alike,
    columns,
    film,
    make_arrays,
    make_images,
    make_plan,
    record,
    same,
)

pytestmark = pytest.mark.conformance
EXACT = ("min", "max", "mean", "std", "count")  # quantiles are estimated by both, from histograms or per episode
OVERFLOWING = ("observation.buttons", "stage")  # lerobot squares integers in their own dtype


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never changed: tests that write copy it first."""
    return record(tmp_path_factory.mktemp("recorded") / "ours")


@pytest.fixture
def ours(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "ours"))


def frames_of(dataset: Dataset, key: str) -> np.ndarray:
    return np.asarray(dataset.images(key))


def with_cameras(length: int, seed: int) -> dict[str, np.ndarray]:
    return make_arrays(length, seed) | {TOP: make_images(length, seed), WRIST: make_images(length, seed, "wrist")}


def holds_samples(
    official: Official, root: Path, lengths: tuple[int, ...], tasks: tuple[str, ...], cameras: bool = True, codec: str = "h264"
) -> None:
    """Both lerobot and waldo read the episodes with the seeds 0, 1, 2, ..."""
    expected = columns(lengths)
    told, found = official.read(root, root.parent / "read.npz")
    dataset = Dataset.open(root)
    table = dataset.table([*NUMBERS, "episode_index", "index", "timestamp"])
    for name, values in expected.items():
        same(found[name], values, f"lerobot's {name}")
    for name in NUMBERS:
        same(table[name], expected[name], f"waldo's {name}")
    compare = same if codec == "png" else alike
    for camera in CAMERAS if cameras else ():
        key = f"observation.images.{camera}"
        compare(found[key], film(camera, lengths), f"lerobot's {camera}")
        compare(frames_of(dataset, key), film(camera, lengths), f"waldo's {camera}")
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    for name, values in {"episode_index": numbers, "index": np.arange(sum(lengths))}.items():
        same(found[name], values, f"lerobot's {name}")
        same(table[name], values, f"waldo's {name}")
    seconds = np.concatenate([np.arange(length) for length in lengths]) / FPS
    np.testing.assert_allclose(found["timestamp"], seconds, atol=1e-6)
    np.testing.assert_allclose(table["timestamp"].ravel(), seconds, atol=1e-6)
    assert told["lengths"] == list(lengths) and told["frames"] == sum(lengths)
    assert told["episode_tasks"] == [[task] for task in tasks]
    assert told["task_of_frame"] == [tasks[i] for i in numbers]
    assert [dataset.episode(i).task for i in range(len(lengths))] == list(tasks)
    assert told["tasks"] == list(dataset.tasks) == list(dict.fromkeys(tasks))


@pytest.mark.parametrize("codec", ["h264", "av1", "png"])
def test_lerobot_reads_what_waldo_records(official, tmp_path, codec):
    ours = record(tmp_path / "ours", codec=codec)
    holds_samples(official, ours, LENGTHS, TASKS, codec=codec)
    told, found = official.read(ours, tmp_path / "read.npz", "--episodes", 0, 2)
    assert told["lerobot"] == "0.4.4" and told["fps"] == FPS and told["robot_type"] == "dummy"
    assert {"observation.größe": ["float64", [2], ["Länge", "幅"]], "stage": ["int64", [1], None]}.items() <= told["features"].items()
    assert set(found) == set(told["features"])
    assert found["index"].tolist() == [*range(LENGTHS[0]), *range(LENGTHS[0] + LENGTHS[1], sum(LENGTHS))]


def test_lerobot_reads_a_dataset_without_cameras(official, tmp_path):
    holds_samples(official, record(tmp_path / "ours", cameras=False), LENGTHS, TASKS, cameras=False)


@pytest.mark.parametrize("episodes", [[0, 1, 2], [0, 2], [1]])
def test_windows_are_those_of_lerobot(official, recorded, tmp_path, episodes):
    n_obs_steps, horizon = 3, 6
    past, future = [i / FPS for i in range(1 - n_obs_steps, 1)], [i / FPS for i in range(horizon)]
    deltas = {"observation.state": past, "observation.keypoints": past, TOP: past, WRIST: past, "action": future}
    _, theirs = official.read(recorded, tmp_path / "read.npz", "--episodes", *episodes, "--deltas", json.dumps(deltas))
    dataset = Dataset.open(recorded, episodes=episodes)
    table = dataset.table(["observation.state", "observation.keypoints", "action"])
    windows = Windows(table | {key: frames_of(dataset, key) for key in (TOP, WRIST)}, dataset.episode_ends, n_obs_steps, horizon)
    ours = windows.batch(np.arange(len(windows)))
    assert len(windows) == sum(LENGTHS[i] for i in episodes)
    for name in ("observation.state", "observation.keypoints", "action", "action_is_pad"):
        same(ours[name], theirs[name], name)
    for key, camera in ((TOP, "top"), (WRIST, "wrist")):
        # Both decode the same video, each by its own conversion to red, green, blue.
        error = np.abs(ours[key].astype(int) - theirs[key])
        assert ours[key].shape == theirs[key].shape == (len(windows), n_obs_steps, *CAMERAS[camera], 3)
        assert error.mean() < 1 and error.max() <= 8, f"{key} differs by {error.mean():.2f} on average, {error.max()} at most"
    assert theirs["observation.state_is_pad"].any()  # the padding before an episode was among what was compared


@pytest.mark.parametrize("codec", ["h264", "png"])
def test_lerobot_appends_to_ours_and_waldo_behind_it(official, tmp_path, codec):
    ours = record(tmp_path / "ours", codec=codec)
    features = json.loads((ours / "meta/info.json").read_text())["features"]
    new = "stack 箱"
    plan = make_plan(tmp_path / "plan", features, [(with_cameras(6, 3), [new] * 6), (with_cameras(9, 4), [TASKS[1]] * 9)])
    assert official.run("lerobot_record.py", ours, plan) == {"episodes": 5, "frames": sum(LENGTHS) + 15}
    holds_samples(official, ours, (*LENGTHS, 6, 9), (*TASKS, new, TASKS[1]), codec=codec)
    record(ours, (4,), ("a fourth task",), first=5, codec=codec)
    holds_samples(official, ours, (*LENGTHS, 6, 9, 4), (*TASKS, new, TASKS[1], "a fourth task"), codec=codec)
    assert official.run("lerobot_record.py", ours, plan)["episodes"] == 8  # and once more lerobot, behind waldo
    assert Dataset.open(ours).num_frames == sum(LENGTHS) + 34


def test_waldo_appends_to_a_dataset_of_lerobot(official, ours, tmp_path):
    info = json.loads((ours / "meta/info.json").read_text())
    features = {name: feature for name, feature in info["features"].items() if name in with_cameras(1, 0)}
    theirs = tmp_path / "theirs"
    plan = make_plan(tmp_path / "plan", features, [(with_cameras(n, i), [TASKS[i]] * n) for i, n in enumerate(LENGTHS)])
    official.run("lerobot_record.py", theirs, plan)
    holds_samples(official, theirs, LENGTHS, TASKS)
    record(theirs, (8,), ("something new",), first=3)
    holds_samples(official, theirs, (*LENGTHS, 8), (*TASKS, "something new"))


def test_lerobot_deletes_episodes_of_ours(official, tmp_path):
    """Without matrices: on those, lerobot's delete_episodes fails in datasets of its own as well."""
    ours, left = record(tmp_path / "ours", features=FLAT), tmp_path / "left"
    assert official.run("lerobot_delete.py", ours, left, 1) == {"episodes": 2, "frames": LENGTHS[0] + LENGTHS[2]}
    dataset = Dataset.open(left)
    assert dataset.episode_ends.tolist() == [LENGTHS[0], LENGTHS[0] + LENGTHS[2]]
    for i, seed in enumerate((0, 2)):
        expected, episode = make_arrays(LENGTHS[seed], seed), dataset.episode(i)
        for name in {feature.name for feature in FLAT} & set(NUMBERS):
            same(episode[name], expected[name], f"{name} of episode {i}")
        assert episode.task == TASKS[seed]
    for camera in CAMERAS:
        expected = np.concatenate([make_images(LENGTHS[seed], seed, camera) for seed in (0, 2)])
        alike(frames_of(dataset, f"observation.images.{camera}"), expected, camera)


@pytest.mark.parametrize("dtype", ["video", "image"])
def test_waldo_reads_what_lerobot_writes(official, tmp_path, dtype):
    """Without names, with a camera of each kind of storage, and with two tasks in one episode."""
    columns = {name: [1] if name in ("next.reward", "stage") else [3] for name in ("observation.state", "action", "next.reward", "stage")}
    features = {
        name: {"dtype": "int64" if name == "stage" else "float32", "shape": shape, "names": None} for name, shape in columns.items()
    }
    features[TOP] = {"dtype": dtype, "shape": [*CAMERAS["top"], 3], "names": ["height", "width", "channels"]}
    rng = np.random.default_rng(0)
    episodes = []
    for i, length in enumerate(LENGTHS):
        arrays = {
            name: (100 * rng.normal(size=(length, *f["shape"]))).astype(f["dtype"]) for name, f in features.items() if name in columns
        }
        arrays[TOP] = make_images(length, i)
        episodes.append((arrays, ["lift"] * 2 + ["push"] * (length - 2) if i == 1 else ["push"] * length))
    theirs = tmp_path / "theirs"
    official.run("lerobot_record.py", theirs, make_plan(tmp_path / "plan", features, episodes))
    dataset = Dataset.open(theirs)
    assert dataset.camera_keys == (TOP,) and dataset.features[TOP]["dtype"] == dtype and set(dataset.tasks) == {"push", "lift"}
    for i, (arrays, tasks) in enumerate(episodes):
        episode = dataset.episode(i)
        for name in columns:
            same(episode[name], arrays[name], f"{name} of episode {i}")
        assert [dataset.tasks[n] for n in episode["task_index"].ravel()] == tasks
    told, seen = official.read(theirs, tmp_path / "read.npz")
    frames = frames_of(dataset, TOP)
    if dtype == "image":
        same(frames, film(), "stills")
        same(seen[TOP], film(), "lerobot's stills")
    else:
        alike(frames, film(), "video")
        assert np.abs(frames.astype(int) - seen[TOP]).mean() < 1
    assert told["task_of_frame"] == [task for _, tasks in episodes for task in tasks]


def test_statistics_are_those_of_lerobot(official, ours, tmp_path):
    info = json.loads((ours / "meta/info.json").read_text())
    features = {name: feature for name, feature in info["features"].items() if name in with_cameras(1, 0)}
    theirs = tmp_path / "theirs"
    plan = make_plan(tmp_path / "plan", features, [(with_cameras(n, i), [TASKS[i]] * n) for i, n in enumerate(LENGTHS)])
    official.run("lerobot_record.py", theirs, plan)
    written, expected = (json.loads((root / "meta/stats.json").read_text()) for root in (ours, theirs))
    assert written.keys() == expected.keys()
    for name, stats in expected.items():
        assert written[name].keys() == stats.keys(), name
        for key, values in stats.items():
            found, wanted = np.asarray(written[name][key]), np.asarray(values)
            assert found.shape == wanted.shape, f"{key} of {name}"
            if name in (TOP, WRIST):  # each counts frames and pixels of its own choice
                if key == "mean":
                    np.testing.assert_allclose(found, wanted, atol=0.05, err_msg=f"{key} of {name}")
            elif key in EXACT and not (key == "std" and name in OVERFLOWING):
                np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4, err_msg=f"{key} of {name}")


@pytest.mark.needs_g1
def test_the_official_converter_and_waldo_read_the_real_v21_recording_alike(official, g1, g1_part, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert official.run("lerobot_convert.py", g1_part) == {"version": "v3.0"}
    source, converted = Dataset.open(g1, episodes=[27, 28, 29]), Dataset.open(g1_part)
    assert converted.episode_ends.tolist() == source.episode_ends.tolist() and converted.tasks == source.tasks
    names = ["observation.state", "action", "timestamp", "frame_index", "task_index"]
    ours, theirs = source.table(names), converted.table(names)
    for name in names:
        same(theirs[name], ours[name], name)
    size, key = (60, 80), "observation.images.cam_high"  # it copies the compressed frames, so not one bit may differ
    same(np.asarray(converted.images(key, size)), np.asarray(source.images(key, size)), key)
