"""`waldo data stats`: exact statistics, and what it says about stored ones that are wrong in a known way."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.record import Recorder
from data.results import read_summary
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, LENGTHS, TOP, make_arrays, record
from waldo import cli


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A recording of three episodes; the working folder is the one above it."""
    monkeypatch.chdir(tmp_path)
    return record(tmp_path / "demo")


def figures():
    return {figure.name: figure.value for figure in read_summary(Path("out"))[2]}


def test_stats_are_exact_and_right_ones_are_found_right(root, capsys):
    assert cli.main(["data", "stats", "demo", "out=out"]) == 0
    text = capsys.readouterr().out
    assert "the stored statistics are right" in text
    assert "averages over episodes" in text
    actions = np.concatenate([make_arrays(length, i)["action"] for i, length in enumerate(LENGTHS)]).astype(np.float64)
    found = json.loads(Path("out/stats.json").read_text())
    assert found["action"]["count"] == [24]
    for name, expected in {"min": actions.min(0), "max": actions.max(0), "mean": actions.mean(0), "std": actions.std(0)}.items():
        np.testing.assert_allclose(found["action"][name], expected, rtol=1e-7)
    ordered = np.sort(actions, axis=0)  # numpy's linear rule by hand: between the sorted values 5 and 6 of 0..23 for q = 0.25
    for name, q in {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}.items():
        below, rest = divmod(q * 23, 1)
        expected = ordered[int(below)] * (1 - rest) + ordered[int(below) + 1] * rest
        np.testing.assert_allclose(found["action"][name], expected, rtol=1e-9)
    assert figures()["stats/wrong"] == 0
    assert found[TOP] == json.loads((root / "meta/stats.json").read_text())[TOP], "not looked at, not changed"


def break_mean(stats):
    stats["action"]["mean"][1] += 0.01


def break_nan(stats):
    stats["action"]["std"][0] = None


def break_shape(stats):
    stats["action"]["max"] = [1.0]


def break_count(stats):
    stats["stage"]["count"] = [23]


def break_quantile(stats):
    stats["observation.state"]["q99"][0] = 1e6


def break_missing(stats):
    del stats["timestamp"]


def break_camera(stats):
    del stats[TOP]


def break_extra(stats):
    stats["observation.old"] = stats["action"]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (break_mean, "action b mean: stored"),
        (break_nan, "action a std: stored nan"),
        (break_shape, "action max: stored 1 values, exact 3"),
        (break_count, "stage count: stored 23, exact 24"),
        (break_quantile, "observation.state x q99: stored 1e+06"),
        (break_missing, "timestamp statistics: stored none"),
        (break_camera, f"{TOP} statistics: stored none, exact not computed; cameras=true does"),
        (break_extra, "observation.old statistics: stored some, exact no such feature"),
    ],
)
def test_wrong_statistics_are_named_and_write_mends_them(root, capsys, damage, expected):
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    damage(stats)
    path.write_text(json.dumps(stats))
    damaged = path.read_text()
    assert cli.main(["data", "stats", "demo", "out=out"]) == 0
    text = capsys.readouterr().out
    assert "wrong in the stored statistics: 1\n" in text
    assert expected in text
    assert figures()["stats/wrong"] == 1
    assert path.read_text() == damaged, "nothing is written unless it is said"
    cameras = ["cameras=true"] if damage is break_camera else []
    assert cli.main(["data", "stats", "demo", "write=true", *cameras]) == 0
    capsys.readouterr()
    assert cli.main(["data", "stats", "demo", "out=out"]) == 0
    assert "the stored statistics are right\n" in capsys.readouterr().out
    assert figures()["stats/quantile_drift"] == 0, "the written quantiles are the exact ones"


def test_written_statistics_have_the_shapes_that_the_recorder_writes(root):
    path = root / "meta/stats.json"
    before = json.loads(path.read_text())
    episodes = {p: p.read_bytes() for p in root.glob("meta/episodes/*/*")}
    assert cli.main(["data", "stats", "demo", "write=true", "cameras=true"]) == 0
    after = json.loads(path.read_text())
    assert {n: {k: np.shape(v) for k, v in s.items()} for n, s in after.items()} == {
        n: {k: np.shape(v) for k, v in s.items()} for n, s in before.items()
    }
    assert {type(v) for v in after["next.terminated"]["max"]} == {type(v) for v in before["next.terminated"]["max"]}
    assert {p: p.read_bytes() for p in root.glob("meta/episodes/*/*")} == episodes
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:  # what was written can be appended to
        recorder.add_episode(make_arrays(4, 3), "push", {"top": np.zeros((4, 32, 48, 3), np.uint8)})
    assert len(Dataset.open(root)) == 4


def test_statistics_of_cameras_survive_compression_and_a_wrong_one_does_not(root, capsys):
    assert cli.main(["data", "stats", "demo", "cameras=true"]) == 0
    text = capsys.readouterr().out
    assert "the stored statistics are right" in text
    assert re.search(r"\n    green +0 ", text)
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    stats[TOP]["mean"] = [[[127.0]], [[127.0]], [[127.0]]]  # 0..255 instead of 0..1
    path.write_text(json.dumps(stats))
    assert cli.main(["data", "stats", "demo", "cameras=true"]) == 0
    assert f"{TOP} red mean: stored 127" in capsys.readouterr().out


def test_what_rounding_leaves_of_quantiles_is_not_wrong(root, capsys):
    """lerobot 0.4.4 takes quantiles from histograms: 4e-14 instead of 0 where every value is 0, -1e-10 for the first timestamp."""
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    stats["episode_index"]["q01"], stats["timestamp"]["q01"] = [-4e-14], [-1e-10]
    path.write_text(json.dumps(stats))
    assert cli.main(["data", "stats", "demo"]) == 0
    assert "the stored statistics are right" in capsys.readouterr().out


def test_a_recorder_that_is_open_is_not_written_past(root, capsys):
    before = (root / "meta/stats.json").read_bytes()
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS):
        assert cli.main(["data", "stats", "demo", "write=true"]) == 2
    assert "another recorder is writing" in capsys.readouterr().err
    assert (root / "meta/stats.json").read_bytes() == before


def test_a_value_that_is_not_finite_is_one_clear_error(root, capsys):
    path = min(root.glob("data/*/*.parquet"))
    table = pq.read_table(path)
    values = table["next.reward"].to_numpy().copy()
    values[2] = np.nan
    pq.write_table(table.set_column(table.column_names.index("next.reward"), "next.reward", [values]), path)
    assert cli.main(["data", "stats", "demo"]) == 2
    assert "next.reward is nan in frame 2 of episode 0" in capsys.readouterr().err
    assert cli.main(["data", "info", "demo"]) == 0
    assert "next.reward holds values that are not finite" in capsys.readouterr().out


def test_a_recording_without_stored_statistics(root, capsys):
    (root / "meta/stats.json").unlink()
    assert cli.main(["data", "stats", "demo", "out=out"]) == 0
    assert "no statistics are stored" in capsys.readouterr().out
    assert "stats/wrong" not in figures()
