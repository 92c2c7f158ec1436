"""`waldo COMMAND key=value ...`: finds the command, composes its options, runs it, and says in one line what went wrong.

Exit status: 0 done, 1 a bug in waldo (with its traceback), 2 a mistake in the input, 130 interrupted.
A gate (`waldo compare`) says with 0, 1 and 2 what it found; a mistake in its input is 3 and a bug 4.
Nothing heavy is imported before it is needed: `waldo --help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from traceback import format_exception
from typing import Any

from data.errors import ConfigError, did_you_mean
from waldo import manual
from waldo.explain import GATE_BUG, explain

FLAGS = ("--help", "-h", "-m", "--multirun", "--cfg", "--config-dir", "--traceback", "--version")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status. `argv`: the words after `waldo`; None takes them from the process."""
    words = list(sys.argv[1:] if argv is None else argv)
    traceback = "--traceback" in words or os.environ.get("WALDO_TRACEBACK", "0") not in ("", "0")
    gate = manual.is_gate(words)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        return _dispatch(words)
    except BrokenPipeError:  # `waldo --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GATE_BUG if gate else 0  # a verdict that could not be told is none
    except (Exception, KeyboardInterrupt) as error:
        message, status = explain(error, gate)
        if (traceback or message is None) and not gate:
            raise  # Python ends with status 1
        sys.stdout.flush()
        if traceback or message is None:
            message = "".join(format_exception(error)).rstrip()
        print(message, file=sys.stderr)
        return status


def _dispatch(words: list[str]) -> int:
    flags, words, config_dir = _split(words)
    if "--version" in flags:
        return _say(f"waldo {_version()}")
    if not words:
        _say(manual.overview())
        return 0 if flags & {"--help", "-h"} else 2
    command, rest = manual.find(words)
    if command in manual.FAMILIES.values():
        _say(manual.family_page(command))
        return 0 if flags & {"--help", "-h"} else 2
    if flags & {"--help", "-h"}:
        return _say(manual.page(command, rest, config_dir))
    from sim import gl
    from waldo.jobs import Job

    gl.choose()  # before anything imports mujoco, in whatever order
    job = Job(command, tuple(rest), config_dir, traceback="--traceback" in flags)
    if "--cfg" in flags:
        return _say(job.show())
    return job.sweep() if flags & {"-m", "--multirun"} else job.run()


def _split(words: list[str]) -> tuple[set[str], list[str], Path | None]:
    """Flags, the other words, and the value of --config-dir."""
    flags: set[str] = set()
    others: list[str] = []
    config_dir = None
    pending = iter(words)
    for word in pending:
        flag, equals, value = word.partition("=")
        if flag == "--config-dir":
            config_dir = Path(value if equals else next(pending, ""))
        elif word.startswith("-"):
            if word not in FLAGS:
                raise ConfigError(f"unknown flag {word!r}; {did_you_mean(word, FLAGS)}. Options are written key=value, without dashes")
            flags.add(word)
        else:
            others.append(word)
    return flags, others, config_dir


def _say(text: str) -> int:
    print(text)
    sys.stdout.flush()
    return 0


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("waldo")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _terminated(signum: int, frame: Any) -> None:
    """SIGTERM is what a cluster sends before it pulls the plug: leave the way Ctrl-C does, with files closed."""
    raise KeyboardInterrupt
