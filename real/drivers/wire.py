"""The virtual arm's wire: fixed-size frames over a local stream socket, each with a sequence number and a CRC32.

Both ends are ours; the emulators of vendors' arms speak the vendors' wires instead. A socket is a file in a folder
that only its owner may enter (mode 0700): there is no port.

    HELLO    arm -> host, once    JSON
    STATE    arm -> host          t_device, seq, acknowledged command, fault word, q, dq, width
    COMMAND  host -> arm          t, seq, kind, value, stage mask, q, width
"""

from __future__ import annotations

import json
import socket
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from data.errors import RobotError

MAGIC = 0x57A1
_HELLO = struct.Struct("<III")  # magic, length, crc32

# kinds of command
MOVE, STOP, WATCHDOG, CLEAR, POLL = 1, 2, 3, 4, 5
# bits of the fault word
FAULT_WATCHDOG, FAULT_STOPPED, FAULT_COMMAND, FAULT_FRAME = 1, 2, 4, 8
FAULT_NAMES = {
    FAULT_WATCHDOG: "its watchdog: no command came in time",
    FAULT_STOPPED: "it was told to stop",
    FAULT_COMMAND: "it refused a command",
    FAULT_FRAME: "a frame arrived damaged",
}


def fault_text(word: int) -> str:
    return ", ".join(text for bit, text in FAULT_NAMES.items() if word & bit) or f"{word:#x}"


@dataclass(frozen=True)
class StateFrame:
    t: float  # the arm's clock [s]
    seq: int
    ack: int  # the newest command it has acted on
    fault: int
    q: np.ndarray
    dq: np.ndarray
    width: float


@dataclass(frozen=True)
class CommandFrame:
    t: float
    seq: int
    kind: int
    value: float  # WATCHDOG: the timeout [s], 0 = off
    stages: int  # MOVE: which safety stages ran before it was sent; the watchdog is fed by complete ones only
    q: np.ndarray
    width: float


class Codec:
    """Packs and unpacks frames of an arm of `dof` joints. unpack raises RobotError for a damaged frame."""

    def __init__(self, dof: int) -> None:
        self.dof = dof
        self._state = struct.Struct(f"<HdQQI{2 * dof + 1}d")
        self._command = struct.Struct(f"<HdQIdI{dof + 1}d")
        self.state_size, self.command_size = self._state.size + 4, self._command.size + 4

    def pack_state(self, s: StateFrame) -> bytes:
        return _sign(self._state.pack(MAGIC, s.t, s.seq, s.ack, s.fault, *s.q.tolist(), *s.dq.tolist(), s.width))

    def unpack_state(self, raw: bytes) -> StateFrame:
        t, seq, ack, fault, *rest = self._state.unpack(_verify(raw))[1:]
        values, n = np.array(rest), self.dof
        return StateFrame(t, seq, ack, fault, values[:n], values[n : 2 * n], float(values[-1]))

    def pack_command(self, c: CommandFrame) -> bytes:
        return _sign(self._command.pack(MAGIC, c.t, c.seq, c.kind, c.value, c.stages, *c.q.tolist(), c.width))

    def unpack_command(self, raw: bytes) -> CommandFrame:
        t, seq, kind, value, stages, *rest = self._command.unpack(_verify(raw))[1:]
        return CommandFrame(t, seq, kind, value, stages, np.array(rest[:-1]), rest[-1])


def pack_hello(what: dict) -> bytes:
    body = json.dumps(what).encode()
    return _HELLO.pack(MAGIC, len(body), zlib.crc32(body)) + body


def read_hello(link: socket.socket) -> dict:
    """Blocks up to the socket's timeout. Raises RobotError."""
    magic, length, crc = _HELLO.unpack(_exactly(link, _HELLO.size))
    if magic != MAGIC or length > 1 << 20:
        raise RobotError("whoever answers is not a virtual arm")
    body = _exactly(link, length)
    if zlib.crc32(body) != crc:
        raise RobotError("the arm's greeting arrived damaged")
    return dict(json.loads(body))


def _exactly(link: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        try:
            part = link.recv(count - len(parts))
        except OSError as error:
            raise RobotError(f"the arm did not answer: {error}") from error
        if not part:
            raise RobotError("the arm closed the connection")
        parts += part
    return parts


def _sign(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def _verify(raw: bytes) -> bytes:
    body = raw[:-4]
    if zlib.crc32(body) != struct.unpack("<I", raw[-4:])[0] or struct.unpack_from("<H", body)[0] != MAGIC:
        raise RobotError("a frame arrived damaged")
    return body
