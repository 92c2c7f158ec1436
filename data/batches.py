"""The order in which training sees the data: batch k is a function of (seed, k) alone.

So the same seed gives the same batches whatever the number of workers, and a run that was interrupted anywhere goes on with the
next batch. Two orders:

    random   every row is drawn anew, weighted if there are weights
    epoch    every row once before any comes twice; an epoch's shuffle goes on into the batch in which it ends
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.errors import ConfigError, DatasetError

Arrays = Mapping[str, np.ndarray]
ORDERS = ("random", "epoch")


class Rows(Protocol):
    """What batches are drawn from: `data.windows.Windows`, `data.transitions.Transitions`, a `Mixture` of them."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray, seed: int = 0) -> Arrays:
        """rows (B,) -> name -> (B, ...); what else is random in it is a function of (row, seed)."""


@dataclass(frozen=True)
class Drawn:
    """`Rows` made of a function, and weights beside them.

    draw      rows (B,) and a seed -> a batch; count   number of rows
    weights   (count,) >= 0: how often each row is drawn relative to the others; None for all alike
    """

    draw: Callable[[np.ndarray, int], Arrays]
    count: int
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return self.count

    def batch(self, rows: np.ndarray, seed: int = 0) -> Arrays:
        return self.draw(rows, seed)


class Batches:
    """rows    what to draw from; its attribute `weights`, if it has one, says how often

    Raises ConfigError for an unknown order or weights in an epoch, DatasetError for weights that are no weights.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int, order: str = "random") -> None:
        if order not in ORDERS:
            raise ConfigError(f"order={order!r} is unknown; allowed: {', '.join(ORDERS)}")
        if len(rows) < 1:
            raise DatasetError("there is nothing to draw a batch from")
        weights = getattr(rows, "weights", None)
        if weights is not None and order == "epoch":
            raise ConfigError("weights say how often a row is drawn, an epoch draws each once; use order=random with weights")
        self.rows, self.batch_size, self.seed, self.order = rows, batch_size, seed, order
        self._until = None if weights is None else _cumulative(weights, len(rows))
        self._shuffled = functools.lru_cache(maxsize=2)(self._shuffle)

    def numbers(self, step: int) -> tuple[np.ndarray, int]:
        """The rows of a step, (B,), and the seed of whatever else is random in it."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step]))
        if self.order == "epoch":
            rows = self._of_epoch(step)
        elif self._until is None:
            rows = rng.integers(0, len(self.rows), self.batch_size)
        else:
            rows = np.searchsorted(self._until, rng.random(self.batch_size) * self._until[-1], side="right")
        return rows, int(rng.integers(0, 2**62))

    def at(self, step: int) -> tuple[Arrays, int]:
        """The batch of a step, and the seed of the noise in it."""
        rows, seed = self.numbers(step)
        return self.rows.batch(rows, seed), seed

    def run(self, start: int, stop: int, workers: int = 0) -> Iterator[tuple[Arrays, int]]:
        """The batches of steps [start, stop), up to two per worker prepared ahead by threads; 0 prepares none."""
        if workers < 1:
            yield from map(self.at, range(start, stop))
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
            ahead: deque[Future[tuple[Arrays, int]]] = deque()
            following = iter(range(start, stop))
            try:
                while True:
                    while len(ahead) < 2 * workers and (step := next(following, None)) is not None:
                        ahead.append(pool.submit(self.at, step))
                    if not ahead:
                        return
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _of_epoch(self, step: int) -> np.ndarray:
        at = step * self.batch_size + np.arange(self.batch_size)
        epoch, place = np.divmod(at, len(self.rows))
        rows = np.empty(self.batch_size, np.int64)
        for e in np.unique(epoch).tolist():
            rows[epoch == e] = self._shuffled(e)[place[epoch == e]]
        return rows

    def _shuffle(self, epoch: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 1, epoch])).permutation(len(self.rows))


class Mixture:
    """Several datasets as one: each gives the share of a batch that is asked for, whatever its size.

    parts    what each dataset offers; they must give the same arrays
    shares   (P,) >= 0, how much of what is drawn comes from each; None: by their number of rows
    """

    def __init__(self, parts: Sequence[Rows], shares: Sequence[float] | None = None) -> None:
        self.parts = list(parts)
        self._until = np.cumsum([len(part) for part in self.parts])
        if shares is not None and (len(shares) != len(parts) or min(shares) < 0 or not np.isfinite(sum(shares)) or sum(shares) <= 0):
            raise ConfigError(f"shares={list(shares)}: one number >= 0 for each of the {len(self.parts)} datasets is needed, not all 0")
        within = [getattr(part, "weights", None) for part in self.parts]
        self.weights: np.ndarray | None = None
        if shares is not None or any(weights is not None for weights in within):
            each = [np.ones(len(part)) if w is None else np.asarray(w, np.float64) for part, w in zip(self.parts, within, strict=True)]
            wanted = [len(part) for part in self.parts] if shares is None else shares
            self.weights = np.concatenate([share * w / w.sum() for share, w in zip(wanted, each, strict=True)])

    def __len__(self) -> int:
        return int(self._until[-1])

    def batch(self, rows: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """rows (B,), numbered through all parts -> the rows of each part, back in the order that was asked for."""
        of = np.searchsorted(self._until, rows, side="right")
        out: dict[str, np.ndarray] = {}
        for p in np.unique(of).tolist():
            at = np.flatnonzero(of == p)
            part = self.parts[p].batch(rows[at] - (self._until[p] - len(self.parts[p])), seed)
            for name, values in part.items():
                out.setdefault(name, np.empty((len(rows), *values.shape[1:]), values.dtype))[at] = values
        return out


def _cumulative(weights: np.ndarray, count: int) -> np.ndarray:
    values = np.asarray(weights, np.float64)
    if values.shape != (count,) or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise DatasetError(f"weights of shape {values.shape} for {count} rows: they must be finite, not negative, and not all 0")
    return np.cumsum(values)
