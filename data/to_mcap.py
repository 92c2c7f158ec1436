"""MCAP, the log that Foxglove and rerun open: a folder with one file per episode, `episode_000000.mcap`.

    /observation/state         JSON, a field per element under its name, for plots; the schema gives each its unit. Columns whose
                               elements have no names have one field, `value`
    /observation/images/top    `foxglove.CompressedImage` in Protobuf (docs.foxglove.dev/docs/sdk/schemas/compressed-image)

Times are those of the frames, from 0 at the start of each episode. The metadata record "waldo" holds fps, task, robot and features.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from data.episode import Episode
from data.errors import DatasetError, did_you_mean
from data.lerobot import layout
from data.outgoing import Beside, columns, description, episodes, lateness
from data.store import Dataset

if TYPE_CHECKING:
    from mcap.writer import Writer

FORMAT = "MCAP"
SUFFIX = ""
MARK = "*.mcap"
RESUMES = False

CODECS = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]), "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 3])}
IMAGE = "foxglove.CompressedImage"
SECOND = 1_000_000_000  # [ns]
_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}


def topic(name: str) -> str:
    """`observation.state` -> `/observation/state`."""
    return "/" + name.replace(".", "/")


def write(dataset: Dataset, target: Path, progress: bool = True, *, codec: str = "jpeg") -> list[str]:
    """As `data.export` says. codec: jpeg (quality 95) or png (lossless), of cameras."""
    if codec not in CODECS:
        raise DatasetError(f"codec {codec!r} is unknown to MCAP; {did_you_mean(codec, CODECS)}")
    target.mkdir()
    told = description(dataset)
    beside, late = Beside(), lateness(dataset) > 0
    for i, episode in enumerate(episodes(dataset, f"export {target.name}", progress)):
        seconds = episode["timestamp"].astype(np.float64) if late else np.arange(len(episode)) / dataset.fps
        times = np.round(seconds * SECOND).astype(np.int64).tolist()
        _write_episode(dataset, i, episode, times, told, target / f"episode_{i:06d}.mcap", codec)
        beside.add(episode)
    lost = []
    if dataset.camera_keys and codec == "jpeg":
        lost.append("Every pixel exactly: pictures are JPEG of quality 95; codec=png loses nothing and takes several times the space.")
    return lost + beside.lost(dataset)


def _write_episode(dataset: Dataset, i: int, episode: Episode, times: list[int], told: dict[str, Any], path: Path, codec: str) -> None:
    """times: of each frame, since the episode began [ns]."""
    from mcap.writer import Writer

    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(library="waldo")
        facts = {**told, "task": episode.task, "tasks": list(dataset.episode_tasks(i)), "episode": int(dataset.numbers[i])}
        writer.add_metadata("waldo", {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()})
        fields = {name: _fields(name, dataset.features[name]) for name in columns(dataset)}
        channels = {name: _channel(writer, name, _schema(name, dataset.features[name], fields[name])) for name in fields}
        cameras = {key: dataset.frames(key, i) for key in dataset.camera_keys}
        if cameras:
            schema, pack = _protobuf()
            image = writer.register_schema(IMAGE, "protobuf", schema)
            channels |= {key: writer.register_channel(topic(key), "protobuf", image) for key in cameras}
        rows = {name: episode[name].tolist() for name in fields}
        for t, time in enumerate(times):
            for name, names in fields.items():
                row = rows[name][t]
                message = dict(zip(names, row, strict=True)) if names else {"value": row}
                writer.add_message(channels[name], time, json.dumps(message).encode(), time, t)
            for key, frames in cameras.items():
                writer.add_message(channels[key], time, pack(time, key, _compressed(frames[t], key, codec), codec), time, t)
        writer.finish()  # type: ignore[no-untyped-call]


def _fields(name: str, feature: dict[str, Any]) -> tuple[str, ...]:
    """The names of a vector's elements if they can name the fields of a message, () otherwise."""
    names, shape = layout.element_names(feature), layout.column_shape(name, feature)
    return names if len(shape) == 1 and len(names) == shape[0] and len(set(names)) == len(names) else ()


def _schema(name: str, feature: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """JSON Schema of a column's messages; `unit` is a word of ours, `description` says it to everybody else."""
    kind: dict[str, Any] = {"type": _KINDS[np.dtype(feature["dtype"]).kind]}
    units = list(feature.get("units") or ())
    if fields:
        given = units if len(units) == len(fields) else [""] * len(fields)
        described = {
            field: kind | ({"unit": unit, "description": f"[{unit}]"} if unit else {}) for field, unit in zip(fields, given, strict=True)
        }
        return {"title": name, "type": "object", "properties": described}
    value = kind
    for _ in layout.column_shape(name, feature):
        value = {"type": "array", "items": value}
    if units:
        value = {**value, "units": units, "description": ", ".join(f"[{unit}]" for unit in units)}
    return {"title": name, "type": "object", "properties": {"value": value}}


def _channel(writer: Writer, name: str, schema: dict[str, Any]) -> int:
    return writer.register_channel(topic(name), "json", writer.register_schema(name, "jsonschema", json.dumps(schema).encode()))


def _compressed(image: np.ndarray, key: str, codec: str) -> bytes:
    """image: uint8 (H, W, 3) RGB."""
    ending, options = CODECS[codec]
    done, content = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise DatasetError(f"a picture of {key} could not be written as {codec}")
    return content.tobytes()


@cache
def _protobuf() -> tuple[bytes, Callable[[int, str, bytes, str], bytes]]:
    """Foxglove's message: its schema, which a log carries with it, and what packs (time [ns], camera, content, codec)."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="foxglove/CompressedImage.proto", package="foxglove", syntax="proto3")
    message = file.message_type.add(name="CompressedImage")
    file.dependency.append("google/protobuf/timestamp.proto")
    message.field.add(name="timestamp", number=1, type=kind.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp")
    message.field.add(name="data", number=2, type=kind.TYPE_BYTES)
    message.field.add(name="format", number=3, type=kind.TYPE_STRING)
    message.field.add(name="frame_id", number=4, type=kind.TYPE_STRING)
    for each in message.field:
        each.label = kind.LABEL_OPTIONAL
    time_file = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(time_file)
    pool = descriptor_pool.DescriptorPool()
    for one in (time_file, file):
        pool.Add(one)
    picture = message_factory.GetMessageClass(pool.FindMessageTypeByName(IMAGE))

    def pack(time: int, key: str, content: bytes, codec: str) -> bytes:
        filled = picture(frame_id=key.rpartition(".")[2], data=content, format=codec)
        filled.timestamp.seconds, filled.timestamp.nanos = divmod(time, SECOND)
        return bytes(filled.SerializeToString())

    return descriptor_pb2.FileDescriptorSet(file=[time_file, file]).SerializeToString(), pack
