"""Starts and ends the process of a virtual arm. It is an address and a command line: nothing of the simulator is imported."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import RobotError
from real.link import Link, Message

SERVER = "sim.virtual.arm"
TASK_WORLD = "sim.virtual.world.TaskWorld"


class VirtualArmProcess:
    """In a session of its own, so that Ctrl-C reaches the control loop and not the arm.

    folder   mode 0700, where the sockets are made
    world    dotted path of a sim.virtual.world.World; settings: its argument
    """

    def __init__(self, folder: Path, settings: Any, lockstep: bool, world: str = TASK_WORLD) -> None:
        if not isinstance(settings, Mapping):
            raise RobotError("the virtual arm needs a task to build its world from")
        self.wire, self.stage = folder / "arm.sock", folder / "stage.sock"
        what = {"world": world, "settings": dict(settings), "lockstep": lockstep}
        command = [sys.executable, "-m", SERVER, str(folder), json.dumps(what)]
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)

    def await_ready(self, timeout: float = 60.0) -> None:
        """Wait until it answers. Raises RobotError if it ends before that, or takes longer than `timeout` [s]."""
        give_up = time.monotonic() + timeout
        while time.monotonic() < give_up:
            if self._process is not None and self._process.poll() is not None:
                raise RobotError("the virtual arm ended before it was ready; its own message is above")
            try:
                Link.connect(self.stage, timeout=0.0).close()
                return
            except RobotError:
                time.sleep(0.05)
        raise RobotError(f"the virtual arm was not ready within {timeout:.0f} s")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        """Ask it to end, then make it; may be called twice."""
        if self._process is None:
            return
        if self._process.poll() is None:
            try:
                link = Link.connect(self.stage, timeout=1.0)
                link.ask(Message("close"), timeout=2.0)
                self._process.wait(3.0)
            except (RobotError, subprocess.TimeoutExpired):
                self._process.kill()
        self._process.wait()
        self._process = None
