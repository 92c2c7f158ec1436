"""Real processes in lock-step: the arm's server, the policy's process, and the loop between them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.errors import RobotError, SpecError
from real.audit import audit
from real.base import Command
from real.clock import StepClock
from real.drivers.virtual import VirtualArm
from real.lifecycle import Phase
from real.link import Link, Message
from real.log import LogWriter, read_log
from real.loop import COMPLETE, ControlLoop
from real.operator import Operator
from real.policy_link import PolicyProcess
from real.policy_process import Settings
from real.robots.panda import SPEC
from real.session import Session
from real.virtual_process import VirtualArmProcess
from tests.real.fakes import DT, cell

WORLD = "tests.real.bench_world.BenchWorld"


class Rig:
    """Everything that `waldo run` starts, with a world and a policy of the tests."""

    def __init__(self, folder: Path, policy: str, world: str = WORLD, settings: dict[str, object] | None = None) -> None:
        folder.chmod(0o700)
        self.arm = VirtualArmProcess(folder, settings or {}, lockstep=True, world=world)
        self.policy = PolicyProcess(SPEC.dof, patience=1.0)
        load = f"tests.real.stub_policies.{policy}"
        self.policy.start(Settings(load, str(folder), "real.robots.panda.SPEC", str(self.arm.stage), True))
        self.operator = Operator(self.arm.stage)
        self.cell = cell()
        self.log_path = folder / "ticks.log"
        self.log = LogWriter(self.log_path, {"dof": 7})
        committer, limits = self.cell.committer(DT), self.cell.settings(DT)
        self.loop = ControlLoop(VirtualArm(SPEC, self.arm.wire), StepClock(), committer, self.policy, self.log, limits)
        self.loop.connect()

    def check(self) -> None:
        self.loop.check(self.policy.greeting()[0], self.operator.offered()[0])

    def moving(self, ticks: int = 500) -> None:
        self.operator.reset(3)
        self.loop.ready()
        self.loop.start(3)
        for _ in range(ticks):
            self.loop.tick()
        assert self.loop.lifecycle.phase == Phase.ACTIVE, self.loop.stop_reason
        assert self.loop.motion is not None and not self.loop.at_rest

    def stopped(self) -> int:
        """Ticks from the one in which it was noticed to a commanded standstill."""
        ticks = 0
        while not self.loop.at_rest:
            self.loop.tick()
            ticks += 1
            assert ticks < 300
        return ticks

    def close(self) -> None:
        self.loop.close()
        self.log.close()
        self.operator.close()
        self.policy.close()
        self.arm.close()

    def outside(self) -> int:
        self.log.close()
        return audit(read_log(self.log_path), SPEC, self.cell.workspace, DT).outside


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(tmp_path, request.param)
    try:
        made.check()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("rig", ["Sway"], indirect=True)
def test_sigkill_of_the_policy_in_motion(rig: Rig) -> None:
    rig.moving()
    promised = rig.loop.motion.brake.duration  # type: ignore[union-attr]
    os.kill(rig.policy.pid, signal.SIGKILL)
    os.waitid(os.P_PID, rig.policy.pid, os.WEXITED | os.WNOWAIT)
    rig.loop.tick()
    assert rig.loop.lifecycle.phase == Phase.STOPPING and "died" in rig.loop.stop_reason.why  # type: ignore[union-attr]
    assert rig.stopped() <= int(np.ceil(promised / DT)) + 1
    for _ in range(100):
        rig.loop.tick()
    assert rig.loop.lifecycle.phase == Phase.HOLD
    assert np.abs(rig.loop.sample.dq).max() == 0.0  # type: ignore[union-attr]
    assert rig.outside() == 0


@pytest.mark.parametrize("rig", ["Sway"], indirect=True)
def test_sigstop_of_the_policy_in_motion(rig: Rig) -> None:
    rig.moving()
    os.kill(rig.policy.pid, signal.SIGSTOP)
    for _ in range(40):  # one control step and the latency
        rig.loop.tick()
        if rig.loop.lifecycle.phase != Phase.ACTIVE:
            break
    assert rig.loop.lifecycle.phase == Phase.STOPPING and "hangs" in rig.loop.stop_reason.why  # type: ignore[union-attr]
    rig.stopped()
    assert rig.outside() == 0


@pytest.mark.parametrize(
    ("rig", "word"),
    [("SwayNan", "not finite"), ("SwayHang", "hangs"), ("SwayRaise", "died")],
    indirect=["rig"],
)
def test_a_policy_that_goes_wrong_in_motion(rig: Rig, word: str) -> None:
    rig.operator.reset(1)
    rig.loop.ready()
    rig.loop.start(1)
    for _ in range(900):
        rig.loop.tick()
        if rig.loop.lifecycle.phase != Phase.ACTIVE:
            break
    assert rig.loop.lifecycle.phase == Phase.STOPPING and word in rig.loop.stop_reason.why  # type: ignore[union-attr]
    rig.stopped()
    assert rig.loop.lifecycle.phase == Phase.HOLD
    assert rig.outside() == 0


def test_two_runs_are_the_same_to_the_last_bit(tmp_path: Path) -> None:
    """In lock-step nothing depends on the host: two runs of two episodes write the same commands."""
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        rig = Rig(tmp_path / name, "Sway")
        try:
            rig.check()
            with Session(rig.loop, rig.operator, rig.policy, lockstep=True) as session:
                for seed in (5, 6):
                    row = session.episode(seed, time_limit=1.0)
                    assert row.stopped_by == "time limit" and not row.fault and row.stop_ticks > 0
                    times, states = rig.operator.history()
                    assert len(times) == len(states) > 20 and np.allclose(np.diff(times), 0.05)
                    session.between(clear_faults=False)
            rig.log.close()
            runs.append(read_log(rig.log_path).ticks)
        finally:
            rig.close()
    for field in ("t", "phase", "stages", "chunk", "q", "setpoint", "q_wire", "v", "a", "width_wire"):
        np.testing.assert_array_equal(runs[0][field], runs[1][field], err_msg=field)
    assert np.abs(runs[0]["q_wire"] - runs[0]["q_wire"][0]).max() > 0.1
    assert np.abs(runs[0]["t"] - runs[0]["t_device"]).max() < 1e-6, "the loop's time is the arm's, episode after episode"
    assert audit(read_log(rig.log_path), SPEC, rig.cell.workspace, DT).outside == 0


@pytest.mark.parametrize("rig", ["Sway"], indirect=True)
def test_one_master_at_a_time(rig: Rig) -> None:
    with pytest.raises(RobotError, match="in command"):
        VirtualArm(SPEC, rig.arm.wire).open()


@pytest.mark.parametrize("rig", ["Sway"], indirect=True)
def test_told_to_stop_the_arm_brakes_by_itself_and_says_so(rig: Rig) -> None:
    """In lock-step its clock moves with STOP as well: what the loop finds afterwards is a latched fault."""
    rig.moving()
    for _ in range(200):
        rig.loop.driver.stop()
    rig.loop.tick()
    assert rig.loop.lifecycle.phase == Phase.FAULT and "fault" in rig.loop.stop_reason.why  # type: ignore[union-attr]
    sample = rig.loop.driver.read(0.0)
    assert sample is not None and sample.fault and np.abs(sample.dq).max() == 0.0


def test_a_policy_that_does_not_fit_is_refused_before_anything_moves(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "Expert")  # made for a task that the bench does not have
    try:
        with pytest.raises(SpecError, match=r"pick_place.*bench"):
            rig.check()
        with pytest.raises(RobotError):
            rig.loop.ready()
        assert rig.loop.driver.read(0.0).seq == 0  # type: ignore[union-attr]
    finally:
        rig.close()


@pytest.mark.parametrize("rig", ["Look"], indirect=True)
def test_a_policy_that_reads_a_camera_gets_its_images(rig: Rig) -> None:
    rig.moving(700)
    assert rig.outside() == 0


def test_a_policy_that_does_not_load_says_why(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "Nobody")
    try:
        with pytest.raises(RobotError, match=r"cannot be used.*Nobody"):
            rig.check()
    finally:
        rig.close()


def test_questions_to_the_stage(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    arm = VirtualArmProcess(tmp_path, {}, lockstep=True, world=WORLD)
    link = Link.connect(arm.stage)
    assert link.ask(Message("frame", {"camera": "film", "height": 4, "width": 6})).arrays["image"].shape == (4, 6, 3)
    for bad in (Message("dance"), Message("reset", {"seed": "x"}), Message("frame", {})):
        with pytest.raises(RobotError):
            link.ask(bad)
    assert link.ask(Message("success")).fields["success"] is False
    arm.close()
    arm.close()


def test_when_control_vanishes_the_arm_stops_by_itself(tmp_path: Path) -> None:
    """In real time: a master that sends commands, dies without a word, and a new one that finds the fault latched."""
    tmp_path.chmod(0o700)
    arm = VirtualArmProcess(tmp_path, {}, lockstep=False, world=WORLD)
    try:
        arm.await_ready()
        first = VirtualArm(SPEC, arm.wire)
        first.open()
        first.arm_watchdog(0.05)
        sample = first.read(time.monotonic() + 5)
        assert sample is not None
        for i in range(30):
            q = sample.q + 1e-3 * i
            assert first.write(Command(0.0, i, q, 0.08, int(COMPLETE)), 0.0)
            first.read(time.monotonic() + 0.002)
        first.close()
        second = VirtualArm(SPEC, arm.wire)
        give_up = time.monotonic() + 20
        found = None
        while time.monotonic() < give_up and not (found and found.fault):
            if found is None:
                with contextlib.suppress(RobotError):  # until the server has noticed that the first one is gone
                    second.open()
            found = second.read(time.monotonic() + 0.05) or found
        assert found is not None and "watchdog" in second.explain(found.fault)
        time.sleep(0.3)
        still = second.read(time.monotonic() + 5)
        assert still is not None and not still.dq.any()
        second.close()
    finally:
        arm.close()
