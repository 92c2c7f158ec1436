"""Gravity compensation (body_gravcomp) for Bullet, which knows gravity for the whole world or none: as torques at the joints."""

from __future__ import annotations

import copy

import mujoco
import numpy as np


class Lift:
    """Asks MuJoCo what carries the compensated bodies of a posture."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.needed = bool(model.body_gravcomp.any()) and not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY
        self._model = copy.copy(model)  # a deep copy; without springs and dampers, so that mj_passive only weighs
        for field in (self._model.jnt_stiffness, self._model.dof_damping):
            field[:] = 0
        self._data = mujoco.MjData(self._model)

    def weigh(self, mass: np.ndarray) -> None:
        """Take other masses (nbody,) [kg]."""
        self._model.body_mass[:] = mass

    def torques(self, address: np.ndarray, q: np.ndarray) -> np.ndarray:
        """(nv,) [N m], [N] that hold the compensated bodies when the joints at qpos[address] stand at q; valid until the next call."""
        model, data = self._model, self._data
        data.qpos[address] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_passive(model, data)
        return data.qfrc_gravcomp
