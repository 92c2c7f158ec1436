"""The columns of the episode that is being recorded: values are checked as they come and kept as bytes.

`add_frame` runs between two ticks of a control loop, when the encoder has filled the processor's caches with its own things: what
is a microsecond in a benchmark's loop takes thirty there. So a frame touches few of numpy's functions, and those are small.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from data.errors import DatasetError, did_you_mean
from data.lerobot.layout import TEXT

# Types of single numbers by the kind of the column that takes them.
SINGLE: dict[str, tuple[type, ...]] = {"f": (float, np.float32, np.float64), "b": (bool, np.bool_), "i": (int,), "u": (int,)}

FEW = 256  # elements that are summed up sooner than numpy's own test has begun


class Column:
    """One feature.

    entry   as in info.json
    rows    the frames so far: the bytes of each, or its text
    """

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        self.name = name
        self.shape: tuple[int, ...] = tuple(entry["shape"])
        self.is_text = entry["dtype"] == TEXT
        self.dtype = np.dtype(object if self.is_text else entry["dtype"])
        self.rows: list[Any] = []
        self._is_float, self._is_vector = self.dtype.kind == "f", len(self.shape) == 1
        self._size = int(np.prod(self.shape))
        single = SINGLE.get(self.dtype.kind, ()) if self.shape == (1,) else ()
        self._single = frozenset(single)  # types of values that the packer takes and checks
        # "=" checks the range of floats; without it integers have the sizes that numpy's letters mean.
        self._pack = struct.Struct(("=" if self._is_float else "") + self.dtype.char).pack if single else None

    def row(self, value: Any) -> Any:
        """What is kept of a frame's value. Raises DatasetError; a scalar may come as (), (1,) or a Python number."""
        if type(value) is np.ndarray and value.dtype is self.dtype and value.shape == self.shape:
            if self._is_float and (self._size > FEW or not math.isfinite(self._sum(value))):
                self.checked(value[None])
            return value.tobytes()
        if self._pack is not None and type(value) in self._single:
            try:
                if not self._is_float or math.isfinite(value):
                    return self._pack(value)
            except (struct.error, OverflowError):
                pass  # out of range: said below
        if self.is_text:
            return self.checked([value])[0, 0]
        return self.checked(np.asarray(value)[None]).tobytes()

    def _sum(self, value: np.ndarray) -> float:
        """It is not finite if one of its terms is not. It may also overflow: then the closer look finds nothing."""
        total: float = sum(value.tolist() if self._is_vector else value.ravel().tolist())
        return total

    def take(self, count: int) -> np.ndarray:
        """The first `count` rows, (count, D...), read-only; none is held afterwards."""
        rows, self.rows = self.rows[:count], []
        if self.is_text:
            return np.array(rows, object)[:, None]
        return np.frombuffer(b"".join(rows), self.dtype).reshape(count, *self.shape)

    def checked(self, values: Any) -> np.ndarray:
        """(T, D...) in this column's dtype and shape, a copy; scalars may come as (T,) or (T, 1). Raises DatasetError."""
        if self.is_text:
            return self._texts(values)
        array = np.asarray(values)
        if array.ndim == 1 and self.shape == (1,):
            array = array[:, None]
        if array.ndim == 0 or array.shape[1:] != self.shape:
            raise DatasetError(f"{self.name} has shape {array.shape}; wanted (T, {', '.join(map(str, self.shape))})")
        # Booleans may become numbers and floats change their width; a number never silently becomes a boolean or another integer.
        both_integer = array.dtype.kind in "iu" and self.dtype.kind in "iu"
        if not both_integer and not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise DatasetError(f"{self.name} is {array.dtype}; wanted {self.dtype}")
        with np.errstate(over="ignore"):
            cast = np.array(array, dtype=self.dtype)
        if both_integer and array.dtype != self.dtype and not np.array_equal(cast, array):
            at = int(np.flatnonzero((cast != array).reshape(len(cast), -1).any(1))[0])
            raise DatasetError(f"{self.name} is {array[at].tolist()} in frame {at}; that does not fit into {self.dtype}")
        if self.dtype.kind == "f" and not np.isfinite(cast).all():
            at = int(np.flatnonzero(~np.isfinite(cast).reshape(len(cast), -1).all(1))[0])
            raise DatasetError(f"{self.name} is {cast[at].tolist()} in frame {at}; every value must be finite")
        return cast

    def _texts(self, values: Any) -> np.ndarray:
        texts = np.array(list(values), object)
        if texts.shape not in ((len(texts),), (len(texts), 1)):
            raise DatasetError(f"{self.name} has shape {texts.shape}; wanted a text per frame")
        for at, text in enumerate(texts.flat):
            if not is_text(text):
                raise DatasetError(f"{self.name} is {text!r} in frame {at}; wanted a text that is valid Unicode")
        return texts.reshape(len(texts), 1)


class Columns:
    """All columns of a recording: `check` an episode's arrays, or `put` frame by frame and `take` them."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.by_name = {name: Column(name, entry) for name, entry in entries.items()}

    def check(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Whole columns, (T, D...) each, in the dtype of their features. Raises DatasetError."""
        given = named(arrays, self.by_name, "feature")
        return {name: column.checked(given[name]) for name, column in self.by_name.items()}

    def put(self, at: int, frame: Mapping[str, Any]) -> None:
        """The values of frame `at`. Raises DatasetError; the next frame then takes its place."""
        if len(frame) != len(self.by_name):
            named(frame, self.by_name, "feature")
        for name, column in self.by_name.items():
            if name not in frame:
                named(frame, self.by_name, "feature")
            row = column.row(frame[name])
            if len(column.rows) != at:
                del column.rows[at:]  # of a frame that was refused half-way, or discarded
            column.rows.append(row)

    def take(self, count: int) -> dict[str, np.ndarray]:
        """The first `count` frames, (count, D...) each; nothing is held afterwards."""
        return {name: column.take(count) for name, column in self.by_name.items()}


def is_text(value: object) -> bool:
    """Whether it is a str that can be stored as UTF-8: half a surrogate pair cannot."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


def named(given: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """`given`, which has exactly the names of `wanted`; raises DatasetError for missing and unknown ones."""
    if given.keys() == wanted.keys():
        return given
    for name in given:
        if name not in wanted:
            raise DatasetError(f"unknown {what} {name!r}; {did_you_mean(name, wanted)}")
    missing = [name for name in wanted if name not in given]
    raise DatasetError(f"no value for the {what} {', '.join(missing)}; found {', '.join(given) or 'none'}")
