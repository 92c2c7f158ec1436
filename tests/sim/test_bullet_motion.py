"""Bullet moves as the control law says, and as MuJoCo moves the same world."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

pytest.importorskip("pybullet", reason="the extra pybullet is not installed")

from sim.bullet.state import initial
from sim.bullet.world import BulletWorld
from sim.world import World, build_world
from tests.sim.bullet_models import SCENE

G = 9.81


@pytest.fixture(scope="module")
def panda() -> World:
    return build_world(SCENE, "panda")


@pytest.fixture(scope="module")
def bullet(panda: World) -> Iterator[BulletWorld]:
    made = BulletWorld(panda.model)
    yield made
    made.close()


def untouchable(world: mujoco.MjSpec) -> None:
    """Nothing collides: other arms would reach the table in the same swings."""
    world.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)


def built(xml: str) -> tuple[mujoco.MjModel, BulletWorld]:
    model = mujoco.MjModel.from_xml_string(f'<mujoco><compiler angle="radian"/><option timestep="0.002"/>{xml}</mujoco>')
    return model, BulletWorld(model)


def both(model: mujoco.MjModel, bullet: BulletWorld, control: np.ndarray, every: int = 25) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """qpos of MuJoCo and of Bullet after every so many steps of the same controls, from the initial state."""
    data = mujoco.MjData(model)
    bullet.reset()
    bullet.load(data.qpos, data.qvel, data.mocap_pos, data.mocap_quat)
    for start in range(0, len(control), every):
        for row in control[start : start + every]:
            data.ctrl[:] = row
            mujoco.mj_step(model, data)
        bullet.step(control[start : start + every])
        yield data.qpos.copy(), bullet.read()[0]


def wave(world: World, seed: int, steps: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Start (nq,) and controls (steps, nu): every joint swings smoothly, at up to half its speed limit; the gripper too."""
    model, (arm,), rng = world.model, world.arms, np.random.default_rng(seed)
    t = np.arange(steps) * model.opt.timestep
    begin = np.clip(t / 0.3, 0, 1) ** 2 * (3 - 2 * np.clip(t / 0.3, 0, 1))
    control = np.zeros((steps, model.nu))
    for j in range(arm.spec.dof):
        rate, phase, size = rng.uniform(0.2, 1.0, 3), rng.uniform(0, 2 * np.pi, 3), rng.normal(size=3)
        x = (size * (np.sin(2 * np.pi * rate * t[:, None] + phase) - np.sin(phase))).sum(1) * begin
        x *= min(0.5 * arm.spec.dq_max[j] / np.abs(np.gradient(x, t)).max(), 0.6 / np.abs(x).max())
        path = np.clip(arm.spec.q_home[j] + x, arm.spec.q_min[j], arm.spec.q_max[j])
        control[:, j] = path + arm.lead[j] * np.gradient(path, t)
    control[:, -1] = 0.04 + 0.03 * np.sin(2 * t)
    return at_home(world), control


def at_home(world: World) -> np.ndarray:
    start = world.model.qpos0.copy()
    start[world.arms[0].qpos] = world.arms[0].spec.q_home
    return start


@pytest.mark.parametrize(("robot", "seed"), [("panda", 0), ("panda", 5), ("ur5e", 0), ("ur5e", 1)])
def test_the_tool_goes_where_mujoco_takes_it(panda, bullet, robot, seed):
    world = panda if robot == "panda" else build_world(SCENE, robot, edit=untouchable)
    ours = bullet if robot == "panda" else BulletWorld(world.model)
    model, (arm,) = world.model, world.arms
    start, control = wave(world, seed)
    data, apart, moved = mujoco.MjData(model), 0.0, 0.0
    data.qpos[:] = start
    ours.reset()
    ours.load(start, data.qvel, data.mocap_pos, data.mocap_quat)
    home = arm.forward(start[None, arm.qpos])[0]
    for k in range(0, len(control), 25):
        for row in control[k : k + 25]:
            data.ctrl[:] = row
            mujoco.mj_step(model, data)
        ours.step(control[k : k + 25])
        here, there = (arm.forward(q[None, arm.qpos])[0] for q in (ours.read()[0], data.qpos))
        apart, moved = max(apart, np.linalg.norm(here - there)), max(moved, np.linalg.norm(there - home))
        assert np.abs(data.qpos[arm.fingers] - ours.read()[0][arm.fingers]).max() < 1e-3
    if ours is not bullet:
        ours.close()
    assert moved > 0.2
    assert apart < 5e-3


def test_an_arm_with_gravity_compensation_stays(panda, bullet):
    start, (arm,) = at_home(panda), panda.arms
    bullet.reset()
    bullet.load(start, np.zeros(panda.model.nv), *initial(panda.model)[2:])
    bullet.step(np.tile([*arm.spec.q_home, 0.0], (1000, 1)))
    np.testing.assert_allclose(bullet.read()[0][arm.qpos], arm.spec.q_home, atol=1e-4)


