"""The arm of pick_place as one would write it with MuJoCo and Gymnasium alone: what `bench rollout` is measured against."""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np

from real.robots.panda import SPEC
from sim.tasks.pick_place import PickPlace, PickPlaceConfig
from sim.world import build_world

RATE_HZ = 20.0


class PlainArm(gymnasium.Env):
    """Joint targets (7,) [rad] and gripper width [m], followed at 20 Hz along straight lines, as sim.env does; no images."""

    def __init__(self) -> None:
        world = build_world(PickPlace.scene, "panda", edit=PickPlace(PickPlaceConfig()).edit)
        self.model, self.arm = world.model, world.arms[0]
        self.data = mujoco.MjData(self.model)
        self.substeps = round(1 / (RATE_HZ * self.model.opt.timestep))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.model.nq,), np.float64)
        low, high = [*SPEC.q_min, 0.0], [*SPEC.q_max, SPEC.gripper_max_width]
        self.action_space = gymnasium.spaces.Box(np.array(low, np.float32), np.array(high, np.float32))
        self._target = np.array([*SPEC.q_home, SPEC.gripper_max_width])
        self._limit = np.array([*SPEC.dq_max, SPEC.gripper_speed]) / RATE_HZ

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self._target = np.array([*SPEC.q_home, SPEC.gripper_max_width])
        self.data.qpos[self.arm.qpos] = SPEC.q_home
        return self.data.qpos.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        change = np.clip(action - self._target, -self._limit, self._limit)
        lead = np.append(self.arm.lead * change[:-1] * RATE_HZ, 0.0)
        for k in range(1, self.substeps + 1):
            self.data.ctrl[self.arm.ctrl] = self._target + change * (k / self.substeps) + lead
            mujoco.mj_step(self.model, self.data)
        self._target = self._target + change
        cube, bin_ = self.data.qpos[:3], self.data.mocap_pos[0]
        success = bool((np.abs(cube[:2] - bin_[:2]) < 0.06).all())
        return self.data.qpos.copy(), float(success), success, False, {}
