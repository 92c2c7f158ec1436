"""A small dummy of everything around the control loop: an arm without physics, a policy without a process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from data.spec import ActionSpec, Feature, PolicySpec
from real.base import Command, RobotSpec, Sample
from real.cell import Cell, CellConfig
from real.chunk import Chunk
from real.clock import StepClock
from real.log import LogWriter
from real.loop import ControlLoop
from real.messages import Beat, State
from real.robots.panda import SPEC

DT = 0.002
BOX = ([0.15, -0.5, 0.005], [0.8, 0.5, 0.8])


def joint_spec(n_action_steps: int = 8, horizon: int = 16) -> PolicySpec:
    joints = tuple(SPEC.joint_names)
    seen = Feature("observation.joints", (SPEC.dof,), names=joints, units=("rad",) * SPEC.dof)
    action = ActionSpec("joint", (*joints, "gripper_width"), (*("rad",) * SPEC.dof, "m"))
    return PolicySpec("bench", SPEC.name, (seen,), action, 20.0, 1, horizon, n_action_steps)


class FakeArm:
    """Is where it was told to be, one tick later. `tamper` may change a reading before it is handed out."""

    def __init__(self, spec: RobotSpec = SPEC, dt: float = DT) -> None:
        self.spec, self.lockstep, self._dt = spec, True, dt
        self.q, self.dq, self.width = np.array(spec.q_home), np.zeros(spec.dof), spec.gripper_max_width
        self.steps, self.stopped, self.watchdog, self.fault = 0, False, 0.0, 0
        self.sent: list[Command] = []
        self.tamper: Callable[[Sample], Sample | None] = lambda sample: sample
        self.broken = False

    def open(self) -> None: ...

    def arm_watchdog(self, timeout: float) -> None:
        self.watchdog = timeout

    def read(self, deadline: float) -> Sample | None:
        t = self.steps * self._dt
        return self.tamper(Sample(t, t, self.steps, self.q, self.dq, self.width, self.fault))

    def write(self, command: Command, deadline: float) -> bool:
        if self.broken:
            return False
        self.sent.append(command)
        self.dq = (command.q - self.q) / self._dt
        self.q, self.width = command.q, command.width
        self.steps += 1
        return True

    def stop(self) -> None:
        self.stopped = True

    def clear_fault(self) -> None:
        self.fault, self.stopped = 0, False

    def explain(self, fault: int) -> str:
        return hex(fault)

    def close(self) -> None: ...


class FakePolicy:
    """Hands out the chunks that a test puts in; alive, beating and never behind unless told otherwise."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.chunks: deque[Chunk] = deque()
        self.is_alive, self.beating, self.in_time = True, True, True
        self._count = 0

    def publish(self, state: State) -> None:
        self.state = state

    def newest(self) -> Chunk | None:
        newest = self.chunks[-1] if self.chunks else None
        self.chunks.clear()
        return newest

    def alive(self) -> bool:
        return self.is_alive

    def obituary(self) -> str:
        return "SIGKILL"

    def beat(self) -> Beat | None:
        self._count += self.beating
        return Beat(self._count, 0, 0.0, 0.0)

    def caught_up(self, episode: int, t: float) -> bool:
        return self.in_time


def cell(**changes: object) -> Cell:
    return Cell(CellConfig(workspace_low=BOX[0], workspace_high=BOX[1], **changes))  # type: ignore[arg-type]


def chunk(loop: ControlLoop, waypoints: np.ndarray, t_obs: float | None = None, **changes: object) -> Chunk:
    """A chunk of joint waypoints (n, dof) for the running episode, as a sane policy would publish it."""
    spec = joint_spec()
    t = loop.clock.now() if t_obs is None else t_obs
    fields = {
        "seq": loop.ticks + 1, "episode": loop.episode, "obs_seq": loop.ticks, "t_obs": t, "t_pub": t, "dt": 1 / spec.rate_hz,
        "q": np.asarray(waypoints, float), "width": np.full(len(waypoints), 0.04), "spec_hash": bytes.fromhex(spec.hash()),
    }  # fmt: skip
    return Chunk(**{**fields, **changes})  # type: ignore[arg-type]


def ready_loop(log: LogWriter | None = None, latency: float = 0.0, **changes: object) -> tuple[ControlLoop, FakeArm, FakePolicy]:
    """A loop in READY, in virtual time, around a FakeArm and a FakePolicy; `changes` are those of the CellConfig."""
    arm, policy, place = FakeArm(), FakePolicy(), cell(**changes)
    loop = ControlLoop(arm, StepClock(), place.committer(DT), policy, log, place.settings(DT, latency))
    loop.connect()
    loop.check(joint_spec(), joint_spec())
    loop.ready()
    return loop, arm, policy
