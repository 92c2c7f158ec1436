"""A point that is pushed about: the smallest VecEnv whose rewards tell one trajectory from another."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.spec import ActionSpec, Feature, PolicySpec

POSITION = Feature("observation.state", (2,), names=("x", "y"), units=("m", "m"))
CLOCK = Feature("observation.environment_state", (1,), names=("step",), units=("1",))
SPEC = PolicySpec("point", "dot", (POSITION, CLOCK), ActionSpec("position", ("vx", "vy"), ("m", "m")), 10.0)


class PointEnv:
    """x moves by the action. The episode of an even seed ends in success after 10 + seed % 7 steps, that of an odd one runs out."""

    milestones: tuple[str, ...] = ()

    def __init__(self, num_envs: int, max_steps: int = 30, spec: PolicySpec = SPEC) -> None:
        self.spec, self.num_envs, self.max_steps = spec, num_envs, max_steps
        self.actions: dict[int, list[np.ndarray]] = {}  # seed -> what was done, in order
        self.rendered: list[int] = []

    def reset(self, seeds: np.ndarray) -> dict[str, np.ndarray]:
        assert len(seeds) <= self.num_envs
        self.seeds = np.concatenate([seeds, np.full(self.num_envs - len(seeds), seeds[0])])
        self.x = np.array([np.random.default_rng(int(s)).normal(size=2) for s in self.seeds]).astype(np.float32)
        self.t = np.zeros(self.num_envs, int)
        self.actions |= {int(s): [] for s in seeds}
        return self._obs()

    def _obs(self) -> dict[str, np.ndarray]:
        return {"observation.state": self.x.copy(), "observation.environment_state": self.t[:, None].astype(np.float32)}

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> tuple[Any, ...]:
        rows = np.arange(self.num_envs) if active is None else np.flatnonzero(active)
        for i in rows:
            self.actions[int(self.seeds[i])].append(action[i].copy())
        self.x[rows] += action[rows]
        self.t[rows] += 1
        success = (self.t >= 10 + self.seeds % 7) & (self.seeds % 2 == 0)
        # Rows that have ended go on giving a reward that nobody may count.
        reward = np.where(np.isin(np.arange(self.num_envs), rows), self.x.sum(1).astype(float), 1e9)
        return self._obs(), reward, success, ~success & (self.t >= self.max_steps), {"success": success}

    def render(self, camera: str, rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        rows = np.arange(self.num_envs) if rows is None else rows
        self.rendered += [int(self.seeds[i]) for i in rows]
        height, width = size or (16, 16)
        return np.stack([np.full((height, width, 3), self.t[i], np.uint8) for i in rows])

    def close(self) -> None: ...
