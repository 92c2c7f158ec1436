"""What a user reads instead of a traceback: one line and an exit status per error."""

from __future__ import annotations

import errno
import os

from data.errors import WaldoError

OWN = ("waldo", "configs", "data", "policies", "real", "sim")
BUG, INPUT = 1, 2
GATE_INPUT, GATE_BUG = 3, 4  # of a gate, which says with 0, 1 and 2 what it found: an error never looks like a verdict


def explain(error: BaseException, gate: bool = False) -> tuple[str | None, int]:
    """(one line for the user, exit status); the line is None for what is a bug and deserves its traceback.

    gate: the command's statuses 0, 1 and 2 are a verdict (waldo.manual.GATES).
    """
    line, status = _explained(error)
    return line, {BUG: GATE_BUG, INPUT: GATE_INPUT}.get(status, status) if gate else status


def _explained(error: BaseException) -> tuple[str | None, int]:
    text = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {text or 'nothing had been started'}", 130
    if isinstance(error, WaldoError):
        return f"error: {text}", INPUT
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's is a RuntimeError
        text = text.split(". ")[0]
        return f"error: out of memory{': ' + text if text else ''}; a smaller batch_size or fewer environments need less", INPUT
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] not in OWN:
        return f"error: this needs the Python package {error.name!r}, which is not installed", INPUT
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"error: the disk is full{_place(error)}; what was finished before is kept", INPUT
    if isinstance(error, OSError) and error.errno and error.filename:
        return f"error: {os.strerror(error.errno).lower()}{_place(error)}", INPUT
    return None, BUG


def _place(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""
