"""A session's episodes with dummies: what an operator can do, and what happens when the operator is gone."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

from data.errors import RobotError
from real.lifecycle import Phase
from real.loop import ControlLoop
from real.robots.panda import SPEC
from real.session import Session
from tests.real.fakes import FakeArm, FakePolicy, chunk, ready_loop

HOME = np.array(SPEC.q_home)


class Person:
    """An operator who finds the task done after so many questions, or is gone by then."""

    def __init__(self, arm: FakeArm, after: int = 10**9, gone: bool = False) -> None:
        self.arm, self.after, self.gone = arm, after, gone
        self.asked = 0

    def reset(self, seed: int) -> None:
        self.arm.q, self.arm.dq = HOME, np.zeros(7)

    def done(self, now: float, wait: bool) -> bool:
        self.asked += 1
        if self.asked > self.after and self.gone:
            raise RobotError("the connection is gone")
        return self.asked > self.after


class Walker(FakePolicy):
    """Always has a chunk that leads away from where the arm is."""

    loop: ControlLoop

    def newest(self) -> Any:
        if self.state is not None and self.state.active and self.state.tick % 100 == 0:
            here = self.state.commanded
            self.chunks.append(chunk(self.loop, here + np.arange(16)[:, None] * 0.01))
        return super().newest()


def session(**person: Any) -> tuple[Session, ControlLoop, FakeArm]:
    loop, arm, policy = ready_loop()
    loop.stop("")
    loop.release()
    walker = Walker()
    walker.loop = loop
    loop.policy = loop._follower._policy = walker
    return Session(loop, Person(arm, **person), policy, lockstep=True), loop, arm  # type: ignore[arg-type]


def test_done_ends_the_episode_at_rest() -> None:
    with session(after=400)[0] as made:
        row = made.episode(1, time_limit=9.0)
        assert row.success and row.ticks == 401 and row.stage == "" and made.loop.lifecycle.phase == Phase.HOLD
        assert 0 < row.stop_ticks < 100 and row.still_ticks >= row.stop_ticks
        made.between(clear_faults=False)
        assert made.loop.lifecycle.phase == Phase.CHECKED  # type: ignore[comparison-overlap]


def test_the_time_limit_and_a_link_that_breaks_end_it_too() -> None:
    with session()[0] as made:
        assert made.episode(1, time_limit=0.6).stopped_by == "time limit"
    made, loop, arm = session(after=300, gone=True)
    with made:
        row = made.episode(1, time_limit=9.0)
        assert not row.success and "nobody can say" in row.stopped_by and loop.lifecycle.phase == Phase.HOLD and not arm.stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_brakes_and_a_second_one_cuts(number: signal.Signals) -> None:
    made, loop, arm = session()
    before = signal.getsignal(number)
    tick = loop.tick

    def ticking(at: tuple[int, ...]) -> Any:
        def wrapped() -> Any:
            if loop.ticks in at:
                os.kill(os.getpid(), number)
            return tick()

        return wrapped

    loop.tick = ticking((300,))  # type: ignore[method-assign]
    with made:
        row = made.episode(1, time_limit=9.0)
        assert row.stopped_by == "interrupted" and made.interrupted and not arm.stopped and loop.lifecycle.phase == Phase.HOLD
    assert signal.getsignal(number) is before
    made, loop, arm = session()
    tick = loop.tick
    loop.tick = ticking((300, 301))  # type: ignore[method-assign]
    with made:
        row = made.episode(1, time_limit=9.0)
        assert row.fault and arm.stopped


def test_a_bug_in_motion_asks_the_arm_to_stop() -> None:
    made, loop, arm = session()
    tick = loop.tick

    def broken() -> Any:
        if loop.ticks == 300:
            raise ZeroDivisionError
        return tick()

    loop.tick = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError), made:
        made.episode(1, time_limit=9.0)
    assert arm.stopped and loop.lifecycle.phase == Phase.FAULT


def test_a_latched_fault_is_cleared_only_if_the_operator_said_so() -> None:
    made, loop, arm = session()
    with made:
        tick = loop.tick

        def failing() -> Any:
            arm.fault = 1 if loop.ticks == 300 else arm.fault
            return tick()

        loop.tick = failing  # type: ignore[method-assign]
        row = made.episode(1, time_limit=9.0)
        assert row.fault and row.stage == "sample"
        with pytest.raises(RobotError, match="latched"):
            made.between(clear_faults=False)
        made.between(clear_faults=True)
        assert loop.lifecycle.phase == Phase.CHECKED and arm.fault == 0
