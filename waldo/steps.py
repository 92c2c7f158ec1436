"""The steps of a command that is made of others: finished ones are kept, some run beside each other, all can be killed.

    steps = Steps(out, lanes=2)
    steps.run("collect", "collect", "episodes=200")                         here, and waited for
    steps.beside([("bc", "train", "policy=bc"), ("evaluate_bc", "evaluate", ...)])     a chain, in processes of its own
    steps.join()

Each step is a `waldo` command with a folder of its own, and is printed as one could type it. A step that was finished under
the same words is not done again; a step of a chain depends on those before it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from io import BufferedRandom
from pathlib import Path

from tqdm import tqdm

from data.errors import WaldoError
from data.machine import ONE_THREAD
from data.results import SUMMARY, Figure, read_summary, write_atomic
from waldo.jobs import Job

NOTE, LOG, SECONDS = "command.txt", "log.txt", "seconds.txt"
WALDO = (sys.executable, "-m", "waldo")
Step = tuple[str, ...]  # name, command, words


class Steps:
    """Runs commands, keeps those that are finished, and remembers how long each took."""

    def __init__(self, out: Path, settings: str = "", lanes: int = 1) -> None:
        """settings: what every step depends on beside its own words; a step made under others is made anew.
        lanes: how many chains run at once.
        """
        self.out, self.settings, self.lanes = out, settings, lanes
        self.seconds: dict[str, float] = {}
        self.done: set[str] = set()  # names of the steps that are finished
        self._waiting: deque[tuple[Sequence[Step], str]] = deque()
        self._threads: list[threading.Thread] = []
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._turn = threading.Lock()
        self._failed = ""

    def run(self, name: str, command: str, *words: str) -> dict[str, Figure]:
        """The figures of `waldo command words out=<out>/name`, by name."""
        folder, line = self.out / name, self.line(name, command, *words)
        note = self._note(line, "")
        done = _finished(folder, note)
        _say(f"\n$ {line}{'   (finished before)' if done else ''}")
        if not done:
            if _made_otherwise(folder, note):
                shutil.rmtree(folder)
            _begin(folder, note)
            start = time.perf_counter()
            Job(command, (*words, f"out={folder}")).perform()
            write_atomic(folder / SECONDS, f"{time.perf_counter() - start:.1f}")
        return self._noted(name)

    def beside(self, chain: Sequence[Step], settings: str = "") -> None:
        """Run the steps of a chain, (name, command, *words), one after the other in processes of their own, after what is waiting.
        settings: what this chain depends on beside its words.
        """
        with self._turn:
            self._waiting.append((chain, settings))
            if len(self._threads) < self.lanes:
                lane = threading.Thread(target=self._walk, daemon=True)
                self._threads.append(lane)
                lane.start()

    def join(self, show: Callable[[], None] | None = None) -> None:
        """Wait for what runs beside. show: called meanwhile, several times a second. Raises WaldoError if a step of it failed."""
        while True:
            with self._turn:
                lanes = list(self._threads)
            if show is not None:
                show()
            if not lanes or self._failed:
                break
            lanes[0].join(0.2)  # short, so that Ctrl-C is heard
        if self._failed:
            raise WaldoError(self._failed)

    def running(self) -> dict[str, str]:
        """Name -> the last words of its log, of the steps that run beside at this moment."""
        return {name: last_words(self.out / name / LOG) for name in tuple(self._children)}

    def stop(self) -> None:
        """End what runs beside; what was finished is kept."""
        with self._turn:
            self._failed = self._failed or "stopped"
            children = list(self._children.values())
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in children:
            child.wait()

    def figures(self, name: str) -> dict[str, Figure]:
        """Of a step that is finished."""
        return {figure.name: figure for figure in read_summary(self.out / name)[2]}

    def line(self, name: str, command: str, *words: str) -> str:
        """What one would type for a step."""
        return shlex.join(["waldo", command, *words, f"out={self.out / name}"])

    def _walk(self) -> None:
        while True:
            with self._turn:
                if not self._waiting or self._failed:
                    self._threads.remove(threading.current_thread())
                    return
                chain, settings = self._waiting.popleft()
            for step in chain:
                if self._failed:
                    break
                try:
                    settings = self._step(settings, *step)
                except Exception as error:  # noqa: BLE001  whatever it was, `join` tells it to who waits
                    self._failed = self._failed or f"{type(error).__name__}: {error}"

    def _step(self, settings: str, name: str, command: str, *words: str) -> str:
        """Do one step of a chain, if it is not done. Returns what the next one depends on."""
        folder, line = self.out / name, self.line(name, command, *words)
        note = self._note(line, settings)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG).open("a+b") as log:
            _lock(log, folder)
            done = _finished(folder, note)
            _say(f"\n$ {line} &{'   (finished before)' if done else ''}")
            if not done:
                if _made_otherwise(folder, note):
                    _empty(folder)
                log.truncate(0)
                _begin(folder, note)
                start = time.perf_counter()
                status = self._child(name, [*WALDO, command, *words, f"out={folder}"], log)
                if status and not self._failed:
                    self._failed = f"`{line}` ended with status {status}: {last_words(folder / LOG) or 'it said nothing'}"
                if self._failed:
                    return settings
                write_atomic(folder / SECONDS, f"{time.perf_counter() - start:.1f}")
        self._noted(name)
        return f"{settings}\n# {line}"

    def _child(self, name: str, call: list[str], log: BufferedRandom) -> int:
        with self._turn:  # `stop` sees every child, or none is started after it
            if self._failed:
                return 0
            child = subprocess.Popen(call, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD})
            self._children[name] = child
        try:
            return child.wait()
        finally:
            self._children.pop(name)

    def _note(self, line: str, settings: str) -> str:
        return f"{line}\n# {self.settings}{settings}"

    def _noted(self, name: str) -> dict[str, Figure]:
        self.done.add(name)
        with contextlib.suppress(FileNotFoundError):  # whoever began it was killed before it was finished
            self.seconds[name] = float((self.out / name / SECONDS).read_text())
        return self.figures(name)


def _finished(folder: Path, note: str) -> bool:
    return (folder / SUMMARY).exists() and not _made_otherwise(folder, note)


def _made_otherwise(folder: Path, note: str) -> bool:
    """Whether what lies in the folder, in whole or in part, was made by other words."""
    there = folder / NOTE
    return any(folder.glob("*")) and not (there.exists() and there.read_text(encoding="utf-8") == note)


def _begin(folder: Path, note: str) -> None:
    """Before the step: who comes after a kill knows whose remains these are."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / NOTE, note)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOG:
            path.unlink()


def _lock(log: BufferedRandom, folder: Path) -> None:
    """Wait until nobody else writes this log. The lock is the open file's, and the child's too: a child whose parent was killed goes
    on, and whoever takes the same step up waits for it. Without flock (Windows) nothing is locked."""
    with contextlib.suppress(ModuleNotFoundError):
        import fcntl

        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say(f"\n{folder}: still at work since an earlier start; waiting for it")
            fcntl.flock(log, fcntl.LOCK_EX)


def last_words(log: Path) -> str:
    """The last line of a log; a progress bar's is what it shows now."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
        lines = file.read().decode(errors="replace").replace("\r", "\n").strip().splitlines()
        return lines[-1].strip() if lines else ""
    return ""


def _say(text: str) -> None:
    """A line above whatever progress bar there is."""
    tqdm.write(text)
    sys.stdout.flush()
