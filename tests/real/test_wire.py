"""The virtual arm's wire, its messages, and the arm's own controller."""

from __future__ import annotations

import dataclasses
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import RobotError
from real.drivers import wire
from real.drivers.wire import CLEAR, MOVE, STOP, WATCHDOG, Codec, CommandFrame, StateFrame
from real.link import Link, Message, pack
from real.loop import COMPLETE
from real.robots.panda import SPEC
from sim.virtual.controller import COMPLETE as WANTED
from sim.virtual.controller import Controller

HOME = np.array(SPEC.q_home)
CODEC = Codec(7)


def move(seq: int, q: np.ndarray, stages: int = int(COMPLETE), width: float = 0.04) -> CommandFrame:
    return CommandFrame(0.0, seq, MOVE, 0.0, stages, q, width)


def test_frames_survive_the_way() -> None:
    state = StateFrame(1.5, 7, 6, 1, HOME, HOME * 2, 0.03)
    again = CODEC.unpack_state(CODEC.pack_state(state))
    assert (again.t, again.seq, again.ack, again.fault, again.width) == (1.5, 7, 6, 1, 0.03)
    np.testing.assert_array_equal(again.dq, HOME * 2)
    command = CODEC.unpack_command(CODEC.pack_command(move(9, HOME)))
    assert command.seq == 9 and command.stages == int(COMPLETE)
    np.testing.assert_array_equal(command.q, HOME)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_frame_is_refused(place: int, flip: int) -> None:
    raw = bytearray(CODEC.pack_command(move(1, HOME)))
    raw[place % len(raw)] ^= flip
    with pytest.raises(RobotError):
        CODEC.unpack_command(bytes(raw))


def test_both_ends_mean_the_same_stages() -> None:
    assert int(COMPLETE) == WANTED


def arm() -> Controller:
    made = Controller(SPEC, 0.002)
    made.place(HOME, 0.08)
    made.command(CommandFrame(0.0, 1, WATCHDOG, 0.1, 0, HOME, 0.0))
    return made


def run(made: Controller, steps: int) -> np.ndarray:
    return np.array([made.advance()[0] for _ in range(steps)])


def test_the_watchdog_waits_for_the_first_command_and_then_does_not() -> None:
    made = arm()
    run(made, 500)
    assert made.fault == 0
    made.command(move(2, HOME))
    run(made, 49)
    assert made.fault == 0
    run(made, 3)
    assert made.fault == wire.FAULT_WATCHDOG
    made.command(move(3, HOME + 0.1))
    run(made, 1)
    np.testing.assert_array_equal(made.q, HOME)  # latched: nothing is obeyed
    made.command(CommandFrame(0.0, 4, CLEAR, 0.0, 0, HOME, 0.0))
    made.command(move(5, HOME + 1e-3))
    run(made, 1)
    np.testing.assert_array_equal(made.q, HOME + 1e-3)


@pytest.mark.parametrize("period", [0.001, 0.002, 0.004])
def test_the_targets_velocity_is_that_of_the_commands_whatever_their_rate(period: float) -> None:
    made, velocity = arm(), np.linspace(-0.6, 0.6, 7)
    for i in range(40):
        frame = move(i + 2, HOME + velocity * period * i)
        made.command(dataclasses.replace(frame, t=7.0 + period * (i + 0.005 * (-1) ** i)))  # a clock that jitters
        seen = made.advance()[1]
    np.testing.assert_allclose(seen, velocity, atol=0.01)
    for _ in range(4):
        seen = made.advance()[1]
    np.testing.assert_array_equal(seen, 0.0)


@pytest.mark.parametrize("bit", range(7))
def test_a_command_that_lacks_a_stage_does_not_feed_the_watchdog(bit: int) -> None:
    made = arm()
    made.command(move(2, HOME))
    for i in range(60):
        made.command(move(3 + i, HOME, int(COMPLETE) & ~(1 << bit)))
        run(made, 1)
    assert made.fault == wire.FAULT_WATCHDOG


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.0])
def test_the_arm_refuses_what_is_not_finite_or_out_of_range(value: float) -> None:
    made = arm()
    q = HOME.copy()
    q[0] = value
    made.command(move(2, q))
    assert made.refused == 1 and made.fault == wire.FAULT_COMMAND
    made = arm()
    made.command(move(2, HOME, width=value))
    assert made.refused == 1


def test_told_to_stop_it_brakes_instead_of_stopping_dead() -> None:
    made = arm()
    for i in range(50):
        made.command(move(2 + i, HOME + 0.002 * i))
        run(made, 1)
    made.command(CommandFrame(0.0, 99, STOP, 0.0, 0, HOME, 0.0))
    q = run(made, 200)
    v = np.diff(q, axis=0) / 0.002
    assert (v[0] > 0.9).all() and not v[-1].any()
    assert (np.abs(np.diff(v, axis=0)) / 0.002 <= 0.5 * np.array(SPEC.ddq_max) * 1.001).all()


def pair() -> tuple[Link, socket.socket]:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Link(a), b


def test_messages_survive_in_pieces_of_any_size() -> None:
    link, other = pair()
    sent = Message("observation", {"t": 1.5}, {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 4))})
    raw = pack(sent) * 2
    found = []
    for i in range(0, len(raw), 7):
        other.sendall(raw[i : i + 7])
        found += link.poll()
    assert len(found) == 2 and found[1].fields == {"t": 1.5}
    np.testing.assert_array_equal(found[1].arrays["x"], sent.arrays["x"])
    other.close()
    with pytest.raises(RobotError, match="closed"):
        link.poll()


@given(st.binary(min_size=16, max_size=200))
def test_any_bytes_as_a_message(raw: bytes) -> None:
    link, other = pair()
    other.sendall(raw)
    other.close()
    with pytest.raises(RobotError):
        link.poll()
        link.poll()
    link.close()
