"""Packets are copied: what is joined decodes to the very frames it was joined from, at the times k / fps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from data.editing.remux import Cut, cut, join, retime, same_frames, scan
from data.errors import DatasetError

LENGTHS = (23, 9, 14)
ENCODERS = {
    "every second frame a key": ("libx264", {"g": "2", "bf": "0"}),
    "long groups": ("libx264", {"g": "10", "keyint_min": "10", "sc_threshold": "0", "bf": "0"}),
    "frames out of order": ("libx264", {"g": "8", "bf": "3", "b_strategy": "0"}),
    "open groups": ("libx265", {"x265-params": "keyint=6:min-keyint=6:bframes=3:open-gop=1:log-level=none"}),
    "av1": ("libsvtav1", {"g": "4", "preset": "12", "crf": "40"}),
}


def encode(path: Path, length: int, seed: int, encoder: str, options: dict[str, str], fps: Fraction | int = 10) -> Path:
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for t in range(length):
            image = rng.integers(0, 80, (64, 64, 3)).astype(np.uint8)
            image[t % 48 : t % 48 + 12, 8:40] = 220
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = t, 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(times [s], frames), by PyAV alone."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.array([frame.time for frame in frames]), np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("fps", [10, Fraction(30000, 1001)])
def test_joined_videos_are_their_parts(tmp_path, kind, fps):
    if ENCODERS[kind][0] not in av.codecs_available:
        pytest.skip(f"PyAV lacks {ENCODERS[kind][0]}")
    paths = [encode(tmp_path / f"{i}.mp4", n, i, *ENCODERS[kind], fps) for i, n in enumerate(LENGTHS)]
    scans = [scan(path, float(fps)) for path in paths]
    assert all(found.regular for found in scans)
    assert len({found.setup for found in scans}) == 1
    originals = [decoded(path)[1] for path in paths]
    wanted = [(0, 23), (4, 7), (11, 14)]
    cuts = [cut(found, first, stop) for found, (first, stop) in zip(scans, wanted, strict=True)]
    assert [(part.first, part.count) for part in cuts[:1]] == [(0, 23)]
    assert cuts[1].first <= 4 and cuts[1].first + cuts[1].count >= 7
    assert (cuts[2].count == 14) == (kind == "open groups")  # something was left out, where that does no harm
    join(cuts, tmp_path / "joined.mp4", float(fps))
    times, frames = decoded(tmp_path / "joined.mp4")
    np.testing.assert_allclose(times, np.arange(len(frames)) / float(fps), atol=2e-4)
    offset = 0
    for part, (first, stop), original in zip(cuts, wanted, originals, strict=True):
        at = offset + first - part.first
        np.testing.assert_array_equal(frames[at : at + stop - first], original[first:stop])
        offset += part.count
    assert len(frames) == offset
    with av.open(str(tmp_path / "joined.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(float(fps), rel=1e-3)  # what torchcodec counts with


def test_a_difference_would_be_seen(tmp_path):
    one, two = (encode(tmp_path / f"{i}.mp4", 9, i, *ENCODERS["av1"]) for i in range(2))
    whole = [cut(scan(path, 10), 0, 9) for path in (one, two)]
    join(whole, tmp_path / "joined.mp4", 10)
    assert same_frames(whole, tmp_path / "joined.mp4", 10)
    assert not same_frames(whole[::-1], tmp_path / "joined.mp4", 10)
    assert not same_frames(whole[:1], tmp_path / "joined.mp4", 10)


def test_other_settings_are_another_setup(tmp_path):
    one = encode(tmp_path / "1.mp4", 9, 0, *ENCODERS["long groups"])
    two = encode(tmp_path / "2.mp4", 9, 0, *ENCODERS["frames out of order"])
    assert scan(one, 10).setup != scan(two, 10).setup
    assert not scan(one, 7.3).regular


def test_retiming_keeps_every_frame(tmp_path):
    old = encode(tmp_path / "old.mp4", 23, 0, *ENCODERS["frames out of order"], 30)
    retime(old, tmp_path / "new.mp4", 30, 25)
    times, frames = decoded(tmp_path / "new.mp4")
    np.testing.assert_array_equal(frames, decoded(old)[1])
    np.testing.assert_allclose(times, np.arange(23) / 25, atol=1e-4)


def test_what_is_no_video_is_said(tmp_path):
    (tmp_path / "torn.mp4").write_bytes(b"\0" * 500)
    with pytest.raises(DatasetError, match=r"torn.mp4 cannot be read .*; restore it"):
        scan(tmp_path / "torn.mp4", 10)
    whole = scan(encode(tmp_path / "a.mp4", 9, 0, *ENCODERS["long groups"]), 10)
    (tmp_path / "a.mp4").write_bytes(b"gone")
    with pytest.raises(DatasetError, match=r"joined.mp4 could not be written"):
        join([Cut(whole, 0, 9, 0, 9)], tmp_path / "joined.mp4", 10)
