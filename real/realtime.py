"""Asking the kernel to run this process on time; what it refuses is reported, not required."""

from __future__ import annotations

import ctypes
import gc
import os


def prefer(priority: int) -> list[str]:
    """SCHED_FIFO with `priority` (1-99), not inherited by children, locked memory, no garbage collections. Returns what could not be had."""
    refused = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except (OSError, AttributeError):
        refused.append("SCHED_FIFO")
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(1) != 0:  # MCL_CURRENT: what is mapped now stays in memory
            refused.append("mlockall")
    except (OSError, AttributeError):
        refused.append("mlockall")
    gc.collect()
    gc.freeze()
    gc.disable()
    return refused
