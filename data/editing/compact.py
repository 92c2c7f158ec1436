"""Joining many small files into few large ones, and taking out video frames that no episode needs. Nothing is encoded again."""

from __future__ import annotations

import dataclasses
import os

from data.editing.opening import Place, applied
from data.editing.origin import Origin
from data.editing.plan import Plan, edit, whole
from data.errors import DatasetError

LARGEST = 10_000  # MB


def compact(path: str | os.PathLike[str], data_mb: float = 0, video_mb: float = 0, check: bool = True, place: Place | None = None) -> Plan:
    """Data files of about `data_mb`, videos of about `video_mb` [MB]; 0 takes what info.json says (100 and 200 as a rule).

    Every episode is one row group of its data file. Frames that no episode needs go, as far as key frames allow.
    check   decode every joined video and compare it, bit for bit, with what it was joined from
    Raises DatasetError if a file cannot be read, or joining would change a frame; the dataset is then as it was.
    """
    for name, size in (("data_mb", data_mb), ("video_mb", video_mb)):
        if not 0 <= size <= LARGEST:
            raise DatasetError(f"{name}={size} is no size of a file; allowed: 0 to {LARGEST} [MB]")

    def plan(origin: Origin) -> Plan:
        origin.info |= {"data_files_size_in_mb": data_mb} if data_mb else {}
        origin.info |= {"video_files_size_in_mb": video_mb} if video_mb else {}
        made = edit(origin, whole([origin], 0, range(len(origin))), "compact", {})
        return dataclasses.replace(made, compact=True, check=check, provenance=origin.provenance)

    return applied(path, plan, place or Place())
