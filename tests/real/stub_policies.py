"""Stand-ins for an exported artefact, loaded by the policy process under test: `tests.real.stub_policies.expert`, ..."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from data.spec import ActionSpec, Feature, PolicySpec
from real.robots.panda import SPEC as PANDA
from sim.task import POSE, POSE_UNITS
from sim.tasks.pick_place import PickPlace, PickPlaceConfig, PickPlaceExpert

STATE = Feature("observation.state", (8,), names=(*POSE, "gripper_width"), units=(*POSE_UNITS, "m"), quaternions=(3,))
POSES = ActionSpec("ee_pose", (*POSE, "gripper_width"), (*POSE_UNITS, "m"), quaternions=(3,))


def spec(n_action_steps: int = 4, horizon: int = 16) -> PolicySpec:
    return PolicySpec("pick_place", "panda", (STATE, *PickPlace.features), POSES, 20.0, 2, horizon, n_action_steps)


class Expert:
    """The scripted demonstrator, asked at every control step for its next AHEAD actions. It looks that little too early."""

    AHEAD = 5

    def __init__(self, folder: Path) -> None:
        self.spec = spec(n_action_steps=1, horizon=self.AHEAD)
        self._script: Iterator[np.ndarray] = iter(())
        self._next: list[np.ndarray] = []
        self._stamp = b""

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        frame = {name: values[0, -1] for name, values in obs.items()}
        stamp = frame["observation.environment_state"][7:10].tobytes()  # the bin's place tells one episode from the next
        if stamp != self._stamp:
            self._stamp = stamp
            rng = np.random.default_rng(int(seeds[0]))
            self._expert = PickPlaceExpert(rng, "clean", PickPlace(PickPlaceConfig()), PANDA, self.spec.rate_hz)
            self._expert.obs = frame
            self._script, self._next = self._expert.script(), []
        self._expert.obs = frame
        self._next = self._next[1:]
        while len(self._next) < self.AHEAD:
            self._next.append(next(self._script, self._next[-1] if self._next else frame["observation.state"]))
        return np.stack(self._next)[None, None].astype(np.float32)


class Hold:
    """Asks for the pose it sees."""

    def __init__(self, folder: Path) -> None:
        self.spec = spec()

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        return np.repeat(obs["observation.state"][0, -1][None], self.spec.horizon, 0)[None, None]


class Sway:
    """Sweeps the tool sideways for ever, on a bench without a task; `misbehave` says what goes wrong after a second of it."""

    misbehave = ""

    def __init__(self, folder: Path) -> None:
        mark = Feature("observation.environment_state", (2,), names=("seed", "steps"), units=("1", "1"))
        self.spec = PolicySpec("bench", "panda", (STATE, mark), POSES, 20.0, 1, 16, 8)
        self._home: np.ndarray | None = None
        self._chunk = 0

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        state = obs["observation.state"][0, -1].astype(float)
        if not obs["observation.environment_state"].any():
            return np.repeat(state[None], 16, 0)[None, None]  # the warm-up
        self._home = state if self._home is None else self._home
        steps = np.arange(1, 17) + 8 * self._chunk
        actions = np.repeat(self._home[None], 16, 0)
        actions[:, 1] += 0.15 * (1 - np.cos(2 * np.pi * steps / 40)) - 0.1
        self._chunk += 1
        if self._chunk > 3 and self.misbehave == "nan":
            actions[5, 2] = np.nan
        if self._chunk > 3 and self.misbehave == "hang":
            time.sleep(3600)
        if self._chunk > 3 and self.misbehave == "raise":
            raise RuntimeError("a bug in a policy")
        return actions[None, None]


class SwayNan(Sway):
    misbehave = "nan"


class SwayHang(Sway):
    misbehave = "hang"


class SwayRaise(Sway):
    misbehave = "raise"


class Look(Sway):
    """Sways only while the camera shows the episode's seed, which is how the bench paints its images."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        front = Feature("observation.images.front", (6, 8, 3), "uint8")
        self.spec = dataclasses.replace(self.spec, observations=(*self.spec.observations, front))

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        image = obs["observation.images.front"]
        assert image.shape == (1, 1, 6, 8, 3) and image.dtype == np.uint8
        seen = (image == obs["observation.environment_state"][0, -1, 0]).all()
        chunk = super().sample(obs, num_samples, seeds)
        return chunk if seen else np.full_like(chunk, np.nan)
