"""One process that holds environments: started, spoken to, and ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import ConfigError
from data.machine import ONE_THREAD
from sim import gl
from sim.foreign import child
from sim.foreign.arrays import anonymous_file

TAIL = 1500  # bytes of the log that an error shows where no environment could be made
SHORT = 300  # bytes of it in the message of one row
LONGEST_LOG = 8 << 20  # bytes
WHOLE_MESSAGE = 10  # [s] from the first byte to the last
FAREWELL = 2.0  # [s] to close the environments


class Gone(Exception):
    """The process ended or broke off; says how."""


def surroundings(python: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of the child: ours, one thread, our choice of OpenGL, and `variables`.

    Another interpreter (`python`) does not get our packages; a child of this one ("") finds all that we find.
    """
    gl.choose()
    found = dict(os.environ)
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"):
        found.pop(name, None)
    if not python:
        found["PYTHONPATH"] = os.pathsep.join(place for place in sys.path if place)
    return {**found, **ONE_THREAD, **variables}


class Child:
    """Raises ConfigError if `python` cannot be run at all. What it then says comes through answer().

    watch    [s] to look out for an answer before sleeping
    """

    def __init__(self, python: str, memory: int, variables: Mapping[str, str], watch: float = 0.0) -> None:
        self._watch = watch
        self._link, theirs = socket.socketpair()
        self._link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", WHOLE_MESSAGE, 0))
        alive, self._alive = os.pipe()
        self._film = anonymous_file("film")
        with contextlib.ExitStack() as failing:
            self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115  it lives as long as the process
            failing.callback(self._release)
            words = [python or sys.executable, child.__file__, *map(str, (theirs.fileno(), memory, self._film, alive))]
            try:
                self._process = subprocess.Popen(
                    words,
                    pass_fds=(theirs.fileno(), memory, self._film, alive),
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    env=surroundings(python, variables),
                    start_new_session=True,  # Ctrl-C is for us, and whatever it starts can be ended with it
                )
            except OSError as error:
                raise ConfigError(
                    f"env.python={python}: {error.strerror}; wanted is the Python of an environment: .../bin/python"
                ) from error
            finally:
                theirs.close()
                os.close(alive)
            failing.pop_all()
        self._number, self._asked_at = 0, 0
        self._end = weakref.finalize(self, _kill, self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._link.fileno()

    def say(self, kind: int, what: Any = None) -> None:
        """Ask. Raises Gone."""
        self._number += 1
        self._asked_at = self._log_size()
        try:
            child.send(self._link, kind, self._number, what)
        except OSError as error:
            raise Gone(self._how()) from error

    def answer(self, timeout: float) -> Any:
        """What it answers to the last question, None for nothing to say. Raises Gone, TimeoutError after `timeout` [s]."""
        number = -1
        if self._watch:
            child.look_out(self._link, min(self._watch, timeout))
        while number != self._number:  # an older answer is of a question that nobody waited for
            if not select.select([self._link], [], [], timeout)[0]:
                raise TimeoutError
            try:
                _, number, what = child.receive(self._link)
            except (EOFError, OSError) as error:
                raise Gone(self._how()) from error
            except ValueError as error:
                raise Gone(f"its process answered nonsense: {error}") from error
        return what

    def frames(self, shape: tuple[int, ...]) -> np.ndarray:
        """The pictures that it wrote after `render`, uint8."""
        return np.frombuffer(os.pread(self._film, int(np.prod(shape)), 0), np.uint8).reshape(shape)

    def tail(self) -> str:
        """The end of what was printed in the process, led in for an error message."""
        size = self._log_size()
        text = os.pread(self._log.fileno(), TAIL, max(0, size - TAIL)).decode(errors="replace").strip()
        return f"; the last that it printed:\n{text}" if text else ""

    def said(self) -> str:
        """The same in one line, of what was printed since the last question."""
        size = self._log_size()
        start = max(self._asked_at, size - SHORT)
        text = " ".join(os.pread(self._log.fileno(), max(0, size - start), start).decode(errors="replace").split())
        return f"; it printed: {text}" if text else ""

    def trim_log(self) -> None:
        if self._log_size() > LONGEST_LOG:
            os.ftruncate(self._log.fileno(), 0)

    def kill(self) -> None:
        self._end()
        self._release()

    def dismiss(self) -> None:
        """Ask it to end, and do not wait."""
        with contextlib.suppress(Gone):
            self.say(child.SAY, {"ask": "close"})

    def close(self) -> None:
        """Give it a moment to end, then make it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(FAREWELL)
        self.kill()

    def _log_size(self) -> int:
        return os.fstat(self._log.fileno()).st_size

    def _how(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        if code is None:
            return "its process closed the connection"
        return f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process exited with status {code}"

    def _release(self) -> None:
        if not self._log.closed:
            self._log.close()
            self._link.close()
            os.close(self._alive)
            os.close(self._film)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def interpreter(python: str) -> str:
    """The path as it was meant, links kept: they tell a venv from the Python it was made of. Raises ConfigError if there is none."""
    path = Path(python).expanduser()
    if not path.exists():
        raise ConfigError(f"env.python={python}: there is no such file; wanted is the Python of an environment: .../bin/python")
    if path.is_dir():
        raise ConfigError(f"env.python={python} is a folder; wanted is the Python in it: {path / 'bin' / 'python'}")
    return str(path.absolute())
