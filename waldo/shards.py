"""One evaluation in several processes: each takes a share of the seeds into a folder of its own, which is joined at the end.

    OUT/shards/0/  config.yaml  share.json  log.txt  and an evaluation of its share      OUT/shards/1/ ...

Whatever is killed, a worker or this process, what was finished stays in these folders, and the same command goes on from there,
with any number of workers. A worker ends when this process does.

    python -m waldo.shards FOLDER         is one worker
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from data.errors import DatasetError, WaldoError
from data.evaluation import ROWS, TRACES, VIDEOS, Manifest, is_evaluation, manifest_of
from data.machine import ONE_THREAD
from data.results import EpisodeLog, read_rows, write_atomic
from sim.evaluate import prepare
from waldo.steps import LOG, last_words

SHARDS = "shards"
LOOK_EVERY = 0.3  # [s] how the workers are doing


def evaluate_in_processes(cfg: DictConfig, manifest: Manifest, seeds: list[int], out: Path) -> list[dict[str, Any]]:
    """The rows of every seed, as `sim.evaluate.evaluate` gives them. Raises WaldoError if a worker ends before its work."""
    manifest = dataclasses.replace(manifest, seeds=tuple(seeds))
    prepare(out, manifest)
    _join(out, manifest)
    with EpisodeLog(out / ROWS) as log:
        todo = [seed for seed in seeds if seed not in log.done_seeds()]
    filmed = set(seeds[: cfg.videos])
    shares = [todo[i :: cfg.workers] for i in range(cfg.workers) if todo[i :: cfg.workers]]
    workers: list[_Worker] = []
    try:
        for index, share in enumerate(shares):
            first_films = sorted(share, key=lambda seed: seed not in filmed)
            workers.append(_start(cfg, first_films, manifest.identity, filmed, out, index))
        _wait(workers, len(seeds), len(seeds) - len(todo), out)
    finally:
        for worker in workers:
            worker.end()
    _join(out, manifest)
    rows = {row["seed"]: row for row in read_rows(out / ROWS)}
    return [rows[seed] for seed in seeds]


class _Worker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = (folder / LOG).open("w")
        # Its stdin is the sign that we are alive: when it closes, the worker ends.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "waldo.shards", str(folder)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ONE_THREAD},
        )

    def finished(self) -> int:
        """Episodes."""
        log = self.folder / ROWS
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._log.close()


def _start(cfg: DictConfig, seeds: list[int], identity: str, filmed: set[int], out: Path, index: int) -> _Worker:
    folder = out / SHARDS / str(index)
    folder.mkdir(parents=True, exist_ok=True)
    own = OmegaConf.merge(cfg, {"workers": 1, "videos": len(filmed & set(seeds)), "out": str(folder)})
    assert isinstance(own, DictConfig)
    if "threads" in own.env:
        own.env.threads = 1
    write_atomic(folder / "config.yaml", OmegaConf.to_yaml(own))
    write_atomic(folder / "share.json", json.dumps({"seeds": seeds, "identity": identity}))
    return _Worker(folder)


def _wait(workers: list[_Worker], total: int, kept: int, out: Path) -> None:
    """Raises WaldoError when a worker ended in another way than by finishing."""
    with tqdm(total=total, initial=kept, desc=f"evaluate {out.name}", unit="episode", mininterval=0.5) as bar:
        while True:
            running = sum(worker.process.poll() is None for worker in workers)
            bar.set_postfix(processes=running, refresh=False)
            bar.update(kept + sum(worker.finished() for worker in workers) - bar.n)
            for worker in workers:
                if worker.process.poll():
                    status, said = worker.process.returncode, last_words(worker.folder / LOG) or "it said nothing"
                    raise WaldoError(
                        f"the process of {worker.folder} ended with status {status}: {said}. Finished episodes are kept; "
                        "give the same command again and it goes on"
                    )
            if not running:
                return
            time.sleep(LOOK_EVERY)


def _join(out: Path, manifest: Manifest) -> None:
    """Move the finished episodes of all shards into `out`; shards of something else are set aside. May be broken off anywhere."""
    wanted = set(manifest.seeds)
    for folder in sorted(path for path in (out / SHARDS).glob("*") if is_evaluation(path)):
        try:
            same = manifest.identity and manifest_of(folder).identity == manifest.identity
        except DatasetError:
            same = False
        if not same:
            number = next(n for n in range(1, 10_000) if not (out / f"{SHARDS}-{n}").exists())
            (out / SHARDS).rename(out / f"{SHARDS}-{number}")
            print(f"{out / SHARDS} held episodes of something else; they are in {SHARDS}-{number} now")
            return
        with EpisodeLog(folder / ROWS) as theirs, EpisodeLog(out / ROWS) as ours:
            for kind in (TRACES, VIDEOS):
                for path in sorted((folder / kind).glob("*")):
                    (out / kind).mkdir(exist_ok=True)
                    path.replace(out / kind / path.name)
            for row in theirs.rows():
                if row["seed"] in wanted and row["seed"] not in ours.done_seeds():
                    ours.append(row)
    shutil.rmtree(out / SHARDS, ignore_errors=True)


def main(folder: Path) -> int:
    """Evaluate a share; what goes wrong is said in one line."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from sim import gl

    gl.choose()
    from waldo.evaluate import play
    from waldo.explain import explain

    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    share = json.loads((folder / "share.json").read_text(encoding="utf-8"))
    try:
        play(cfg, share["seeds"], folder, share["identity"])
    except Exception as error:
        message, status = explain(error)
        if message is None:
            raise
        print(message, file=sys.stderr, flush=True)
        return status
    return 0


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever said: it returns when the other end closes
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
