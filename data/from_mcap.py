"""MCAP logs as `data.to_mcap` writes them: a folder with a file per episode, episode_000000.mcap, or one such file.

    /observation/state         JSON, a message per frame -> observation.state
    /observation/images/top    foxglove.CompressedImage (Protobuf), a message per frame -> observation.images.top
    metadata record "waldo"    fps, robot_type, features, task, tasks, provenance

Messages count as frames in the order of their times, which are the column timestamp. Logs of other programs have topics that come at rates of their own: which
of them is a frame would have to be decided, so that they are refused.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import DatasetError
from data.lerobot import layout
from data.pictures import resized, unpack
from data.source import Clip, Given, Header, Size, Source, Table, numbered

if TYPE_CHECKING:
    from mcap.reader import McapReader

FORMAT = "MCAP, written by waldo"
MAGIC = b"\x89MCAP0\r\n"
EPISODE = re.compile(r"episode_(\d+)\.mcap")
TIME = "timestamp"
SECOND = 1_000_000_000  # [ns]
MEND = "restore it from a copy, or export it again"


def recognises(path: Path) -> bool:
    if path.is_dir():
        return bool(numbered(path, EPISODE))
    try:
        with path.open("rb") as file:
            return path.suffix == ".mcap" or file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_source(path: Path, given: Given) -> Source:
    """Raises DatasetError for damaged logs, for those of other programs, and where the episodes do not fit together."""
    logs = [_log(each) for each in (numbered(path, EPISODE) if path.is_dir() else [path])]
    told = logs[0].told
    for log in logs:
        for key in ("fps", "features"):
            if log.told[key] != told[key]:
                raise DatasetError(f"{log.path} has another {key} than {logs[0].path.name}; they are not of one recording")
    tasks = [(given.task,) if given.task else log.tasks for log in logs]
    words = tuple(dict.fromkeys(task for of in tasks for task in of))
    origin = told.get("provenance")
    header = Header(
        root=path,
        format=FORMAT,
        fps=given.need_fps(float(told["fps"]), path),
        robot_type=given.robot_type or str(told.get("robot_type") or "unknown"),
        features={**told["features"], TIME: dict(layout.DEFAULT_FEATURES[TIME])},
        lengths=np.array([log.length for log in logs], np.int64),
        tasks=words,
        task_of=tuple(tuple(words.index(task) for task in of) for of in tasks),
        provenance=origin if isinstance(origin, dict) else {},
    )
    return McapSource(header, logs)


@dataclass(frozen=True)
class _Log:
    """One episode. told: the metadata record, its values parsed; counts: messages of each topic."""

    path: Path
    told: Mapping[str, Any]
    length: int
    counts: Mapping[str, int]

    @property
    def tasks(self) -> tuple[str, ...]:
        many = self.told.get("tasks")
        named = many if isinstance(many, list) else [self.told.get("task")]
        return tuple(task for task in named if isinstance(task, str) and task)


class McapSource(Source):
    """A log per episode. Files are opened for every read and closed after it."""

    def __init__(self, header: Header, logs: Sequence[_Log]) -> None:
        self.header = header
        self._logs = logs
        self._columns = [name for name, feature in header.features.items() if feature["dtype"] != "image" and name != TIME]
        self._clock = _topic(next(iter(self._columns or header.features)))  # the topic whose times are those of the frames

    def check(self, episodes: np.ndarray, cameras: Sequence[str]) -> None:
        for log in (self._logs[i] for i in episodes.tolist()):
            for name in (*self._columns, *cameras):
                found = log.counts.get(_topic(name), 0)
                if found != log.length:
                    raise DatasetError(f"{log.path} has {found} messages of {_topic(name)} and {log.length} of others; {MEND}")

    def where(self, episode: int) -> Path:
        return self._logs[episode].path

    def files(self) -> tuple[list[Path], list[Path]]:
        paths = [log.path for log in self._logs]
        return ([], paths) if len(self._columns) + 1 < len(self.header.features) else (paths, [])

    def columns(self, names: Sequence[str], episodes: np.ndarray) -> Table:
        features = {name: self.header.features[name] for name in names}
        name_of = {_topic(name): name for name in names if name != TIME}
        topics = list({*name_of, self._clock} if TIME in names else name_of)
        rows = int(self.header.lengths[episodes].sum())
        out = {n: np.empty((rows, *layout.column_shape(n, f)), f["dtype"]) for n, f in features.items()}
        start = 0
        for log in (self._logs[i] for i in episodes.tolist()):
            at = dict.fromkeys(topics, start)
            with _opened(log.path) as reader:
                for _, channel, message in reader.iter_messages(topics=topics):
                    row = at[channel.topic]
                    at[channel.topic] += 1
                    if channel.topic == self._clock and TIME in names:
                        out[TIME][row] = message.log_time / SECOND
                    name = name_of.get(channel.topic)
                    if name is not None:
                        out[name][row] = _values(json.loads(message.data), features[name]).reshape(out[name].shape[1:])
            start += log.length
        return out

    def clips(self, key: str, episodes: np.ndarray) -> list[Clip]:
        lengths = self.header.lengths[episodes]
        starts = (np.cumsum(lengths) - lengths).tolist()
        return [
            Clip(self._logs[i].path.stem, np.arange(start, start + n), functools.partial(_frames, self._logs[i].path, key))
            for i, start, n in zip(episodes.tolist(), starts, lengths.tolist(), strict=True)
        ]


def _topic(name: str) -> str:
    return "/" + name.replace(".", "/")


def _values(message: Mapping[str, Any], feature: Mapping[str, Any]) -> np.ndarray:
    """A field per element, or one field `value` with all of them."""
    names = layout.element_names(feature)
    return np.asarray(message["value"] if "value" in message and len(message) == 1 else [message[name] for name in names], feature["dtype"])


@contextmanager
def _opened(path: Path) -> Iterator[McapReader]:
    """What the library raises for a damaged log becomes a DatasetError that names the file."""
    try:
        from mcap.reader import make_reader
    except ModuleNotFoundError:
        raise DatasetError(f"{path} is MCAP, which needs the package mcap: pip install mcap") from None
    try:
        with path.open("rb") as file:
            yield make_reader(file, validate_crcs=True)
    except DatasetError:
        raise
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; {MEND}") from None
    except Exception as error:  # mcap, lz4, zstandard and protobuf have classes of their own for damaged contents
        raise DatasetError(
            f"{path} ({path.stat().st_size} bytes) is damaged or cut off ({error or type(error).__name__}); {MEND}"
        ) from error


def _log(path: Path) -> _Log:
    with _opened(path) as reader:
        summary = reader.get_summary()
        if summary is None or summary.statistics is None:
            raise DatasetError(f"{path} has no summary: its end is missing, as after an interrupted copy; {MEND}")
        facts = next((dict(record.metadata) for record in reader.iter_metadata() if record.name == "waldo"), None)
        topics = {channel.topic: summary.statistics.channel_message_counts.get(k, 0) for k, channel in summary.channels.items()}
    if facts is None:
        raise DatasetError(
            f"{path} is a log of another program (topics {', '.join(sorted(topics)[:6]) or 'none'}): its topics come at rates of their own, "
            "and only logs that `data.to_mcap` wrote, a message of each topic per frame, are read"
        )
    told = {key: _parsed(value) for key, value in facts.items()}
    told |= {key: facts[key] for key in ("task", "robot_type") if key in facts}
    features = told.get("features")
    features = features if isinstance(features, dict) else {}
    if not features or not all(map(_is_feature, features.values())) or not isinstance(told.get("fps"), int | float):
        raise DatasetError(f"{path}: its metadata record waldo lacks fps or features; {MEND}")
    length = max((topics.get(_topic(name), 0) for name in features), default=0)
    if not length:
        raise DatasetError(f"{path} holds no frame; an episode needs at least one: delete the file")
    return _Log(path, told, length, topics)


def _is_feature(feature: object) -> bool:
    shape = feature.get("shape") if isinstance(feature, dict) else None
    sides = isinstance(shape, list) and all(isinstance(side, int) and side > 0 for side in shape)
    return sides and isinstance(feature, dict) and feature.get("dtype") in (*layout.DTYPES, "image")


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _frames(path: Path, key: str, size: Size | None) -> Iterator[np.ndarray]:
    """The pictures of an episode, (H, W, 3) RGB."""
    t = 0
    with _opened(path) as reader:
        for schema, _, message in reader.iter_messages(topics=[_topic(key)]):
            content = _picture(schema.data if schema else b"", schema.name if schema else "")(message.data)
            yield resized(unpack(content, False, f"{path}: frame {t} of {_topic(key)}", MEND), size)
            t += 1


@functools.cache
def _picture(schema: bytes, name: str) -> Any:
    """What takes the picture out of a message, by nothing but the schema in the log."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(schema).file:
        pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return lambda content: bytes(kind.FromString(content).data)
