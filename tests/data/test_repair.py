"""Every kind of damage that repair mends: what is left is exactly the recording, what was removed is kept, and a second look finds nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.editing.compact import compact
from data.editing.delete import delete
from data.errors import DatasetError
from data.lerobot import layout
from data.record import Recorder
from data.repair import repair
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, TOP, make_arrays, make_images, record
from tests.data.soundness import assert_sound

LENGTHS = (7, 12, 5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return record(tmp_path / "demo", LENGTHS)


def change_info(root: Path, **values: object) -> None:
    path = root / layout.INFO
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_columns(path: Path, **columns: object) -> None:
    """Write a parquet file anew with other columns; None takes one out."""
    table = pq.read_table(path)
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.remove_column(at) if values is None else table.set_column(at, name, pa.array(values, table.schema.field(name).type))
    pq.write_table(table, path)


def change_row(root: Path, episode: int, **columns: object) -> None:
    path = root / f"meta/episodes/chunk-000/file-{episode:03d}.parquet"
    change_columns(path, **{name.replace("__", "/"): values for name, values in columns.items()})


def data(root: Path, episode: int) -> Path:
    return root / f"data/chunk-000/file-{episode:03d}.parquet"


def video(root: Path, episode: int) -> Path:
    return root / f"videos/{TOP}/chunk-000/file-{episode:03d}.mp4"


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".cache" not in p.parts}


def assert_mended(root: Path, frames: list[np.ndarray], episodes: list[int]) -> Dataset:
    """The dataset has these episodes of `record` and nothing else, is sound, and needs no more repair."""
    dataset = Dataset.open(root)
    assert dataset.lengths.tolist() == [LENGTHS[i] for i in episodes]
    for at, i in enumerate(episodes):
        for name, expected in make_arrays(LENGTHS[i], i).items():
            np.testing.assert_array_equal(dataset.episode(at)[name], expected, err_msg=f"{name} of episode {i}")
        np.testing.assert_array_equal(dataset.frames(TOP, at), frames[i])
        assert dataset.episode(at).task == ("push", "lift", "push")[i]
    assert_sound(root)
    assert repair(root).notes == ()
    return dataset


def test_what_is_whole_is_left_alone(root):
    before = snapshot(root)
    assert repair(root).notes == ()
    compact(root)
    delete(root, [1])
    assert repair(root).notes == ()
    assert before != snapshot(root)
    assert not root.with_name("demo.removed").exists()


def ahead(root: Path) -> None:
    change_info(root, total_episodes=9, total_frames=900)


def behind(root: Path) -> None:
    change_info(root, total_episodes=2, total_frames=19)


def no_totals(root: Path) -> None:
    change_info(root, total_episodes=None, total_tasks=None, splits=None, data_path=None)


def no_tasks(root: Path) -> None:
    (root / layout.TASKS).unlink()


def torn_stats(root: Path) -> None:
    tear(root / layout.STATS)


def no_stats_columns(root: Path) -> None:
    for i in range(3):
        names = pq.read_schema(root / f"meta/episodes/chunk-000/file-{i:03d}.parquet").names
        change_row(root, i, **{name: None for name in names if name.startswith("stats/")})


def nan_stats(root: Path) -> None:
    change_row(root, 1, **{"stats/action/mean": [[np.nan, 0, 0]], f"stats/{TOP}/std": [None]})
    (root / layout.STATS).write_text((root / layout.STATS).read_text().replace('"mean": [', '"mean": [NaN, ', 1))


def null_names(root: Path) -> None:
    features = json.loads((root / layout.INFO).read_text())["features"]
    features[TOP]["names"] = None
    change_info(root, features=features)


def wrong_shape(root: Path) -> None:
    features = json.loads((root / layout.INFO).read_text())["features"]
    features[TOP]["shape"] = [3, *CAMERAS["top"]]
    features[TOP]["names"] = ["channels", "height", "width"]
    change_info(root, features=features)


def no_meta(root: Path) -> None:
    shutil.rmtree(root / layout.EPISODES)


def torn_meta(root: Path) -> None:
    tear(root / "meta/episodes/chunk-000/file-001.parquet")


def lost_placement(root: Path) -> None:
    for i in range(3):
        change_row(root, i, data__file_index=[None], dataset_from_index=[77])


def misplaced_video(root: Path) -> None:
    (root / "videos/old").mkdir()
    video(root, 1).rename(root / "videos/old/film.mp4")


def index_off(root: Path) -> None:
    change_columns(data(root, 1), index=np.arange(100, 112), frame_index=np.zeros(12, int))
    change_columns(data(root, 2), episode_index=np.full(5, 7))


def times_off(root: Path) -> None:
    change_columns(data(root, 1), timestamp=np.arange(12) / 10 + 0.03)
    change_columns(data(root, 2), timestamp=[0, 0.1, None, 0.3, 0.4])


def no_index(root: Path) -> None:
    for i in range(3):
        change_columns(data(root, i), index=None)


def promised_column(root: Path) -> None:
    features = json.loads((root / layout.INFO).read_text())["features"]
    change_info(root, features=features | {"observation.extra": {"dtype": "float32", "shape": [2], "names": None}})


def unknown_column(root: Path) -> None:
    for i in range(3):
        table = pq.read_table(data(root, i))
        pq.write_table(table.append_column("extra", pa.array(range(len(table)))), data(root, i))


def leftovers(root: Path) -> None:
    (root / "data/chunk-000/.file-003.parquet.tmp").write_bytes(b"PAR1")
    data(root, 3).write_bytes(b"PAR1 torn")
    video(root, 3).write_bytes(b"torn")


WHOLE = [ahead, behind, no_totals, no_tasks, torn_stats, no_stats_columns, nan_stats, null_names, wrong_shape, no_meta, torn_meta]
WHOLE += [lost_placement, misplaced_video, index_off, times_off, no_index, promised_column, unknown_column, leftovers]


@pytest.mark.parametrize("damage", WHOLE)
def test_damage_that_costs_no_episode(root, damage: Callable[[Path], None]):
    frames = [Dataset.open(root).frames(TOP, i) for i in range(3)]
    damage(root)
    before = snapshot(root)
    planned = repair(root, dry_run=True)
    assert planned.notes
    assert snapshot(root) == before
    done = repair(root)
    assert done.notes == planned.notes
    assert done.episodes == 3
    assert_mended(root, frames, [0, 1, 2])
    kept = {content for folder in (root, root.with_name("demo.removed")) for content in snapshot(folder).values()}
    assert set(before.values()) <= kept  # nothing is lost


def torn_data(root: Path) -> None:
    tear(data(root, 1))


def torn_video(root: Path) -> None:
    tear(video(root, 1))


def no_video(root: Path) -> None:
    video(root, 1).unlink()


def no_column(root: Path) -> None:
    change_columns(data(root, 1), action=None)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (torn_data, "no readable end"),
        (torn_video, "not a complete video"),
        (no_video, "in 1 episodes (1): left out"),
        (no_column, "no column action"),
    ],
)
def test_an_episode_that_is_not_complete_is_left_out_and_its_files_are_kept(root, damage, said):
    frames = [Dataset.open(root).frames(TOP, i) for i in range(3)]
    damage(root)
    before = snapshot(root)
    done = repair(root)
    assert any(said in note for note in done.notes)
    assert done.removed == root.with_name("demo.removed")
    dataset = assert_mended(root, frames, [0, 2])
    assert dataset.tasks == ("push",)
    kept = {content for folder in (root, done.removed) for content in snapshot(folder).values()}
    assert set(before.values()) <= kept


def test_joined_videos_are_found_by_counting_their_frames(root):
    frames = [Dataset.open(root).frames(TOP, i) for i in range(3)]
    compact(root)
    shutil.rmtree(root / layout.EPISODES)
    assert any("found by counting" in note for note in repair(root).notes)
    assert_mended(root, frames, [0, 1, 2])


def test_what_lerobot_leaves_when_it_is_killed_in_a_second_session(root):
    """Its first session was finalised; of the second, data and meta have no footer, and info.json counts it."""
    frames = [Dataset.open(root).frames(TOP, i) for i in range(3)]
    compact(root)
    for path in (data(root, 1), root / "meta/episodes/chunk-000/file-001.parquet"):
        path.write_bytes(b"PAR1" + bytes(500))
    shutil.copy(video(root, 0), video(root, 1))
    (root / "images" / TOP / "episode_000004").mkdir(parents=True)
    change_info(root, total_episodes=5, total_frames=60)
    notes = repair(root).notes
    assert any("file-001.parquet (504 bytes) has no readable end" in note for note in notes)
    assert any("total_episodes 5: there are 3" in note for note in notes)
    assert_mended(root, frames, [0, 1, 2])
    assert root.with_name("demo.removed").joinpath("videos", TOP, "chunk-000/file-001.mp4").exists()


def test_recording_goes_on_after_a_repair(root):
    tear(data(root, 2))
    repair(root)
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        assert recorder.committed == 2
        recorder.add_episode(make_arrays(5, 2), "push", {"top": make_images(5, 2)})
    assert_sound(root)


def test_several_tasks_in_an_episode_are_told_apart(root):
    change_columns(data(root, 1), task_index=[1] * 6 + [0] * 6)
    change_row(root, 1, tasks=[["lift", "push"]])
    (root / layout.TASKS).unlink()
    repair(root)
    dataset = Dataset.open(root)
    assert dataset.tasks == ("push", "lift")
    assert dataset.episode_tasks(1) == ("lift", "push")
    assert dataset.episode(1)["task_index"].tolist() == [1] * 6 + [0] * 6


def test_values_that_are_not_finite_are_not_invented(root):
    action = make_arrays(12, 1)["action"].copy()
    action[3, 1] = np.nan
    change_columns(data(root, 1), action=action.tolist())
    change_row(root, 1, stats__action__mean=[[0.0, np.nan, 0.0]])
    repair(root)
    dataset = Dataset.open(root)
    with pytest.raises(DatasetError, match="action is .* in frame 3 of episode 1"):
        dataset.episode(1)
    rest = np.delete(action, 3, 0)
    row = [r for p in root.glob("meta/episodes/*/*") for r in pq.read_table(p).to_pylist()][1]
    np.testing.assert_allclose(row["stats/action/mean"], rest.mean(0), rtol=1e-5)
    delete(root, [1])
    assert_sound(root)


def test_a_rate_that_timestamps_contradict_is_asked_for(tmp_path):
    root = record(tmp_path / "demo", LENGTHS, cameras=False)
    change_info(root, fps=25)
    notes = repair(root).notes
    assert len(notes) == 1
    assert "timestamps are 0.1 s apart, which is 10 Hz, but info.json says 25 Hz" in notes[0]
    repair(root, fps=10)
    assert Dataset.open(root).fps == 10
    assert_sound(root)
    assert repair(root).notes == ()


def test_a_wrong_rate_is_corrected_in_columns_and_videos_without_encoding(root):
    frames = [Dataset.open(root).frames(TOP, i) for i in range(3)]
    compact(root)
    notes = repair(root, fps=25).notes
    assert any("videos have 10 Hz: their frames are shown at 25 Hz" in note for note in notes)
    dataset = assert_mended(root, frames, [0, 1, 2])
    assert dataset.fps == 25
    with av.open(str(video(root, 0))) as container:
        assert container.streams.video[0].average_rate == 25
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(24) / 25, atol=1e-4)
    row = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[1]
    assert row[f"videos/{TOP}/from_timestamp"] == pytest.approx(7 / 25)
    assert json.loads((root / layout.INFO).read_text())["features"][TOP]["info"]["video.fps"] == 25


def test_what_cannot_be_mended_says_why(tmp_path):
    root = record(tmp_path / "demo", LENGTHS)
    for i in range(3):
        tear(data(root, i))
    before = snapshot(root)
    with pytest.raises(DatasetError, match=r"no complete episode: .*file-000.parquet .* has no readable end"):
        repair(root)
    assert snapshot(root) == before
    (root / layout.INFO).unlink()
    with pytest.raises(DatasetError, match=r"info.json is missing; .* restore it"):
        repair(root)
    other = record(tmp_path / "old", LENGTHS)
    change_info(other, codebase_version="v2.1")
    with pytest.raises(DatasetError, match="repair mends v3.0"):
        repair(other)
    (tmp_path / "file.hdf5").write_bytes(b"")
    with pytest.raises(DatasetError, match="no LeRobotDataset"):
        repair(tmp_path / "file.hdf5")
