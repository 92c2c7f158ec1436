"""What there is to compute with."""

from __future__ import annotations

import os

# Environment variables of a process that computes on its own core, beside others.
NUMERIC = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
ONE_THREAD = dict.fromkeys(NUMERIC, "1")


def cores() -> int:
    """How many cores this process may use: what `taskset` or a container leave it, where the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
