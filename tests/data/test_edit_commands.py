"""The editing commands as they are typed: their options arrive, and what they print is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.results import read_summary
from data.store import Dataset
from tests.data.conftest import make_arrays, record
from waldo.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Type a command in a folder that holds the recordings a and b; its printed lines and its figures."""
    monkeypatch.chdir(tmp_path)
    record(Path("a"), (7, 12, 5), cameras=False)
    record(Path("b"), (4, 6), cameras=False)

    def typed(*words: str, status: int = 0) -> tuple[str, dict[str, float]]:
        assert main(["data", *words, "out=out"]) == status
        printed = capsys.readouterr()
        if status:
            return printed.err, {}
        return printed.out, {figure.name: figure.value for figure in read_summary(Path("out"))[2]}

    return typed


def test_delete(run):
    said, figures = run("delete", "a", "episodes=[-1]", "backup=true")
    assert "a: 2 episodes, 19 frames, 5 fewer" in said
    assert figures == {"delete/episodes": 2, "delete/frames": 19}
    assert Dataset.open("a").lengths.tolist() == [7, 12]
    assert Dataset.open("a.bak").lengths.tolist() == [7, 12, 5]
    assert "names episode 9" in run("delete", "a", "episodes=[9]", status=2)[0]


def test_trim(run):
    run("trim", "a", "frames={1: [2, -3], 0: [null, 4]}", "dataset=t")
    np.testing.assert_array_equal(Dataset.open("t").episode(1)["action"], make_arrays(12, 1)["action"][2:-3])
    assert Dataset.open("t").lengths.tolist() == [4, 7, 5]
    assert "nothing to cut off in 3 episodes" in run("trim", "a", "idle=0.001", "keep=1", "columns=[action]", "episodes=[0]")[0]
    assert "in one way" in run("trim", "a", status=2)[0]
    assert "wanted {episode: [start, stop]}" in run("trim", "a", "frames={1: 2}", status=2)[0]


def test_relabel(run):
    run("relabel", "a", "tasks={push: push the red cube, 1: 'lift, slowly'}", "episode_tasks={2: go home}", "drop=[stage]")
    assert [Dataset.open("a").episode(i).task for i in range(3)] == ["push the red cube", "lift, slowly", "go home"]
    run("relabel", "a", "rename={observation.force: observation.grip}", "units={action: [m, m, rad]}", "robot_type=arm")
    dataset = Dataset.open("a")
    assert (dataset.robot_type, dataset.column_units["action"]) == ("arm", ("m", "m", "rad"))
    assert "observation.grip" in dataset.features and "stage" not in dataset.features


def test_merge_and_split(run):
    said, _ = run("merge", "a", "b", "dataset=c")
    assert "episodes 3 to 4 are those of b" in said
    assert Dataset.open("c").lengths.tolist() == [7, 12, 5, 4, 6]
    said, figures = run("split", "c", "counts={train: 3, valid: 1}", "shuffle=false", "dataset=parts")
    assert "1 episodes are in no part" in said
    assert figures == {"split/train": 3, "split/valid": 1, "split/left_out": 1}
    assert Dataset.open("parts/valid").lengths.tolist() == [4]
    run("split", "c", "episodes={odd: [1,3]}", "dataset=odd")
    assert Dataset.open("odd/odd").lengths.tolist() == [12, 4]
    run("relabel", "b", "robot_type=arm")
    assert "robot_type: 'dummy' and 'arm'" in run("merge", "a", "b", "dataset=d", status=2)[0]


def test_compact_and_repair(run):
    said, figures = run("compact", "a")
    assert "9 files became 5" in said
    assert figures["compact/files"] == 5  # info, stats, tasks, episodes, data
    Path("a/meta/tasks.parquet").unlink()
    Path("a/meta/stats.json").write_text("{")
    said, figures = run("repair", "a", "dry_run=true")
    assert "meta/tasks.parquet is missing" in said and "nothing was changed" in said
    said, _ = run("repair", "a")
    assert "the originals are in a.removed" in said
    assert "nothing to mend, 3 episodes" in run("repair", "a")[0]


def test_another_format_is_converted_first(run):
    run("export", "a", "format=zarr", "target=z.zarr")
    assert "is not edited in place" in run("delete", "z.zarr", "episodes=[0]", status=2)[0]
    said, _ = run("delete", "z.zarr", "episodes=[0]", "dataset=z")
    assert "converting it to LeRobotDataset v3.0 first" in said
    np.testing.assert_array_equal(Dataset.open("z").episode(0)["action"], make_arrays(12, 1)["action"])
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".")) == []
