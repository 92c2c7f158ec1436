"""Pick a cube from a random pose and put it into a bin at a random place, round a wall that stands between the two.

The wall makes the data bimodal: one can pass in front of it or behind it, and the mean of both ways runs into it.

        x (away from the base)        z up, base of the arm at the origin
        |   cube    wall    bin
        +---------------------> y
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ConfigError
from data.rotations import quat_about_z
from data.spec import Feature
from sim.base import Physics

if TYPE_CHECKING:
    import mujoco

WALL_X, WALL_HALF = 0.5, 0.06  # [m] centre and half width along x; it stands at y = 0, higher than a cube is carried
BIN_INNER = 0.061  # [m] half width inside the walls
BIN_RIM = 0.05  # [m] height of the walls


@dataclass
class PickPlaceConfig:
    cube_half: float = 0.02  # half edge of the cube [m]
    cube_x: list[float] = field(default_factory=lambda: [0.42, 0.58])  # range of its place [m]
    cube_y: list[float] = field(default_factory=lambda: [-0.34, -0.21])
    cube_yaw: float = 0.7853981633974483  # it is turned by up to this [rad]; 45 degrees are all poses of an unmarked cube
    bin_x: list[float] = field(default_factory=lambda: [0.42, 0.58])  # range of the bin's place [m]
    bin_y: list[float] = field(default_factory=lambda: [0.21, 0.33])


class PickPlace:
    Config = PickPlaceConfig
    name = "pick_place"
    instruction = "Put the cube into the bin."
    scene = Path(__file__).with_suffix(".xml")
    cameras = ("front", "wrist")
    film_camera = "film"
    features = (
        Feature(
            "observation.environment_state",
            (10,),
            names=("cube_x", "cube_y", "cube_z", "cube_qw", "cube_qx", "cube_qy", "cube_qz", "bin_x", "bin_y", "bin_z"),
            units=("m", "m", "m", "1", "1", "1", "1", "m", "m", "m"),
            quaternions=(3,),
        ),
    )

    def __init__(self, config: PickPlaceConfig) -> None:
        for name in ("cube_x", "cube_y", "bin_x", "bin_y"):
            bounds = getattr(config, name)
            if len(bounds) != 2 or not bounds[0] <= bounds[1]:
                raise ConfigError(f"{name} must be [low, high] in metres, found {bounds}")
        if not 0.01 <= config.cube_half <= 0.035:
            raise ConfigError(f"cube_half={config.cube_half} does not fit the gripper; allowed: 0.01 to 0.035 [m]")
        self.config = config

    def edit(self, world: mujoco.MjSpec) -> None:
        """Set what the config changes in the scene, before it is compiled."""
        world.geom("cube").size = [self.config.cube_half] * 3

    def reset(self, physics: Physics, rngs: list[np.random.Generator], rows: np.ndarray) -> None:
        """Place the objects of the given rows, one generator per row."""
        c = self.config
        draws = np.array(
            [[r.uniform(low, high) for low, high in (c.cube_x, c.cube_y, (-c.cube_yaw, c.cube_yaw), c.bin_x, c.bin_y)] for r in rngs]
        )
        height = np.full((len(rows), 1), c.cube_half)
        physics.set_body("cube", np.concatenate([draws[:, :2], height], 1), quat_about_z(draws[:, 2]), rows)
        upright = np.tile([1.0, 0, 0, 0], (len(rows), 1))
        physics.set_body("bin", np.concatenate([draws[:, 3:], np.zeros((len(rows), 1))], 1), upright, rows)

    def observe(self, physics: Physics) -> dict[str, np.ndarray]:
        """Ground truth of the simulator, (B, 10) float32; quaternions with w >= 0."""
        position, quat = physics.body("cube")
        quat = np.where(quat[:, :1] < 0, -quat, quat)
        return {"observation.environment_state": np.concatenate([position, quat, physics.body("bin")[0]], 1).astype(np.float32)}

    def success(self, physics: Physics) -> np.ndarray:
        """(B,) bool: the cube lies inside the bin and the gripper has let go of it."""
        cube, bin_ = physics.body("cube")[0], physics.body("bin")[0]
        inside = (np.abs(cube[:, :2] - bin_[:, :2]) < BIN_INNER).all(1) & (cube[:, 2] < BIN_RIM)
        return inside & (physics.width() > 2 * self.config.cube_half + 0.008)
