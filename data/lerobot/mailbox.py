"""How the recorder's caller and its writer thread talk: messages in order, bounded by memory, failures the other way."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.errors import DatasetError

PENDING_BYTES = 256 << 20  # frames that may wait for the encoder before the caller has to


@dataclass(frozen=True)
class Frames:
    """The next frames of a camera, uint8 (T, H, W, 3)."""

    key: str
    images: np.ndarray


@dataclass(frozen=True)
class Save:
    """Commit the frames so far as an episode of `count` frames with these columns, (T, D...) each."""

    columns: dict[str, np.ndarray]
    task: str
    count: int


@dataclass(frozen=True)
class Discard:
    """Forget the frames since the last episode."""


class Worker(Protocol):
    """What serves the mailbox."""

    def take(self, item: Frames | Save | Discard) -> None: ...

    def abort(self) -> None: ...

    def explain(self, error: BaseException) -> DatasetError: ...


class Mailbox:
    """What the caller hands to the writer thread, in order, bounded by memory. A failure is raised on the caller's side."""

    def __init__(self) -> None:
        self._items: deque[Frames | Save | Discard | None] = deque()
        self._bytes = 0
        self._saving = 0
        self._failure: DatasetError | None = None
        self._changed = threading.Condition()

    def frames(self, key: str, images: np.ndarray) -> None:
        """Waits while more than PENDING_BYTES are queued."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < PENDING_BYTES or self._failure)
            self._raise()
            self._bytes += images.nbytes
            self._put(Frames(key, images))

    def save(self, columns: dict[str, np.ndarray], task: str, count: int) -> None:
        with self._changed:
            self._raise()
            self._saving += 1
            self._put(Save(columns, task, count))

    def discard(self) -> None:
        with self._changed:
            self._put(Discard())

    def stop(self) -> None:
        with self._changed:
            self._put(None)

    def wait_idle(self) -> None:
        """Until no episode is waiting to be committed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._saving or self._failure)
            self._raise()

    def raise_failure(self) -> None:
        with self._changed:
            self._raise()

    def serve(self, writer: Worker) -> None:
        """The body of the thread. After a failure what still comes is dropped until `stop`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items)
                item = self._items.popleft()
            if item is None:
                return
            try:
                if self._failure is None:
                    writer.take(item)
            except BaseException as error:  # a thread that dies silently leaves its caller waiting for ever
                told = writer.explain(error)
                with contextlib.suppress(OSError):  # what cannot be removed now is swept away by the next recorder
                    writer.abort()
                self._failure = told
            with self._changed:
                self._bytes -= item.images.nbytes if isinstance(item, Frames) else 0
                self._saving -= isinstance(item, Save)
                self._changed.notify_all()

    def _put(self, item: Frames | Save | Discard | None) -> None:
        self._items.append(item)
        self._changed.notify_all()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure
