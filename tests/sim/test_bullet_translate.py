"""The bodies that Bullet gets are those of the MjModel: places, masses, shapes; what it cannot do is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mujoco
import numpy as np
import pytest

pytest.importorskip("pybullet", reason="the extra pybullet is not installed")

from data.errors import ConfigError
from data.rotations import matrix_from_quat
from sim.bullet.client import pybullet
from sim.bullet.world import BulletWorld
from tests.sim.bullet_models import models, random_state


@pytest.fixture
def world() -> Iterator[Callable[[mujoco.MjModel], BulletWorld]]:
    """Makes simulations and closes them."""
    made: list[BulletWorld] = []

    def make(model: mujoco.MjModel) -> BulletWorld:
        made.append(BulletWorld(model))
        return made[-1]

    yield make
    for one in made:
        one.close()


def place(world: BulletWorld, body: int) -> tuple[np.ndarray, np.ndarray]:
    """Position and rotation matrix of a body's centre of mass in Bullet."""
    uid, link = world.scene.links[body]
    if link < 0:
        position, quat = pybullet.getBasePositionAndOrientation(uid, physicsClientId=world.client)
    else:
        position, quat = pybullet.getLinkState(uid, link, computeForwardKinematics=1, physicsClientId=world.client)[:2]
    return np.array(position), matrix_from_quat(np.array(quat)[[3, 0, 1, 2]])


@pytest.mark.parametrize("name", models())
def test_every_link_stands_where_mujoco_has_the_body(name, world):
    model = models()[name]
    bullet, rng = world(model), np.random.default_rng(0)
    for _ in range(20):
        data = random_state(model, rng)
        bullet.load(data.qpos, data.qvel, data.mocap_pos, data.mocap_quat)
        for body in bullet.scene.links:
            massless = model.body_mocapid[model.body_rootid[body]] >= 0
            position, matrix = place(bullet, body)
            np.testing.assert_allclose(position, data.xpos[body] if massless else data.xipos[body], atol=1e-6)
            expected = data.xmat[body] if massless else data.ximat[body]
            np.testing.assert_allclose(matrix, expected.reshape(3, 3), atol=1e-6)


@pytest.mark.parametrize("name", models())
def test_a_state_that_was_loaded_is_read_back(name, world):
    model = models()[name]
    bullet, rng = world(model), np.random.default_rng(1)
    for _ in range(20):
        data = random_state(model, rng)
        bullet.load(data.qpos, data.qvel, data.mocap_pos, data.mocap_quat)
        qpos, qvel = bullet.read()
        np.testing.assert_allclose(qpos, data.qpos, atol=1e-6)
        np.testing.assert_allclose(qvel, data.qvel, atol=1e-6)


@pytest.mark.parametrize("name", models())
def test_masses_and_inertias_are_those_of_the_model(name, world):
    model = models()[name]
    bullet = world(model)
    moving = [b for b in range(1, model.nbody) if model.body_weldid[b] and model.body_mocapid[model.body_rootid[b]] < 0]
    assert set(moving) <= set(bullet.scene.links)
    for body in moving:
        info = pybullet.getDynamicsInfo(*bullet.scene.links[body], physicsClientId=bullet.client)
        assert info[0] == pytest.approx(model.body_mass[body], rel=1e-12)
        np.testing.assert_allclose(info[2], model.body_inertia[body], rtol=1e-12)
    total = sum(
        pybullet.getDynamicsInfo(tree.uid, link, physicsClientId=bullet.client)[0]
        for tree in bullet.scene.trees
        for link in range(-1, len(tree.tree.links) - 1)
    )
    assert total == pytest.approx(model.body_mass[moving].sum())


def test_the_sign_of_a_quaternion_does_not_jump(world):
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><option gravity='0 0 0'/><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    )
    bullet, data = world(model), mujoco.MjData(model)
    data.qvel[3] = 3.0
    bullet.load(data.qpos, data.qvel, data.mocap_pos, data.mocap_quat)
    half = []
    for _ in range(20):
        bullet.step(np.zeros((100, 0)))
        half.append(bullet.read()[0][3])
    np.testing.assert_allclose(half, np.cos(1.5 * 0.2 * np.arange(1, 21)), atol=0.01)


def test_a_mesh_collides_with_its_convex_hull(world):
    """A roof whose ridge has a notch: a ball put into the notch rests on top of it, as in MuJoCo."""
    corners = [(x, y, 0) for x in (-0.1, 0.1) for y in (-0.1, 0.1)] + [(x, y, 0.1) for x in (-0.1, 0.1) for y in (-0.1, 0.1)]
    vertices = " ".join(f"{x} {y} {z}" for x, y, z in [*corners, (0, 0, 0.02)])
    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><asset><mesh name="bowl" vertex="{vertices}"/></asset><worldbody><geom type="mesh" mesh="bowl"/>
        <body pos="0.01 0 0.13"><freejoint/><geom size="0.02" mass="0.1"/></body></worldbody></mujoco>"""
    )
    bullet, data = world(model), mujoco.MjData(model)
    mujoco.mj_step(model, data, nstep=500)
    bullet.step(np.zeros((500, 0)))
    assert data.qpos[2] == pytest.approx(0.12, abs=1e-3)
    assert bullet.read()[0][2] == pytest.approx(data.qpos[2], abs=2e-3)


REFUSED = {
    "hfield": '<asset><hfield name="h" nrow="2" ncol="2" size="1 1 1 1"/></asset><worldbody><geom type="hfield" hfield="h"/></worldbody>',
    "ball joint": '<worldbody><body><joint name="elbow" type="ball" stiffness="3"/><geom size=".1"/></body></worldbody>',
    "free joint": '<worldbody><body><joint name="drag" type="free" damping="3"/><geom size=".1"/></body></worldbody>',
    "fluid": '<option density="1.2"/><worldbody><body><freejoint/><geom size=".1"/></body></worldbody>',
    "gravity compensation": '<worldbody><body gravcomp="1"><joint name="balloon" type="free"/><geom size=".1"/></body></worldbody>',
    "transmission": '<worldbody><body><freejoint/><geom size=".1"/><site name="s"/></body></worldbody><actuator><general name="jet" site="s"/></actuator>',
    "dynamic state": """<worldbody><body><joint name="j"/><geom size=".1"/></body></worldbody>
        <actuator><general name="slow" joint="j" dyntype="filter" dynprm="1"/></actuator>""",
    "not linear": """<worldbody><body><joint name="j"/><geom size=".1"/></body><body><joint name="k"/><geom size=".1"/></body></worldbody>
        <equality><joint name="gear" joint1="j" joint2="k" polycoef="0 1 1 0 0"/></equality>""",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_bullet_cannot_do_is_refused_by_name(what):
    model = mujoco.MjModel.from_xml_string(f"<mujoco>{REFUSED[what]}</mujoco>")
    with pytest.raises(ConfigError, match="PyBullet; leave it out, or use engine=mujoco|not supported with PyBullet") as error:
        BulletWorld(model)
    known = [mujoco.mj_id2name(model, kind, 0) for kind in (mujoco.mjtObj.mjOBJ_JOINT, mujoco.mjtObj.mjOBJ_ACTUATOR)]
    assert what in ("hfield", "fluid") or any(name and name in str(error.value) for name in [*known, "gear"])
