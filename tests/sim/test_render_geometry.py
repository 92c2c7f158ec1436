"""Depth and segmentation against geometry worked out by hand, with OpenGL and in software, and the two against each other."""

import mujoco
import numpy as np
import pytest

from sim.rendering.renderer import Look, Renderer

SIZE = (96, 128)


@pytest.fixture(params=[pytest.param("opengl", marks=pytest.mark.needs_gl), "software"])
def scene(request, arm):
    """A renderer, a state, and the camera `front` of pick_place: position (3,), rotation (3, 3)."""
    if request.param == "opengl":
        request.getfixturevalue("gl")
    else:
        pytest.importorskip("pybullet")
    env = arm(1)
    env.reset(np.array([7]))
    renderer = Renderer(env.physics.model, software=request.param == "software")
    yield renderer, env, *view(env, "front")
    renderer.close()


def view(env, camera):
    data = mujoco.MjData(env.physics.model)
    mujoco.mj_forward(env.physics.model, data)
    index = env.physics.model.camera(camera).id
    return data.cam_xpos[index].copy(), data.cam_xmat[index].reshape(3, 3).copy()


def rays(env, turn, size):
    """Directions in the world (H, W, 3) through the middle of each pixel, one long along the optical axis."""
    half = np.tan(np.radians(env.physics.model.camera("front").fovy[0]) / 2)
    y = half * (1 - 2 * (np.arange(size[0]) + 0.5) / size[0])
    x = half * size[1] / size[0] * (2 * (np.arange(size[1]) + 0.5) / size[1] - 1)
    across, up = np.meshgrid(x, y)
    return np.stack([across, up, -np.ones(size)], -1) @ turn.T


def test_depth_is_the_distance_along_the_axis_to_the_table(scene):
    renderer, env, position, turn = scene
    state = env.physics.state()[0]
    depth, shown = renderer.depth(state, "front", SIZE), renderer.segmentation(state, "front", SIZE)
    assert depth.shape == shown.shape == SIZE and (depth.dtype, shown.dtype) == (np.float32, np.int32)
    directions = rays(env, turn, SIZE)
    reach = -position[2] / directions[..., 2]  # where the ray meets z = 0
    on_top = position + reach[..., None] * directions
    table = (shown == env.physics.model.geom("table").id) & (on_top[..., 0] < 0.88)  # not the front edge
    assert table.sum() > 2000
    np.testing.assert_allclose(depth[table], reach[table], atol=1e-4)
    np.testing.assert_array_equal(np.isinf(depth), shown == -1)
    assert (shown == -1).sum() > 500


def test_an_object_is_where_its_pose_projects_to(scene):
    renderer, env, position, turn = scene
    cube = env.physics.model.body("cube").id
    state = env.physics.state()[0]
    bodies = renderer.segmentation(state, "front", (480, 640), of="body")
    seen = np.argwhere(bodies == cube).mean(0)
    local = turn.T @ (env.physics.body("cube")[0][0] - position)
    scale = 240 / np.tan(np.radians(env.physics.model.camera("front").fovy[0]) / 2)
    expected = np.array([240 - local[1] / -local[2] * scale, 320 + local[0] / -local[2] * scale]) - 0.5
    np.testing.assert_allclose(seen, expected, atol=1.0)
    geoms = renderer.segmentation(state, "front", (480, 640))
    np.testing.assert_array_equal(geoms == env.physics.model.geom("cube").id, bodies == cube)


def test_a_look_changes_only_its_own_picture(scene):
    renderer, env, _, _ = scene
    state, model = env.physics.state()[0], env.physics.model
    plain = renderer.color(state, "front", SIZE)
    rgba, fovy = model.geom_rgba.copy(), model.cam_fovy.copy()
    rgba[model.geom("cube").id] = [1, 0, 0, 1]
    fovy[model.camera("front").id] = 20
    cube = renderer.segmentation(state, "front", SIZE) == model.geom("cube").id
    red = renderer.color(state, "front", SIZE, look=Look({"geom_rgba": rgba}))
    assert (red[cube][:, 0] > red[cube][:, 2]).all() and (plain[cube][:, 2] > plain[cube][:, 0]).all()
    np.testing.assert_array_equal(red[~cube], plain[~cube])
    near = Look({"cam_fovy": fovy})
    larger = (renderer.segmentation(state, "front", SIZE, near) == model.geom("wall").id).sum()
    assert larger > 2 * (renderer.segmentation(state, "front", SIZE) == model.geom("wall").id).sum()
    np.testing.assert_array_equal(renderer.color(state, "front", SIZE), plain)
    assert model.cam_fovy[model.camera("front").id] == 48  # what the physics uses is not touched


