"""The tick log: append-only, written by a thread of its own, readable to the last whole record however it ended.

    file    "WALDOLOG" u32 version, then records
    record  u32 length, u32 crc32 of kind and payload, u8 kind, payload

Kinds: HEADER (JSON: specs, hashes, limits, versions; always the first), TICK (one numpy record of `tick_dtype`), EVENT
(JSON: a change of phase, with its reason). A record that is cut short or whose CRC does not fit ends the reading:
what lies before it is whole.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import DatasetError, RobotError

_FILE = struct.Struct("<8sI")
_MAGIC, _VERSION = b"WALDOLOG", 1
_RECORD = struct.Struct("<IIB")
HEADER, TICK, EVENT = 1, 2, 3
_KEPT = 500  # ticks kept in memory when the disk refuses


def tick_dtype(dof: int) -> np.dtype:
    """One tick. v, a: of the commanded profile; `q_wire`, `width_wire`: the numbers that were written."""
    vector = ("<f8", (dof,))
    return np.dtype(
        [
            ("t", "<f8"),  # loop time [s]
            ("tick", "<u8"),
            ("episode", "<u4"),
            ("segment", "<u4"),  # counts the times that the arm was made ready: within one, ticks follow each other
            ("phase", "u1"),
            ("reaction", "u1"),  # the most severe of the tick
            ("stages", "<u2"),  # bits of real.safety.verdict.Stage that intervened
            ("wrote", "u1"),
            ("fresh", "u1"),  # a new reading was accepted
            ("lateness", "<f8"),  # [s]
            ("compute", "<f8"),  # [s] from the wake-up to the write
            ("chunk", "<u8"),  # which chunk the setpoint is from, 0 = none
            ("chunk_age", "<f8"),  # [s] since the observation it answers
            ("t_device", "<f8"),
            ("sample_seq", "<u8"),
            ("fault", "<u4"),
            ("q", *vector),
            ("dq", *vector),
            ("width", "<f8"),
            ("setpoint", *vector),  # as selected from the chunk, before shaping; NaN where there is none
            ("setpoint_v", *vector),
            ("setpoint_a", *vector),
            ("setpoint_width", "<f8"),
            ("followed", "u1"),  # whether the commit stage was given it
            ("q_wire", *vector),
            ("v", *vector),
            ("a", *vector),
            ("width_wire", "<f8"),
        ]
    )


class TickRow:
    """One record that is filled again and again: `pack()` with one keyword per field."""

    def __init__(self, dof: int) -> None:
        self._array = np.zeros(1, tick_dtype(dof))
        self._row = self._array[0]

    def pack(self, **values: object) -> bytes:
        for name, value in values.items():
            self._row[name] = value
        return self._array.tobytes()


class LogWriter:
    """Appends from a thread: the loop only enqueues. `failed` says why writing ended, if it did."""

    def __init__(self, path: Path, header: dict, reserve: int = 64 << 20) -> None:
        """Raises RobotError where the log cannot be created or less than `reserve` bytes are free."""
        free = os.statvfs(path.parent)
        if free.f_bavail * free.f_frsize < reserve:
            raise RobotError(f"{path.parent}: less than {reserve >> 20} MiB free; the log needs them before anything moves")
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RobotError(f"the log {path} cannot be created: {error.strerror}") from error
        self.failed = ""
        self.records = 0
        self._queue: deque[bytes] = deque()
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._wake = threading.Event()
        self._closing = False
        self._write(_FILE.pack(_MAGIC, _VERSION) + _record(HEADER, json.dumps(header, allow_nan=False).encode()))
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def tick(self, record: bytes) -> None:
        self._queue.append(_record(TICK, record))

    def event(self, what: dict) -> None:
        self._queue.append(_record(EVENT, json.dumps(what).encode()))
        self._wake.set()

    def close(self) -> None:
        """Write what is left, sync, close; may be called twice."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        self._thread.join()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self.failed = self.failed or f"sync failed: {error.strerror}"
        os.close(self._fd)

    def _run(self) -> None:
        while True:
            self._wake.wait(0.1)
            self._wake.clear()
            closing = self._closing
            batch = []
            while self._queue:
                batch.append(self._queue.popleft())
            if batch:
                if self.failed:
                    self._kept.extend(batch)
                else:
                    self._write(b"".join(batch))
                self.records += len(batch)
            if closing and not self._queue:
                return

    def _write(self, data: bytes) -> None:
        """A full disk shows itself as a short count, not as an exception: the count is looked at."""
        view = memoryview(data)
        try:
            while view:
                count = os.write(self._fd, view)
                if count == 0:
                    raise OSError(28, "nothing was written")
                view = view[count:]
        except OSError as error:
            self.failed = f"the log could not be written: {error.strerror}"


def _record(kind: int, payload: bytes) -> bytes:
    return _RECORD.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


@dataclass(frozen=True)
class Log:
    """A log read back. ticks: numpy records of `tick_dtype`; whole: False if the end of the file is damaged."""

    header: dict
    ticks: np.ndarray
    events: list[dict]
    whole: bool


def read_log(path: Path) -> Log:
    """Every whole record. Raises DatasetError if the file is not a log or its header is damaged."""
    raw = path.read_bytes()
    if len(raw) < _FILE.size or _FILE.unpack_from(raw) != (_MAGIC, _VERSION):
        raise DatasetError(f"{path} is not a tick log of version {_VERSION}")
    header: dict | None = None
    ticks: list[bytes] = []
    events: list[dict] = []
    at = _FILE.size
    while at + _RECORD.size <= len(raw):
        length, crc, kind = _RECORD.unpack_from(raw, at)
        payload = raw[at + _RECORD.size : at + _RECORD.size + length]
        if len(payload) != length or zlib.crc32(payload, kind) != crc:
            break
        if kind == HEADER:
            header = json.loads(payload)
        elif kind == TICK:
            ticks.append(payload)
        elif kind == EVENT:
            events.append(json.loads(payload))
        at += _RECORD.size + length
    if header is None:
        raise DatasetError(f"{path}: the header is damaged")
    dtype = tick_dtype(header["dof"])
    return Log(header, np.frombuffer(b"".join(ticks), dtype), events, at == len(raw))
