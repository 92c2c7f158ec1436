"""Where a result came from: commit, versions, command line, machine, seed and time, as plain JSON."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.machine import cores

PACKAGES = ("waldo", "torch", "mujoco", "numpy")  # what a result most often turns out to depend on


def collect(seed: int | None = None, argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Everything that is known without importing a library.

    seed   the run's seed, if it has one
    argv   the words after `waldo`; None takes this process's own
    """
    words = list(sys.argv[1:] if argv is None else argv)
    return {
        "command_line": shlex.join(["waldo", *words]),
        "seed": seed,
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_state(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": cores(),
    }


def git_state() -> dict[str, Any]:
    """{"commit", "dirty"} of the source tree; both None for a wheel, a checkout without git, or no git on the machine."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    commit, status = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
