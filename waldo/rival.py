"""The other side of a comparison: lerobot, in an environment of its own, on the same machine in the same minute.

Its interpreter is named by WALDO_CONFORMANCE_PYTHON, or made by `make test-conformance` in .venv-conformance. What it runs is
tests/benchmarks/lerobot_side.py of a checkout; without either a benchmark says why it has no baseline.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests/benchmarks/lerobot_side.py"
INTERPRETER = "WALDO_CONFORMANCE_PYTHON"
LONGEST = 600.0  # [s] that one measurement of the other side may take


def lerobot(*words: str | Path | float) -> tuple[dict[str, Any], str]:
    """What one run of lerobot's side measured, and why there is nothing if it is empty. words: see the script."""
    python = Path(os.environ.get(INTERPRETER) or ROOT / ".venv-conformance/bin/python")
    if not SCRIPT.exists():
        return {}, f"{SCRIPT.name} is part of a checkout, not of an installed waldo"
    if not python.exists():
        return {}, f"lerobot is not there ({python} does not exist): make test-conformance makes it, or set {INTERPRETER}"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    try:
        done = subprocess.run([python, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=LONGEST, env=environment)
        if done.returncode == 0:
            return json.loads(done.stdout.strip().splitlines()[-1]), ""
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        reason = str(error)
    return {}, f"lerobot's side failed: {reason}"
