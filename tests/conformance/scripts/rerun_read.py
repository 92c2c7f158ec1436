"""What rerun made of a dataset: python rerun_read.py FILE.rrd TARGET.npz, FILE.rrd being written by `rerun ROOT --save FILE.rrd`.

Per recording (an episode) and entity: `<recording>:<entity>` -> float64 (T, D) of what it shows as curves. Last line, JSON:
per recording the texts of each entity that shows texts, the messages (text, too) of each that came from an MCAP file, and the
number of pictures of each camera.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from rerun.chunk import RrdReader


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    reader = RrdReader(str(args.file))
    curves: dict[str, list[tuple[int, list[float]]]] = defaultdict(list)
    told = {}
    for store in reader.recordings():
        name = store.recording_id
        frames: dict[str, int] = defaultdict(int)
        texts: dict[str, list[str]] = defaultdict(list)
        messages: dict[str, list[str]] = defaultdict(list)
        for chunk in reader.stream(store=store):
            batch = chunk.to_record_batch()
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            if "Scalars:scalars" in columns:
                times = columns["frame_index"].cast("int64").to_pylist()
                curves[f"{name}:{chunk.entity_path}"] += zip(times, columns["Scalars:scalars"].to_pylist(), strict=True)
            if "VideoStream:sample" in columns or "EncodedImage:blob" in columns:
                frames[chunk.entity_path] += batch.num_rows
            if "TextDocument:text" in columns:
                texts[chunk.entity_path] += [text for row in columns["TextDocument:text"].to_pylist() for text in row]
            if "McapMessage:data" in columns:
                messages[chunk.entity_path] += [bytes(row[0]).decode() for row in columns["McapMessage:data"].to_pylist()]
        told[name] = {"texts": texts, "messages": messages, "frames": frames}
    np.savez(args.target, **{key: np.array([row for _, row in sorted(rows)]) for key, rows in curves.items()})
    print(json.dumps(told))


if __name__ == "__main__":
    main()
