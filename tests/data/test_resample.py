"""Another clock, against numpy's interpolation, rotations by hand, and sums that must not change."""

import numpy as np
import pytest

from data.errors import DatasetError
from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import LENGTHS, TOP, make_arrays

FEATURES = (
    Feature("observation.state", (2,), "float64"),
    Feature("observation.heading", (1,), "float64", angles=(0,)),
    Feature("observation.attitude", (4,), "float64", quaternions=(0,)),
    Feature("action", (1,), "float64"),
    Feature("next.reward", (1,), "float64"),
    Feature("next.terminated", (1,), "bool"),
    Feature("stage", (1,), "int64"),
)


@pytest.fixture
def turning(tmp_path):
    """Two episodes at 20 Hz that turn about z at 1 rad/s, through the jump at pi."""
    with Recorder(tmp_path / "turn", 20, FEATURES, "dot") as recorder:
        for length in (11, 40):
            t = np.arange(length) / 20
            angle = 3.0 + t
            columns = {
                "observation.state": np.stack([np.sin(t), 5 * t], 1),
                "observation.heading": np.mod(angle + np.pi, 2 * np.pi)[:, None] - np.pi,
                "observation.attitude": np.stack([np.cos(angle / 2), 0 * t, 0 * t, np.sin(angle / 2)], 1)
                * (-1) ** np.arange(length)[:, None],
                "action": np.full((length, 1), 0.5),
                "next.reward": np.arange(length, dtype=float),
                "next.terminated": np.arange(length) == length - 1,
                "stage": np.arange(length),
            }
            recorder.add_episode(columns, "turn")
    return tmp_path / "turn"


def test_half_the_rate(turning):
    old, new = Dataset.open(turning), Dataset.open(turning, fps=10, sums=["action"])
    assert new.fps == 10 and new.lengths.tolist() == [6, 20]
    for i in range(2):
        a, b = old.episode(i), new.episode(i)
        np.testing.assert_array_equal(b["observation.state"], a["observation.state"][::2])
        np.testing.assert_array_equal(b["stage"], a["stage"][::2])
        assert b["next.reward"].sum() == a["next.reward"].sum() and b["action"].sum() == a["action"].sum()
        assert b["next.reward"][0] == 0 + 1 and b["next.reward"][1] == 2 + 3
        assert b["next.terminated"].tolist() == [False] * (len(b) - 1) + [True]
        np.testing.assert_allclose(b["timestamp"], np.arange(len(b)) / 10)
        assert set(b["episode_index"]) == {i}


def test_a_rate_that_does_not_divide_interpolates(turning):
    old, new = Dataset.open(turning), Dataset.open(turning, fps=12)
    a, b = old.episode(1), new.episode(1)
    t = np.arange(len(b)) / 12
    assert len(b) == int(39 / 20 * 12) + 1
    np.testing.assert_allclose(b["observation.state"][:, 0], np.interp(t, np.arange(40) / 20, a["observation.state"][:, 0]))
    np.testing.assert_allclose(b["observation.state"][:, 1], 5 * t)
    turned = np.mod(b["observation.heading"][:, 0] - (3.0 + t) + np.pi, 2 * np.pi) - np.pi
    np.testing.assert_allclose(turned, 0, atol=1e-9)  # through the jump, not back round
    wanted = np.stack([np.cos((3 + t) / 2), 0 * t, 0 * t, np.sin((3 + t) / 2)], 1)
    np.testing.assert_allclose(np.abs((b["observation.attitude"] * wanted).sum(1)), 1, atol=1e-9)
    assert b["stage"].tolist() == np.floor(t * 20 + 1e-9).astype(int).tolist()
    assert b["next.reward"].sum() == a["next.reward"].sum()


def test_a_higher_rate_holds_and_interpolates_but_does_not_invent_rewards(turning):
    new = Dataset.open(turning, fps=60)
    table = new.table(["observation.state", "stage"])
    t = np.arange(31) / 60
    np.testing.assert_allclose(table["observation.state"][:31, 1], 5 * t)
    assert table["stage"][:31].tolist() == (np.arange(31) // 3).tolist()
    with pytest.raises(DatasetError, match=r"cannot be spread over more frames than were recorded \(60 Hz from 20 Hz\)"):
        new.table(["next.reward"])


@pytest.mark.parametrize("fps", [5, 4, 10, 25])
def test_cameras_show_the_last_recorded_frame(root, fps):
    old, new = Dataset.open(root), Dataset.open(root, fps=fps)
    shown = [np.floor(np.arange(n) * 10 / fps + 1e-9).astype(int) for n in new.lengths]
    assert all(s[-1] <= n - 1 for s, n in zip(shown, LENGTHS, strict=True))
    expected = np.concatenate([old.frames(TOP, i)[s] for i, s in enumerate(shown)])
    np.testing.assert_array_equal(new.images(TOP), expected)
    np.testing.assert_array_equal(new.frames(TOP, 1), old.frames(TOP, 1)[shown[1]])


def test_the_same_rate_is_the_same_recording(state_root):
    again = Dataset.open(state_root, fps=10)
    assert again.content_hash == Dataset.open(state_root).content_hash
    np.testing.assert_array_equal(again.table(["action"])["action"][:7], make_arrays(7, 0)["action"])


def test_what_cannot_be_is_refused(state_root):
    with pytest.raises(DatasetError, match="fps is -1; it must be positive"):
        Dataset.open(state_root, fps=-1)
    with pytest.raises(DatasetError, match="cannot sum actoin"):
        Dataset.open(state_root, fps=5, sums=["actoin"])
