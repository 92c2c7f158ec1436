"""A process that simulates some rows: python -m sim.bullet.worker SOCKET FOLDER NUM_ENVS FIRST END

SOCKET is an inherited file descriptor; FOLDER holds model.mjb and the shared states. It ends when the other end of the socket closes.
"""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import mujoco
import numpy as np

from data.errors import WaldoError
from sim.bullet.rows import Rows
from sim.bullet.share import shared
from sim.bullet.wire import Header, receive, send


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    connection = socket.socket(fileno=int(arguments[0]))
    folder, num_envs, first, end = Path(arguments[1]), *(int(a) for a in arguments[2:])
    model = mujoco.MjModel.from_binary_path(str(folder / "model.mjb"))
    try:
        rows = Rows(model, shared(model, num_envs, folder / "states"), range(first, end))
    except WaldoError as error:
        send(connection, {"error": type(error).__name__, "message": str(error)})
        return
    try:
        send(connection, {})
        while True:
            send(connection, _answer(rows, *receive(connection)))
    except (EOFError, OSError):
        return  # nobody listens any more
    finally:
        rows.close()


def _answer(rows: Rows, asked: Header, payload: bytes) -> Header:
    try:
        if asked["do"] == "advance":
            rows.advance(asked["steps"])
        else:
            rows.set_field(asked["name"], asked["rows"], np.frombuffer(payload, float).reshape(asked["shape"]))
    except WaldoError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {}


if __name__ == "__main__":
    main(sys.argv[1:])
