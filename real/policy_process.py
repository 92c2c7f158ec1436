"""The policy's process: reads states from shared memory and poses from perception, publishes chunks of waypoints.

It runs in a session of its own, knows the arm only through two rings, and may be slow, wrong or dead: what it publishes
is checked by the control process. Its heartbeat is written by the thread that infers, so a hung inference is a missing
heartbeat. Run as `python -m real.policy_process SETTINGS` by real.policy_link.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.config import locate
from data.errors import WaldoError
from data.spec import IMAGE_PREFIX, PolicySpec
from real.base import RobotSpec
from real.ipc import Ring
from real.kinematics import Kinematics
from real.link import Link, Message
from real.messages import Beat, State, pack_chunk
from real.planner import Planner

IDLE = 0.02  # [s] between heartbeats when there is nothing to do
STALE = 0.2  # [s] age of perception with which no chunk is made


@dataclass(frozen=True)
class Settings:
    """What the control process tells its policy, as JSON."""

    load: str  # dotted path of what loads a Model
    artefact: str  # its argument
    robot: str  # dotted path of the RobotSpec
    perception: str  # socket
    lockstep: bool
    perception_hz: float = 50.0
    proposals: int = 1
    states: int = -1  # descriptors of the rings, filled in when the process is started
    chunks: int = -1
    beats: int = -1
    hello: int = -1  # of the pipe for the one-line greeting


class Perception:
    """The newest frames of the perception stream, by time; camera images are asked for when a control step needs them."""

    def __init__(self, link: Link, rate: float, cameras: Mapping[str, tuple[int, int]]) -> None:
        """cameras: name -> (height, width) of the images that the policy reads."""
        self._link, self._cameras = link, dict(cameras)
        self._frames: deque[tuple[float, Mapping[str, np.ndarray]]] = deque(maxlen=64)
        first = link.ask(Message("subscribe", {"rate": rate}))
        self._frames.append((float(first.fields["t"]), first.arrays))  # type: ignore[arg-type]

    def at(self, t: float) -> tuple[float, Mapping[str, np.ndarray]] | None:
        """Time and arrays of the newest frame that is not from after t [s]. Images are of the moment of asking."""
        for message in self._link.poll():
            if message.kind == "observation":
                self._frames.append((float(message.fields["t"]), message.arrays))  # type: ignore[arg-type]
        for time_, arrays in reversed(self._frames):
            if time_ <= t + 1e-6:
                return time_, {**arrays, **self._images()}
        return None

    def _images(self) -> dict[str, np.ndarray]:
        found = {}
        for name, (height, width) in self._cameras.items():
            camera = name.removeprefix(IMAGE_PREFIX)
            found[name] = self._link.ask(Message("frame", {"camera": camera, "height": height, "width": width})).arrays["image"]
        return found


class PolicyLoop:
    """Follows the phases that control publishes; `step()` does what is due and returns how long it may sleep [s]."""

    def __init__(self, planner: Planner, states: Ring, chunks: Ring, beats: Ring, perception: Perception, lockstep: bool) -> None:
        self.planner, self.perception, self.lockstep = planner, perception, lockstep
        self._states, self._chunks, self._beats = states, chunks, beats
        self._episode, self._k, self._start, self._beat = 0, 0, 0.0, 0
        self._compute = 0.0

    def step(self) -> float:
        found = self._states.latest()
        state = State.unpack(found[1]) if found else None
        if state is None or not state.active:
            self._say(0.0)
            return 0.0005 if self.lockstep else IDLE / 4
        if state.episode != self._episode:
            self._episode, self._k, self._start = state.episode, 0, state.started
            self.planner.begin(state.episode, state.seed)
        due = self._start + self._k * self.planner.dt
        if state.t < due - 1e-6:
            self._say(due)
            return 0.0002 if self.lockstep else min(max(due - time.monotonic(), 0.0005), IDLE)
        self._control_step(self._nearest(due, state), due)
        self._k += 1
        self._say(self._start + self._k * self.planner.dt)
        return 0.0

    def _control_step(self, state: State, due: float) -> None:
        frame = self.perception.at(state.t)
        give_up = time.monotonic() + 0.1
        while frame is None and time.monotonic() < give_up:
            time.sleep(0.001)
            frame = self.perception.at(state.t)
        if frame is None or not state.t - frame[0] <= STALE:
            return  # no chunk: control stops the arm when the last one has ended
        self.planner.see(state, frame[1])
        if self._k % self.planner.spec.n_action_steps == 0:
            began = time.perf_counter()
            chunk = self.planner.plan(state, due, state.t)
            self._compute = time.perf_counter() - began
            newest = self._states.latest()
            published = State.unpack(newest[1]).t if newest else state.t
            self._chunks.write(pack_chunk(replace(chunk, t_pub=published)))

    def _nearest(self, due: float, newest: State) -> State:
        """The state of the control step, found by time: inference may have let the moment pass."""
        number, best = self._states.newest, newest
        while best.t > due + 1e-6:
            number -= 1
            raw = self._states.read(number) if number > 0 else None
            if raw is None:
                break
            earlier = State.unpack(raw)
            if earlier.t < due - 1e-6 or earlier.episode != newest.episode:
                break
            best = earlier
        return best

    def _say(self, done: float) -> None:
        self._beat += 1
        self._beats.write(Beat(self._beat, self._episode, done, self._compute).pack())


def warm_up(planner: Planner) -> None:
    """One inference before the arm moves: the first one may take far longer than the rest."""
    spec = planner.spec
    obs = {f.name: np.zeros((1, spec.n_obs_steps, *f.shape), f.dtype) for f in spec.observations}
    for feature in spec.observations:
        for first in feature.quaternions:
            obs[feature.name][..., first] = 1
    planner.model.sample(obs, planner.proposals, np.array([0], np.uint64))


def _greet(settings: Settings, spec: PolicySpec | None, error: str, robot: str) -> None:
    what = {"spec": spec.to_json() if spec else None, "error": error, "robot": robot}
    os.write(settings.hello, json.dumps(what).encode() + b"\n")
    os.close(settings.hello)


def main(argv: list[str]) -> int:
    settings = Settings(**json.loads(argv[0]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    try:
        model = locate(settings.load)(Path(settings.artefact))
        robot: RobotSpec = locate(settings.robot)
        planner = Planner(model, Kinematics(robot), settings.proposals)
        cameras = {f.name: (f.shape[0], f.shape[1]) for f in model.spec.observations if f.is_image}
        perception = Perception(Link.connect(Path(settings.perception)), settings.perception_hz, cameras)
        warm_up(planner)
    except WaldoError as error:
        _greet(settings, None, str(error), "")
        return 2
    _greet(settings, model.spec, "", str(getattr(model, "limits", {}).get("hash", "")))
    states, chunks, beats = Ring.attach(settings.states), Ring.attach(settings.chunks), Ring.attach(settings.beats)
    loop = PolicyLoop(planner, states, chunks, beats, perception, settings.lockstep)
    try:
        while os.getppid() == parent:
            pause = loop.step()
            if pause:
                time.sleep(pause)
    except WaldoError as error:
        print(f"policy process: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
