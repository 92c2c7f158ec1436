"""The program of a process that holds environments, perhaps in another interpreter, where waldo is not installed.

Run by its path: the standard library, numpy and gymnasium, Python 3.8 or later. What is said goes through one socket,

    u32 kind, u32 number, u32 length; JSON of that length

and an answer carries the number of its question. A step is a header alone, both ways: arrays lie in shared memory (see
sim.foreign.arrays). What the environments print goes to the parent's log. The process ends when the parent does, in whatever way.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import mmap
import os
import platform
import select
import signal
import socket
import struct
import sys
import time
import types
from typing import Any

HEAD = struct.Struct("<III")
SAY, STEP, STEP_WITH_PICTURES, DONE = range(4)
LONGEST = 1 << 26  # bytes of one message
WATCH = 3e-4  # [s] to look out for the next question before sleeping: to be woken takes a tenth of a millisecond, and finds cold caches
HOME = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  also in the other interpreter


def send(link: socket.socket, kind: int, number: int, what: Any = None) -> None:
    body = b"" if what is None else json.dumps(what).encode()
    link.sendall(HEAD.pack(kind, number, len(body)) + body)


def look_out(link: socket.socket, seconds: float) -> None:
    """Return when something was said, or after a moment, without sleeping."""
    poll = select.poll()
    poll.register(link, select.POLLIN)
    end = time.perf_counter() + seconds
    while not poll.poll(0) and time.perf_counter() < end:
        os.sched_yield()  # whoever can work, works


def receive(link: socket.socket) -> tuple[int, int, Any]:
    """Raises EOFError if the other end is gone, ValueError if it talks nonsense."""
    kind, number, length = HEAD.unpack(_exactly(link, HEAD.size))
    if kind > DONE or length > LONGEST:
        raise ValueError("not a message of this protocol")
    return kind, number, json.loads(_exactly(link, length)) if length else None


def _exactly(link: socket.socket, count: int) -> bytes:
    data = link.recv(count)
    while len(data) < count:
        more = link.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def end_with_parent(alive: int) -> None:
    """`alive`: a pipe on which nothing is ever said. When its other end closes, the system ends this process, whatever it is doing."""
    if sys.platform.startswith("linux"):
        signal.signal(signal.SIGIO, signal.SIG_DFL)  # which ends the process, even one that never returns from C
    else:
        signal.signal(signal.SIGIO, lambda *_: os._exit(1))
    fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([alive], [], [], 0)[0]:  # it was gone already
        os._exit(1)


def own_modules() -> tuple[Any, Any]:
    """(maker, rows), the files beside this one, under their usual names; hooks find the rest of the folder under its own."""
    sim, foreign = types.ModuleType("sim"), types.ModuleType("sim.foreign")
    sim.__path__, foreign.__path__ = [os.path.dirname(HOME)], [HOME]  # noqa: PTH120
    sys.modules.update({"sim": sim, "sim.foreign": foreign})
    return importlib.import_module("sim.foreign.maker"), importlib.import_module("sim.foreign.rows")


def prepare(order: dict[str, Any], memory: int) -> tuple[Any, dict[str, Any]]:
    """The environments, and what the parent is to know of them. Raises ModuleNotFoundError without numpy, Refused otherwise."""
    numpy = importlib.import_module("numpy")
    maker, rows = own_modules()
    shared = mmap.mmap(memory, 0)
    arrays = {}
    for name, dtype, shape, first in order["table"]:
        whole = numpy.frombuffer(shared, dtype, int(numpy.prod(shape)), first).reshape(shape)
        arrays[name] = whole[order["worker"]] if name == "clock" else whole[order["first"] : order["first"] + order["count"]]
    plan = order["plan"]
    held = rows.Rows(plan, arrays, maker.Maker(plan))
    return held, held.inspect() if order["inspect"] else {}


def answer(held: Any, kind: int, what: Any, film: int) -> Any:
    """Do what is asked; None where there is nothing to say."""
    if kind in (STEP, STEP_WITH_PICTURES):
        errors = held.step(held.arrays["active"].nonzero()[0].tolist(), kind == STEP_WITH_PICTURES)
        if not errors and not held.notes:
            return None
        found: dict[str, Any] = {"errors": list(errors.items()), "notes": held.notes[:]}
        held.notes.clear()
        return found
    if what["ask"] == "render":
        frames, errors = held.render(what["rows"], what["camera"], what["size"])
        view, at = memoryview(frames).cast("B"), 0
        while at < len(view):
            at += os.pwrite(film, view[at:], at)
        return {"errors": list(errors.items()), "shape": frames.shape}
    if what["ask"] == "reset":
        return {"errors": list(held.reset(what["rows"], what["seeds"], what["pictures"]).items())}
    return {"errors": list(held.act(what["rows"]).items())}


def serve(link: socket.socket, memory: int, film: int) -> None:
    _, number, order = receive(link)
    try:
        held, about = prepare(order, memory)
    except ModuleNotFoundError as error:  # numpy: all else is said as below
        why = f"it needs the package {error.name!r}, which is not installed"
        return send(link, SAY, number, {"refused": {"why": why, "missing": error.name, "asked": "", "allowed": []}})
    except Exception as error:
        if not hasattr(error, "answer"):
            raise
        return send(link, SAY, number, {"refused": error.answer})
    send(link, SAY, number, {"about": about, "python": platform.python_version()})
    while True:
        look_out(link, WATCH)
        kind, number, what = receive(link)
        if kind == SAY and what["ask"] == "close":
            return held.close()
        try:
            found = answer(held, kind, what, film)
        except Exception as error:
            if not hasattr(error, "answer"):
                raise
            found = {"refused": error.answer}
        send(link, DONE if found is None else SAY, number, found)


def main() -> None:
    control, memory, film, alive = (int(word) for word in sys.argv[1:5])
    for fd in (control, memory, film, alive):  # what the environments start must not keep them open
        os.set_inheritable(fd, False)
    end_with_parent(alive)
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != HOME]  # noqa: PTH100
    try:
        serve(socket.socket(fileno=control), memory, film)
    except (EOFError, ConnectionError):
        pass  # the parent is gone
    sys.stdout.flush()
    os._exit(0)  # what libraries do at exit is slow, and nothing of it is needed


if __name__ == "__main__":
    main()
