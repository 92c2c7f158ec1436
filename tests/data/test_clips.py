"""Frames of a film at given times."""

import numpy as np
import pytest

from data.clips import stills
from data.errors import DatasetError
from data.lerobot.video import write_mp4


@pytest.fixture
def film(tmp_path):
    """10 Hz; frame k is grey of level 10 k."""
    frames = np.broadcast_to((10 * np.arange(20, dtype=np.uint8))[:, None, None, None], (20, 48, 64, 3))
    write_mp4(tmp_path / "film.mp4", frames, 10)
    return tmp_path / "film.mp4"


def test_each_time_gives_the_frame_nearest_to_it_once_and_the_last_one_stands_for_all_later(film):
    found = stills(film, [0.0, 0.52, 1.26, 0.49, 99.0])
    assert [at for at, _ in found] == [0.0, 0.5, 1.3, 1.9]
    assert [frame.mean() for _, frame in found] == pytest.approx([0, 50, 130, 190], abs=4)


def test_frames_shrink_to_the_width_and_never_grow(film):
    assert stills(film, [0.0], width=32)[0][1].shape == (24, 32, 3)
    assert stills(film, [0.0], width=640)[0][1].shape == (48, 64, 3)


def test_what_is_no_film_is_refused(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"x\.mp4"):
        stills(tmp_path / "x.mp4", [0.0])
