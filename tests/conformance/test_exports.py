"""robomimic, minari and rerun read what waldo exports, waldo what they write; LeRobotDataset v2.1 goes through lerobot's converter."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.export import export
from data.source import Given
from data.store import Dataset
from tests.conformance.conftest import Official
from tests.conformance.samples import FEATURES, FLAT, FPS, LENGTHS, NUMBERS, TASKS, TOP, WRIST, columns, make_arrays, record, same
from tests.conformance.shown import show, shows_samples

pytestmark = pytest.mark.conformance
OBSERVED = tuple(f.name.removeprefix("observation.") for f in FEATURES if f.name.startswith("observation."))
PICTURES = {"top_image": TOP, "wrist_image": WRIST}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(record(tmp_path_factory.mktemp("recorded") / "ours"))


def shifted(values: np.ndarray) -> np.ndarray:
    """(N, ...) of all episodes -> what follows each frame, the last of an episode following itself."""
    parts = np.split(values, np.cumsum(LENGTHS)[:-1])
    return np.concatenate([np.concatenate([part[1:], part[-1:]]) for part in parts])


def read_robomimic(official: Official, file: Path, target: Path, *arguments: object) -> tuple[dict, dict[str, np.ndarray]]:
    told = official.run("robomimic_read.py", file, target, *arguments)
    with np.load(target) as arrays:
        return told, dict(arrays)


def read_minari(official: Official, root: Path, target: Path) -> tuple[dict, dict[str, np.ndarray]]:
    told = official.run("minari_read.py", root.name, target, MINARI_DATASETS_PATH=root.parent)
    with np.load(target) as arrays:
        return told, dict(arrays)


def test_robomimic_reads_our_export(official, recorded, tmp_path):
    file = export(recorded, "robomimic", tmp_path / "out", progress=False).path
    told, found = read_robomimic(official, file, tmp_path / "read.npz", "--vectors", *OBSERVED, "--images", *PICTURES)
    assert told["robomimic"] == "0.3.0" and told["demos"] == ["demo_0", "demo_1", "demo_2"] and told["frames"] == sum(LENGTHS)
    assert told["env"]["env_name"] == TASKS[0] and told["env"]["env_kwargs"]["control_freq"] == FPS
    expected = columns()
    np.testing.assert_array_equal(found["actions"], expected["action"])
    np.testing.assert_array_equal(found["rewards"].ravel(), expected["next.reward"].ravel())
    for name in OBSERVED:
        values = expected[f"observation.{name}"]
        np.testing.assert_array_equal(found[f"obs/{name}"].reshape(values.shape), values, err_msg=name)
        np.testing.assert_array_equal(found[f"next_obs/{name}"].reshape(values.shape), shifted(values), err_msg=f"next {name}")
    for name, key in PICTURES.items():
        frames = np.asarray(recorded.images(key))
        same(found[f"obs/{name}"], frames, name)
        same(found[f"next_obs/{name}"], shifted(frames), f"next {name}")
    np.testing.assert_array_equal(found["dones"].ravel(), expected["next.terminated"].ravel())


def test_robomimic_reads_the_masks_of_our_export(official, recorded, tmp_path):
    file = export(recorded, "robomimic", tmp_path / "out", progress=False, options={"valid": 0.34}).path
    parts = [read_robomimic(official, file, tmp_path / "read.npz", "--vectors", "state", "--mask", m)[0] for m in ("train", "valid")]
    assert [len(part["demos"]) for part in parts] == [2, 1]
    assert sorted(parts[0]["demos"] + parts[1]["demos"]) == ["demo_0", "demo_1", "demo_2"]


def test_waldo_and_robomimic_read_a_file_alike(official, tmp_path):
    """Laid out as robomimic's documentation describes it, with demos out of order, as merged files have them."""
    import h5py

    file, rng, lengths = tmp_path / "lift.hdf5", np.random.default_rng(0), {"demo_10": 6, "demo_2": 4, "demo_0": 5}
    with h5py.File(file, "w") as out:
        data = out.create_group("data")
        data.attrs["total"] = sum(lengths.values())
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {"robots": ["Panda"], "control_freq": 20}})
        for name, length in lengths.items():
            demo = data.create_group(name)
            demo.attrs["num_samples"], demo.attrs["model_file"] = length, "<mujoco/>"
            demo["actions"] = rng.uniform(-1, 1, (length, 7))
            demo["states"] = rng.normal(size=(length, 32))
            demo["rewards"], demo["dones"] = rng.random(length), (np.arange(length) == length - 1).astype(np.int64)
            for group in ("obs", "next_obs"):
                demo[f"{group}/robot0_eef_pos"] = rng.normal(size=(length, 3))
                demo[f"{group}/object"] = rng.normal(size=(length, 10))
                demo[f"{group}/agentview_image"] = rng.integers(0, 256, (length, 84, 84, 3), np.uint8)
        out["mask/train"] = np.array([b"demo_0", b"demo_10"])
    told, theirs = read_robomimic(
        official, file, tmp_path / "read.npz", "--vectors", "robot0_eef_pos", "object", "--images", "agentview_image"
    )
    dataset = Dataset.open(file)
    assert dataset.fps == 20 and dataset.lengths.tolist() == [5, 4, 6] and told["demos"] == ["demo_0", "demo_2", "demo_10"]
    table = dataset.table(["action", "next.reward", "observation.robot0_eef_pos", "observation.object"])
    for name, values in table.items():
        inside = {"action": "actions", "next.reward": "rewards"}.get(name, name.replace("observation.", "obs/"))
        np.testing.assert_array_equal(values, theirs[inside].reshape(values.shape), err_msg=name)
    (camera,) = dataset.camera_keys
    same(np.asarray(dataset.images(camera)), theirs["obs/agentview_image"], camera)


