"""Shared-memory rings: nothing torn is read, whoever dies while writing; and what travels in them."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import RobotError
from real.chunk import Chunk
from real.ipc import Ring
from real.messages import Beat, State, chunk_size, pack_chunk, unpack_chunk


@pytest.fixture
def ring():  # type: ignore[no-untyped-def]
    made = Ring.create("test", slots=4, size=64)
    yield made
    made.close()
    made.close()


def test_records_are_found_by_number_until_they_are_overwritten(ring: Ring) -> None:
    assert ring.latest() is None and ring.read(0) is None and ring.read(1) is None
    for i in range(1, 7):
        assert ring.write(bytes([i]) * i) == i
    assert ring.latest() == (6, bytes([6]) * 6)
    assert ring.read(3) == bytes([3]) * 3 and ring.read(2) is None and ring.read(7) is None
    other = Ring.attach(os.dup(ring.fd))
    assert other.latest() == (6, bytes([6]) * 6)
    other.close()
    with pytest.raises(RobotError, match="does not fit"):
        ring.write(bytes(65))


def test_a_slot_that_is_being_written_is_not_read(ring: Ring) -> None:
    for i in (1, 2, 3):
        ring.write(bytes([i]) * 8)
    at = 64 + 3 * ring._stride
    counter = struct.unpack_from("<Q", ring._memory, at)[0]
    struct.pack_into("<Q", ring._memory, at, counter + 1)  # the writer died after its first store
    assert ring.latest() == (2, bytes([2]) * 8), "the one before is still there"


def test_a_flipped_bit_is_noticed(ring: Ring) -> None:
    ring.write(b"aaaa")
    ring.write(b"bbbb")
    at = 64 + 2 * ring._stride + 24
    ring._memory[at] ^= 1
    assert ring.latest() == (1, b"aaaa")


def test_a_descriptor_that_holds_no_ring_is_refused() -> None:
    fd = os.memfd_create("nothing")
    with pytest.raises(RobotError):
        Ring.attach(fd)
    os.ftruncate(fd, 4096)
    with pytest.raises(RobotError):
        Ring.attach(fd)
    os.close(fd)


WRITER = """
import sys
from real.ipc import Ring
ring = Ring.attach(int(sys.argv[1]))
i = 0
while True:
    i += 1
    ring.write(i.to_bytes(8, "little") * 512)
"""


def test_a_writer_that_is_killed_while_writing_never_leaves_a_torn_record() -> None:
    """Ten writers are killed at arbitrary instants; a reader that looks on all the while sees whole records only."""
    ring = Ring.create("test", slots=3, size=4096)
    seen = last = 0
    for i in range(10):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(ring.fd)], pass_fds=[ring.fd])
        before = ring.newest
        give_up = time.monotonic() + 90  # a busy machine takes its time to start Python
        while ring.newest == before and time.monotonic() < give_up:
            time.sleep(0.001)
        assert ring.newest > before, "the writer never began"
        for _ in range(300 + 37 * i):
            found = ring.latest()
            if found is not None:
                number, payload = found
                assert payload == payload[:8] * 512, f"record {number} is torn"
                seen, last = seen + 1, number
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        found = ring.latest()
        assert found is not None and found[0] >= last - 1 and found[1] == found[1][:8] * 512
    assert seen > 1000
    ring.close()


def test_messages_survive_the_way() -> None:
    rng = np.random.default_rng(0)
    state = State(1.5, 7, 2, 2**63 + 5, True, 1.25, 0.03, 0.04, rng.normal(size=7), rng.normal(size=7), rng.normal(size=7))
    again = State.unpack(state.pack())
    assert len(state.pack()) == State.size(7)
    for name in ("t", "tick", "episode", "seed", "active", "started", "width", "commanded_width"):
        assert getattr(again, name) == getattr(state, name)
    np.testing.assert_array_equal(again.commanded, state.commanded)
    chunk = Chunk(3, 2, 9, 1.0, 1.1, 0.05, rng.normal(size=(5, 7)), rng.normal(size=5), bytes(range(32)))
    back = unpack_chunk(pack_chunk(chunk))
    assert back is not None and back.spec_hash == chunk.spec_hash and back.seq == 3 and back.end == pytest.approx(1.2)
    np.testing.assert_array_equal(back.q, chunk.q)
    np.testing.assert_array_equal(back.width, chunk.width)
    assert len(pack_chunk(chunk)) <= chunk_size(7)
    beat = Beat(4, 2, 1.0, 0.01)
    assert Beat.unpack(beat.pack()) == beat


@given(st.binary(max_size=400))
def test_any_bytes_as_a_chunk(raw: bytes) -> None:
    """Either nothing, or something with shapes that ingress can look at."""
    chunk = unpack_chunk(raw)
    assert chunk is None or (chunk.q.ndim == 2 and chunk.width.ndim == 1)
