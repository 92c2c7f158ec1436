"""Driver of a virtual arm: a process of sim/virtual behind a local socket, in real time or stepping on command.

No safety logic here. In lock-step the arm's clock stands still until a command comes, so read() waits for the answer to
the last one; the deadline is then a matter of the host and not of the arm, and PATIENCE is what counts.
"""

from __future__ import annotations

import select
import socket
import time
from pathlib import Path

import numpy as np

from data.errors import RobotError
from real.base import Command, RobotSpec, Sample
from real.drivers.wire import CLEAR, MOVE, POLL, STOP, WATCHDOG, Codec, CommandFrame, StateFrame, fault_text, read_hello

PATIENCE = 30.0  # [s] of real time for an arm in lock-step


class VirtualArm:
    """path: the arm's socket."""

    def __init__(self, spec: RobotSpec, path: Path) -> None:
        self.spec, self.path = spec, path
        self.lockstep = False
        self._link: socket.socket | None = None
        self._codec = Codec(spec.dof)
        self._in = bytearray()
        self._seq = self._answered = 0  # commands sent, and the newest one that a reading has answered
        self._zero = np.zeros(spec.dof)

    def open(self) -> None:
        """Raises RobotError if nobody answers, or another kind of robot does."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(10.0)
        try:
            link.connect(str(self.path))
        except OSError as error:
            link.close()
            raise RobotError(f"no arm answers at {self.path}: {error}") from error
        hello = read_hello(link)
        if hello.get("refused"):
            link.close()
            raise RobotError(f"the arm refused: {hello['refused']}")
        if hello.get("robot") != self.spec.hash():
            link.close()
            raise RobotError(f"the arm is not the {self.spec.name} described here: its limits or kinematics differ")
        self.lockstep = bool(hello["lockstep"])
        link.setblocking(False)
        self._link = link

    def arm_watchdog(self, timeout: float) -> None:
        """timeout: [s], 0 switches it off."""
        self._send(WATCHDOG, timeout)

    def clear_fault(self) -> None:
        """Called by an operator's decision only."""
        self._send(CLEAR)

    def read(self, deadline: float) -> Sample | None:
        newest: StateFrame | None = None
        if self.lockstep and self._answered == self._seq:
            self._send(POLL)  # nothing is under way: ask where the arm is
        give_up = time.monotonic() + PATIENCE if self.lockstep else deadline
        while True:
            for frame in self._frames():
                newest = frame
            if newest is not None and (not self.lockstep or newest.ack >= self._seq):
                self._answered = newest.ack
                arrival = newest.t if self.lockstep else time.monotonic()
                return Sample(arrival, newest.t, newest.seq, newest.q, newest.dq, newest.width, newest.fault)
            left = give_up - time.monotonic()
            if left <= 0 or self._link is None:
                return None
            select.select([self._link], [], [], left)

    def write(self, command: Command, deadline: float) -> bool:
        frame = CommandFrame(command.t, self._next(), MOVE, 0.0, command.stages, command.q, command.width)
        return self._put(self._codec.pack_command(frame))

    def stop(self) -> None:
        if self._link is not None:
            self._send(STOP)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    @staticmethod
    def explain(fault: int) -> str:
        return fault_text(fault)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _send(self, kind: int, value: float = 0.0) -> None:
        raw = self._codec.pack_command(CommandFrame(0.0, self._next(), kind, value, 0, self._zero, 0.0))
        if not self._put(raw):
            raise RobotError("the arm took no command: the connection is gone or full")

    def _put(self, raw: bytes) -> bool:
        """All or nothing would need a datagram; a frame that went out in part is finished or the link is given up."""
        if self._link is None:
            return False
        try:
            sent = self._link.send(raw)
            while sent < len(raw):
                if not select.select([], [self._link], [], 0.005)[1]:
                    self.close()
                    return False
                sent += self._link.send(raw[sent:])
            return True
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False

    def _frames(self) -> list[StateFrame]:
        if self._link is None:
            return []
        try:
            while part := self._link.recv(1 << 16):
                self._in += part
            self.close()  # the arm closed its end
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        size, frames = self._codec.state_size, []
        while len(self._in) >= size:
            raw = bytes(self._in[:size])
            del self._in[:size]
            try:
                frames.append(self._codec.unpack_state(raw))
            except RobotError:
                self.close()  # a stream that lost its framing cannot be trusted again
                return frames
        return frames