@pytest.mark.parametrize("mass", [0.05, 0.3])
def test_the_gripper_holds_a_box(panda, bullet, mass):
    model, (arm,) = panda.model, panda.arms
    cube = model.joint("cube").qposadr[0]
    start = at_home(panda)
    tool, _ = arm.forward(start[None, arm.qpos])
    start[cube : cube + 3] = tool[0]
    start[arm.fingers] = 0.021
    bullet.reset()
    masses = model.body_mass.copy()
    masses[model.body("cube").id] = mass
    bullet.set_field("body_mass", masses)
    bullet.load(start, np.zeros(model.nv), *initial(panda.model)[2:])
    bullet.step(np.tile([*arm.spec.q_home, 0.0], (1000, 1)))
    held = bullet.read()[0]
    pads = [c.force for c in bullet.contacts() if model.body("cube").id in (c.first.body, c.second.body)]
    bullet.set_field("body_mass", model.body_mass)
    assert np.linalg.norm(held[cube : cube + 3] - arm.forward(held[None, arm.qpos])[0]) < 2e-3
    assert sum(pads) == pytest.approx(2 * 40.0, rel=0.05)  # either finger presses with all of the gripper's 40 N


PUSH = """<worldbody><geom type="box" pos="0.5 0 0.5" size="0.1 0.5 0.5"/>
<body pos="0 0 0.5" gravcomp="{lift}"><joint name="j" type="slide" axis="1 0 0"/><geom type="box" size="0.05 0.05 0.05" mass="{mass}"/></body></worldbody>
<actuator><position name="servo" joint="j" kp="{kp}" kv="{kv}" forcerange="-40 40"/></actuator>"""


@pytest.mark.parametrize(
    ("target", "mass", "kp", "kv"),
    [(0.36, 0.2, 1000, 60), (2.0, 0.02, 1000, 60), (0.38, 3.0, 4500, 225), (0.4, 0.001, 500, 100), (0.4, 1e-5, 500, 100)],
)
def test_a_blocked_joint_pushes_with_the_force_of_the_law(target, mass, kp, kv):
    _, bullet = built(PUSH.format(mass=mass, kp=kp, kv=kv, lift=1))
    bullet.step(np.full((1000, 1), target))
    place = bullet.read()[0][0]
    force = sum(c.force for c in bullet.contacts())
    bullet.close()
    assert place == pytest.approx(0.35, abs=1e-3)
    assert force == pytest.approx(min(kp * (target - place), 40.0), rel=0.05)


def test_a_servo_without_armature_comes_home_without_overshoot():
    """kp, kv and mass for which an explicit step of 2 ms explodes: dt kv / m = 45."""
    _, bullet = built(PUSH.format(mass=0.01, kp=4500, kv=225, lift=1))
    path = []
    for _ in range(40):
        bullet.step(np.full((5, 1), 0.2))
        path.append(bullet.read()[0][0])
    bullet.close()
    assert (np.diff(path) > -1e-6).all() and path[-1] == pytest.approx(0.2, abs=1e-3)
    expected = 0.2 * (1 - np.exp(-np.arange(1, 41) * 0.01 * 4500 / 225))  # kv dq = kp (target - q)
    np.testing.assert_allclose(path, expected, atol=4e-3)


DROP = """<worldbody><body pos="0 0 2"><joint name="j" type="slide" axis="0 0 1" {joint}/><geom size="0.05" mass="2"/></body></worldbody>
<actuator><position name="servo" joint="j" kp="{kp}" kv="{kv}"/></actuator>"""


@pytest.fixture
def dropper() -> Iterator[object]:
    made = []

    def make(joint: str = "", kp: float = 0.0, kv: float = 0.0) -> tuple[mujoco.MjModel, BulletWorld]:
        made.append(built(DROP.format(joint=joint, kp=kp, kv=kv)))
        return made[-1]

    yield make
    for _, bullet in made:
        bullet.close()


def settled(bullet: BulletWorld, steps: int = 2000) -> tuple[float, float]:
    bullet.step(np.zeros((steps, 1)))
    qpos, qvel = bullet.read()
    return float(qpos[0]), float(qvel[0])


def test_a_weight_sags_by_its_weight_over_the_gain(dropper):
    model, bullet = dropper(kp=1000, kv=100)
    assert settled(bullet)[0] == pytest.approx(-2 * G / 1000, rel=0.01)
    bullet.set_field("body_mass", 2 * model.body_mass)
    assert settled(bullet)[0] == pytest.approx(-4 * G / 1000, rel=0.01)
    gain, bias = model.actuator_gainprm.copy(), model.actuator_biasprm.copy()
    gain[0, 0], bias[0, 1] = 500, -500
    bullet.set_field("actuator_gainprm", gain)
    bullet.set_field("actuator_biasprm", bias)
    assert settled(bullet)[0] == pytest.approx(-4 * G / 500, rel=0.01)
    bullet.reset()
    assert settled(bullet)[0] == pytest.approx(-4 * G / 500, rel=0.01)  # fields outlive a reset


def test_damping_bounds_the_speed_of_a_fall(dropper):
    model, bullet = dropper('damping="10"')
    assert settled(bullet)[1] == pytest.approx(-2 * G / 10, rel=0.01)
    bullet.set_field("dof_damping", 2 * model.dof_damping)
    assert settled(bullet)[1] == pytest.approx(-2 * G / 20, rel=0.01)


