"""rerun 0.41, which reads LeRobot datasets with code of its own, shows what waldo records, and the real v2.1 recording alike."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from data.store import Dataset
from tests.conformance.samples import FLAT, TOP, WRIST, record
from tests.conformance.shown import show, shows_samples

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("codec", ["h264", "av1", "png"])
def test_rerun_shows_what_waldo_records(official, tmp_path, codec):
    shows_samples(show(official, record(tmp_path / "ours", features=FLAT, codec=codec), tmp_path), (TOP, WRIST))


def test_rerun_shows_a_dataset_without_cameras(official, tmp_path):
    shows_samples(show(official, record(tmp_path / "ours", cameras=False, features=FLAT), tmp_path), ())


def test_matrices_are_all_that_rerun_leaves_out(official, tmp_path):
    """It draws none, not even lerobot's, and says so; everything else is there."""
    shown = show(official, record(tmp_path / "ours"), tmp_path)
    assert len(shown.complaints) == 1 and "Failed to load LeRobot features (6 failure occurrences)" in shown.complaints[0]
    shows_samples(dataclasses.replace(shown, complaints=[]), (TOP, WRIST))


def test_damage_is_seen_although_rerun_exits_with_0(official, tmp_path):
    """The control: the checks above can fail."""
    ours = record(tmp_path / "ours", features=FLAT)
    cut = ours / "data/chunk-000/file-001.parquet"
    os.truncate(cut, cut.stat().st_size // 2)
    shown = show(official, ours, tmp_path)
    assert shown.complaints and set(shown.episodes) == {"episode_0", "episode_2"}
    (ours / "meta/info.json").unlink()
    (tmp_path / "again").mkdir()
    shown = show(official, ours, tmp_path / "again")
    assert any("ERROR" in line for line in shown.complaints) and not shown.episodes


@pytest.mark.needs_g1
def test_rerun_and_waldo_read_the_same_of_the_real_recording(official, g1, tmp_path):
    shown = show(official, g1, tmp_path)
    dataset = Dataset.open(g1, cameras=[])
    assert len(shown.episodes) == dataset.num_episodes == 100
    for i in range(dataset.num_episodes):
        episode = dataset.episode(i)
        for name in ("observation.state", "action"):
            np.testing.assert_array_equal(shown.curve(i, name), episode[name], err_msg=f"{name} of episode {i}")
        # The videos of the others were left out of the copy under shared/, and that is all that rerun complains about.
        frames = shown.episodes[f"episode_{i}"]["frames"]
        assert frames == ({"/observation.images.cam_high": len(episode)} if 20 <= i < 30 else {})


@pytest.mark.needs_g1
def test_a_whole_v21_recording_leaves_nothing_to_complain_about(official, g1_part, tmp_path):
    shown = show(official, g1_part, tmp_path)
    assert shown.complaints == []
    dataset = Dataset.open(g1_part)
    for i in range(3):
        np.testing.assert_array_equal(shown.curve(i, "action"), dataset.episode(i)["action"])
        assert shown.episodes[f"episode_{i}"]["frames"] == {"/observation.images.cam_high": len(dataset.episode(i))}
