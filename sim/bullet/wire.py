"""Messages between the simulating processes: a header of JSON and raw bytes, each with its length before it."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")
Header = dict[str, Any]


def send(to: socket.socket, header: Header, payload: bytes = b"") -> None:
    text = json.dumps(header).encode()
    to.sendall(_LENGTHS.pack(len(text), len(payload)) + text + payload)


def receive(source: socket.socket) -> tuple[Header, bytes]:
    """Raises EOFError when the other side is gone."""
    header, payload = _LENGTHS.unpack(_exactly(source, _LENGTHS.size))
    return json.loads(_exactly(source, header)), _exactly(source, payload)


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = source.recv(count - len(parts))
        except ConnectionResetError:
            part = b""
        if not part:
            raise EOFError("the other process is gone")
        parts += part
    return bytes(parts)
