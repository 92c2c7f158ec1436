"""What links are drawn as and collide as, against the meshes of their makers and against shapes that can be worked out by hand."""

import importlib
import importlib.util

import numpy as np
import pytest
from scipy.spatial import cKDTree

from data.errors import ConfigError, RobotError
from sim import gl

gl.choose()

import mujoco  # noqa: E402  after the choice of its OpenGL platform

from sim.arms.build import arm_spec, robot_spec  # noqa: E402
from sim.arms.decimate import decimate, hull, slices  # noqa: E402
from sim.arms.meshes import read_mesh  # noqa: E402
from sim.arms.shapes import TRIANGLES, arm_shapes, drawn  # noqa: E402
from sim.arms.urdf import READERS, read_links  # noqa: E402

readers = pytest.mark.skipif(not all(importlib.util.find_spec(m) for m in READERS), reason="pip install 'waldo[robots]'")


def description(name):
    """Its Urdf; skips without the package."""
    try:
        arm_spec(name, "collision")
    except ConfigError as error:
        pytest.skip(str(error))
    return importlib.import_module(f"real.robots.{name}").DESCRIPTION


def dense(vertices, faces, per_mm2=0.5):
    """Points all over a surface."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    owner = np.repeat(np.arange(len(faces)), np.ceil(area * 1e6 * per_mm2).astype(int) + 1)
    u, v = np.random.default_rng(0).random((2, len(owner), 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    a, b, c = corners[owner].transpose(1, 0, 2)
    return a + u * (b - a) + v * (c - a)


@pytest.mark.parametrize(
    "name", [pytest.param("panda_mesh", marks=pytest.mark.slow), pytest.param("so101", marks=pytest.mark.slow), "ur5", "xarm7"]
)
def test_drawn_meshes_are_small_and_near_the_original(name):
    """Half of what is drawn lies within 1 mm of the original surface, nine tenths within 3 mm; outlines within 4 mm (8 mm of
    the printed SO-101, where a knob of the jaw goes)."""
    links = read_links(description(name))
    for key in [k for k, link in links.items() if link.visual][::3]:
        full, few = drawn(links[key]), drawn(links[key], TRIANGLES)
        assert sum(len(s.faces) for s in few) <= TRIANGLES
        original = cKDTree(np.concatenate([dense(s.vertices, s.faces) for s in full]))
        away = original.query(np.concatenate([dense(s.vertices, s.faces, 0.05) for s in few]))[0]
        assert (np.percentile(away, [50, 90, 100]) < [1e-3, 3e-3, 1e-2]).all(), key
        box, small = (np.array([f(np.concatenate([s.vertices for s in some]), axis=0) for f in (np.min, np.max)]) for some in (full, few))
        np.testing.assert_allclose(small, box, atol=8e-3 if name == "so101" else 4e-3, err_msg=key)


def test_the_width_of_a_jaw_is_the_gap_at_its_tips_to_two_millimetres():
    """Between the surfaces of the original meshes, in the lowest 17 mm of both jaws."""
    source = description("so101")
    spec, model = robot_spec("so101"), arm_spec("so101").compile()
    links = read_links(source)
    jaw, fixed = (np.concatenate([dense(s.vertices, s.faces) for s in links[link].visual]) for link in source.fingers.links)
    for opened in np.linspace(0.03, 1, 12) * model.joint("finger1").range[1]:
        data = mujoco.MjData(model)
        data.qpos[model.joint("finger1").qposadr] = opened
        mujoco.mj_forward(model, data)
        palm, moving = data.body("gripper_link"), data.body("moving_jaw_so101_v1_link")
        there = (jaw @ moving.xmat.reshape(3, 3).T + moving.xpos - palm.xpos) @ palm.xmat.reshape(3, 3)  # in the palm's frame
        low, still = there[there[:, 2] < -0.088], fixed[fixed[:, 2] < -0.088]
        assert data.ten_length[0] == pytest.approx(cKDTree(still).query(low)[0].min(), abs=2e-3), opened
    assert data.ten_length[0] == pytest.approx(spec.gripper_max_width, abs=1e-9)


def test_shapes_kept_in_the_cache_folder_are_those_that_were_made(tmp_path, monkeypatch):
    source = description("ur5")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = arm_shapes.__wrapped__(source)
    (file,) = (tmp_path / "waldo" / "robots").iterdir()
    kept = arm_shapes.__wrapped__(source)
    assert list(kept) == list(made)
    for name, link in made.items():
        for ours, theirs in zip((*link.convex, *link.drawn), (*kept[name].convex, *kept[name].drawn), strict=True):
            np.testing.assert_array_equal(ours.vertices, theirs.vertices)
            np.testing.assert_array_equal(ours.faces, theirs.faces)
            assert ours.rgba == theirs.rgba
        for ours, theirs in zip(link.boxes, kept[name].boxes, strict=True):
            np.testing.assert_allclose(np.concatenate([np.ravel(x) for x in ours]), np.concatenate([np.ravel(x) for x in theirs]))
    file.write_bytes(file.read_bytes()[:500])  # damaged: made again
    assert list(arm_shapes.__wrapped__(source)) == list(made) and file.stat().st_size > 500
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder: works without
    assert list(arm_shapes.__wrapped__(source)) == list(made)


def sphere(n=60):
    theta, phi = np.meshgrid(np.linspace(0, np.pi, n), np.linspace(0, 2 * np.pi, n), indexing="ij")
    vertices = 0.1 * np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    i = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1, 1)
    return vertices, np.concatenate([i + [0, n, 1], i + [1, n, n + 1]])


@readers
def test_a_sphere_of_few_triangles_is_still_a_sphere():
    vertices, faces = decimate(*sphere(), 300)
    assert 200 < len(faces) <= 300
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 0.1, atol=4e-3)  # the best flat faces lie partly outside


def test_a_hull_keeps_corners_and_a_flat_thing_has_none():
    corners = np.array([[x, y, z] for x in (0, 0.1) for y in (0, 0.2) for z in (0, 0.3)])
    vertices, faces = hull(np.concatenate([corners, np.random.default_rng(0).uniform(0.01, 0.09, (100, 3))]))
    assert {tuple(v) for v in vertices} == {tuple(c) for c in corners}
    a, b, c = vertices[faces].transpose(1, 0, 2)
    assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6 == pytest.approx(0.1 * 0.2 * 0.3)  # outwards: positive volume
    assert hull(corners * [1, 1, 0]) is None


def test_slices_of_a_hollow_thing_leave_its_hollow_open():
    """A V of two bars: one hull would fill it, slices do not reach past their bar."""
    boxes = [np.array([[x, y, z] for x in (a, a + 0.01) for y in (0, 0.01) for z in (0, 0.1)]) for a in (0.0, 0.05)]
    faces = np.array(
        [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    )
    parts = slices(boxes[0], faces, 4)
    assert len(parts) == 4
    for i, part in enumerate(parts):
        assert part[:, 2].min() == pytest.approx(0.025 * i) and part[:, 2].max() == pytest.approx(0.025 * (i + 1))
        assert np.ptp(part[:, 0]) == pytest.approx(0.01), "each slice has the full width"


@readers
def test_a_mesh_that_is_none_is_named(tmp_path):
    (tmp_path / "hand.stl").write_bytes(b"no mesh at all")
    with pytest.raises(RobotError, match=r"hand\.stl"):
        read_mesh(tmp_path / "hand.stl")
    with pytest.raises(RobotError, match=r"arm\.dae"):
        read_mesh(tmp_path / "arm.dae")


def test_a_reader_that_is_missing_is_named(monkeypatch):
    source = description("xarm7")
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(ConfigError, match=r"module trimesh: pip install 'waldo\[robots\]'"):
        read_links(source)
