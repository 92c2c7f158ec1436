"""Asking the kernel to run this process on time; what it refuses is reported, not required."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator


@contextlib.contextmanager
def on_time(priority: int) -> Iterator[list[str]]:
    """SCHED_FIFO with `priority` (1-99), not inherited by children, locked memory, no garbage collections.

    Gives the names of what could not be had; everything is as before at the end.
    """
    refused = []
    before = os.sched_getscheduler(0)
    if not _scheduler(os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, priority):
        refused.append("SCHED_FIFO")
    locked = _libc("mlockall", 1)  # MCL_CURRENT: what is mapped now stays in memory
    if not locked:
        refused.append("mlockall")
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield refused
    finally:
        gc.enable()
        gc.unfreeze()
        if locked:
            _libc("munlockall")
        _scheduler(before, 0)


def _scheduler(policy: int, priority: int) -> bool:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
        return True
    except (OSError, AttributeError):
        return False


def _libc(name: str, *arguments: int) -> bool:
    try:
        return bool(getattr(ctypes.CDLL(None), name)(*arguments) == 0)
    except (OSError, AttributeError):
        return False
