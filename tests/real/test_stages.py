"""Each stage alone, by cases worked out by hand; and that NaN never gets through a comparison."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from data.errors import RobotError
from real.base import Sample
from real.chunk import Chunk
from real.kinematics import Kinematics
from real.robots.panda import SPEC
from real.safety.egress import Egress
from real.safety.fence import Fence
from real.safety.ingress import IngressLimits, ingress
from real.safety.limits import MotionLimits, Setpoint, next_width, shape
from real.safety.liveness import Alive, LivenessLimits, liveness
from real.safety.plausible import SampleLimits, frozen, reading, silence, standstill, strayed
from real.safety.timing import TimingLimits, timing
from real.safety.verdict import Reaction, Stage
from real.safety.watch import Watch
from real.safety.workspace import ToolBound, Workspace

LIMITS = MotionLimits.of(SPEC)
HOME = np.array(SPEC.q_home)
NAN = float("nan")
ZERO = np.zeros(7)


# timing


def test_timing() -> None:
    limits = TimingLimits(late=0.002, stop=0.05)
    assert timing(0.0, 0, limits).ok and timing(0.003, 1, limits).ok
    assert timing(0.003, 2, limits).reaction == Reaction.LOG
    assert timing(0.051, 0, limits).reaction == Reaction.STOP
    assert timing(NAN, 0, limits).reaction == Reaction.STOP


# sample


def sample(**changes: object) -> Sample:
    fields = {"t": 1.002, "t_device": 1.002, "seq": 2, "q": HOME, "dq": ZERO, "width": 0.04}
    return Sample(**{**fields, **changes})  # type: ignore[arg-type]


BEFORE = sample(t=1.0, t_device=1.0, seq=1)
SAMPLES = SampleLimits()


def bump(joint: int, by: float) -> np.ndarray:
    q = HOME.copy()
    q[joint] += by
    return q


@pytest.mark.parametrize(
    ("found", "reaction"),
    [
        (sample(), Reaction.PASS),
        (sample(q=bump(0, 0.02)), Reaction.PASS),  # 2.175 rad/s * 2 ms * 1.5 + 0.02 = 0.0265 is explained
        (sample(q=bump(0, 0.03)), Reaction.LOG),
        (sample(q=bump(0, NAN)), Reaction.LOG),
        (sample(dq=ZERO + np.inf), Reaction.LOG),
        (sample(width=NAN), Reaction.LOG),
        (sample(q=HOME[:6]), Reaction.LOG),
        (sample(t_device=1.0), Reaction.LOG),  # the arm's clock stands
        (sample(t_device=NAN), Reaction.LOG),
        (sample(fault=1), Reaction.CUT),
    ],
)
def test_reading(found: Sample, reaction: Reaction) -> None:
    assert reading(found, BEFORE, SPEC, SAMPLES).reaction == reaction


def test_strayed_from_the_command() -> None:
    assert strayed(sample(), bump(2, 0.4), 0.05, SAMPLES).ok
    verdict = strayed(sample(), bump(2, 0.4), 0.051, SAMPLES)
    assert verdict.reaction == Reaction.FAULT and "joint 2" in verdict.why and "0.400" in verdict.why
    assert not strayed(sample(), HOME, NAN, SAMPLES).ok


def test_watch_counts_how_long_the_arm_has_strayed() -> None:
    watch = Watch(SPEC, SAMPLES)
    watch.begin(BEFORE)
    said: list[str] = []
    for i in range(1, 30):
        found = sample(t=1 + 0.002 * i, t_device=1 + 0.002 * i, seq=1 + i, q=HOME + 1e-9 * i)
        off = 0.26 if i != 10 else 0.24  # once it comes back, the count begins anew
        said += [f"{i}" for v in watch.look(found, found.t, bump(4, off), None)[1] if v.reaction == Reaction.FAULT]
        assert not said, f"after {i} ticks"
    for i in range(30, 40):
        found = sample(t=1 + 0.002 * i, t_device=1 + 0.002 * i, seq=1 + i, q=HOME + 1e-9 * i)
        said += [f"{i}" for v in watch.look(found, found.t, bump(4, 0.36), None)[1] if v.reaction == Reaction.FAULT]
    assert said and int(said[0]) in (35, 36)


def test_reading_outside_its_range() -> None:
    far = np.where(np.arange(7) == 0, SPEC.q_max[0] + 0.051, HOME)
    before = dataclasses.replace(BEFORE, q=far)
    assert reading(sample(q=far), before, SPEC, SAMPLES).reaction == Reaction.FAULT


def test_silence() -> None:
    assert silence(1.0499, BEFORE, 2, SAMPLES).ok
    assert silence(1.0501, BEFORE, 0, SAMPLES).reaction == Reaction.FAULT
    assert silence(1.0, BEFORE, 3, SAMPLES).reaction == Reaction.FAULT
    assert silence(NAN, BEFORE, 0, SAMPLES).reaction == Reaction.FAULT


def test_frozen_and_standstill() -> None:
    assert frozen(0.2, 0.01, SAMPLES).ok and frozen(0.05, 0.1, SAMPLES).ok
    assert frozen(0.11, 0.021, SAMPLES).reaction == Reaction.FAULT
    moving = sample(dq=ZERO + 0.11)
    assert standstill(moving, 0.4, SAMPLES).ok
    assert standstill(moving, 0.6, SAMPLES).reaction == Reaction.FAULT
    assert standstill(sample(dq=ZERO + NAN), 0.6, SAMPLES).reaction == Reaction.FAULT
    assert standstill(sample(dq=ZERO + 0.09), 9.0, SAMPLES).ok


# liveness

ALIVE = Alive(process=True, silent=0.01, started=0.0, chunk_end=1.2, observed=0.9)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, ""),
        ({"process": False}, "died"),
        ({"silent": 0.41}, "hangs"),
        ({"silent": float("inf")}, "hangs"),
        ({"silent": NAN}, "hangs"),
        ({"chunk_end": 0.89}, "ended"),
        ({"chunk_end": 0.91}, ""),
        ({"observed": -0.51}, "saw"),
        ({"chunk_end": NAN}, "ended"),
        ({"chunk_end": None, "observed": None}, ""),
        ({"chunk_end": None, "observed": None, "started": -2.1}, "no action chunk"),
    ],
)
def test_liveness(changes: dict[str, object], word: str) -> None:
    verdict = liveness(1.0, dataclasses.replace(ALIVE, **changes), LivenessLimits())
    assert verdict.ok == (word == "") and word in verdict.why
    assert verdict.ok or (verdict.reaction == Reaction.STOP and verdict.stage == Stage.LIVENESS)


# ingress

HASH = bytes(range(32))
INGRESS = IngressLimits(dof=7, spec_hash=HASH, dt=0.05)


def chunk(**changes: object) -> Chunk:
    fields = {
        "seq": 1, "episode": 1, "obs_seq": 1, "t_obs": 1.0, "t_pub": 1.01, "dt": 0.05,
        "q": np.tile(HOME, (4, 1)), "width": np.full(4, 0.04), "spec_hash": HASH,
    }  # fmt: skip
    return Chunk(**{**fields, **changes})  # type: ignore[arg-type]


def with_q(i: int, j: int, value: float) -> np.ndarray:
    q = np.tile(HOME, (4, 1))
    q[i, j] = value
    return q


@pytest.mark.parametrize(
    ("changes", "reaction"),
    [
        ({}, Reaction.PASS),
        ({"spec_hash": bytes(32)}, Reaction.STOP),
        ({"q": with_q(3, 6, NAN)}, Reaction.STOP),
        ({"q": with_q(3, 6, np.inf)}, Reaction.STOP),
        ({"q": with_q(3, 6, 1e308)}, Reaction.STOP),
        ({"width": np.array([0.04, NAN, 0.04, 0.04])}, Reaction.STOP),
        ({"width": np.full(4, 0.089)}, Reaction.STOP),
        ({"width": np.full(4, 0.087)}, Reaction.PASS),
        ({"q": np.tile(HOME[:6], (4, 1))}, Reaction.STOP),
        ({"q": np.tile(HOME, (1, 1)), "width": np.full(1, 0.04)}, Reaction.STOP),
        ({"width": np.full(5, 0.04)}, Reaction.STOP),
        ({"q": np.tile(HOME, (4, 1)).astype(np.float32)}, Reaction.STOP),
        ({"q": np.tile(HOME, (300, 1)), "width": np.full(300, 0.04)}, Reaction.STOP),
        ({"dt": 0.1}, Reaction.STOP),
        ({"dt": NAN}, Reaction.STOP),
        ({"t_obs": -0.1}, Reaction.LOG),  # too old
        ({"t_obs": 1.2}, Reaction.LOG),  # from the future
        ({"t_obs": NAN}, Reaction.LOG),
        ({"q": with_q(3, 0, 0.25)}, Reaction.PASS),  # 2.175 rad/s * 0.05 s * 3 = 0.326
        ({"q": with_q(3, 0, 0.35)}, Reaction.STOP),
        ({"q": np.tile(bump(0, 0.59), (4, 1))}, Reaction.PASS),
        ({"q": np.tile(bump(0, -0.59), (4, 1))}, Reaction.PASS),
        ({"q": np.tile(bump(0, 0.61), (4, 1))}, Reaction.STOP),  # the seam
        ({"q": np.tile(bump(0, 9.0), (4, 1))}, Reaction.STOP),
    ],
)
def test_ingress(changes: dict[str, object], reaction: Reaction) -> None:
    assert ingress(chunk(**changes), 1.02, HOME, INGRESS, LIMITS).reaction == reaction


@pytest.mark.parametrize(("beyond", "reaction"), [(0.05, Reaction.PASS), (0.11, Reaction.STOP)])
def test_ingress_lets_a_waypoint_lie_a_little_beyond_a_joints_end(beyond: float, reaction: Reaction) -> None:
    for end, way in ((LIMITS.q_max, 1), (LIMITS.q_min, -1)):
        q = np.where(np.arange(7) == 6, end + way * beyond, HOME)
        commanded = np.where(np.arange(7) == 6, end, HOME)
        verdict = ingress(chunk(q=np.tile(q, (4, 1))), 1.02, commanded, INGRESS, LIMITS)
        assert verdict.reaction == reaction and (verdict.ok or "beyond a joint's end" in verdict.why)


def test_ingress_calls_a_value_that_is_not_finite_by_its_name() -> None:
    for bad in (chunk(q=with_q(2, 1, NAN)), chunk(q=with_q(2, 1, -np.inf)), chunk(width=np.array([0.04, 0.04, NAN, 0.04]))):
        assert "not finite" in ingress(bad, 1.02, HOME, INGRESS, LIMITS).why


def test_ingress_measures_the_seam_at_the_instant_of_arrival() -> None:
    """Halfway along a chunk that moves by 0.3 rad per waypoint the wanted position is 0.45 rad on."""
    q = HOME + np.arange(4)[:, None] * np.where(np.arange(7) == 0, 0.3, 0.0)
    late = chunk(q=q)
    assert ingress(late, 1.075, bump(0, 0.45 - 0.59), INGRESS, LIMITS).ok
    assert not ingress(late, 1.075, bump(0, 0.45 - 0.61), INGRESS, LIMITS).ok


# shape


def test_shape_drops_what_is_not_finite_and_saturates_the_rest() -> None:
    good = Setpoint(HOME, ZERO, ZERO, 0.04)
    same, verdict = shape(good, LIMITS)
    assert same is not None and verdict.ok and (same.q == good.q).all() and same.width == good.width
    assert shape(None, LIMITS)[0] is None
    for bad in (
        dataclasses.replace(good, q=bump(1, NAN)),
        dataclasses.replace(good, v=ZERO + np.inf),
        dataclasses.replace(good, a=ZERO + NAN),
        dataclasses.replace(good, width=NAN),
    ):
        shaped, verdict = shape(bad, LIMITS)
        assert shaped is None and verdict.reaction == Reaction.STOP
    far, verdict = shape(Setpoint(bump(0, 1e308), ZERO + 1.0, ZERO, 0.2), LIMITS)
    assert far is not None and verdict.reaction == Reaction.LOG
    assert far.q[0] == LIMITS.q_max[0] and far.v[0] == 0.0 and far.v[1] == 1.0 and far.width == SPEC.gripper_max_width


def test_shape_leaves_room_for_the_acceleration_to_fall() -> None:
    shaped, verdict = shape(Setpoint(HOME, ZERO + 99.0, ZERO + 99.0, 0.04), LIMITS)
    assert shaped is not None and not verdict.ok
    assert (shaped.v + shaped.a**2 / (2 * LIMITS.j_max) <= 0.951 * LIMITS.v_max).all()


def test_width_moves_no_faster_than_the_gripper() -> None:
    assert next_width(0.04, 0.08, LIMITS, 0.002) == pytest.approx(0.0402)
    assert next_width(0.04, 0.0, LIMITS, 0.002) == pytest.approx(0.0398)
    assert next_width(0.0001, -1.0, LIMITS, 0.002) == 0.0


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, NAN])
def test_limits_cannot_be_switched_off_or_exceeded(share: float) -> None:
    for name in ("speed", "acceleration", "jerk"):
        with pytest.raises(RobotError, match=name):
            MotionLimits.of(SPEC, **{name: share})
    with pytest.raises(RobotError, match="margin"):
        MotionLimits.of(SPEC, margin=2.0)


# workspace


def test_workspace_refuses_a_box_that_is_none() -> None:
    for low, high in (((0, 0, 0), (1, 0, 1)), ((0, 0), (1, 1)), ((0, 0, NAN), (1, 1, 1))):
        with pytest.raises(RobotError):
            Workspace.of(low, high)


def test_the_bulge_of_a_path_is_bounded() -> None:
    """Random constant-jerk motions: no instant is further from the chord than the bound says, and the bound is not absurd."""
    kinematics = Kinematics(SPEC)
    bound = ToolBound(kinematics)
    rng = np.random.default_rng(0)
    ratio = 0.0
    for _ in range(300):
        q = rng.uniform(SPEC.q_min, SPEC.q_max)
        v, a = rng.uniform(-1, 1, 7) * SPEC.dq_max, rng.uniform(-1, 1, 7) * SPEC.ddq_max
        dt = rng.uniform(0.002, 0.02)
        t = np.linspace(0, dt, 21)[:, None]
        tool = kinematics.tool(q + v * t + a * t * t / 2)
        chord = tool[0] + (tool[-1] - tool[0]) * t / dt
        away = np.linalg.norm(tool - chord, axis=1).max()
        allowed = bound.bulge(np.abs(v) + np.abs(a) * dt, np.abs(a), dt)
        assert away <= allowed
        ratio = max(ratio, away / allowed)
    assert ratio > 0.1


def test_tool_is_where_forward_kinematics_puts_it() -> None:
    q = np.random.default_rng(1).uniform(SPEC.q_min, SPEC.q_max, (50, 7))
    kinematics = Kinematics(SPEC)
    np.testing.assert_allclose(kinematics.tool(q), kinematics.forward(q)[0], atol=1e-12)


def test_fence_moves_a_setpoint_to_the_face_and_takes_the_speed_towards_it() -> None:
    kinematics = Kinematics(SPEC)
    box = Workspace.of((0.15, -0.5, 0.4), (0.8, 0.5, 0.8))
    fence = Fence(kinematics, LIMITS, box)
    home = Setpoint(HOME, ZERO, ZERO, 0.04)
    assert fence.apply(home)[0] is home and fence.apply(home)[1].ok
    place, quat = kinematics.forward(HOME)
    low = kinematics.inverse(place - [0, 0, 0.12], quat, HOME[None], iterations=20)[0]
    down = np.linalg.pinv(kinematics.jacobian(low)[0]) @ np.array([0.1, 0, -0.3, 0, 0, 0])
    moved, verdict = fence.apply(Setpoint(low, down, ZERO, 0.04))
    assert verdict.reaction == Reaction.LOG and "z" in verdict.why
    found = kinematics.tool(moved.q)[0]
    np.testing.assert_allclose(found, [place[0, 0], place[0, 1], 0.402], atol=5e-4)
    speed = kinematics.jacobian(moved.q)[0, :3] @ moved.v
    assert abs(speed[2]) < 5e-3 and speed[0] > 0.05  # along the wall it goes on


# egress

DT = 0.002


def egress() -> Egress:
    made = Egress(SPEC, DT)
    made.seed(HOME.tolist(), 0.04)
    return made


def test_egress_passes_the_largest_allowed_jerk_and_not_more() -> None:
    jerk = np.array(SPEC.dddq_max)
    assert egress().check((HOME + jerk * DT**3).tolist(), 0.04).ok
    assert egress().check((HOME + 1.0001 * jerk * DT**3).tolist(), 0.04).reaction == Reaction.CUT


@pytest.mark.parametrize("order", [1, 2])
def test_egress_checks_speed_and_acceleration(order: int) -> None:
    """A ramp of jerk 0 that is entered smoothly: only the derivative of that order is too large."""
    slow = dataclasses.replace(SPEC, dddq_max=(1e12,) * 7, ddq_max=SPEC.ddq_max if order == 2 else (1e9,) * 7)
    limit = SPEC.dq_max[0] * DT if order == 1 else SPEC.ddq_max[0] * DT**2
    made = Egress(slow, DT)
    made.seed(HOME.tolist(), 0.04)
    assert made.check(bump(0, 0.999 * limit).tolist(), 0.04).ok
    verdict = made.check(bump(0, 1.001 * limit).tolist(), 0.04)
    assert not verdict.ok and ("rad/s;" if order == 1 else "rad/s^2") in verdict.why


def test_egress_checks_positions_by_themselves() -> None:
    """With every other limit out of the way."""
    lax = dataclasses.replace(SPEC, dq_max=(1e9,) * 7, ddq_max=(1e12,) * 7, dddq_max=(1e15,) * 7)
    made = Egress(lax, DT)
    made.seed(HOME.tolist(), 0.04)
    for end, way in ((SPEC.q_max, 1), (SPEC.q_min, -1)):
        q = HOME.copy()
        q[4] = end[4]
        assert made.check(q.tolist(), 0.04).ok
        q[4] += way * 1e-9
        assert "outside" in made.check(q.tolist(), 0.04).why


def test_egress_remembers_what_was_sent_and_not_what_was_asked() -> None:
    made = egress()
    step = HOME + 0.9 * np.array(SPEC.dddq_max) * DT**3
    for _ in range(3):
        assert made.check(step.tolist(), 0.04).ok
    made.sent(step.tolist(), 0.0402)
    assert not made.check(step.tolist(), 0.04).ok, "to stop dead after a step takes 1.8 times the jerk limit"
    assert made.check((HOME + 3 * (step - HOME)).tolist(), 0.0404).ok, "with constant jerk the third difference is the same"
    assert not made.check((HOME + 3 * (step - HOME)).tolist(), 0.0405).ok


def test_egress_refuses_everything_else() -> None:
    for q in (bump(3, NAN), bump(3, np.inf), np.array(SPEC.q_max) + 1e-9, HOME[:6]):
        assert egress().check(list(q), 0.04).reaction == Reaction.CUT
    for width in (NAN, -1e-9, 0.0801, 0.0403, 0.0397):
        assert not egress().check(HOME.tolist(), width).ok
    assert egress().check(HOME.tolist(), 0.0402).ok
    assert not Egress(SPEC, DT).check(HOME.tolist(), 0.04).ok  # nothing seeded
