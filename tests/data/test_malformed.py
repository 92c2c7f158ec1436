"""Each way a dataset can be broken has its own message: the file, what is wrong with it, and what to do."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DatasetError
from data.store import Dataset
from tests.data.conftest import TOP

DATA = "data/chunk-000/file-001.parquet"
VIDEO = f"videos/{TOP}/chunk-000/file-001.mp4"
EPISODE = "meta/episodes/chunk-000/file-001.parquet"


def change_info(root, **values):
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps(info | values))


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def replace_column(path, name, values):
    table = pq.read_table(path)
    column = pa.array(values, table.schema.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), name, column), path)


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda r: (r / "meta/info.json").unlink(), r"holds no LeRobot dataset: meta/info.json is missing; found data, meta, videos"),
        (lambda r: (r / "meta/info.json").write_text('{"fps": '), r"info.json cannot be read as JSON"),
        (lambda r: (r / "meta/info.json").write_text("[]"), r"info.json holds a list; wanted a JSON object"),
        (lambda r: change_info(r, codebase_version="v1.6"), r"codebase_version is 'v1.6'; allowed: v3.0, v2.0, v2.1"),
        (lambda r: change_info(r, fps="fast"), r"info.json: 'fps' is 'fast'"),
        (lambda r: change_info(r, fps=0), r"fps is 0; it must be positive"),
        (lambda r: change_info(r, features={"action": {"dtype": "float32"}}), r"feature 'action' lacks a dtype or shape"),
        (lambda r: change_info(r, total_episodes=0), r"holds no episodes yet"),
        (lambda r: change_info(r, total_episodes=5), r"counts 5 episodes, but meta/episodes describes 3; the first missing one is 3"),
        (lambda r: change_info(r, total_frames=23), r"counts 23 frames, but its 3 episodes have 24"),
        (lambda r: change_info(r, total_tasks=9), r"tasks.parquet lists 2 tasks, info.json counts 9"),
        (lambda r: (r / "meta/tasks.parquet").unlink(), r"meta/tasks.parquet is missing; restore it"),
        (lambda r: (r / DATA).unlink(), rf"{DATA} is missing; restore it"),
        (lambda r: cut(r / DATA), rf"{DATA} \(\d+ bytes\) is not a readable parquet file: its end is missing or damaged"),
        (lambda r: (r / DATA).write_bytes(b""), rf"{DATA} \(0 bytes\) is not a readable parquet file: it is empty"),
        (lambda r: pq.write_table(pq.read_table(r / DATA).drop_columns("action"), r / DATA), rf"{DATA} has no column action"),
        (lambda r: pq.write_table(pq.read_table(r / DATA).slice(1), r / DATA), rf"{DATA} has 11 rows, but its episodes have 12 frames"),
        (lambda r: (r / EPISODE).unlink(), r"counts 3 episodes, but meta/episodes describes 2; the first missing one is 1"),
        (lambda r: cut(r / EPISODE), rf"{EPISODE} \(\d+ bytes\) is not a readable parquet file"),
        (lambda r: (r / VIDEO).unlink(), rf"{VIDEO} is missing; restore it"),
        (lambda r: cut(r / VIDEO), rf"{VIDEO} \(\d+ bytes\) is not a complete mp4 video"),
        (lambda r: (r / VIDEO).write_bytes(b""), rf"{VIDEO} \(0 bytes\) is not a complete mp4 video"),
    ],
)
def test_malformed_on_open(root, break_it, told):
    break_it(root)
    with pytest.raises(DatasetError, match=told):
        Dataset.open(root)


def test_an_empty_folder(tmp_path):
    with pytest.raises(
        DatasetError, match="is no recording that waldo can read: it is a folder with nothing in it; known: .*LeRobotDataset v3.0"
    ):
        Dataset.open(tmp_path)


def test_a_nan_is_found_when_its_column_is_read(root):
    values = [[0.0, 0.0, 0.0]] * 12
    values[4] = [0.0, float("nan"), 1.0]
    replace_column(root / DATA, "action", values)
    dataset = Dataset.open(root)
    dataset.table(["observation.state"])
    told = "file-001.parquet: action is [0.0, nan, 1.0] in frame 4 of episode 1; every value must be finite: correct it"
    with pytest.raises(DatasetError, match=re.escape(told)):
        dataset.table(["action"])


def test_an_empty_row(root):
    replace_column(root / DATA, "next.reward", [None] * 12)
    with pytest.raises(DatasetError, match=r"column 'next.reward' has 12 empty rows"):
        Dataset.open(root).table(["next.reward"])


def test_rows_in_the_wrong_order(root):
    replace_column(root / DATA, "index", list(range(18, 6, -1)))
    with pytest.raises(DatasetError, match="'index' does not count up; it says 18 instead of 7"):
        Dataset.open(root).table(["action"])


def test_a_shape_that_is_not_what_info_says(root):
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["action"]["shape"] = [4]
    change_info(root, features=info["features"])
    with pytest.raises(DatasetError, match=r"'action' has 3 values per frame, info.json says 4; correct the shape"):
        Dataset.open(root).table(["action"])


def test_a_video_that_is_too_short(root):
    (root / VIDEO).write_bytes((root / VIDEO.replace("001", "000")).read_bytes())  # 7 frames instead of 12
    dataset = Dataset.open(root)
    with pytest.raises(DatasetError, match=rf"{VIDEO} ends too early: 5 frames of its episodes are missing, the first at 0.70 s"):
        dataset.images(TOP)
    assert not list(root.glob(".cache/*"))  # no half-decoded cache that a later run would believe


def test_a_video_with_damaged_content(root):
    content = bytearray((root / VIDEO).read_bytes())
    moov = content.index(b"moov")
    content[moov + 4 : moov + 400] = bytes(np.random.default_rng(0).integers(0, 256, 396, dtype=np.uint8))
    (root / VIDEO).write_bytes(content)
    dataset = Dataset.open(root)
    with pytest.raises(DatasetError, match=rf"{VIDEO} (cannot be decoded|ends too early)"):
        dataset.images(TOP)
