"""Readers share no handle: right values in threads, and in processes that fork while the threads read."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

TIMES = 8  # readings per thread and process


def assert_reads_side_by_side(reads_right: Callable[[], bool]) -> None:
    """`reads_right`: read everything anew, and say whether it is what was written."""

    def child() -> None:
        raise SystemExit(0 if all(reads_right() for _ in range(TIMES)) else 1)

    fork = multiprocessing.get_context("fork")
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(reads_right) for _ in range(3 * TIMES)]
        children = [fork.Process(target=child) for _ in range(2)]
        for process in children:
            process.start()
        assert all(future.result() for future in running)
        for process in children:
            process.join(60)
    assert [process.exitcode for process in children] == [0, 0]
