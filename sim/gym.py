"""Any Gymnasium environment by its id: B copies in this process behind the VecEnv contract.

The YAML says which part of the observation is what; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from data.errors import ConfigError
from data.spec import ActionSpec, Feature, PolicySpec
from sim.base import Obs


@dataclass
class GymConfig:
    id: str = ""  # Gymnasium id, e.g. gym_pusht/PushT-v0
    package: str = ""  # the module whose import registers the id
    extra: str = ""  # the extra of this project that installs it, for the error message
    task: str = ""
    robot: str = ""
    rate_hz: float = 10.0
    max_steps: int = 300
    kwargs: dict[str, Any] = field(default_factory=dict)  # passed to gymnasium.make
    observations: dict[str, Any] = field(
        default_factory=dict
    )  # name -> {key, start, stop, names, units, angles} or {key, shape}; key "" = the whole
    action_names: list[str] = field(default_factory=list)
    action_unit: str = "1"
    success_key: str = "is_success"  # in info
    num_envs: int = 50


class GymVecEnv:
    Config = GymConfig

    def __init__(self, config: GymConfig, **overrides: Any) -> None:
        try:
            __import__(config.package)
        except ModuleNotFoundError as error:
            hint = f"pip install 'waldo[{config.extra}]'" if config.extra else f"install {config.package}"
            raise ConfigError(f"environment {config.id} needs the package {error.name!r}, which is not installed: {hint}") from error
        for key in ("num_envs", "max_steps", "rate_hz"):
            if not getattr(config, key) > 0:
                raise ConfigError(f"env.{key}={getattr(config, key)}; it must be positive")
        self.config = config
        self.num_envs, self.max_steps = config.num_envs, config.max_steps
        make = {"max_episode_steps": config.max_steps, "disable_env_checker": True, **config.kwargs}
        try:
            self._envs = [gymnasium.make(config.id, **make) for _ in range(config.num_envs)]
        except (gymnasium.error.Error, TypeError) as error:  # a wrong id, or kwargs that it does not take
            raise ConfigError(f"environment {config.id} cannot be made with {make}: {' '.join(str(error).split())}") from error
        features = []
        for name, part in config.observations.items():
            size = part.get("stop", 0) - part.get("start", 0)
            features.append(
                Feature(name, (size,), names=tuple(part["names"]), units=tuple(part["units"]), angles=tuple(part.get("angles", ())))
                if "names" in part
                else Feature(name, tuple(part["shape"]), "uint8")
            )
        names = tuple(config.action_names)
        action = ActionSpec("position", names, (config.action_unit,) * len(names))
        self.spec = PolicySpec(config.task, config.robot, tuple(features), action, config.rate_hz)
        self._last: list[Any] = [None] * self.num_envs

    def _read(self) -> Obs:
        out = {}
        for feature in self.spec.observations:
            part = self.config.observations[feature.name]
            values = [raw[part["key"]] if part.get("key") else raw for raw in self._last]
            stacked = np.stack(values)
            out[feature.name] = stacked if feature.is_image else stacked[:, part["start"] : part["stop"]].astype(np.float32)
        return out

    def reset(self, seeds: np.ndarray) -> Obs:
        for i, seed in enumerate(seeds):
            self._last[i] = self._envs[i].reset(seed=int(seed))[0]
        for i in range(len(seeds), self.num_envs):  # a short last group: the spare rows repeat the first
            self._last[i] = self._last[0]
        return self._read()

    def step(
        self, action: np.ndarray, active: np.ndarray | None = None
    ) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, Mapping[str, np.ndarray]]:
        reward = np.zeros(self.num_envs)
        terminated, truncated, success = (np.zeros(self.num_envs, bool) for _ in range(3))
        for i in np.flatnonzero(active) if active is not None else range(self.num_envs):
            env = self._envs[i]
            self._last[i], reward[i], terminated[i], truncated[i], info = env.step(action[i].astype(np.float32))
            success[i] = bool(info.get(self.config.success_key, False))
        return self._read(), reward, terminated, truncated, {"success": success}

    def render(self, camera: str = "", rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        rows = np.arange(self.num_envs) if rows is None else rows
        return np.stack([np.asarray(self._envs[i].render()) for i in rows])

    def close(self) -> None:
        for env in self._envs:
            env.close()
