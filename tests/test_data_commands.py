"""`waldo data ...`: what every action has to have, and what `info` says about recordings whose content is known."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.record import Recorder
from data.results import read_summary
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import LENGTHS, TOP, make_arrays, record
from waldo import cli, manual
from waldo.compose import composed
from waldo.dataset import info, terminal

ACTIONS = manual.actions("data")
DEMOS = Path(os.environ.get("WALDO_DATASETS") or "datasets")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A recording of three episodes; the working folder is the one above it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return record(tmp_path / "demo")


def figures(folder="out"):
    return {figure.name: figure.value for figure in read_summary(Path(folder))[2]}


def said(capsys):
    """What was printed, with single blanks."""
    return re.sub(" +", " ", capsys.readouterr().out)


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_a_manual_and_composes(action, capsys):
    assert cli.main(["data", action, "--help"]) == 0
    assert f"usage: waldo data {action}" in capsys.readouterr().out
    command = f"dataset/{action}"
    assert len(manual.docstring(command).splitlines()[0]) <= 110
    option = next(iter(manual.bare_options(command)), "")
    needed = [word.partition(":")[0] for word in (manual.CONFIGS / f"{command}.yaml").read_text().splitlines() if ": ???" in word]
    words = ["some where"] * bool(option) + [f"{key}=x" for key in needed if key != option]
    cfg = composed(command, words)
    if option:
        assert cfg[option] == ("some where" if option == "path" else ["some where"])
    for group in manual.defaults(command):
        for name in manual.choices(group):
            assert composed(command, [*words, f"{group}={name}"])[group] is not None


def test_every_line_of_an_actions_yaml_says_what_it_is():
    for action in ACTIONS:
        for line in (manual.CONFIGS / "dataset" / f"{action}.yaml").read_text().splitlines():
            if re.match(r"\w+:", line) and not line.startswith("defaults:"):
                assert " # " in line, f"{action}: {line}"


def test_info_shows_what_was_recorded(root, capsys):
    assert cli.main(["data", "info", "demo", "out=out"]) == 0
    text = said(capsys)
    for expected in (
        "format LeRobotDataset v3.0",
        "robot dummy",
        "fps 10 Hz",
        "recorded 3 episodes, 24 frames, 2.4 s",
        "lengths min 5, median 7, max 12 frames (0.5, 0.7, 1.2 s)",
        "tasks 2 x push\n 1 x lift",
        "action float32 3",
        "rad x2, 1 a b c",
        f"{TOP} video h264 yuv420p 32 x 48",
        f"no decoded frames yet; all of them would take {24 * 32 * 48 * 3 / 1000:.0f} kB",
        "(and timestamp, frame_index, episode_index, index, task_index)",
    ):
        assert expected in text
    files = [path for path in root.rglob("*") if path.is_file()]
    assert f"in {len(files) - 1} files" in text, "all but stats.json, which decides no value"
    rewards = [make_arrays(length, i)["next.reward"] for i, length in enumerate(LENGTHS)]
    found = figures()
    assert (found["info/episodes"], found["info/frames"], found["info/seconds"]) == (3, 24, 2.4)
    assert found["info/return"] == pytest.approx(np.mean([values.sum() for values in rewards]), rel=1e-6)


def test_info_gives_the_range_of_every_element(root, capsys):
    assert cli.main(["data", "info", "demo", "elements=true"]) == 0
    states = np.concatenate([make_arrays(length, i)["observation.state"] for i, length in enumerate(LENGTHS)])
    text = said(capsys)
    for i, name in enumerate("xy"):
        assert f" {name} {states[:, i].min():.4g} {states[:, i].max():.4g} m\n" in text
    assert "timestamp float32 1 0 1.1" in text


def test_info_decodes_nothing(root, monkeypatch):
    def refuse(*_):
        raise AssertionError("a frame was decoded")

    monkeypatch.setattr("data.from_lerobot.read_frames", refuse)
    assert cli.main(["data", "info", "demo"]) == 0


def test_info_takes_stored_ranges_where_the_columns_are_large(root, capsys, monkeypatch):
    monkeypatch.setattr(info, "READ", (0, 0))
    stored = json.loads((root / "meta/stats.json").read_text())
    stored["action"]["max"] = [77, 0, 0]
    (root / "meta/stats.json").write_text(json.dumps(stored))
    assert cli.main(["data", "info", "demo"]) == 0
    text = said(capsys)
    assert "77 rad x2" in text
    assert "ranges are those of the stored statistics" in text
    assert "return mean" in text


def test_info_shows_what_is_left_of_a_damaged_recording(root, capsys):
    min(root.glob("videos/*/*/*.mp4")).unlink()
    assert cli.main(["data", "info", "demo"]) == 0
    text = said(capsys)
    assert "recorded 3 episodes" in text
    assert "; 1 file missing" in text
    assert re.search(r"! .*mp4\s+is missing", text)
    path = min(root.glob("data/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    assert cli.main(["data", "info", "demo"]) == 0
    assert "is not a readable parquet file" in " ".join(capsys.readouterr().out.split())


def test_info_counts_successes_and_who_acted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    features = [Feature("action", (1,)), Feature("next.success", (1,), "bool"), Feature("is_intervention", (1,), "bool")]
    with Recorder("rec", 10, features) as recorder:
        for i in range(4):
            arrays = {"action": np.ones((5, 1), np.float32), "next.success": np.arange(5) == (4 if i < 3 else 9)}
            recorder.add_episode({**arrays, "is_intervention": (np.arange(5) < 2) & (i == 0)}, "push")
    assert cli.main(["data", "info", "rec", "out=out"]) == 0
    text = said(capsys)
    assert "success 3 of 4 episodes (75.0%)" in text
    assert "is_intervention no 90.0% of frames, in 4 episodes; yes 10.0% of frames, in 1 episode" in text
    assert "lengths 5 frames each" in text
    assert figures()["info/success"] == 0.75


def test_info_knows_the_decoded_frames(root, capsys):
    Dataset.open(root).images(TOP, (16, 24))
    size = sum(path.stat().st_size for path in root.rglob("*.npy"))
    assert cli.main(["data", "info", "demo"]) == 0
    assert f"cache {terminal.size(size)} {TOP} 16x24, in {root / '.cache'}" in said(capsys).replace("demo/.cache", str(root / ".cache"))


@pytest.mark.parametrize("name", ["demo", "my demo, the [2nd]", "it's=1"])
def test_the_commands_that_info_proposes_can_be_typed(root, capsys, name):
    root.rename(root.parent / name)
    given = f"./{name}" if "=" in name else name
    assert cli.main(["data", "info", given]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  $ ")]
    commands = [shlex.split(line, comments=True)[2:] for line in lines]
    assert ["data", "train"] == sorted({words[0] for words in commands})
    for words in commands:
        command, rest = manual.find(words)
        cfg = composed(command, rest)
        assert (cfg.data.path if command == "train" else cfg.path) == given


@pytest.mark.needs_g1
@pytest.mark.skipif(not (DEMOS / "g1_bottle_lerobot_v21").is_dir(), reason="no Unitree G1 recording under $WALDO_DATASETS")
def test_info_of_a_real_v21_recording_whose_videos_are_partly_elsewhere(tmp_path, capsys):
    assert cli.main(["data", "info", "g1_bottle_lerobot_v21", f"out={tmp_path / 'out'}"]) == 0
    text = said(capsys)
    assert "recorded 100 episodes, 35,965 frames, 19 min 59 s" in text
    assert "task 100 x Pick up the yellow bottle on the table." in text
    assert "90 files missing" in text
    table = pq.read_table(DEMOS / "g1_bottle_lerobot_v21/data/chunk-000/episode_000003.parquet")
    assert table.num_rows >= 221, "the shortest episode, as said"
    assert "lengths min 221," in text
    assert f"{figures(tmp_path / 'out')['info/seconds']:.3f}" == f"{35965 / 30:.3f}"


@pytest.mark.needs_pusht
@pytest.mark.skipif(not (DEMOS / "pusht").is_dir(), reason="no Push-T demonstrations under $WALDO_DATASETS")
def test_info_of_a_recording_that_does_not_say_its_rate(tmp_path, capsys):
    name = "pusht/pusht_cchi_v7_replay.zarr.zip"
    assert cli.main(["data", "info", name, f"out={tmp_path / 'a'}"]) == 0
    text = said(capsys)
    assert "fps not said; give it as fps=..." in text
    assert "recorded 206 episodes, 25,650 frames\n" in text
    assert "info/seconds" not in figures(tmp_path / "a")
    assert cli.main(["data", "info", name, "fps=10", f"out={tmp_path / 'b'}"]) == 0
    assert "42 min 45 s" in capsys.readouterr().out
    assert cli.main(["data", "info", name, "fps=-10", f"out={tmp_path / 'b'}"]) == 2
    assert cli.main(["data", "stats", name, f"out={tmp_path / 'c'}"]) == 0
    assert "no statistics are stored with this Zarr replay buffer" in capsys.readouterr().out
    assert cli.main(["data", "stats", name, "write=true", f"out={tmp_path / 'c'}"]) == 2
    assert "only LeRobotDataset v3.0 keeps its statistics in one file" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["info", "stats"])
def test_what_is_no_recording_is_one_clear_error(tmp_path, monkeypatch, capsys, action):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    Path("notes.txt").write_text("hello")
    for path in ("nowhere", "empty", "notes.txt"):
        assert cli.main(["data", action, path]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not Path("outputs").exists() or not list(Path("outputs").glob("*/*"))
    shutil.rmtree("empty")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (31_400, "31.4 kB"), (100_000, "100 kB"), (999_600, "1.0 MB"), (2.1e12, "2100 GB")]
)
def test_sizes(value, text):
    assert terminal.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (1199, "19 min 59 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert terminal.duration(seconds) == text


def test_a_histogram_is_as_high_as_its_fullest_bin():
    assert terminal.histogram(np.array([1, 1, 1, 1, 2, 4])) == "█▂ ▂"
    assert terminal.histogram(np.array([5, 5])) == ""
    assert len(terminal.histogram(np.arange(1000))) == 32
