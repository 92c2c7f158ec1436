"""The simulations of some rows of a Share, one after the other in this process."""

from __future__ import annotations

from collections.abc import Iterable

import mujoco
import numpy as np

from sim.bullet.share import CLEARED, Share
from sim.bullet.world import BulletWorld


class Rows:
    def __init__(self, model: mujoco.MjModel, share: Share, rows: Iterable[int]) -> None:
        self._model, self._share = model, share
        self._worlds = {row: BulletWorld(model) for row in rows}
        self._fields: dict[int, dict[str, np.ndarray]] = {row: {} for row in self._worlds}

    def advance(self, steps: int) -> None:
        """Step the rows marked active by the first `steps` of their controls."""
        s = self._share
        for row, world in list(self._worlds.items()):
            if not s.active[row]:
                continue
            if s.mark[row] == CLEARED:
                world.reset()
            if s.mark[row]:
                world.load(s.qpos[row], s.qvel[row], s.mocap_pos[row], s.mocap_quat[row])
            world.step(s.control[row, :steps])
            qpos, qvel = world.read()
            if np.isfinite(qpos).all() and np.isfinite(qvel).all():
                s.qpos[row], s.qvel[row], s.mark[row] = qpos, qvel, 0
            else:
                s.failed[row], s.mark[row] = 1, CLEARED
                self._renew(row)

    def _renew(self, row: int) -> None:
        """Build a simulation again: Bullet does not get over a position that is no number."""
        self._worlds[row].close()
        self._worlds[row] = BulletWorld(self._model)
        for name, value in self._fields[row].items():
            self._worlds[row].set_field(name, value)

    def set_field(self, name: str, rows: Iterable[int], values: np.ndarray) -> None:
        for row, value in zip(rows, values, strict=True):
            self._worlds[row].set_field(name, value)
            self._fields[row][name] = value.copy()

    def close(self) -> None:
        for world in self._worlds.values():
            world.close()
