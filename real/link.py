"""Messages between processes of one machine that are not on the control path: JSON with numpy arrays behind it.

    u32 magic, header length, body length, crc32 of both; header (JSON); body (the arrays, one after the other)

Used for what an operator and a policy ask of a world: object poses, reset, success, camera frames. No pickle; the socket
is a file in a folder of mode 0700. `Link.poll()` never blocks.
"""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import time
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.errors import RobotError

_HEAD = struct.Struct("<IIII")
_MAGIC = 0x3A1D0
_LONGEST = 1 << 28  # bytes of one message; more is refused before it is allocated
_DTYPES = ("float32", "float64", "uint8", "int64", "uint64", "bool")


@dataclass(frozen=True)
class Message:
    kind: str
    fields: Mapping[str, object] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def pack(message: Message) -> bytes:
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    shapes = [[name, str(a.dtype), list(a.shape)] for name, a in arrays.items()]
    header = json.dumps({"kind": message.kind, "fields": dict(message.fields), "arrays": shapes}).encode()
    body = b"".join(a.tobytes() for a in arrays.values())
    return _HEAD.pack(_MAGIC, len(header), len(body), zlib.crc32(body, zlib.crc32(header))) + header + body


def _unpack(header: bytes, body: bytes) -> Message:
    try:
        raw = json.loads(header)
        arrays, at = {}, 0
        for name, dtype, shape in raw["arrays"]:
            if dtype not in _DTYPES:
                raise ValueError(f"dtype {dtype}")
            count = math.prod(shape)
            array = np.frombuffer(body, dtype, count, at).reshape(shape)
            arrays[name] = array
            at += array.nbytes
        return Message(str(raw["kind"]), raw["fields"], arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise RobotError(f"a message cannot be read: {error}") from error


class Link:
    """One end of a connection. Raises RobotError when the other end is gone or talks nonsense."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        link.setblocking(False)
        self._in = bytearray()
        self._messages: deque[Message] = deque()

    @classmethod
    def connect(cls, path: Path, timeout: float = 10.0) -> Link:
        """Raises RobotError if nobody answers at `path` within `timeout` [s]."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        give_up = time.monotonic() + timeout
        while True:
            try:
                link.connect(str(path))
                return cls(link)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() > give_up:
                    link.close()
                    raise RobotError(f"nobody answers at {path}") from error
                time.sleep(0.02)

    def fileno(self) -> int:
        return self._link.fileno()

    def send(self, message: Message, timeout: float = 5.0) -> None:
        """Raises RobotError if the other end does not take it within `timeout` [s]."""
        view = memoryview(pack(message))
        give_up = time.monotonic() + timeout
        while view:
            try:
                view = view[self._link.send(view) :]
            except BlockingIOError:
                left = give_up - time.monotonic()
                if left <= 0 or not select.select([], [self._link], [], left)[1]:
                    raise RobotError(f"the other end did not take {message.kind!r} within {timeout} s") from None
            except OSError as error:
                raise RobotError(f"the connection is gone: {error}") from error

    def poll(self) -> list[Message]:
        """Every message that has arrived whole."""
        closed = False
        while True:
            try:
                part = self._link.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                raise RobotError(f"the connection is gone: {error}") from error
            if not part:
                closed = True
                break
            self._in += part
        self._parse()
        found = list(self._messages)
        self._messages.clear()
        if closed and not found:
            raise RobotError("the other end closed the connection")
        return found

    def ask(self, message: Message, timeout: float = 30.0) -> Message:
        """Send and wait for the answer of the same kind. Raises RobotError after `timeout` [s] or on an `error` answer.

        Messages of other kinds that arrive meanwhile are kept for poll().
        """
        self.send(message)
        give_up = time.monotonic() + timeout
        others: list[Message] = []
        while True:
            arrived = self.poll()
            for i, found in enumerate(arrived):
                if found.kind in ("error", message.kind):
                    self._messages.extend([*others, *arrived[i + 1 :]])
                    if found.kind == "error":
                        raise RobotError(str(found.fields.get("why")))
                    return found
            others += arrived
            left = give_up - time.monotonic()
            if left <= 0:
                raise RobotError(f"no answer to {message.kind!r} within {timeout} s")
            select.select([self._link], [], [], left)

    def close(self) -> None:
        self._link.close()

    def _parse(self) -> None:
        while len(self._in) >= _HEAD.size:
            magic, header, body, crc = _HEAD.unpack_from(self._in)
            if magic != _MAGIC or header + body > _LONGEST:
                raise RobotError("the other end does not speak this protocol")
            start = _HEAD.size
            end = start + header + body
            if len(self._in) < end:
                return
            head, rest = bytes(self._in[start : start + header]), bytes(self._in[start + header : end])
            if zlib.crc32(rest, zlib.crc32(head)) != crc:
                raise RobotError("a message arrived damaged")
            self._messages.append(_unpack(head, rest))
            del self._in[:end]
