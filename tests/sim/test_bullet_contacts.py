"""What touches what, how rough it is, and that contacts obey the laws one can work out by hand."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
import pytest

pytest.importorskip("pybullet", reason="the extra pybullet is not installed")

from sim.bullet.client import pybullet
from sim.bullet.contacts import friction, groups, pairs
from sim.bullet.world import BulletWorld
from sim.world import build_world
from tests.sim.bullet_models import SCENE, random_state

G = 9.81


def crowd(rng: np.random.Generator) -> str:
    """Bodies of all kinds on one heap, with contact bits by chance; some geoms of a body differ in theirs."""

    def geoms() -> str:
        kinds = {"box": "0.1 0.15 0.12", "sphere": "0.15", "capsule": "0.08 0.1", "cylinder": "0.1 0.1"}
        return "".join(
            f'<geom type="{(kind := rng.choice(list(kinds)))}" size="{kinds[kind]}" pos="{" ".join(map(str, rng.uniform(-0.1, 0.1, 3)))}"'
            f' contype="{rng.integers(0, 4)}" conaffinity="{rng.integers(0, 4)}"/>'
            for _ in range(rng.integers(1, 4))
        )

    return f"""<mujoco><worldbody>{geoms()}<body name="shelf">{geoms()}<body name="door"><joint range="-3 3"/>{geoms()}</body></body>
    <body name="a"><joint axis="1 0 0"/>{geoms()}<body name="b"><joint axis="0 1 0"/>{geoms()}
      <body name="stiff">{geoms()}<body name="c"><joint axis="0 0 1"/>{geoms()}</body></body></body></body>
    <body name="free"><freejoint/>{geoms()}<body name="lid"><joint/>{geoms()}</body></body>
    <body name="other"><freejoint/>{geoms()}</body><body name="mocap" mocap="true">{geoms()}</body></worldbody>
    <contact><exclude body1="free" body2="other"/><exclude body1="a" body2="c"/></contact></mujoco>"""


@pytest.mark.parametrize("seed", range(6))
def test_the_same_bodies_touch_as_in_mujoco(seed):
    rng = np.random.default_rng(seed)
    model = mujoco.MjModel.from_xml_string(crowd(rng))
    bullet, found = BulletWorld(model), 0
    try:
        for _ in range(10):
            data = random_state(model, rng)
            data.qpos[:] *= np.where(model.qpos0 == 0, 0.2, 1)
            data.mocap_pos[:] *= 0.1
            mujoco.mj_forward(model, data)
            bullet.load(data.qpos, data.qvel, data.mocap_pos, data.mocap_quat)
            pybullet.performCollisionDetection(physicsClientId=bullet.client)
            deep: dict[str, set] = {"mujoco": set(), "bullet": set()}
            some: dict[str, set] = {"mujoco": set(), "bullet": set()}
            here = [("mujoco", *map(int, model.geom_bodyid[c.geom]), c.dist) for c in data.contact]
            here += [("bullet", c.first.body, c.second.body, c.distance) for c in bullet.contacts()]
            for engine, first, second, distance in here:
                some[engine].add(frozenset((first, second)))
                if distance < -0.01:
                    deep[engine].add(frozenset((first, second)))
            assert deep["mujoco"] <= some["bullet"] and deep["bullet"] <= some["mujoco"]
            found += len(deep["mujoco"])
    finally:
        bullet.close()
    assert found > 10


def test_common_pairs_have_the_friction_of_mujoco():
    model = build_world(SCENE, "panda").model
    of = [group for body in groups(model).values() for group in body]
    touch = pairs(model, of)
    slide, spin, roll = friction(model, model.geom_friction, of, touch).T
    names = {model.geom(group.geoms[0]).name: i for i, group in enumerate(of)}
    pad, cube, table, wall = names["left_pad"], names["cube"], names["table"], names["wall"]
    for first, second in ((pad, cube), (cube, table), (cube, wall)):
        assert (min(first, second), max(first, second)) in touch
        larger = np.maximum(model.geom_friction[of[first].geoms[0]], model.geom_friction[of[second].geoms[0]])
        assert slide[first] * slide[second] == pytest.approx(larger[0], rel=0.05)
        assert spin[first] * slide[second] + spin[second] * slide[first] == pytest.approx(larger[1], rel=0.3)
    assert (roll == 0).all()  # no pair of condim 6


def one_box(friction_of_floor: float = 0.5, extra: str = "", floor: str = "") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><option timestep="0.002" gravity="0 0 -{G}"/><worldbody>
        <geom type="plane" size="0 0 1" friction="{friction_of_floor} 0 0" {floor}/>
        <body pos="0 0 0.05"><freejoint/><geom type="box" size="0.05 0.05 0.05" mass="0.2" friction="0.1 0 0" {extra}/></body></worldbody></mujoco>"""
    )


