"""How the recorder's caller and its threads talk: episodes in order, one condition to wait on, one failure for all."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

import numpy as np

from data.errors import DatasetError

if TYPE_CHECKING:
    from data.lerobot.camera import Finish

STEP_BACK = 5  # how much nicer than the caller the threads are


@dataclass(frozen=True)
class Save:
    """Commit `count` frames as an episode: columns (T, D...) each, and what each camera took."""

    columns: Mapping[str, np.ndarray]
    task: str
    count: int
    taken: Mapping[str, Finish]


class Worker(Protocol):
    """What serves the mailbox."""

    def commit(self, episode: Save) -> None: ...

    def abort(self) -> None: ...

    def forget(self, episode: Save) -> None: ...

    def explain(self, error: BaseException) -> DatasetError: ...


class Mailbox:
    """Episodes for the writer thread, and what every thread of a recorder has to know. A failure is raised on the caller's side."""

    def __init__(self) -> None:
        self.failure: DatasetError | None = None
        self._items: SimpleQueue[Save | None] = SimpleQueue()
        self._saving = 0
        self._changed = threading.Condition()

    def wait(self, ready: Callable[[], object]) -> float:
        """Until `ready()` is true; returns the seconds that it took. Raises DatasetError if some thread has failed."""
        start = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self.failure or ready())
        self.raise_failure()
        return time.perf_counter() - start

    def notify(self) -> None:
        """Something that `wait` may wait for has changed."""
        with self._changed:
            self._changed.notify_all()

    def fail(self, told: DatasetError) -> None:
        """The first failure is the one that is told."""
        with self._changed:
            self.failure = self.failure or told
            self._changed.notify_all()

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def save(self, episode: Save) -> None:
        self.raise_failure()
        with self._changed:
            self._saving += 1
        self._items.put(episode)

    def wait_idle(self) -> None:
        """Until no episode is waiting to be committed. Raises DatasetError if some thread has failed."""
        self.wait(lambda: not self._saving)

    def stop(self) -> None:
        self._items.put(None)

    def serve(self, writer: Worker) -> None:
        """The body of the writer thread. After a failure of its own what still comes is dropped until `stop`."""
        step_back()
        failed = False
        while (episode := self._items.get()) is not None:
            try:
                if not failed:
                    writer.commit(episode)
            except BaseException as error:  # a thread that dies silently leaves its caller waiting for ever
                told, failed = writer.explain(error), True
                with contextlib.suppress(OSError):  # what cannot be removed now is swept away by the next recorder
                    writer.abort()
                self.fail(told)
            writer.forget(episode)
            with self._changed:
                self._saving -= 1
                self._changed.notify_all()


def step_back() -> None:
    """Let the calling thread, and the threads it starts, give way to the others: a control loop must not wait for an encoder.

    Linux only; elsewhere niceness belongs to whole processes.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + STEP_BACK))
