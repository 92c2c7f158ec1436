"""Shared memory between two processes: rings of checked slots in an anonymous file that is passed by descriptor.

memfd + mmap: no name in the file system that another user could open or a helper process could unlink, no pickle, no
socket. One process writes a ring, any number read it; a reader never blocks the writer.

A slot is a seqlock: its counter is odd while the slot is being written, and a CRC32 covers counter and payload. A
reader takes a slot only if the counter is even, the same before and after the copy, and the CRC fits: a write that was
torn, or cut short by the death of the writer, is never read. On machines with weakly ordered memory the CRC is what
catches a reordered write; x86 keeps stores in order.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib

from data.errors import RobotError

_HEADER = struct.Struct("<8sIIQ")  # magic, slots, payload size, number of the newest whole record
_MAGIC = b"waldorng"
_NEWEST = struct.Struct("<Q")
_NEWEST_AT = _HEADER.size - _NEWEST.size
_SLOT = struct.Struct("<QQII")  # counter, record number, payload length, crc32
_COUNTER = struct.Struct("<Q")
_ALIGN = 64


class Ring:
    """`slots` records of up to `size` bytes; record numbers start at 1 and only grow."""

    def __init__(self, fd: int, memory: mmap.mmap, slots: int, size: int) -> None:
        self.fd, self.slots, self.size = fd, slots, size
        self._memory = memory
        self._stride = -(-(_SLOT.size + size) // _ALIGN) * _ALIGN

    @classmethod
    def create(cls, name: str, slots: int, size: int) -> Ring:
        """A new ring; `name` is seen in /proc only. The writer is whoever calls write(), by agreement one process."""
        stride = -(-(_SLOT.size + size) // _ALIGN) * _ALIGN
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(fd, _ALIGN + slots * stride)
        memory = mmap.mmap(fd, _ALIGN + slots * stride)
        _HEADER.pack_into(memory, 0, _MAGIC, slots, size, 0)
        return cls(fd, memory, slots, size)

    @classmethod
    def attach(cls, fd: int) -> Ring:
        """The ring behind an inherited descriptor. Raises RobotError if it is not one."""
        length = os.fstat(fd).st_size
        if length < _ALIGN:
            raise RobotError(f"descriptor {fd} holds {length} bytes, not a ring")
        memory = mmap.mmap(fd, length)
        magic, slots, size, _ = _HEADER.unpack_from(memory, 0)
        if magic != _MAGIC:
            raise RobotError(f"descriptor {fd} does not hold a ring")
        return cls(fd, memory, slots, size)

    @property
    def newest(self) -> int:
        """Number of the newest whole record, 0 before the first."""
        return int(_NEWEST.unpack_from(self._memory, _NEWEST_AT)[0])

    def write(self, payload: bytes) -> int:
        """Append one record; returns its number. Raises RobotError if it is too long."""
        if len(payload) > self.size:
            raise RobotError(f"a record of {len(payload)} bytes does not fit into slots of {self.size}")
        number = self.newest + 1
        at = _ALIGN + (number % self.slots) * self._stride
        counter = _COUNTER.unpack_from(self._memory, at)[0] | 1
        _COUNTER.pack_into(self._memory, at, counter)
        start = at + _SLOT.size
        self._memory[start : start + len(payload)] = payload
        _SLOT.pack_into(self._memory, at, counter, number, len(payload), _crc(number, payload))
        _COUNTER.pack_into(self._memory, at, counter + 1)
        _NEWEST.pack_into(self._memory, _NEWEST_AT, number)
        return number

    def read(self, number: int) -> bytes | None:
        """That record, or None if it was never written, is overwritten by now, or cannot be read whole."""
        at = _ALIGN + (number % self.slots) * self._stride
        for _ in range(3):  # a reader that meets the writer tries again; the writer needs microseconds
            counter, found, length, crc = _SLOT.unpack_from(self._memory, at)
            if counter % 2 or found != number or number == 0 or length > self.size:
                if found == number and counter % 2:
                    continue
                return None
            start = at + _SLOT.size
            payload = bytes(self._memory[start : start + length])
            if _COUNTER.unpack_from(self._memory, at)[0] == counter and _crc(number, payload) == crc:
                return payload
        return None

    def latest(self) -> tuple[int, bytes] | None:
        """The newest record that can be read whole, with its number."""
        newest = self.newest
        for number in range(newest, max(newest - self.slots, 0), -1):
            payload = self.read(number)
            if payload is not None:
                return number, payload
        return None

    def close(self) -> None:
        """Unmap and close; may be called twice."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self.fd)


def _crc(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, number & 0xFFFFFFFF)
