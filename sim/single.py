"""`ArmEnv`: one episode of an ArmVecEnv with Gymnasium's own interface."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from sim.base import Obs
from sim.env import ArmConfig, ArmVecEnv


class ArmEnv(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  Gymnasium's convention

    def __init__(self, config: ArmConfig) -> None:
        self.render_mode = "rgb_array"
        self.vec = ArmVecEnv(config, num_envs=1)
        box = {f.name: f.shape for f in self.vec.spec.observations if config.images or not f.is_image}
        self.observation_space = gymnasium.spaces.Dict(
            {
                name: gymnasium.spaces.Box(0, 255, shape, np.uint8)
                if len(shape) == 3
                else gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)
                for name, shape in box.items()
            }
        )
        self.action_space = gymnasium.spaces.Box(self.vec.action_low, self.vec.action_high)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        episode = seed if seed is not None else int(self.np_random.integers(2**31))
        return {k: v[0] for k, v in self.vec.reset(np.array([episode])).items()}, {}

    def step(self, action: np.ndarray) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.vec.step(np.asarray(action)[None])
        row = {k: v[0] for k, v in obs.items()}
        return row, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {"success": bool(info["success"][0])}

    def render(self) -> np.ndarray:
        return self.vec.render()[0]

    def close(self) -> None:
        self.vec.close()
