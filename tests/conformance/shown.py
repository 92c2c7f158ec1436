"""What rerun makes of a recording.

It exits with 0 whatever happens: what it could not read stands in its log, and is missing from what it saves.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.conftest import Official
from tests.conformance.samples import LENGTHS, TASKS, make_arrays

SHOWN = ("observation.state", "observation.force", "observation.größe", "action", "next.reward")  # floats; the rest it does not draw yet


@dataclass(frozen=True)
class Shown:
    """complaints: log lines about what could not be read. episodes, curves: see `scripts/rerun_read.py`."""

    complaints: list[str]
    episodes: dict[str, Any]
    curves: dict[str, np.ndarray]

    def curve(self, episode: int, name: str) -> np.ndarray:
        return self.curves[f"episode_{episode}:/{name}"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def show(official: Official, root: Path, folder: Path) -> Shown:
    file = folder / "shown.rrd"
    # Without --bind it would listen on every interface.
    done = official.start(official.python.parent / "rerun", root, "--bind", "127.0.0.1", "--port", free_port(), "--save", file)
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr)
    complaints = [line for line in log.splitlines() if re.search(r"\bERROR\b|\bWARN\b.*re_lerobot::diagnostics", line)]
    if not file.exists():
        return Shown([*complaints, f"nothing was saved: {log[-2000:]}"], {}, {})
    episodes = official.run("rerun_read.py", file, folder / "shown.npz")
    with np.load(folder / "shown.npz") as curves:
        return Shown(complaints, episodes, dict(curves))


def shows_samples(shown: Shown, cameras: tuple[str, ...], texts: bool = True) -> None:
    assert shown.complaints == []
    assert set(shown.episodes) == {f"episode_{i}" for i in range(len(LENGTHS))}
    for i, length in enumerate(LENGTHS):
        told, expected = shown.episodes[f"episode_{i}"], make_arrays(length, i)
        assert set(told["texts"].pop("/task")) == {TASKS[i]}
        assert told["texts"] == ({"/subtask": expected["subtask"].tolist()} if texts else {})
        assert told["frames"] == {f"/{key}": length for key in cameras}
        for name in SHOWN:
            np.testing.assert_array_equal(shown.curve(i, name), expected[name].reshape(length, -1), err_msg=f"{name} of episode {i}")
