"""Environments in several processes behind the methods of `Rows`, and what happens when one of them hangs or takes its process down.

    rows     0 1 2 | 3 4 5 | 6 7       worker w holds a share of the rows; one question and one answer per worker and control step
    arrays   one block for all; each worker writes its own rows

The row that is to blame is known: every worker writes down at whom it is at work, and since when. That row's episode has
failed. Its neighbours in the same process must not know of it: a new process takes over, their episodes are repeated from
their seeds and actions, and go on where they were. A row whose repetition shows other observations fails as well.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from data.machine import cores
from sim.foreign import child
from sim.foreign.arrays import SharedArrays
from sim.foreign.maker import Refused
from sim.foreign.process import Child, Gone
from sim.foreign.rows import FILM, IDLE, NoPicture

WATCH = 5e-3  # [s] to look out for an answer before sleeping, where a core is to spare for it
Errors = dict[int, str]
Question = dict[str, Any]  # ask: step (pictures), reset (seeds, pictures), act, render (camera, size)


class Lost(Exception):
    """A worker does not answer any more: why, and the row that it was at (IDLE: none)."""

    def __init__(self, why: str, row: int) -> None:
        super().__init__(why)
        self.why, self.row = why, row


class Workers:
    """Raises Refused if the environments cannot be made in the child, with what it printed in the last place.

    shapes   name -> (dtype, shape) of the arrays, see Rows
    timeout, start_timeout   [s] for one row's step or picture; to make or reset the environments
    """

    def __init__(
        self,
        plan: Mapping[str, Any],
        shapes: Mapping[str, tuple[str, tuple[int, ...]]],
        count: int,
        python: str = "",
        variables: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        start_timeout: float = 300.0,
    ) -> None:
        self._plan, self._python, self._variables = dict(plan), python, dict(variables or {})
        self._watch = WATCH if count < cores() else 0.0
        self._timeout, self._start_timeout = timeout, start_timeout
        num_envs = shapes["reward"][1][0]
        self._shares = [(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(num_envs), count)]
        self._starts = np.array([0, *(stop for _, stop in self._shares)])
        self._shared = SharedArrays({**shapes, "active": ("uint8", (num_envs,)), "clock": ("float64", (count, 2))})
        self.arrays = self._shared.arrays
        self._vectors = [part["name"] for part in plan["parts"] if not part["image"]]
        self._seen: dict[str, np.ndarray] = {}  # observations after the last question that every worker answered
        self._past: list[tuple[Question, np.ndarray, np.ndarray]] = []  # this episode's questions, their rows, the actions
        self._seeds = np.zeros(num_envs, np.int64)
        self._live = np.zeros(num_envs, bool)
        self._children: list[Child | None] = [None] * count
        self.python_version = ""
        try:
            for w in range(count):  # all at once: making them takes long
                self._launch(w)
            answers = [self._ready(w) for w in range(count)]
        except BaseException:
            self.close()
            raise
        self._about = answers[0]

    def inspect(self) -> dict[str, Any]:
        return self._about

    @property
    def pids(self) -> list[int]:
        return [found.pid for found in self._children if found is not None]

    def reset(self, rows: np.ndarray, seeds: np.ndarray, pictures: bool) -> Errors:
        for w, found in enumerate(self._children):
            if found is None:
                self._launch(w)
                self._ready(w)
            else:
                found.trim_log()
        self._past.clear()
        self._seeds[rows] = seeds
        self._live[:] = False
        self._live[rows] = True
        return self._perform({"ask": "reset", "pictures": pictures}, rows)

    def step(self, rows: np.ndarray, pictures: bool) -> Errors:
        errors = self._perform({"ask": "step", "pictures": pictures}, rows)
        self._live[(self.arrays["terminated"] | self.arrays["truncated"]).astype(bool)] = False
        return errors

    def act(self, rows: np.ndarray) -> Errors:
        return self._perform({"ask": "act"}, rows)

    def render(self, rows: np.ndarray, camera: str, size: tuple[int, int] | None) -> tuple[np.ndarray, Errors]:
        frames: dict[int, np.ndarray] = {}
        errors = self._perform({"ask": "render", "camera": camera, "size": size}, rows, frames)
        blank = np.zeros_like(next(iter(frames.values()), np.zeros((*(size or FILM), 3), np.uint8)))
        return np.stack([frames.get(int(row), blank) for row in rows]), errors

    def close(self) -> None:
        """May be called twice."""
        there = [found for found in self._children if found is not None]
        for found in there:
            found.dismiss()
        for found in there:
            found.close()
        self._children = [None] * len(self._children)
        self._shared.close()

    def _perform(self, question: Question, rows: np.ndarray, frames: dict[int, np.ndarray] | None = None) -> Errors:
        """Ask every worker about its share of `rows` (into `frames`, if it draws), and replace those that are lost."""
        errors: Errors = {}
        lost: dict[int, Lost] = {}
        cuts = np.searchsorted(rows, self._starts)
        shares = {w: rows[cuts[w] : cuts[w + 1]] for w in range(len(self._shares)) if cuts[w] < cuts[w + 1]}
        for w, share in shares.items():
            try:
                self._ask(w, question, share)
            except Lost as error:
                lost[w] = error
        for w in [w for w in shares if w not in lost]:
            try:
                errors.update(self._take(w, question, shares[w], frames))
            except Lost as error:
                lost[w] = error
        if errors:
            self._live[list(errors)] = False
        for w, found in lost.items():
            errors.update(self._replace(w, found, question, shares[w], frames))
        if frames is None:
            self._past.append((question, rows.copy(), self.arrays["action"].copy()))
            self._seen = {name: self.arrays[name].copy() for name in self._vectors}
        return errors

    def _ask(self, w: int, question: Question, rows: np.ndarray) -> None:
        first, stop = self._shares[w]
        found = self._children[w]
        if found is None:
            raise Lost("its process could not be started again", IDLE)
        self.arrays["clock"][w] = IDLE, time.monotonic()
        try:
            if question["ask"] == "step":
                self.arrays["active"][first:stop] = 0
                self.arrays["active"][rows] = 1
                found.say(child.STEP_WITH_PICTURES if question["pictures"] else child.STEP)
            else:
                seeds = {"seeds": self._seeds[rows].tolist()} if question["ask"] == "reset" else {}
                found.say(child.SAY, {**question, **seeds, "rows": (rows - first).tolist()})
        except Gone as error:
            raise Lost(f"{error}{found.said()}", IDLE) from error

    def _take(self, w: int, question: Question, rows: np.ndarray, frames: dict[int, np.ndarray] | None) -> Errors:
        """The answer of a worker. Raises Lost, NoPicture."""
        found, clock = self._children[w], self.arrays["clock"][w]
        assert found is not None
        limit = self._start_timeout if question["ask"] == "reset" else self._timeout
        while True:
            since = clock[1]
            try:
                what = found.answer(max(0.0, since + limit - time.monotonic()))
                break
            except TimeoutError as error:
                if clock[1] == since:  # else it has come to another row meanwhile
                    raise Lost(f"it did not answer for {limit:g} s{found.said()}", self._shares[w][0] + int(clock[0])) from error
            except Gone as error:
                row = int(clock[0])
                raise Lost(f"{error}{found.said()}", IDLE if row == IDLE else self._shares[w][0] + row) from error
        if what is None:
            return {}
        if "refused" in what:
            raise NoPicture(**what["refused"])
        for note in what.get("notes", ()):
            warnings.warn(f"{self._plan['id']}: {note}", stacklevel=2)
        if frames is not None:
            frames.update(zip(rows.tolist(), found.frames(what["shape"])))
        return {self._shares[w][0] + row: message for row, message in what["errors"]}

    def _replace(self, w: int, lost: Lost, question: Question, rows: np.ndarray, frames: dict[int, np.ndarray] | None) -> Errors:
        """A new process for worker `w`: its other episodes are repeated there, then it does what was asked."""
        errors: Errors = {}
        blameless = 0
        first, stop = self._shares[w]
        while True:
            self._drop(w)
            if lost.row == IDLE:
                blameless += 1
            else:
                errors[lost.row] = f"after step {self.arrays['length'][lost.row]}: {lost.why}"
                self._live[lost.row] = False
            try:
                self._launch(w)
                self._ready(w)
                if blameless > 1:
                    raise Refused(f"twice, {lost.why}")
                errors.update(self._repeat(w))
                rest = rows[self._live[rows]]
                if len(rest):
                    self._ask(w, question, rest)
                    errors.update(self._take(w, question, rest, frames))
                    self._live[list(errors)] = False
                return errors
            except Lost as again:
                lost = again
            except NoPicture:
                raise
            except Refused as error:
                beside = first + np.flatnonzero(self._live[first:stop])
                self._live[beside] = False
                return {**errors, **{int(row): str(error) for row in beside}}

    def _repeat(self, w: int) -> Errors:
        """This episode's questions so far, for the rows of worker `w` that still run. Raises Lost."""
        errors: Errors = {}
        first, stop = self._shares[w]
        now = self.arrays["action"][first:stop].copy()
        for question, asked, action in self._past:
            rows = asked[(first <= asked) & (asked < stop) & self._live[asked]]
            if len(rows):
                self.arrays["action"][rows] = action[rows]
                self._ask(w, {**question, "pictures": False}, rows)
                errors.update(self._take(w, question, rows, None))
                self._live[list(errors)] = False
        self.arrays["action"][first:stop] = now
        for row in first + np.flatnonzero(self._live[first:stop]) if self._past else ():
            if any((self.arrays[name][row] != self._seen[name][row]).any() for name in self._vectors):
                errors[int(row)] = "its process had to be replaced, and its repetition went another way"
                self._live[row] = False
        return errors

    def _launch(self, w: int) -> None:
        """Start a process and say what it is to make. Raises ConfigError, Refused."""
        found = self._children[w] = Child(self._python, self._shared.fd, self._variables, self._watch)
        first, stop = self._shares[w]
        order = {"plan": self._plan, "table": self._shared.table, "worker": w, "first": first, "count": stop - first, "inspect": w == 0}
        try:
            found.say(child.SAY, order)
        except Gone as error:
            raise Refused(f"while the environments were made, {error}{found.tail()}") from error

    def _ready(self, w: int) -> dict[str, Any]:
        """What the process says of its environments once they are made. Raises Refused."""
        found = self._children[w]
        assert found is not None
        try:
            what = found.answer(self._start_timeout)
        except Gone as error:
            raise Refused(f"while the environments were made, {error}{found.tail()}") from error
        except TimeoutError as error:
            raise Refused(f"the environments were not made within start_timeout={self._start_timeout:g} s{found.tail()}") from error
        if "refused" in what:
            raise Refused(**what["refused"])
        self.python_version = what["python"]
        return what["about"]

    def _drop(self, w: int) -> None:
        found, self._children[w] = self._children[w], None
        if found is not None:
            found.kill()
