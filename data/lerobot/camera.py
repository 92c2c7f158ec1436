"""One camera of a recorder: its frames are copied into buffers that are used again and again, and encoded on a thread of its own.

FFmpeg lets go of the interpreter, so that several cameras are encoded side by side while the caller goes on.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from data.durable import make_folder, temporary_of
from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.feature_stats import ImageStats, Stats
from data.lerobot.mailbox import Mailbox, step_back

PENDING_BYTES = 256 << 20  # frames of all cameras that may wait for the encoders before the caller has to
LONGEST = 60.0  # [s] that a camera which has failed waits for the episode before it to be committed
SLAB_BYTES = 4 << 20  # buffers are made in slabs of this size: numpy asks for huge pages then, and copies are faster


class Sink(Protocol):
    """What frames are encoded into: `data.lerobot.video.VideoWriter`, `data.lerobot.stills.StillWriter`."""

    frames: int

    def add(self, image: np.ndarray) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


@dataclass(frozen=True)
class Taken:
    """What a camera took in one episode.

    path    where its file belongs; it lies, complete and fsynced if it is to be kept, at `temporary_of(path)`
    place   chunk and file index
    sizes   (T,) int64 bytes of each picture, where they are stored one by one; empty for a video
    """

    path: Path
    place: tuple[int, int]
    frames: int
    sizes: np.ndarray
    stats: Stats


class Finish:
    """The end of an episode, as its camera sees it."""

    def __init__(self) -> None:
        self.taken: Future[Taken] = Future()
        self.settled = threading.Event()  # the episode is committed or lost

    def settle(self) -> None:
        """The episode is committed or lost: remove what is left of what was taken."""
        self.settled.set()
        self.taken.add_done_callback(_remove)


def _remove(taken: Future[Taken]) -> None:
    if taken.exception() is None:
        with contextlib.suppress(OSError):
            temporary_of(taken.result().path).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Discard:
    pass


def _is_final(image: np.ndarray) -> bool:
    """Whether a read-only array stays as it is: its memory belongs to it, or to another array that cannot be written to either."""
    base = image.base
    return base is None or (type(base) is np.ndarray and base.base is None and not base.flags.writeable)


class Camera:
    """The caller `put`s the frames of an episode, each as `kept`; `finish` ends it, `discard` forgets it.

    key       LeRobot's name; size   (height, width) [px]
    place     chunk and file index of its next file; path   place -> where that file belongs
    start     opens the sink of an episode at a temporary path
    share     bytes of frames that may wait
    explain   what the caller is told about a failure
    """

    def __init__(
        self,
        key: str,
        size: tuple[int, int],
        place: tuple[int, int],
        path: Callable[[tuple[int, int]], Path],
        start: Callable[[Path], Sink],
        share: int,
        mailbox: Mailbox,
        explain: Callable[[BaseException], DatasetError],
    ) -> None:
        self.key, self.shape = key, (*size, 3)
        self._place, self._path, self._start = place, path, start
        self._mailbox, self._explain = mailbox, explain
        self._slab = -(-SLAB_BYTES // (size[0] * size[1] * 3))
        self._most = max(self._slab, share // (size[0] * size[1] * 3))
        self._free: deque[np.ndarray] = deque()
        self._sent = self._done = 0
        self._grow()
        for buffer in self._free:
            buffer.fill(0)  # memory that was never touched is slow to write to
        self._queue: SimpleQueue[np.ndarray | Finish | _Discard | None] = SimpleQueue()
        self._sink: Sink | None = None
        self._failed = False
        self._last: Finish | None = None
        self._stats = ImageStats()
        self._thread = threading.Thread(target=self._serve, name=f"recorder {key}", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Frames that are not encoded yet."""
        return self._sent - self._done

    @property
    def is_full(self) -> bool:
        """Whether as many frames wait as may."""
        return self._sent - self._done >= self._most

    def wait_room(self) -> float:
        """Until it is not full; returns the seconds that it took. Raises DatasetError if some thread has failed."""
        return self._mailbox.wait(lambda: not self.is_full)

    def kept(self, image: np.ndarray) -> np.ndarray:
        """A copy of `image`, or itself if it cannot be written to any more."""
        if not image.flags.writeable and _is_final(image):
            return image
        try:
            buffer = self._free.pop()  # the one that was used last: it may still be in the processor's cache
        except IndexError:
            self._grow()
            buffer = self._free.pop()
        np.copyto(buffer, image)
        return buffer

    def put(self, image: np.ndarray) -> None:
        """Encode what `kept` returned."""
        self._queue.put(image)
        self._sent += 1

    def finish(self) -> Finish:
        """What was taken since the last episode, when it is encoded and on disk. Whoever asks must `settle` it."""
        end = Finish()
        self._queue.put(end)
        return end

    def discard(self) -> None:
        self._queue.put(_Discard())

    def stop(self) -> None:
        """Forget what is unfinished and end the thread."""
        self._queue.put(None)
        self._thread.join()
        self._free.clear()

    def _grow(self) -> None:
        self._free.extend(np.empty((self._slab, *self.shape), np.uint8))

    def _serve(self) -> None:
        step_back()
        while (item := self._queue.get()) is not None:
            try:
                self._take(item)
            except BaseException as error:  # noqa: BLE001 -- the caller is told; a thread that dies silently leaves it waiting for ever
                self._failed = True
                self._abort()
                if self._last is not None:
                    self._last.settled.wait(LONGEST)  # the episode before may be on its way still; what is told counts it
                self._mailbox.fail(self._explain(error))
            if isinstance(item, np.ndarray):
                if item.flags.writeable:
                    self._free.append(item)
                self._done += 1
                self._mailbox.notify()
            elif isinstance(item, Finish) and not item.taken.done():
                item.taken.set_exception(self._mailbox.failure or DatasetError(f"{self.key} was not finished"))
        self._abort()

    def _take(self, item: np.ndarray | Finish | _Discard) -> None:
        if isinstance(item, _Discard):
            self._abort()
        elif self._failed:
            return
        elif isinstance(item, Finish):
            item.taken.set_result(self._finish())
            self._last = item
        else:
            if self._sink is None:
                path = self._path(self._place)
                make_folder(path.parent)
                self._sink = self._start(temporary_of(path))
            self._sink.add(item)
            self._stats.add(item[None])

    def _finish(self) -> Taken:
        sink = self._sink
        if sink is None:
            raise DatasetError(f"{self.key} has no frames")
        sink.close()
        sizes = np.array(getattr(sink, "sizes", ()), np.int64)
        taken = Taken(self._path(self._place), self._place, sink.frames, sizes, self._stats.stats())
        self._sink, self._stats = None, ImageStats()
        self._place = layout.next_file(*self._place)
        return taken

    def _abort(self) -> None:
        sink, self._sink, self._stats = self._sink, None, ImageStats()
        if sink is not None:
            sink.abort()
        with contextlib.suppress(OSError):  # what cannot be removed now is swept away by the next recorder
            temporary_of(self._path(self._place)).unlink(missing_ok=True)
