"""The official programs, in an environment of their own: `make test-conformance` makes it, WALDO_CONFORMANCE_PYTHON names another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
LONGEST_S = 240
G1_FIRST = 27


@dataclass(frozen=True)
class Official:
    """Programs of the other environment. `home` keeps their caches and settings away from the user's."""

    python: Path
    home: Path

    def start(self, program: str | Path, *arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
        """settings: environment variables."""
        env = os.environ | {name: str(self.home) for name in ("HOME", "HF_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")}
        env |= {"NO_COLOR": "1", **{name: str(value) for name, value in settings.items()}}
        command = [str(program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, env=env, check=False)

    def attempt(self, script: str, *arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
        return self.start(self.python, SCRIPTS / script, *arguments, **settings)

    def run(self, script: str, *arguments: object, **settings: object) -> dict[str, Any]:
        """The last line of what the script prints, which has to be JSON; a script that fails fails the test."""
        done = self.attempt(script, *arguments, **settings)
        assert done.returncode == 0, f"{script} {' '.join(map(str, arguments))} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return json.loads(done.stdout.splitlines()[-1])

    def read(self, root: Path, target: Path, *arguments: object) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """lerobot's view of a dataset: its description, its arrays."""
        told = self.run("lerobot_read.py", root, target, *arguments)
        with np.load(target) as file:
            return told, dict(file)


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Official:
    given = os.environ.get("WALDO_CONFORMANCE_PYTHON")
    python = Path(given) if given else ROOT / ".venv-conformance/bin/python"
    if not python.exists():
        pytest.skip(f"the official programs are not installed: {python} is missing; make test-conformance installs them")
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not on PATH, and torchcodec needs its libraries: apt-get install ffmpeg")
    return Official(python, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def g1() -> Path:
    """A real recording, LeRobotDataset v2.1: the numbers of 100 episodes, the videos of 20 to 29."""
    root = Path(os.environ.get("WALDO_DATASETS", "datasets")) / "g1_bottle_lerobot_v21"
    if not (root / "meta/info.json").exists():
        pytest.skip(f"no Unitree G1 recording at {root}; set WALDO_DATASETS to the folder that holds it")
    return root


@pytest.fixture
def g1_part(g1: Path, tmp_path: Path) -> Path:
    """Its episodes 27, 28 and 29 as a dataset of their own, numbers 0, 1 and 2, still v2.1."""
    part, camera = tmp_path / "g1_part", "observation.images.cam_high"
    for folder in ("meta", "data/chunk-000", f"videos/chunk-000/{camera}"):
        (part / folder).mkdir(parents=True)
    shutil.copy(g1 / "meta/tasks.jsonl", part / "meta")
    for name in ("episodes", "episodes_stats"):
        rows = [json.loads(line) for line in (g1 / f"meta/{name}.jsonl").read_text().splitlines()]
        kept = [row | {"episode_index": row["episode_index"] - G1_FIRST} for row in rows if 0 <= row["episode_index"] - G1_FIRST < 3]
        (part / f"meta/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    first = 0
    for i in range(3):
        table = pq.read_table(g1 / f"data/chunk-000/episode_{G1_FIRST + i:06d}.parquet")
        for name, values in {"episode_index": np.full(len(table), i), "index": np.arange(first, first + len(table))}.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.int64()))
        pq.write_table(table, part / f"data/chunk-000/episode_{i:06d}.parquet")
        video = f"videos/chunk-000/{camera}/episode_{{:06d}}.mp4"
        shutil.copyfile(g1 / video.format(G1_FIRST + i), part / video.format(i))
        first += len(table)
    info = json.loads((g1 / "meta/info.json").read_text())
    info |= {"total_episodes": 3, "total_frames": first, "total_videos": 3, "splits": {"train": "0:3"}}
    (part / "meta/info.json").write_text(json.dumps(info))
    return part
