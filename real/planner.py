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

FADE = 0.8  # per control step: how fast an announcement loses its weight
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

    proposals   chunks that are drawn at once; the one that goes on best with the chunk before is taken. A policy that has
                learned two ways round draws each time anew which one to take, and an arm with inertia that is told left,
                right, left ends in the middle (backward coherence: Liu et al. 2024, Bidirectional Decoding)
    tail        [s] of waypoints kept past n_action_steps: what is followed while the next chunk is being computed
    """

    def __init__(self, model: Model, kinematics: Kinematics, proposals: int = 1, tail: float = 0.4) -> None:
        supported(model.spec)
        self.proposals = proposals
        self.model, self.spec, self.kinematics = model, model.spec, kinematics
        self.dt = 1.0 / model.spec.rate_hz
        self.waypoints = min(model.spec.horizon, model.spec.n_action_steps + int(np.ceil(tail / self.dt)))
        self._hash = bytes.fromhex(model.spec.hash())
        self._limit = np.array(kinematics.spec.dq_max) / model.spec.rate_hz
        self._published = 0
        self.begin(0, 0)

    def begin(self, episode: int, seed: int) -> None:
        self._window: dict[str, list[np.ndarray]] = {f.name: [] for f in self.spec.observations}
        self._episode, self._seed, self._count = episode, seed, 0
        self._expected = np.zeros((0, self.spec.action.dim))  # what the last chunk announced for after its n_action_steps

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
        drawn = np.asarray(self.model.sample(obs, self.proposals, seeds), float)[0]  # (K, horizon, A)
        whole = drawn[self._most_coherent(drawn)]
        self._expected = whole[self.spec.n_action_steps :]
        actions = whole[: self.waypoints]
        start, width = state.commanded, state.commanded_width
        q = np.empty((len(actions) + 1, len(start)))
        q[0] = start
        for i, action in enumerate(actions):
            q[i + 1] = q[i] + np.clip(self._target(action, q[i]) - q[i], -self._limit, self._limit)
        self._published += 1
        self._count += 1
        widths = np.concatenate([[width], actions[:, -1]])
        return Chunk(self._published, self._episode, state.tick, t_obs, now, self.dt, q, widths, self._hash)

    def _most_coherent(self, drawn: np.ndarray) -> int:
        """Which of (K, horizon, A) proposals is nearest to what the last chunk announced for the same control steps.

        The first few steps count most; orientation and gripper are left out, they follow the way that is taken.
        """
        broken = ~np.isfinite(drawn).all((1, 2))
        if broken.any():
            return int(np.argmax(broken))  # to be refused at ingress: who draws such a thing is not to be relied on
        steps = min(len(self._expected), drawn.shape[1])
        if len(drawn) == 1 or steps == 0:
            return 0
        place = slice(0, 3) if self.spec.action.kind == "ee_pose" else slice(0, -1)
        away = np.linalg.norm(drawn[:, :steps, place] - self._expected[:steps, place], axis=-1)  # (K, steps)
        return int(np.argmin(away @ FADE ** np.arange(steps)))

    def _target(self, action: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """One action -> joint target (dof,). A value that is not finite stays so: it is refused at ingress, not repaired."""
        if not np.isfinite(action).all():
            return np.full_like(previous, np.nan)
        if self.spec.action.kind == "joint":
            return np.clip(action[:-1], self.kinematics.spec.q_min, self.kinematics.spec.q_max)
        return self.kinematics.inverse(action[None, :3], action[None, 3:7], previous[None])[0]
