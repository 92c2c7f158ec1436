"""Control's end of the policy's process: starts it, publishes states, takes chunks, knows whether it lives.

The process id is watched through a pidfd: a number that cannot be reused by another process, readable the moment the
process is gone. That sees a death at the next tick; a process that hangs is seen by its heartbeat.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Protocol

from data.errors import RobotError
from data.spec import PolicySpec
from real.chunk import Chunk
from real.ipc import Ring
from real.messages import Beat, State, chunk_size, unpack_chunk
from real.policy_process import Settings

STATES_KEPT = 512  # ticks: a policy that infers for a second still finds the state it needs


class PolicyLink(Protocol):
    """What the control loop needs of a policy."""

    def publish(self, state: State) -> None: ...

    def newest(self) -> Chunk | None:
        """A chunk that was not returned before, or None."""

    def alive(self) -> bool: ...

    def obituary(self) -> str:
        """How a process that is not alive came to its end."""

    def beat(self) -> Beat | None:
        """The newest sign of life."""

    def caught_up(self, episode: int, t: float) -> bool:
        """Lock-step: wait until observations up to `t` have been dealt with; False if that takes too long."""


class PolicyProcess:
    """`start()`, `greeting()`, then what PolicyLink says, then `close()`."""

    def __init__(self, dof: int, patience: float = 5.0) -> None:
        """patience: [s] of real time that lock-step waits for the policy."""
        self._states = Ring.create("waldo-states", STATES_KEPT, State.size(dof))
        self._chunks = Ring.create("waldo-chunks", 4, chunk_size(dof))
        self._beats = Ring.create("waldo-beats", 8, Beat.SIZE)
        self.patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._hello = -1
        self._poll = select.poll()
        self._seen = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, settings: Settings) -> None:
        """settings: its descriptors are filled in here."""
        hello, write_end = os.pipe()
        fds = (self._states.fd, self._chunks.fd, self._beats.fd, write_end)
        filled = dataclasses.replace(settings, states=fds[0], chunks=fds[1], beats=fds[2], hello=fds[3])
        command = [sys.executable, "-m", "real.policy_process", json.dumps(dataclasses.asdict(filled))]
        self._process = subprocess.Popen(command, pass_fds=fds, start_new_session=True, stdin=subprocess.DEVNULL)
        os.close(write_end)
        self._hello = hello
        self._pidfd = os.pidfd_open(self._process.pid)
        self._poll.register(self._pidfd, select.POLLIN)

    def greeting(self, timeout: float = 120.0) -> tuple[PolicySpec, str]:
        """The policy's spec and the hash of the robot it was made for ("" if it does not say).

        Raises RobotError if it does not come up.
        """
        raw = b""
        give_up = time.monotonic() + timeout
        while not raw.endswith(b"\n"):
            left = give_up - time.monotonic()
            if left <= 0 or not select.select([self._hello], [], [], left)[0]:
                raise RobotError(f"the policy process did not come up within {timeout:.0f} s")
            part = os.read(self._hello, 1 << 16)
            if not part:
                raise RobotError("the policy process ended before it was ready; its own message is above")
            raw += part
        what = json.loads(raw)
        if what["error"]:
            raise RobotError(f"the policy cannot be used: {what['error']}")
        return PolicySpec.from_json(what["spec"]), what["robot"]

    def publish(self, state: State) -> None:
        self._states.write(state.pack())

    def newest(self) -> Chunk | None:
        if self._chunks.newest == self._seen:
            return None
        found = self._chunks.latest()
        if found is None or found[0] <= self._seen:
            return None
        self._seen = found[0]
        return unpack_chunk(found[1])

    def alive(self) -> bool:
        return self._process is not None and not self._poll.poll(0)

    def obituary(self) -> str:
        found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return ""
        signalled = found.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        return signal.Signals(found.si_status).name if signalled else f"exit status {found.si_status}"

    def beat(self) -> Beat | None:
        found = self._beats.latest()
        return Beat.unpack(found[1]) if found else None

    def caught_up(self, episode: int, t: float) -> bool:
        give_up = time.monotonic() + self.patience
        while True:
            beat = self.beat()
            if beat is not None and beat.episode == episode and beat.done > t:
                return True
            if not self.alive() or time.monotonic() > give_up:
                return False
            time.sleep(0.0002)

    def close(self) -> None:
        """End the process, by force if it does not leave; may be called twice."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(3.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._poll.unregister(self._pidfd)
        os.close(self._pidfd)
        os.close(self._hello)
        self._process = None
        for ring in (self._states, self._chunks, self._beats):
            ring.close()