def test_minari_reads_our_export(official, recorded, tmp_path):
    root = export(recorded, "minari", tmp_path / "samples-v0", progress=False).path
    told, found = read_minari(official, root, tmp_path / "read.npz")
    assert told["minari"] == "0.5.4" and told["episodes"] == 3 and told["steps"] == sum(LENGTHS) and told["drawn"] in LENGTHS
    for i, length in enumerate(LENGTHS):
        expected = make_arrays(length, i)
        same(found[f"{i}:actions"], expected["action"], "actions")
        same(found[f"{i}:rewards"], expected["next.reward"], "rewards")
        same(found[f"{i}:terminations"], expected["next.terminated"], "terminations")
        for name in OBSERVED:
            values = expected[f"observation.{name}"]
            assert len(found[f"{i}:observations/{name}"]) == length + 1
            same(found[f"{i}:observations/{name}"][:length], values, name)
        for key in (TOP, WRIST):
            same(found[f"{i}:observations/{key.removeprefix('observation.images.')}"][:length], recorded.frames(key, i), key)


def test_minari_reads_our_export_of_a_single_vector(official, tmp_path):
    state = tuple(f for f in FEATURES if f.name in ("observation.state", "action"))
    dataset = Dataset.open(record(tmp_path / "ours", cameras=False, features=state))
    told, found = read_minari(official, export(dataset, "minari", tmp_path / "one-v3", progress=False).path, tmp_path / "read.npz")
    assert told["observation_space"].startswith("Box") and told["episodes"] == 3
    for i, length in enumerate(LENGTHS):
        same(found[f"{i}:observations"][:length], make_arrays(length, i)["observation.state"], "observations")
        assert found[f"{i}:truncations"].tolist() == [False] * (length - 1) + [True]


