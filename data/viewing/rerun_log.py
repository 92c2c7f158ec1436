"""A recording for the Rerun viewer: one .rrd file per episode, every column as a time series, films as H.264.

Needs rerun-sdk (`pip install "waldo[view]"`). Nothing is served: the files are opened with `rerun --bind 127.0.0.1 FILES`,
whose own default listens to the whole network.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from data.durable import replacing
from data.errors import DatasetError
from data.store import Dataset
from data.viewing.films import film
from data.viewing.panels import drawn_columns, elements

FILM = 50_000_000  # one camera of one episode at most [bytes]


def write_rerun(dataset: Dataset, out: Path) -> list[Path]:
    """Write `out/episode_000003.rrd` and so on for all episodes and cameras that are open; returns the files.

    Raises DatasetError if rerun-sdk is missing or something cannot be read.
    """
    try:
        rr = importlib.import_module("rerun")  # its types are not needed, and it is not always installed
    except ImportError:
        raise DatasetError('viewer=rerun needs rerun-sdk: pip install "waldo[view]"; viewer=page needs nothing') from None
    return [_episode(rr, dataset, i, out / f"episode_{number:06d}.rrd") for i, number in enumerate(dataset.numbers.tolist())]


def _episode(rr: Any, dataset: Dataset, i: int, target: Path) -> Path:
    episode = dataset.episode(i)
    frames = np.arange(len(episode))
    names, _ = drawn_columns(dataset)
    with replacing(target) as temporary:
        stream = rr.RecordingStream(dataset.root.name, recording_id=f"{dataset.root.name} {target.stem}")
        stream.save(temporary)
        stream.send_recording_name(f"{target.stem}: {episode.task}" if episode.task else target.stem)
        times = [rr.TimeColumn("frame_index", sequence=frames), rr.TimeColumn("time", duration=frames / dataset.fps)]
        for name in names:
            labels = [f"{e.name} [{e.unit}]" if e.unit else e.name for e in elements(dataset, name)]
            stream.log(name, rr.SeriesLines(names=labels), static=True)
            values = np.asarray(episode[name], np.float64).reshape(len(episode), -1)
            stream.send_columns(name, times, rr.Scalars.columns(scalars=values))
        for key in dataset.camera_keys:
            video = rr.AssetVideo(contents=film(dataset, key, i, FILM), media_type="video/mp4")
            stream.log(key, video, static=True)
            shown = video.read_frame_timestamps_nanos()[: len(episode)]
            stream.send_columns(key, times, rr.VideoFrameReference.columns_nanos(shown))
        stream.flush()
        stream.disconnect()
    return target
