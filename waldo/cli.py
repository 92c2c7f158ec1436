"""`waldo COMMAND key=value ...`: finds the command, composes its options, runs it, and says in one line what went wrong.

Exit status: 0 done, 1 a bug in waldo (with its traceback), 2 a mistake in the input, 130 interrupted.
Nothing heavy is imported before it is needed: `waldo --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from data.errors import ConfigError, WaldoError, did_you_mean
from waldo import manual

FLAGS = ("--help", "-h", "-m", "--multirun", "--cfg", "--config-dir", "--traceback", "--version")
POSITIONAL = {"bench": "name"}  # `waldo bench sim` is `waldo bench name=sim`


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status. `argv`: the words after `waldo`; None takes them from the process."""
    words = list(sys.argv[1:] if argv is None else argv)
    traceback = "--traceback" in words or os.environ.get("WALDO_TRACEBACK", "0") not in ("", "0")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        return _dispatch(words)
    except BrokenPipeError:  # `waldo --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        message, status = explain(error)
        if traceback or message is None:
            raise
        sys.stdout.flush()
        print(message, file=sys.stderr)
        return status


def explain(error: BaseException) -> tuple[str | None, int]:
    """(one line for the user, exit status); the line is None for what is a bug and deserves its traceback."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {text or 'nothing had been started'}", 130
    if isinstance(error, WaldoError):
        return f"error: {text}", 2
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's is a RuntimeError
        text = text.split(". ")[0]
        return f"error: out of memory{': ' + text if text else ''}; a smaller batch_size or fewer environments need less", 2
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] not in _own_packages():
        return f"error: this needs the Python package {error.name!r}, which is not installed", 2
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"error: the disk is full{_place(error)}; what was finished before is kept", 2
    if isinstance(error, OSError) and error.errno and error.filename:
        return f"error: {os.strerror(error.errno).lower()}{_place(error)}", 2
    return None, 1


def _dispatch(words: list[str]) -> int:
    flags, words, config_dir = _split(words)
    if "--version" in flags:
        return _say(f"waldo {_version()}")
    if not words:
        _say(manual.overview())
        return 0 if flags & {"--help", "-h"} else 2
    command, *rest = words
    if command not in manual.commands():
        raise ConfigError(f"there is no command {command!r}; {did_you_mean(command, manual.commands())}")
    if command in POSITIONAL and rest and "=" not in rest[0]:
        rest[0] = f"{POSITIONAL[command]}={rest[0]}"
    if flags & {"--help", "-h"}:
        return _say(manual.page(command, rest, config_dir))
    from waldo.jobs import Job

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


def _own_packages() -> tuple[str, ...]:
    return ("waldo", "configs", "data", "policies", "real", "sim")


def _place(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _terminated(signum: int, frame: Any) -> None:
    """SIGTERM is what a cluster sends before it pulls the plug: leave the way Ctrl-C does, with files closed."""
    raise KeyboardInterrupt
