"""The tick log is readable to its last whole record, wherever it was cut, and says when the disk refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.errors import DatasetError, RobotError
from real.log import LogWriter, TickRow, read_log, tick_dtype


def write(path: Path, ticks: int, event: bool = True) -> None:
    log = LogWriter(path, {"dof": 7, "note": "test"})
    row = TickRow(7)
    for i in range(ticks):
        log.tick(row.pack(t=0.002 * i, tick=i, q=np.full(7, float(i))))
        if i == 2 and event:
            log.event({"t": 0.004, "to": "HOLD"})
    log.close()
    log.close()
    assert not log.failed


def test_there_and_back(tmp_path: Path) -> None:
    write(tmp_path / "a.log", 5)
    log = read_log(tmp_path / "a.log")
    assert log.whole and log.header["note"] == "test" and log.events == [{"t": 0.004, "to": "HOLD"}]
    assert log.ticks.dtype == tick_dtype(7) and log.ticks["tick"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(log.ticks["q"][4], np.full(7, 4.0))


def test_cut_anywhere(tmp_path: Path) -> None:
    """Every prefix gives every record that lies in it whole, and no other."""
    write(tmp_path / "a.log", 4, event=False)
    raw = (tmp_path / "a.log").read_bytes()
    record = tick_dtype(7).itemsize + 9
    cut = tmp_path / "cut.log"
    ends = [len(raw) - i * record for i in range(2)]
    for length in [*range(len(raw) - 2 * record, len(raw), 5), *(end - 1 for end in ends)]:
        cut.write_bytes(raw[:length])
        log = read_log(cut)
        missing = sum(length < end for end in ends)
        assert len(log.ticks) == 4 - missing
        assert log.whole == (length in ends or length == len(raw) - 2 * record)


def test_a_damaged_record_ends_the_reading(tmp_path: Path) -> None:
    write(tmp_path / "a.log", 4)
    raw = bytearray((tmp_path / "a.log").read_bytes())
    raw[-100] ^= 0x10
    (tmp_path / "a.log").write_bytes(raw)
    log = read_log(tmp_path / "a.log")
    assert len(log.ticks) == 3 and not log.whole


def test_what_is_no_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"something else")
    with pytest.raises(DatasetError, match="not a tick log"):
        read_log(tmp_path / "x.log")
    write(tmp_path / "a.log", 1)
    (tmp_path / "b.log").write_bytes((tmp_path / "a.log").read_bytes()[:30])
    with pytest.raises(DatasetError, match="header"):
        read_log(tmp_path / "b.log")


def test_an_earlier_log_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "a.log", 1)
    with pytest.raises(RobotError, match="cannot be created"):
        LogWriter(tmp_path / "a.log", {"dof": 7})
    with pytest.raises(RobotError, match="MiB free"):
        LogWriter(tmp_path / "b.log", {"dof": 7}, reserve=1 << 60)


FULL = """
import resource, signal, sys, json
from pathlib import Path
from real.log import LogWriter, TickRow
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
log = LogWriter(Path(sys.argv[1]), {"dof": 7})
row = TickRow(7)
for i in range(40):
    log.tick(row.pack(tick=i))
log.close()
print(json.dumps({"failed": log.failed, "kept": len(log._kept)}))
"""


def test_a_full_disk_is_said_and_what_was_written_is_whole(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "a.log")], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert "could not be written" in said["failed"]
    log = read_log(tmp_path / "a.log")
    assert log.ticks["tick"].tolist() == list(range(len(log.ticks))) and 5 < len(log.ticks) < 40
