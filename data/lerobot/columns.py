"""The columns of the episode that is being recorded: values are checked as they come and gathered in blocks.

`add_frame` runs between two ticks of a control loop, when the processor's caches are cold and every line of Python counts. So
columns of one dtype share a block, and whether their values are finite is asked once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.errors import DatasetError, did_you_mean
from data.lerobot.layout import TEXT

BLOCK = 1024  # frames; growing by blocks never moves what is there, so no frame takes longer than another


class Column:
    """One feature.

    entry   as in info.json
    """

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        self.name = name
        self.shape: tuple[int, ...] = tuple(entry["shape"])
        self.is_text = entry["dtype"] == TEXT
        self.dtype = np.dtype(object if self.is_text else entry["dtype"])
        self.span = slice(0, 0)  # its elements in a row of its block
        self.scalars = self._scalars() if self.shape == (1,) else frozenset()

    def _scalars(self) -> frozenset[type]:
        """Types of single values that need no further look; `int` is checked by numpy."""
        match self.dtype.kind:
            case "f":
                return frozenset((float, int, np.float32, np.float64)) if self.dtype == np.float64 else frozenset((self.dtype.type,))
            case "b":
                return frozenset((bool, np.bool_))
            case "O":
                return frozenset()
            case _:
                return frozenset((int, self.dtype.type))

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


class _Block:
    """The columns of one dtype, side by side."""

    def __init__(self, dtype: np.dtype) -> None:
        self.columns: list[Column] = []
        self.width = 0
        self.parts: list[np.ndarray] = []
        self.dtype = dtype

    def add(self, column: Column) -> None:
        size = int(np.prod(column.shape))
        column.span = slice(self.width, self.width + size)
        self.columns.append(column)
        self.width += size

    def row(self, at: int) -> np.ndarray:
        part, within = divmod(at, BLOCK)
        if part == len(self.parts):
            self.parts.append(np.zeros((BLOCK, self.width), self.dtype))
        row: np.ndarray = self.parts[part][within]
        return row


class Columns:
    """All columns of a recording: `check` an episode's arrays, or `put` frame by frame and `take` them."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.by_name = {name: Column(name, entry) for name, entry in entries.items()}
        blocks: dict[np.dtype, _Block] = {}
        for column in self.by_name.values():
            blocks.setdefault(column.dtype, _Block(column.dtype)).add(column)
        self._blocks = list(blocks.values())

    def check(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Whole columns, (T, D...) each, in the dtype of their features. Raises DatasetError."""
        given = named(arrays, self.by_name, "feature")
        return {name: column.checked(given[name]) for name, column in self.by_name.items()}

    def put(self, at: int, frame: Mapping[str, Any]) -> None:
        """The values of frame `at`. Raises DatasetError, and then the next frame is simply written over it."""
        if frame.keys() != self.by_name.keys():
            named(frame, self.by_name, "feature")
        for block in self._blocks:
            row = block.row(at)
            for column in block.columns:
                value = frame[column.name]
                if type(value) is np.ndarray and value.dtype is column.dtype and value.shape == column.shape:
                    row[column.span] = value if value.ndim == 1 else value.reshape(-1)
                elif type(value) in column.scalars:
                    try:
                        row[column.span] = value
                    except OverflowError:  # an int that is too large
                        column.checked(np.asarray(value)[None])
                        raise
                else:
                    row[column.span] = column.checked([value] if column.is_text else np.asarray(value)[None]).reshape(-1)
            if block.dtype.kind == "f" and b"\0" in np.isfinite(row).tobytes():
                for column in block.columns:
                    column.checked(row[column.span].reshape(1, *column.shape))

    def take(self, count: int) -> dict[str, np.ndarray]:
        """The first `count` frames, (count, D...) each; nothing is held afterwards."""
        taken = {}
        for block in self._blocks:
            for column in block.columns:
                values = np.concatenate([part[:, column.span] for part in block.parts])[:count]
                taken[column.name] = values.reshape(count, *column.shape)
            block.parts = []
        return {name: taken[name] for name in self.by_name}


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