@pytest.mark.parametrize("name", ["cartpole-v0", "rooms-v0"])
def test_waldo_reads_what_minari_writes(official, tmp_path, name):
    told = official.run("minari_write.py", name, MINARI_DATASETS_PATH=tmp_path)
    _, theirs = read_minari(official, tmp_path / name, tmp_path / "read.npz")
    dataset = Dataset.open(tmp_path / name, given=Given(fps=50, task="balance"))
    assert (dataset.num_episodes, dataset.num_frames, dataset.tasks) == (told["episodes"], told["steps"], ("balance",))
    names = {"action": "actions", "next.reward": "rewards", "next.terminated": "terminations", "next.truncated": "truncations"}
    if name == "cartpole-v0":
        names["observation.state"] = "observations"
    else:
        names |= {"observation.pose": "observations/pose", "observation.map.walls": "observations/map/walls"}
    for i in range(dataset.num_episodes):
        episode = dataset.episode(i)
        for ours, inside in names.items():
            stored = theirs[f"{i}:{inside}"]
            np.testing.assert_array_equal(episode[ours].reshape(len(episode), -1), stored[: len(episode)].reshape(len(episode), -1), ours)
            if ours.startswith("observation."):
                np.testing.assert_array_equal(episode.final[ours], stored[-1], f"final {ours}")
        for key in dataset.camera_keys:
            same(dataset.frames(key, i), theirs[f"{i}:observations/eye"][:-1], key)
    assert len(dataset.camera_keys) == (name == "rooms-v0")


def test_lerobot_refuses_our_v21_and_its_converter_takes_it(official, recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = export(recorded, "lerobot_v21", tmp_path / "v21", progress=False).path
    refused = official.attempt("lerobot_read.py", root, tmp_path / "read.npz")
    assert refused.returncode != 0 and "BackwardCompatibilityError" in refused.stderr
    before = Dataset.open(Path(shutil.copytree(root, tmp_path / "before")))
    assert official.run("lerobot_convert.py", root) == {"version": "v3.0"}
    told, theirs = official.read(root, tmp_path / "read.npz")
    after, expected = Dataset.open(root), columns()
    for name in NUMBERS:  # texts are lost, and the export says so
        values = expected[name]
        same(theirs[name], values, f"lerobot's {name}")
        same(after.table([name])[name], values, f"waldo's {name}")
    assert told["lengths"] == list(LENGTHS) and told["episode_tasks"] == [[task] for task in TASKS]
    for key in (TOP, WRIST):
        # The export copies our videos and the converter joins them, so not one bit may differ.
        same(np.asarray(before.images(key)), np.asarray(recorded.images(key)), key)
        same(np.asarray(after.images(key)), np.asarray(recorded.images(key)), key)
        assert np.abs(theirs[key].astype(int) - np.asarray(recorded.images(key))).mean() < 1


def test_rerun_shows_our_v21(official, tmp_path):
    root = export(Dataset.open(record(tmp_path / "ours", features=FLAT)), "lerobot_v21", tmp_path / "v21", progress=False).path
    shows_samples(show(official, root, tmp_path), (TOP, WRIST), texts=False)


def test_rerun_reads_our_mcap(official, recorded, tmp_path):
    root = export(recorded, "mcap", tmp_path / "out", progress=False).path
    files = sorted(root.iterdir())
    assert [file.name for file in files] == [f"episode_{i:06d}.mcap" for i in range(3)]
    done = official.start(official.python.parent / "rerun", "mcap", "check", files[1])
    assert done.returncode == 0, done.stdout + done.stderr
    shown, expected = show(official, files[1], tmp_path), make_arrays(LENGTHS[1], 1)
    assert shown.complaints == []
    messages = {path: rows for told in shown.episodes.values() for path, rows in told["messages"].items()}
    pictures = {path: count for told in shown.episodes.values() for path, count in told["frames"].items()}
    assert pictures == {"/observation/images/top": LENGTHS[1], "/observation/images/wrist": LENGTHS[1]}
    assert set(messages) == {"/" + name.replace(".", "/") for name in NUMBERS}
    for name in NUMBERS:
        rows = [json.loads(text) for text in messages["/" + name.replace(".", "/")]]
        values = [row["value"] if "value" in row else list(row.values()) for row in rows]
        np.testing.assert_array_equal(np.array(values, expected[name].dtype).reshape(expected[name].shape), expected[name], err_msg=name)
    os.truncate(files[0], files[0].stat().st_size // 2)  # the control
    assert official.start(official.python.parent / "rerun", "mcap", "check", files[0]).returncode != 0
