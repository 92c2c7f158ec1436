"""One telling picture of a task or a robot: a scripted episode, stopped in the middle of the work, seen from near by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.config import build
from data.rotations import quat_from_matrix
from real.kinematics import Kinematics
from sim.arms.build import robot_spec
from sim.demonstrate import demonstrate
from sim.env import ArmVecEnv
from sim.rendering.renderer import Look

ROOM = (1.25, -0.75, 0.8)  # the film camera of sim/tasks/room.xml
TRIES = 6  # episodes, until one succeeds


@dataclass(frozen=True)
class View:
    """Where one looks from: towards `at` (3,) [m] from a place `distance` [m] away, with an opening angle of `fovy` [degrees]."""

    at: tuple[float, float, float] = (0.36, 0.0, 0.26)
    distance: float = 1.65
    azimuth: float = -0.72  # of the place, 0 in front of the arm [rad]
    elevation: float = 0.42  # [rad]
    fovy: float = 38.0

    def of(self, env: ArmVecEnv) -> Look:
        """The film camera of a world, moved there."""
        model = env.physics.model
        back = np.array(
            [
                np.cos(self.elevation) * np.cos(self.azimuth),
                np.cos(self.elevation) * np.sin(self.azimuth),
                np.sin(self.elevation),
            ]
        )
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        camera = model.camera(env.task.film_camera).id
        place, turn, fovy = model.cam_pos.copy(), model.cam_quat.copy(), model.cam_fovy.copy()
        place[camera] = np.array(self.at) + self.distance * back
        turn[camera] = quat_from_matrix(np.stack([right, np.cross(back, right), back], 1))
        fovy[camera] = self.fovy
        return Look({"cam_pos": place, "cam_quat": turn, "cam_fovy": fovy})


def view_of(env: ArmVecEnv) -> Look:
    """A near view; where a scene has a film camera of its own, that one."""
    model = env.physics.model
    camera = model.camera(env.task.film_camera).id
    if np.allclose(model.cam_pos[camera], ROOM):
        return View().of(env)
    fovy = model.cam_fovy.copy()
    fovy[camera] *= 0.85
    return Look({"cam_fovy": fovy})


def reaching(robot: str) -> tuple[dict[str, Any], View]:
    """Options of the task reach that suit the size of a robot, and a view of it."""
    spec = robot_spec(robot)
    origins = Kinematics(spec).joint_origins(np.array(spec.q_home))[0]
    x, _, z = map(float, origins[-1])
    options = {"radius": [0.9 * x, 1.15 * x], "azimuth": [-0.5, 0.5], "height": [0.5 * z, 1.2 * z], "tolerance": 0.045 * x}
    low, high = np.minimum(origins.min(0), 0.0), origins.max(0)
    middle = (low + high) / 2
    return options, View(at=(float(middle[0]), float(middle[1]), float(middle[2])), distance=2.2 * float(np.linalg.norm(high - low)))


def portrait(
    node: Mapping[str, Any], engine: str, seed: int, moment: float, size: tuple[int, int], view: View | None = None, **options: Any
) -> tuple[np.ndarray, bool]:
    """(height, width, 3) uint8 of the task of an environment's YAML, and whether its expert succeeded in that episode.

    moment: share of the episode, 0 to 1. Raises RenderError.
    """
    env: ArmVecEnv = build(node, num_envs=1, threads=1, engine=engine, **options)
    try:
        for attempt in range(seed, seed + TRIES):
            (done,) = demonstrate(env, np.array([attempt]), ["clean"])
            if done.success:
                break
        state = done.states[round(moment * (len(done.states) - 1))]
        return env.physics.show(
            state, env.task.film_camera, size, beautiful=True, look=view.of(env) if view else view_of(env)
        ), done.success
    finally:
        env.close()
