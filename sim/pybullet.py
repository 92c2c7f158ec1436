"""PyBullet behind the Physics protocol: B simulations dealt out to processes, states in shared memory, no pickle.

Bullet steps one world at a time and holds Python's lock, so that processes and not threads share the work. Every simulation has
a client of its own; what a row does depends neither on the others nor on who steps it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import mujoco
import numpy as np

import data.errors
from data.errors import ConfigError, SimulationError, WaldoError, did_you_mean
from data.machine import cores
from sim.bullet.rows import Rows
from sim.bullet.share import CHUNK, CLEARED, TOUCHED, Share, shared
from sim.bullet.wire import Header, receive, send
from sim.physics import FIELDS, Worlds
from sim.world import World

_ROOT = Path(__file__).parent.parent


class PybulletPhysics(Worlds):
    """B simulations of `world` in `processes` others (None: one per core, 0: in this process).

    Raises ConfigError for what the world has and PyBullet cannot do.
    """

    def __init__(self, world: World, num_envs: int, processes: int | None = None) -> None:
        super().__init__(world, num_envs)
        if processes is None:
            processes = cores()
        if processes < 0:
            raise ConfigError(f"processes={processes}: it must be 0 (in this process) or more")
        self._own: Rows | None = None
        self._crew: _Crew | None = None
        if processes == 0:
            self._share = shared(world.model, num_envs)
            self._own = Rows(world.model, self._share, range(num_envs))
        else:
            self._crew = _Crew(world.model, num_envs, min(processes, num_envs))
            self._share = self._crew.share
        s = self._share
        self.qpos, self.qvel, self.mocap_pos, self.mocap_quat = s.qpos, s.qvel, s.mocap_pos, s.mocap_quat
        self._clear(np.arange(num_envs))

    def _clear(self, rows: np.ndarray) -> None:
        m, s = self.model, self._share
        mocap = np.flatnonzero(m.body_mocapid >= 0)
        mocap = mocap[np.argsort(m.body_mocapid[mocap])]
        s.qpos[rows], s.qvel[rows] = m.qpos0, 0.0
        s.mocap_pos[rows], s.mocap_quat[rows] = m.body_pos[mocap], m.body_quat[mocap]
        s.mark[rows] = CLEARED

    def _touch(self, rows: np.ndarray) -> None:
        super()._touch(rows)
        self._share.mark[rows] |= TOUCHED

    def _advance(self, control: np.ndarray, rows: np.ndarray) -> None:
        s = self._share
        s.active[:] = 0
        s.active[rows] = 1
        s.failed[:] = 0
        for start in range(0, control.shape[1], CHUNK):
            part = control[:, start : start + CHUNK]
            s.control[rows, : part.shape[1]] = part
            if self._own is not None:
                self._own.advance(part.shape[1])
            elif self._crew is not None:
                self._crew.advance(part.shape[1])
            for row in np.flatnonzero(s.failed):
                self.failed[int(row)] = "PyBullet: the simulation became unstable"
                s.active[row] = 0

    def set_field(self, name: str, values: np.ndarray, rows: np.ndarray) -> None:
        if name not in FIELDS:
            raise ConfigError(f"field {name!r} cannot differ between simulations; {did_you_mean(name, FIELDS)}")
        rows, values = np.asarray(rows), np.asarray(values, float)
        shape = (len(rows), *getattr(self.model, name).shape)
        if values.shape != shape or not np.isfinite(values).all():
            raise ConfigError(f"field {name!r} needs finite values of shape {shape}, found shape {values.shape}")
        if self._own is not None:
            self._own.set_field(name, rows.tolist(), values)
        elif self._crew is not None:
            self._crew.set_field(name, rows, values)

    def close(self) -> None:
        super().close()
        if self._own is not None:
            self._own.close()
        if self._crew is not None:
            self._crew.close()


def open_physics(world: World, num_envs: int, threads: int = 0) -> PybulletPhysics:
    """`threads` processes, 0 for all cores; one simulation, or one process alone, is stepped in this one."""
    processes = min(threads or cores(), num_envs)
    return PybulletPhysics(world, num_envs, 0 if processes == 1 else processes)


class _Crew:
    """The processes, each with a run of neighbouring rows."""

    share: Share

    def __init__(self, model: mujoco.MjModel, num_envs: int, count: int) -> None:
        self._bounds = np.linspace(0, num_envs, count + 1).astype(int)
        self._closed = False
        self._ends: list[socket.socket] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        folder = Path(tempfile.mkdtemp(prefix="waldo-bullet-"))
        try:
            mujoco.mj_saveModel(model, str(folder / "model.mjb"))
            self.share = shared(model, num_envs, folder / "states")
            for first, end in zip(self._bounds[:-1], self._bounds[1:], strict=True):
                self._start(folder, num_envs, int(first), int(end))
            self._answers()
        except BaseException:
            self.close()
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # mapped memory stays

    def _start(self, folder: Path, num_envs: int, first: int, end: int) -> None:
        ours, theirs = socket.socketpair()
        self._ends.append(ours)
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "sim.bullet.worker", str(theirs.fileno()), str(folder), str(num_envs), str(first), str(end)]
        with theirs:
            self._processes.append(
                subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                )
            )

    def advance(self, steps: int) -> None:
        self._tell_all({"do": "advance", "steps": steps})
        self._answers()

    def set_field(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
        owner = np.searchsorted(self._bounds, rows, side="right") - 1
        asked = []
        for worker in np.unique(owner).tolist():
            mine = owner == worker
            header = {"do": "field", "name": name, "rows": rows[mine].tolist(), "shape": list(values[mine].shape)}
            self._tell(worker, header, np.ascontiguousarray(values[mine]).tobytes())
            asked.append(worker)
        self._answers(asked)

    def _tell_all(self, header: dict[str, object]) -> None:
        for worker in range(len(self._ends)):
            self._tell(worker, header)

    def _tell(self, worker: int, header: dict[str, object], payload: bytes = b"") -> None:
        if self._closed:
            raise SimulationError("these PyBullet simulations are closed; make the environment again")
        try:
            send(self._ends[worker], header, payload)
        except OSError as error:
            raise self._gone(worker) from error

    def _answers(self, workers: list[int] | None = None) -> None:
        """Wait for all of them, then raise what one of them had to complain about."""
        refused: Header = {}
        for worker in range(len(self._ends)) if workers is None else workers:
            try:
                header, _ = receive(self._ends[worker])
            except (EOFError, OSError) as error:
                raise self._gone(worker) from error
            except BaseException:  # interrupted: the answers still to come would be taken for later ones
                self.close()
                raise
            refused = refused or header
        if refused:
            raise getattr(data.errors, refused["error"], WaldoError)(refused["message"])

    def _gone(self, worker: int) -> SimulationError:
        first, end = self._bounds[worker], self._bounds[worker + 1] - 1
        self.close()
        code = self._processes[worker].returncode
        return SimulationError(
            f"the PyBullet process of simulations {first} to {end} ended with exit status {code}; make the environment again"
        )

    def close(self) -> None:
        self._closed = True
        for end in self._ends:
            end.close()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