@pytest.mark.needs_gl
@pytest.mark.parametrize("camera", ["front", "wrist", "film"])
def test_software_and_opengl_agree(gl, arm, camera):
    pytest.importorskip("pybullet")
    env = arm(1)
    env.reset(np.array([7]))
    state = env.physics.state()[0]
    opengl, software = Renderer(env.physics.model), Renderer(env.physics.model, software=True)
    assert (opengl.backend, software.backend) == (opengl.backend, "software") and opengl.backend != "software"
    a, b = (r.segmentation(state, camera, (240, 320)) for r in (opengl, software))
    assert (a == b).mean() > 0.998
    for geom in np.unique(a)[np.bincount(a.reshape(-1) + 1)[np.unique(a) + 1] > 400]:
        both, either = ((a == geom) & (b == geom)).sum(), ((a == geom) | (b == geom)).sum()
        assert both / either > 0.88, geom  # thin or round ones differ along their edges
    same = (a == b) & (a >= 0)
    error = np.abs(opengl.depth(state, camera, (240, 320))[same] - software.depth(state, camera, (240, 320))[same])
    assert np.median(error) < 1e-4 and np.quantile(error, 0.99) < 3e-3
    colors = [r.color(state, camera, (240, 320)).astype(float) for r in (opengl, software)]
    assert np.corrcoef(*(c.reshape(-1) for c in colors))[0, 1] > 0.8
    opengl.close()
    software.close()


def test_both_engines_draw_the_same_start(arm):
    pytest.importorskip("pybullet")
    pictures = []
    for engine in ("mujoco", "pybullet"):
        env = arm(1, engine=engine)
        env.reset(np.array([7]))
        renderer = Renderer(env.physics.model, software=True)
        pictures.append(renderer.color(env.physics.state()[0], "front", SIZE))
        renderer.close()
    np.testing.assert_array_equal(*pictures)


SHAPES = """
<mujoco>
  <asset>
    <mesh name="wedge" vertex="-.1 -.1 -.1  .1 -.1 -.1  .1 .1 -.1  -.1 .1 -.1  0 0 .2" inertia="shell"/>
    <texture name="checks" type="cube" builtin="checker" rgb1="0 0 0" rgb2="1 1 1" width="32" height="192"/>
    <material name="checks" texture="checks" rgba="1 0.5 0.5 1"/>
  </asset>
  <worldbody>
    <light pos="0 -1 2" dir="0 0.5 -1"/>
    <camera name="eye" pos="0.1 -1.6 1.2" xyaxes="1 0.05 0 -0.03 0.6 0.8" fovy="50"/>
    <geom type="plane" size="1 1 0.1" pos="0 0 -0.15"/>
    <geom type="sphere" size="0.12" pos="-0.6 0 0" rgba="1 0 0 1"/>
    <geom type="capsule" size="0.07 0.1" pos="-0.3 0 0" euler="20 30 0" rgba="0 1 0 1"/>
    <geom type="cylinder" size="0.08 0.12" pos="0 0 0" euler="50 0 20" rgba="0 0 1 1"/>
    <geom type="ellipsoid" size="0.05 0.1 0.15" pos="0.3 0 0" euler="0 40 0" rgba="1 1 0 1"/>
    <geom type="box" size="0.05 0.1 0.12" pos="0.6 0 0" euler="10 20 30" material="checks"/>
    <geom type="mesh" mesh="wedge" pos="0 0.4 0.1" euler="0 0 30" rgba="0 1 1 1"/>
    <geom type="box" size="3 3 3" rgba="1 0 1 1" group="3"/>
  </worldbody>
</mujoco>
"""


@pytest.mark.needs_gl
def test_every_shape_is_the_same_in_software(gl):
    pytest.importorskip("pybullet")
    model = mujoco.MjModel.from_xml_string(SHAPES)
    opengl, software = Renderer(model), Renderer(model, software=True)
    a, b = (r.segmentation(np.zeros(0), "eye", (240, 320)) for r in (opengl, software))
    assert set(np.unique(a)) == set(range(-1, 7))  # all but the group that neither draws
    for geom in range(7):
        both, either = ((a == geom) & (b == geom)).sum(), ((a == geom) | (b == geom)).sum()
        assert both / either > 0.95, geom
    both = (a == b) & (a >= 0)
    depths = [r.depth(np.zeros(0), "eye", (240, 320))[both] for r in (opengl, software)]
    assert np.quantile(np.abs(depths[0] - depths[1]), 0.95) < 3e-3
    colors = [r.color(np.zeros(0), "eye", (240, 320)).astype(float) for r in (opengl, software)]
    for geom in range(1, 7):
        means = [c[both & (a == geom)].mean(0) for c in colors]
        assert np.corrcoef(*means)[0, 1] > 0.9, geom  # the same hue; a textured one has the mean of its texture
    opengl.close()
    software.close()
