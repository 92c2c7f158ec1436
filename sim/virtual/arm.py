"""The virtual arm: a server process with physics, an arm's controller with its own watchdog, and two local sockets.

    arm.sock     the arm's wire (real.drivers.wire): 500 states per second out, commands in; one master at a time
    stage.sock   perception and operator (sim.virtual.stage)

In real time a time step is taken every `timestep` of the monotonic clock, whatever arrives. In lock-step the clock is the
physics': one step per MOVE or STOP command, and it stands still in between.

Run as `python -m sim.virtual.arm FOLDER SETTINGS` by real.virtual_process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from data.config import locate
from data.errors import RobotError, WaldoError
from real.drivers.wire import MOVE, STOP, Codec, StateFrame, pack_hello
from real.realtime import on_time
from sim.virtual.controller import Controller
from sim.virtual.stage import Stage

if TYPE_CHECKING:
    from sim.virtual.world import World

CATCH_UP = 25  # time steps that are made up for after a stall of the host; the rest of the stall is forgotten


class ArmServer:
    """world: what is moved. folder: where the sockets are made, mode 0700."""

    def __init__(self, world: World, folder: Path, lockstep: bool) -> None:
        self.world, self.lockstep = world, lockstep
        self.controller = Controller(world.robot, world.timestep)
        self._codec = Codec(world.robot.dof)
        self._arm_listener = _listen(folder / "arm.sock")
        self.stage = Stage(world, _listen(folder / "stage.sock"), self._reset)
        self._master: socket.socket | None = None
        self._in = bytearray()
        self.steps = 0
        self._zero = time.monotonic()
        self.slipped = 0  # time steps lost to stalls of the host

    @property
    def now(self) -> float:
        """The arm's clock [s]: monotonic time of the last step in real time, physics' time in lock-step."""
        return self.steps * self.world.timestep + (0.0 if self.lockstep else self._zero)

    def run(self) -> None:
        """Until the operator says close, or the process that started it has gone."""
        parent = os.getppid()
        while not self.stage.closing and os.getppid() == parent:
            if self.lockstep:
                self._wait(0.2)
                self._take_commands()
            else:
                self._real_time()
            self.stage.serve(self.now)
            self._accept()
        self.stage.close()
        self._arm_listener.close()

    def _real_time(self) -> None:
        due = self._zero + (self.steps + 1) * self.world.timestep
        left = due - time.monotonic()
        if left > 0:
            time.sleep(left)
        behind = int((time.monotonic() - due) / self.world.timestep)
        if behind > CATCH_UP:
            self.slipped += behind - CATCH_UP
            self._zero += (behind - CATCH_UP) * self.world.timestep
            behind = CATCH_UP
        self._take_commands()
        for _ in range(behind + 1):
            self._step()
        self._send_state()

    def _wait(self, timeout: float) -> None:
        readers = [self._arm_listener, *self.stage.readers()]
        if self._master is not None:
            readers.append(self._master)
        select.select(readers, [], [], timeout)

    def _step(self) -> None:
        self.world.step(*self.controller.advance())
        self.steps += 1
        self.stage.after_step(self.steps, self.now)

    def _accept(self) -> None:
        try:
            link, _ = self._arm_listener.accept()
        except BlockingIOError:
            return
        if self._master is not None:  # one source of commands at a time
            link.sendall(pack_hello({"refused": "somebody else is in command of this arm"}))
            link.close()
            return
        link.sendall(pack_hello({"robot": self.world.robot.hash(), "lockstep": self.lockstep, "timestep": self.world.timestep}))
        link.setblocking(False)
        self._master, self._in = link, bytearray()

    def _take_commands(self) -> None:
        """Act on every command that has arrived; in lock-step each motion command is one time step."""
        if self._master is None:
            return
        try:
            while part := self._master.recv(1 << 16):
                self._in += part
            self._leave()
        except BlockingIOError:
            pass
        except OSError:
            self._leave()
        size = self._codec.command_size
        while len(self._in) >= size:
            raw = bytes(self._in[:size])
            del self._in[:size]
            try:
                frame = self._codec.unpack_command(raw)
            except RobotError:
                self.controller.damaged()
                self._leave()
                return
            self.controller.command(frame)
            if self.lockstep:
                if frame.kind in (MOVE, STOP):
                    self._step()
                self._send_state()

    def _send_state(self) -> None:
        if self._master is None:
            return
        q, dq = self.world.joints()
        frame = StateFrame(self.now, self.steps, self.controller.ack, self.controller.fault, q, dq, self.world.width())
        try:
            self._master.send(self._codec.pack_state(frame))
        except BlockingIOError:
            pass  # a master that does not read misses states
        except OSError:
            self._leave()

    def _leave(self) -> None:
        """The master is gone: its watchdog, if armed, is what stops the arm. The next master numbers its commands anew."""
        if self._master is not None:
            self._master.close()
        self._master, self._in, self.controller.ack = None, bytearray(), 0

    def _reset(self, seed: int) -> None:
        self._take_commands()  # what was sent before the reset must not move the arm after it
        self.world.reset(seed)
        self.controller.place(self.world.joints()[0], self.world.width())


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(8)
    listener.setblocking(False)
    return listener


def main(argv: list[str]) -> int:
    folder, what = Path(argv[0]), json.loads(argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        world = locate(what["world"])(what["settings"])
    except WaldoError as error:
        print(f"virtual arm: {error}", file=sys.stderr)
        return 2
    server = ArmServer(world, folder, what["lockstep"])
    with contextlib.ExitStack() as stack:
        if not what["lockstep"]:
            stack.enter_context(on_time(priority=20))
        server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
