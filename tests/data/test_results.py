"""Summaries and episode logs: what is written is read back, whatever happened in between."""

import json
import math

import numpy as np
import pytest

from data.errors import DatasetError
from data.results import EpisodeLog, Figure, read_summary, write_summary


def test_a_summary_is_read_back_as_it_was_written(tmp_path):
    figures = [Figure("success/flow", np.float32(0.5), n=np.int64(20), low=0.3, high=0.7), Figure("latency", 1.25, "ms")]
    write_summary(tmp_path, "evaluate", {"seed": 3}, figures)
    command, provenance, found = read_summary(tmp_path)
    assert (command, provenance, found) == ("evaluate", {"seed": 3}, figures)
    row = json.loads((tmp_path / "summary.json").read_text())["figures"][0]
    assert row == {"name": "success/flow", "value": 0.5, "unit": "", "n": 20, "low": 0.3, "high": 0.7}


def test_a_value_that_is_not_finite_is_null_in_the_file_and_nan_in_memory(tmp_path):
    write_summary(tmp_path, "train", {}, [Figure("loss", math.nan, low=-math.inf)])
    assert json.loads((tmp_path / "summary.json").read_text())["figures"][0]["value"] is None
    assert math.isnan(read_summary(tmp_path)[2][0].value)


def test_two_figures_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="named twice: a"):
        write_summary(tmp_path, "train", {}, [Figure("a", 1.0), Figure("a", 2.0)])


def test_a_write_that_fails_leaves_the_old_summary(tmp_path):
    write_summary(tmp_path, "train", {}, [Figure("a", 1.0)])
    with pytest.raises(TypeError):
        write_summary(tmp_path, "train", {"bad": object()}, [Figure("a", 2.0)])
    assert read_summary(tmp_path)[2][0].value == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"figures": [{"name": "a"}]}', '{"figures": [{"value": 1, "bad": 2}]}'])
def test_what_is_not_a_summary_is_said(tmp_path, text):
    if text is not None:
        (tmp_path / "summary.json").write_text(text)
    with pytest.raises(DatasetError, match=r"summary"):
        read_summary(tmp_path)


def test_an_interrupted_log_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "runs" / "episodes.jsonl"
    with EpisodeLog(path) as log:
        log.append({"seed": np.uint64(7), "success": np.bool_(True), "return": np.float64(math.nan)})
        log.append({"seed": 3, "success": False})
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines(keepends=True)[1])):  # a crash anywhere in the last row
        path.write_bytes(whole[:-cut])
        with EpisodeLog(path) as log:
            assert log.done_seeds() == {7}
            log.append({"seed": 3, "success": False})
        assert path.read_bytes() == whole
    with EpisodeLog(path) as log:
        assert [row["seed"] for row in log.rows()] == [3, 7]
        assert log.rows()[1] == {"seed": 7, "success": True, "return": None}
        assert len(log) == 2


def test_a_row_is_on_the_disk_before_the_next_episode_starts(tmp_path):
    with EpisodeLog(tmp_path / "e.jsonl") as log:
        log.append({"seed": 1})
        assert (tmp_path / "e.jsonl").read_text() == '{"seed": 1}\n'


def test_a_damaged_row_in_the_middle_is_an_error_because_rows_were_lost(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"seed": 1}\n{"se\n{"seed": 3}\n')
    with pytest.raises(DatasetError, match="line 2"):
        EpisodeLog(path)


def test_a_seed_is_logged_once_and_never_left_out(tmp_path):
    with EpisodeLog(tmp_path / "e.jsonl") as log:
        log.append({"seed": 1})
        with pytest.raises(ValueError, match="already"):
            log.append({"seed": 1})
        with pytest.raises(ValueError, match="seed"):
            log.append({"success": True})