def test_dry_friction_holds_up_to_its_force(dropper):
    model, bullet = dropper('frictionloss="25"')
    assert settled(bullet, 500) == pytest.approx((0.0, 0.0), abs=1e-3)
    bullet.set_field("dof_frictionloss", model.dof_frictionloss * 0.4)
    assert settled(bullet, 500)[1] == pytest.approx(-(G - 10 / 2) * 1.0, rel=0.02)


def test_a_spring_pulls_to_its_rest_length(dropper):
    _, bullet = dropper('stiffness="400" damping="40" springref="0.1"')
    assert settled(bullet)[0] == pytest.approx(0.1 - 2 * G / 400, rel=0.01)


def test_a_joint_stops_at_its_range(dropper):
    _, bullet = dropper('range="-0.3 1" limited="true"')
    assert settled(bullet)[0] == pytest.approx(-0.3, abs=5e-3)


COUPLED = """<worldbody><body><joint axis="0 0 1"/><geom size="0.05" mass="1"/>
<body><joint name="a" type="slide" axis="1 0 0" armature="0.1"/><geom size="0.05" mass="0.1" contype="0" conaffinity="0"/></body>
<body><joint name="b" type="slide" axis="0 1 0" armature="0.1" ref="0.05"/><geom size="0.05" mass="0.1" contype="0" conaffinity="0"/></body></body></worldbody>
<equality><joint joint1="a" joint2="b" polycoef="0.02 -2 0 0 0"/></equality>
<actuator><position joint="b" kp="200" kv="20"/></actuator>"""


def test_coupled_joints_keep_their_ratio():
    _, bullet = built(COUPLED)
    bullet.step(np.full((1000, 1), 0.15))
    _, a, b = bullet.read()[0]
    bullet.close()
    assert b == pytest.approx(0.15, abs=1e-3)
    assert a == pytest.approx(0.02 - 2 * (b - 0.05), abs=1e-3)


HELD = {
    "connect to the world": """<body name="a" pos="0 0 1"><freejoint/><geom type="box" pos=".1 0 0" size=".1 .05 .02"/></body></worldbody>
        <equality><connect body1="a" anchor="-0.05 0 0"/></equality>""",
    "connect": """<body name="a" pos="0 0 1"><joint axis="0 1 0"/><geom type="box" pos=".1 0 0" size=".1 .05 .02"/></body>
        <body name="b" pos=".2 0 1"><freejoint/><geom type="box" pos=".1 0 0" size=".1 .05 .02"/></body></worldbody>
        <equality><connect body1="b" body2="a" anchor="0 0 0"/></equality>""",
    "weld to a mocap body": """<body name="m" mocap="true" pos="0 0 1" euler="0 .5 .2"/><body name="a" pos=".1 0 1" euler=".3 .5 .7"><freejoint/>
        <geom type="box" pos=".1 0 0" size=".1 .05 .02"/></body></worldbody><equality><weld body1="m" body2="a" solref="0.004 1"/></equality>""",
    "weld": """<body name="p" pos="0 0 1"><joint axis="0 1 0"/><geom type="box" pos=".1 0 0" size=".1 .05 .02"/></body>
        <body name="a" pos=".1 0 1" euler=".3 .5 .7"><freejoint/><geom type="box" pos=".1 0 0" size=".1 .05 .02"/></body></worldbody>
        <equality><weld body1="p" body2="a" solref="0.004 1"/></equality>""",
    "a chain of balls": """<body pos="0 0 1"><joint type="ball" damping="0.001"/><geom type="capsule" fromto="0 0 0 .2 0 0" size=".02"/>
        <body pos=".2 0 0"><joint type="ball" damping=".001"/><geom type="capsule" fromto="0 0 0 .2 0 0" size=".02"/></body></body></worldbody>""",
    "three joints in a body": """<body pos="0 0 1" euler=".2 .3 .5"><joint type="slide" axis="1 0 0" pos=".1 0 0"/><joint type="slide" axis="0 1 0"/>
        <joint axis="0 0 1" pos=".1 .05 0" ref=".3"/><geom type="box" pos=".1 .1 .1" size=".1 .05 .02"/></body></worldbody>""",
    "a body off its frame": """<body pos="0 0 1" euler=".2 .3 .5"><freejoint/><geom type="box" pos=".1 .1 .1" size=".1 .05 .02"/></body></worldbody>""",
}


@pytest.mark.parametrize("what", HELD)
def test_half_a_second_of_falling_is_as_in_mujoco(what):
    model, bullet = built(f'<option><flag contact="disable"/></option><worldbody>{HELD[what]}')
    steps = list(both(model, bullet, np.zeros((250, 0))))
    bullet.close()
    assert what.endswith(("the world", "a mocap body")) or np.abs(steps[-1][0] - model.qpos0).max() > 0.1
    for theirs, ours in steps:
        np.testing.assert_allclose(ours, theirs, atol=0.012)
