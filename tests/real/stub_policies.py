"""Stand-ins for an exported artefact, loaded by the policy process under test: `tests.real.stub_policies.expert`, ..."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from data.spec import ActionSpec, Feature, PolicySpec
from sim.env import POSE, POSE_UNITS
from sim.experts import PickPlaceExpert
from sim.tasks.pick_place import PickPlace

STATE = Feature("observation.state", (8,), names=(*POSE, "gripper_width"), units=(*POSE_UNITS, "m"), quaternions=(3,))
POSES = ActionSpec("ee_pose", (*POSE, "gripper_width"), (*POSE_UNITS, "m"), quaternions=(3,))


def spec(n_action_steps: int = 4, horizon: int = 16) -> PolicySpec:
    return PolicySpec("pick_place", "panda", (STATE, *PickPlace.features), POSES, 20.0, 2, horizon, n_action_steps)


class Expert:
    """The scripted demonstrator, asked at every control step; what it would do next is extrapolated for one more."""

    def __init__(self, folder: Path) -> None:
        self.spec = spec(n_action_steps=1, horizon=2)
        self._script: Iterator[np.ndarray] = iter(())
        self._stamp = b""
        self._last = np.zeros(8)

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        frame = {name: values[0, -1] for name, values in obs.items()}
        stamp = frame["observation.environment_state"][7:10].tobytes()  # the bin's place tells one episode from the next
        if stamp != self._stamp:
            self._stamp = stamp
            self._expert = PickPlaceExpert(np.random.default_rng(int(seeds[0])), False, self.spec.rate_hz)
            self._expert.obs = frame
            self._script = self._expert.script()
            self._last = frame["observation.state"]
        self._expert.obs = frame
        action = next(self._script, self._last)
        ahead = action.copy()
        ahead[:3] += action[:3] - self._last[:3]
        self._last = action
        return np.stack([action, ahead])[None, None].astype(np.float32)


class Hold:
    """Asks for the pose it sees."""

    def __init__(self, folder: Path) -> None:
        self.spec = spec()

    def sample(self, obs: Mapping[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        return np.repeat(obs["observation.state"][0, -1][None], self.spec.horizon, 0)[None, None]
