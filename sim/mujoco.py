"""MuJoCo behind the Physics protocol: B worlds stepped on a thread pool by mujoco.batch, bit-identical at any batch size."""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from data.errors import ConfigError, did_you_mean
from sim.physics import FIELDS, Worlds
from sim.world import World

_BROKEN = [int(w) for w in (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)]
_MASSES = ("body_mass", "body_inertia")


class MujocoPhysics(Worlds):
    """B simulations of `world` on `threads` threads (0: all cores)."""

    def __init__(self, world: World, num_envs: int, threads: int = 0) -> None:
        super().__init__(world, num_envs)
        self._batch = b = Batch(world.model, num_envs, threads)
        self.qpos, self.qvel = b.bind("qpos"), b.bind("qvel")
        self.mocap_pos, self.mocap_quat = b.bind("mocap_pos"), b.bind("mocap_quat")

    def _clear(self, rows: np.ndarray) -> None:
        self._batch.reset(rows, stage=mujoco.mjtStage.mjSTAGE_NONE.value)

    def _advance(self, control: np.ndarray, rows: np.ndarray) -> None:
        before = self._batch.warning[:, _BROKEN, 1].copy()
        try:
            self._batch.rollout(control.shape[1], control, record=(), ids=rows)
        except SimulationError as error:
            self.failed = {int(i): f"MuJoCo: {self._batch.error(int(i))}" for i in error.ids}
        for i in np.flatnonzero((self._batch.warning[:, _BROKEN, 1] != before).any(1)):
            self.failed.setdefault(int(i), "MuJoCo: the simulation became unstable")

    def set_field(self, name: str, values: np.ndarray, rows: np.ndarray) -> None:
        if name not in FIELDS:
            raise ConfigError(f"field {name!r} cannot differ between simulations; {did_you_mean(name, FIELDS)}")
        self._batch.expand(name)[rows] = values
        if name in _MASSES:
            self._batch.set_const(rows)


def open_physics(world: World, num_envs: int, threads: int) -> MujocoPhysics:
    """The engine as sim.env asks for it."""
    return MujocoPhysics(world, num_envs, threads)
