"""From what a policy sees to joint waypoints: observation windows and `Chunk`s, with the simulator's own arithmetic.

Pure of processes and clocks, so that a test can hold it against sim.env step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from data.errors import SpecError
from data.noise import fold
from data.spec import PolicySpec
from real.chunk import Chunk
from real.kinematics import Kinematics
from real.messages import State

STATE, JOINTS = "observation.state", "observation.joints"


class Model(Protocol):
    """An artefact: `policies.artifact.Artifact` is one."""

    spec: PolicySpec

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        """obs: name -> (1, n_obs_steps, ...); returns (1, 1, horizon, A) in SI units."""


def supported(spec: PolicySpec) -> None:
    """Raises SpecError for an action that has no meaning for an arm here."""
    if not (spec.action.kind in ("ee_pose", "joint") and spec.action.absolute):
        kind = f"{'absolute' if spec.action.absolute else 'relative'} {spec.action.kind}"
        raise SpecError(f"actions are {kind}; an arm takes absolute ee_pose or absolute joint actions")


class Planner:
    """One episode at a time: `begin()`, then `see()` at every control step, and `plan()` at every n_action_steps-th.

    tail   [s] of waypoints kept past n_action_steps: what is followed while the next chunk is being computed
    """

    def __init__(self, model: Model, kinematics: Kinematics, tail: float = 0.4) -> None:
        supported(model.spec)
        self.model, self.spec, self.kinematics = model, model.spec, kinematics
        self.dt = 1.0 / model.spec.rate_hz
        self.waypoints = min(model.spec.horizon, model.spec.n_action_steps + int(np.ceil(tail / self.dt)))
        self._hash = bytes.fromhex(model.spec.hash())
        self._limit = np.array(kinematics.spec.dq_max) / model.spec.rate_hz
        self._window: dict[str, list[np.ndarray]] = {}
        self._episode, self._seed, self._count, self._published = 0, 0, 0, 0
        self._previous: Chunk | None = None

    def begin(self, episode: int, seed: int) -> None:
        self._window = {f.name: [] for f in self.spec.observations}
        self._episode, self._seed, self._count, self._previous = episode, seed, 0, None

    def see(self, state: State, perceived: Mapping[str, np.ndarray]) -> None:
        """Append one control step to the windows; the first one fills them. Raises SpecError if something is missing."""
        position, quat = self.kinematics.forward(state.q)
        own = {STATE: np.concatenate([position[0], quat[0], [state.width]]), JOINTS: state.q}
        for feature in self.spec.observations:
            value = perceived.get(feature.name, own.get(feature.name))
            if value is None or np.shape(value) != feature.shape:
                found = "nothing" if value is None else f"shape {np.shape(value)}"
                raise SpecError(f"{feature.name}: the policy needs shape {feature.shape}, perception gives {found}")
            frames = self._window[feature.name]
            frames.append(np.asarray(value, feature.dtype))
            missing = self.spec.n_obs_steps - len(frames)
            self._window[feature.name] = [frames[0]] * max(missing, 0) + frames[-self.spec.n_obs_steps :]

    def plan(self, state: State, t_obs: float, now: float) -> Chunk:
        """The next chunk, answering the newest window. state: that of the observation; times on the loop's clock [s]."""
        obs = {name: np.stack(frames)[None] for name, frames in self._window.items()}
        seeds = fold(np.array([self._seed], np.uint64), self._count)
        actions = np.asarray(self.model.sample(obs, 1, seeds), float)[0, 0, : self.waypoints]
        start, width = self._in_force(state, t_obs)
        q = np.empty((len(actions) + 1, len(start)))
        q[0] = start
        for i, action in enumerate(actions):
            q[i + 1] = q[i] + np.clip(self._target(action, q[i]) - q[i], -self._limit, self._limit)
        self._published += 1
        self._count += 1
        widths = np.concatenate([[width], actions[:, -1]])
        chunk = Chunk(self._published, self._episode, state.tick, t_obs, now, self.dt, q, widths, self._hash)
        self._previous = chunk
        return chunk

    def _in_force(self, state: State, t: float) -> tuple[np.ndarray, float]:
        """The joint target (dof,) and width that were asked for at time t: what the simulator calls the previous target."""
        last = self._previous
        if last is None:
            return state.commanded, state.commanded_width
        index = min(max(round((t - last.t_obs) / last.dt), 0), len(last.q) - 1)
        return last.q[index], float(last.width[index])

    def _target(self, action: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """One action -> joint target (dof,). A value that is not finite stays so: it is refused at ingress, not repaired."""
        if not np.isfinite(action).all():
            return np.full_like(previous, np.nan)
        if self.spec.action.kind == "joint":
            return np.clip(action[:-1], self.kinematics.spec.q_min, self.kinematics.spec.q_max)
        return self.kinematics.inverse(action[None, :3], action[None, 3:7], previous[None])[0]
