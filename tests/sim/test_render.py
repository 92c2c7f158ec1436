"""Pictures where there is OpenGL, and a clear word where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.needs_gl
def test_cameras_show_the_scene_and_follow_it(gl, arm):
    env = arm(2, images=True, image_size=48)
    obs = env.reset(np.array([1, 2]))
    for camera in env.task.cameras:
        pictures = obs[f"observation.images.{camera}"]
        assert pictures.shape == (2, 48, 48, 3) and pictures.dtype == np.uint8
        assert pictures.std() > 10  # not one colour
        np.testing.assert_array_equal(pictures, env.render(camera))
    assert env.render().shape == (2, 240, 320, 3)
    assert env.render("front", np.array([1]), (24, 32)).shape == (1, 24, 32, 3)
    front = env.render("front")
    assert (front[0] != front[1]).any()  # another cube, another bin
    env.physics.set_body("cube", env.physics.body("cube")[0] + [0, 0.1, 0], np.tile([1.0, 0, 0, 0], (2, 1)), np.arange(2))
    moved = np.abs(env.render("front").astype(int) - front).max(-1) > 30
    assert 5 < moved[0].sum() < 400  # the cube's old place and its new one, not the rest


@pytest.mark.needs_gl
def test_a_picture_drawn_later_is_the_picture_of_then(gl, arm):
    env = arm(1)
    env.reset(np.array([3]))
    state, then = env.physics.state()[0], env.render("front")[0]
    hold = env.observe()["observation.state"] + np.array([0.1, 0, 0.1, 0, 0, 0, 0, 0], np.float32)
    for _ in range(10):
        env.step(hold)
    assert (env.render("front")[0] != then).any()
    np.testing.assert_array_equal(env.physics.show(state, "front", (env.config.image_size,) * 2), then)


@pytest.mark.needs_gl
def test_the_cube_is_where_the_pixels_say(gl, arm):
    """Blue pixels of the front camera move to the right of the picture as y grows: +y is right, seen from the front."""
    env = arm(1, image_size=96, home_noise=0.0)
    env.reset(np.array([0]))
    columns = []
    for y in (-0.25, -0.1, 0.1, 0.25):
        env.physics.set_body("cube", np.array([[0.6, y, 0.02]]), np.array([[1.0, 0, 0, 0]]), np.array([0]))
        picture = env.render("front")[0].astype(int)
        blue = (picture[..., 2] > picture[..., 0] + 60) & (picture[..., 2] > picture[..., 1] + 30)
        assert blue.sum() > 3
        columns.append(np.argwhere(blue)[:, 1].mean())
    assert np.all(np.diff(columns) > 5)


WITHOUT_GL = """
import numpy as np
from pathlib import Path
from data.errors import RenderError
from data.store import Dataset
from sim.collect import collect
from sim.env import ArmConfig, ArmVecEnv
env = ArmVecEnv(ArmConfig(task={"_target_": "sim.tasks.pick_place.PickPlace"}, num_envs=1, threads=1))
obs = env.reset(np.array([1]))
obs, *_ = env.step(obs["observation.state"])
print(sorted(obs))
try:
    env.render()
except RenderError as error:
    print(error)
counts = collect(env, "sim.tasks.pick_place.PickPlaceExpert", Path("demo"), np.array([1]), 0.0, {})
print(counts["no_images"])
print(Dataset.open("demo").camera_keys)
"""


def test_without_opengl_everything_but_pictures_works_and_the_package_is_named(tmp_path):
    environment = {**os.environ, "MUJOCO_GL": "disable", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_GL], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen, error, said, cameras = done.stdout.splitlines()
    assert seen == "['observation.environment_state', 'observation.joints', 'observation.state']"
    for line in (error, said):
        assert "no OpenGL for rendering" in line and "apt-get install libegl1" in line
    assert cameras == "()"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("given", "expected"), [("osmesa", "osmesa"), ("disable", "disable")])
def test_a_platform_that_was_chosen_is_kept(given, expected):
    code = "import os\nfrom sim import gl\nprint(gl.choose(), os.environ['MUJOCO_GL'])"
    environment = {**os.environ, "MUJOCO_GL": given}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, expected]


def test_without_libraries_none_is_chosen(monkeypatch):
    from sim import gl

    if not sys.platform.startswith("linux"):
        pytest.skip("other systems than Linux choose their OpenGL platform by themselves")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(gl, "_loads", lambda library: False)
    assert gl.choose() == "disable"
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr(gl, "_loads", lambda library: "OSMesa" in library)
    assert gl.choose() == "osmesa"