def slid(bullet: BulletWorld, model: mujoco.MjModel, speed: float) -> float:
    """How far the box slides."""
    bullet.reset()
    qvel = np.zeros(model.nv)
    qvel[0] = speed
    bullet.load(model.qpos0, qvel, np.zeros((0, 3)), np.zeros((0, 4)))
    bullet.step(np.zeros((1000, 0)))
    return float(bullet.read()[0][0])


def test_a_body_falls_as_newton_says():
    model = one_box()
    bullet = BulletWorld(model)
    start = model.qpos0.copy()
    start[2] = 5.0
    bullet.load(start, np.zeros(6), np.zeros((0, 3)), np.zeros((0, 4)))
    bullet.step(np.zeros((400, 0)))
    qpos, qvel = bullet.read()
    bullet.close()
    assert 5.0 - qpos[2] == pytest.approx(G * 0.002**2 * 400 * 401 / 2, rel=1e-9)  # steps that move with the new speed
    assert qvel[2] == pytest.approx(-G * 0.8, rel=1e-9)


@pytest.mark.parametrize(("mu", "speed"), [(0.5, 1.0), (0.3, 1.0), (0.8, 2.0)])
def test_a_sliding_box_stops_where_friction_says(mu, speed):
    model = one_box(mu)
    bullet = BulletWorld(model)
    distance = slid(bullet, model, speed)
    bullet.close()
    assert distance == pytest.approx(speed**2 / (2 * mu * G), rel=0.04)


def test_a_field_of_friction_makes_it_slide_further():
    model = one_box(0.5)
    bullet = BulletWorld(model)
    before = slid(bullet, model, 1.0)
    bullet.set_field("geom_friction", model.geom_friction * 0.5)
    after = slid(bullet, model, 1.0)
    bullet.close()
    assert after == pytest.approx(2 * before, rel=0.05)


def test_a_box_at_rest_weighs_on_the_floor():
    model = one_box()
    bullet = BulletWorld(model)
    bullet.step(np.zeros((200, 0)))
    contacts = bullet.contacts()
    height = bullet.read()[0][2]
    bullet.close()
    assert sum(c.force for c in contacts) == pytest.approx(0.2 * G, rel=0.01)
    assert {c.first.body for c in contacts} | {c.second.body for c in contacts} == {0, 1}
    assert height == pytest.approx(0.05, abs=5e-4)


def test_spinning_friction_needs_condim_4():
    """A ball on the spot is braked by the torque spin * weight; without torsional friction it goes on."""
    still = {}
    for condim in (3, 4):
        model = mujoco.MjModel.from_xml_string(
            f"""<mujoco><worldbody><geom type="plane" size="0 0 1" friction="1 0.02 0"/><body pos="0 0 0.05"><freejoint/>
            <geom size="0.05" mass="0.2" condim="{condim}" friction="1 0.02 0"/></body></worldbody></mujoco>"""
        )
        bullet, qvel = BulletWorld(model), np.zeros(6)
        qvel[5] = 50.0
        bullet.load(model.qpos0, qvel, np.zeros((0, 3)), np.zeros((0, 4)))
        bullet.step(np.zeros((100, 0)))
        still[condim] = bullet.read()[1][5]
        bullet.close()
    inertia = 0.4 * 0.2 * 0.05**2
    assert still[3] == pytest.approx(50.0, rel=1e-3)
    assert still[4] == pytest.approx(50.0 - 0.02 * 0.2 * G / inertia * 0.2, rel=0.05)


def test_two_that_nothing_moves_are_no_pair():
    model = build_world(SCENE, "panda").model
    of = [group for body in groups(model).values() for group in body]
    moved = {group.body for pair in pairs(model, of) for group in (of[pair[0]], of[pair[1]]) if model.body_weldid[group.body]}
    for i, j in pairs(model, of):
        assert {of[i].body, of[j].body} & (moved - {model.body("bin").id})
    assert not any(
        {of[i].body, of[j].body} == {0, model.body("bin").id}
        for i, j in itertools.combinations(range(len(of)), 2)
        if (i, j) in pairs(model, of)
    )
