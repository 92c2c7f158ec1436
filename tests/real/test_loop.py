"""The loop in virtual time around a dummy arm and a dummy policy: which fault leads to which reaction, in how many ticks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import RobotError, SpecError
from real.audit import audit
from real.base import Sample
from real.clock import StepClock
from real.lifecycle import Lifecycle, Phase
from real.log import LogWriter, read_log
from real.loop import COMPLETE, ControlLoop
from real.replay import replay
from real.robots.panda import SPEC
from real.safety.verdict import PASS, Reaction
from tests.real.fakes import DT, FakeArm, FakePolicy, cell, chunk, joint_spec, ready_loop

HOME = np.array(SPEC.q_home)
NAN = float("nan")
ULP = 5e-16


def moving(log: LogWriter | None = None) -> tuple[ControlLoop, FakeArm, FakePolicy]:
    """ACTIVE, a quarter of a second into a chunk, at speed."""
    loop, arm, policy = ready_loop(log)
    loop.tick()
    loop.start(seed=7)
    policy.chunks.append(chunk(loop, HOME + np.arange(16)[:, None] * 0.05))
    for _ in range(125):
        loop.tick()
    assert loop.lifecycle.phase == Phase.ACTIVE and np.abs(loop.motion.v).max() > 0.7  # type: ignore[union-attr]
    return loop, arm, policy


def to_rest(loop: ControlLoop) -> int:
    ticks = 0
    while not loop.at_rest:
        loop.tick()
        ticks += 1
        assert ticks < 300
    return ticks


def limits_hold(arm: FakeArm, first: int = 0) -> None:
    q = np.array([c.q for c in arm.sent[first:]])
    assert np.isfinite(q).all() and ((q >= SPEC.q_min) & (q <= SPEC.q_max)).all()
    for order, bound in ((1, SPEC.dq_max), (2, SPEC.ddq_max), (3, SPEC.dddq_max)):
        if len(q) > order:
            value = np.abs(np.diff(q, order, axis=0)) / DT**order
            assert (value <= np.array(bound) * (1 + 1e-9) + 2**order * ULP / DT**order).all()


def test_a_whole_episode() -> None:
    loop, arm, _ = moving()
    loop.stop("enough")
    assert loop.lifecycle.phase == Phase.STOPPING
    to_rest(loop)
    assert loop.lifecycle.phase == Phase.HOLD
    for _ in range(300):
        assert loop.tick().ok
    loop.release()
    loop.ready()
    limits_hold(arm)
    assert {c.stages for c in arm.sent} == {int(COMPLETE)}, "every command carries every stage"
    assert [e.after.name for e in loop.lifecycle.events] == [
        "CONNECTED", "CHECKED", "READY", "ACTIVE", "STOPPING", "HOLD", "CHECKED", "READY",
    ]  # fmt: skip


def spoil(policy: FakePolicy, arm: FakeArm, loop: ControlLoop, what: str) -> None:
    here = loop.motion.q  # type: ignore[union-attr]
    flat = np.tile(here, (8, 1))
    if what == "died":
        policy.is_alive = False
    elif what == "hangs":
        policy.beating, policy.in_time = False, False
    elif what == "nan":
        policy.chunks.append(chunk(loop, np.where(np.arange(8)[:, None] == 5, NAN, flat)))
    elif what == "huge":
        policy.chunks.append(chunk(loop, flat + 1e308))
    elif what == "other spec":
        policy.chunks.append(chunk(loop, flat, spec_hash=bytes(32)))
    elif what == "jump":
        policy.chunks.append(chunk(loop, flat + 0.7))
    elif what == "short":
        policy.chunks.append(chunk(loop, flat[:, :6]))
    elif what == "disk":
        loop.log = type("Full", (), {"failed": "the disk is full", "tick": lambda *_: None, "event": lambda *_: None})()


@pytest.mark.parametrize("what", ["died", "hangs", "nan", "huge", "other spec", "jump", "short", "disk"])
def test_what_is_wrong_with_the_policy_stops_the_arm_in_one_tick(what: str) -> None:
    loop, arm, policy = moving()
    promised = loop.motion.brake.duration  # type: ignore[union-attr]
    spoil(policy, arm, loop, what)
    loop.tick()
    assert loop.lifecycle.phase == Phase.STOPPING, loop.stop_reason
    ticks = to_rest(loop)
    assert loop.lifecycle.phase == Phase.HOLD
    assert ticks + 1 <= np.ceil(promised / DT) + 1, "standstill within the stop that was verified before"
    limits_hold(arm)
    assert loop.stop_reason is not None and loop.stop_reason.reaction == Reaction.STOP and loop.stop_reason.why
    with pytest.raises(RobotError):
        loop.start(0)  # nothing resumes without ready()


def test_a_chunk_that_ends_stops_the_arm_and_a_stale_one_is_dropped() -> None:
    loop, arm, policy = moving()
    now = loop.clock.now()
    policy.chunks.append(chunk(loop, np.tile(HOME, (4, 1)), t_obs=now - 1.5))
    assert loop.tick().reaction == Reaction.LOG and loop.lifecycle.phase == Phase.ACTIVE
    while loop.lifecycle.phase == Phase.ACTIVE:
        loop.tick()
    assert loop.stop_reason is not None and "ended" in loop.stop_reason.why
    assert loop.clock.now() - 0.75 < 0.15 + 0.01  # 15 intervals of 50 ms, then 100 ms of grace
    limits_hold(arm)


def test_no_first_chunk() -> None:
    loop, arm, _ = ready_loop()
    loop.start(0)
    for _ in range(1600):
        loop.tick()
    assert loop.lifecycle.phase == Phase.HOLD and "no action chunk" in loop.stop_reason.why  # type: ignore[union-attr]
    assert not np.abs(np.array([c.q for c in arm.sent]) - HOME).any(), "it never moved"


def test_a_chunk_of_an_earlier_episode_is_not_followed() -> None:
    loop, arm, policy = ready_loop()
    loop.start(0)
    policy.chunks.append(chunk(loop, HOME + np.arange(8)[:, None] * 0.05, episode=0))
    for _ in range(100):
        loop.tick()
    assert not np.abs(arm.q - HOME).any()


def test_in_lock_step_a_chunk_arrives_when_it_would_have() -> None:
    """100 ms after its observation, also while new ones are published every 50 ms."""
    loop, arm, policy = ready_loop(latency=0.1)
    loop.start(0)
    first = 0
    for i in range(200):
        if i % 25 == 0:
            policy.chunks.append(chunk(loop, HOME + np.arange(8)[:, None] * 0.02, t_obs=loop.clock.now()))
        loop.tick()
        if not first and np.abs(arm.q - HOME).any():
            first = i
    assert loop.lifecycle.phase == Phase.ACTIVE, loop.stop_reason
    assert 49 <= first <= 51


Tamper = Callable[[Sample], Sample | None]
BAD_READINGS: dict[str, tuple[Tamper, int]] = {
    "silent": (lambda s: None, 26),  # 50 ms
    "frozen counter": (lambda s: dataclasses.replace(s, seq=1, t=0.0), 26),
    "jump": (lambda s: dataclasses.replace(s, q=s.q + 0.2), 3),
    "nan": (lambda s: dataclasses.replace(s, q=s.q * NAN), 3),
    "frozen encoder": (lambda s: dataclasses.replace(s, q=HOME + 0.24), 60),
    "far from the command": (lambda s: dataclasses.replace(s, q=s.q + 0.002 * (s.seq - 126)), 280),
}


@pytest.mark.parametrize("what", sorted(BAD_READINGS))
def test_what_is_wrong_with_the_readings_is_a_latched_fault(what: str) -> None:
    loop, arm, _ = moving()
    tamper, within = BAD_READINGS[what]
    arm.tamper = tamper
    ticks = 0
    while loop.lifecycle.phase != Phase.FAULT:
        loop.tick()
        ticks += 1
        assert ticks <= within, what
    to_rest(loop)
    limits_hold(arm)
    assert not arm.stopped, "the controlled stop goes on being sent"
    for way in (loop.ready, loop.release, lambda: loop.start(0)):
        with pytest.raises(RobotError):
            way()
    with pytest.raises(RobotError, match="token"):
        loop.clear("wrong")
    arm.tamper = lambda s: s
    arm.dq = np.zeros(7)
    loop.clear(loop.lifecycle.token)
    assert loop.lifecycle.phase == Phase.CHECKED  # type: ignore[comparison-overlap]
    loop.ready()


def test_a_fault_of_the_arm_itself_ends_all_sending() -> None:
    loop, arm, _ = moving()
    arm.fault = 1
    loop.tick()
    sent = len(arm.sent)
    for _ in range(50):
        loop.tick()
    assert loop.lifecycle.phase == Phase.FAULT and arm.stopped and len(arm.sent) == sent


def test_a_lost_connection_ends_all_sending() -> None:
    loop, arm, _ = moving()
    arm.broken = True
    loop.tick()
    assert loop.lifecycle.phase == Phase.FAULT and arm.stopped
    arm.broken = False
    sent = len(arm.sent)
    loop.tick()
    assert len(arm.sent) == sent


def test_egress_is_the_last_word() -> None:
    """A planner that went mad: what it wants is not written, and the arm is asked to stop by itself."""
    loop, arm, _ = moving()
    motion = loop.motion
    assert motion is not None
    mad = dataclasses.replace(motion, q=motion.q + 0.1)
    loop.committer.step = lambda motion, setpoint: (mad, PASS)  # type: ignore[method-assign]
    sent = len(arm.sent)
    loop.tick()
    assert len(arm.sent) == sent and arm.stopped and loop.lifecycle.phase == Phase.FAULT
    assert "refused to write" in loop.stop_reason.why  # type: ignore[union-attr]


class LateClock(StepClock):
    late = 0.0

    def wait(self, due: float) -> float:
        super().wait(due)
        late, self.late = self.late, 0.0
        return late


def test_late_ticks() -> None:
    loop, arm, _ = moving()
    clock = LateClock(loop.clock.now())
    loop.clock = clock
    clock.late = 0.0101
    due = loop._due
    assert loop.tick().ok and loop.lifecycle.phase == Phase.ACTIVE
    assert loop._due == pytest.approx(due + 6 * DT), "ticks that were missed are not made up for"
    for _ in range(2):
        clock.late = 0.0101
        verdict = loop.tick()
    assert verdict.reaction == Reaction.LOG and "late ticks" in verdict.why
    clock.late = 0.06
    loop.tick()
    assert loop.lifecycle.phase == Phase.STOPPING and "late" in loop.stop_reason.why  # type: ignore[union-attr]
    to_rest(loop)
    limits_hold(arm)


def test_nothing_moves_before_the_specs_match() -> None:
    arm, place = FakeArm(), cell()
    loop = ControlLoop(arm, StepClock(), place.committer(DT), FakePolicy(), None, place.settings(DT))
    with pytest.raises(RobotError):
        loop.check(joint_spec(), joint_spec())  # not connected
    loop.connect()
    other = dataclasses.replace(joint_spec(), rate_hz=10.0, robot="ur5")
    with pytest.raises(SpecError, match=r"robot.*ur5.*rate_hz"):
        loop.check(other, joint_spec())
    with pytest.raises(RobotError, match="other limits"):
        loop.check(joint_spec(), joint_spec(), robot_hash="0" * 64)
    for way in (loop.ready, lambda: loop.start(0)):
        with pytest.raises(RobotError):
            way()
    loop.check(joint_spec(), joint_spec(), robot_hash=SPEC.hash())
    assert arm.watchdog > 0 and not arm.sent


@pytest.mark.parametrize(("change", "word"), [("moves", "stand still"), ("outside", "outside"), ("fault", "reports")])
def test_it_is_not_made_ready_where_it_should_not_be(change: str, word: str) -> None:
    arm, place = FakeArm(), cell()
    loop = ControlLoop(arm, StepClock(), place.committer(DT), FakePolicy(), None, place.settings(DT))
    loop.connect()
    loop.check(joint_spec(), joint_spec())
    if change == "moves":
        arm.dq = np.full(7, 0.1)
    elif change == "outside":
        arm.q = HOME + np.array([2.0, 0, 0, 0, 0, 0, 0])
    else:
        arm.fault = 2
    with pytest.raises(RobotError, match=word):
        loop.ready()
    assert not arm.sent


floats = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-3, 3), st.floats(-0.3, 0.3))
rows = st.lists(st.lists(floats, min_size=7, max_size=7), min_size=2, max_size=6)


@given(st.lists(st.tuples(rows, st.booleans(), st.integers(1, 60)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_sequence_of_chunks(steps: list[tuple[list[list[float]], bool, int]]) -> None:
    """Whatever comes: what is written stays inside every limit, and a stopped arm stays stopped."""
    loop, arm, policy = ready_loop()
    loop.start(0)
    stopped = False
    for values, relative, ticks in steps:
        base = loop.motion.q if relative else 0.0  # type: ignore[union-attr]
        with np.errstate(all="ignore"):
            policy.chunks.append(chunk(loop, np.array(values, float) * (0.1 if relative else 1.0) + base))
        for _ in range(ticks):
            loop.tick()
            assert not (stopped and loop.lifecycle.phase == Phase.ACTIVE)
            stopped = loop.lifecycle.phase != Phase.ACTIVE
    limits_hold(arm)


def test_the_log_tells_the_same_story(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "ticks.log", {"dof": 7})
    loop, arm, policy = moving(log)
    policy.is_alive = False
    loop.tick()
    to_rest(loop)
    loop.close()
    log.close()
    found = read_log(tmp_path / "ticks.log")
    assert found.whole and len(found.ticks) == loop.ticks == len(arm.sent)
    np.testing.assert_array_equal(found.ticks["q_wire"], [c.q for c in arm.sent])
    assert [e["to"] for e in found.events][-3:] == ["STOPPING", "HOLD", "CLOSED"]
    assert "died" in found.events[-3]["why"]
    place = cell()
    report = audit(found, SPEC, place.workspace, DT)
    assert report.outside == 0 and report.interventions["liveness"] == 1 and report.ticks == loop.ticks
    again = replay(found, place.committer(DT))
    assert again.differ == 0 and again.ticks == loop.ticks
    spoiled = found.ticks.copy()
    spoiled["q_wire"][60, 2] += 1e-4
    seen = audit(dataclasses.replace(found, ticks=spoiled), SPEC, place.workspace, DT)
    assert seen.commanded_outside["jerk"] > 0 and seen.commanded_outside["acceleration"] > 0
    assert replay(dataclasses.replace(found, ticks=spoiled), place.committer(DT)).differ == 1
    assert replay(found, cell(acceleration=0.5).committer(DT)).differ > 0, "other limits give other commands"


def test_the_loop_needs_no_learning_library_and_no_simulator() -> None:
    import subprocess
    import sys

    code = (
        "import waldo.run, sys;"
        "heavy = {'torch', 'onnxruntime', 'cv2', 'mujoco', 'sim', 'policies'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_lifecycle_has_no_other_ways() -> None:
    ways = {
        "CLOSED": "CONNECTED", "CONNECTED": "CHECKED CLOSED FAULT", "CHECKED": "READY CLOSED FAULT",
        "READY": "ACTIVE HOLD CHECKED CLOSED FAULT", "ACTIVE": "STOPPING FAULT", "STOPPING": "HOLD FAULT",
        "HOLD": "READY CHECKED CLOSED FAULT", "FAULT": "CLOSED",
    }  # fmt: skip
    for before in Phase:
        for after in Phase:
            life = Lifecycle()
            life.phase = before
            if after.name in ways[before.name].split():
                life.to(after, 0.0, "")
                assert life.phase == after and life.events[-1].before == before
            else:
                with pytest.raises(RobotError, match=before.name):
                    life.to(after, 0.0, "")
