"""Pictures through OpenGL, in software where there is none, and a clear word where there is neither."""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import mujoco
import numpy as np
import pytest

from data.errors import ConfigError
from sim.rendering import opengl
from sim.rendering.renderer import Renderer

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


@pytest.mark.needs_gl
def test_any_size_any_order_the_same_picture(gl, arm):
    """One context serves all sizes, also larger ones than the model's buffer: what was drawn before must not show."""
    env = arm(1)
    env.reset(np.array([5]))
    state, show = env.physics.state()[0], env.physics.show
    sizes = [(96, 96), (97, 131), (480, 640), (700, 900), (1, 1)]
    first = {size: show(state, "front", size) for size in sizes}
    env.render("film")
    for size in reversed(sizes):
        assert first[size].shape == (*size, 3)
        np.testing.assert_array_equal(show(state, "front", size), first[size])
        env.render_segmentation("wrist", size=size)
    fresh = Renderer(env.physics.model)
    np.testing.assert_array_equal(fresh.color(state, "front", (97, 131)), first[97, 131])
    fresh.close()


@pytest.fixture
def mujocos(gl, monkeypatch):
    """MuJoCo's own Renderer, on our platform whenever mujoco was imported."""
    monkeypatch.setattr("mujoco.rendering.classic.gl_context.GLContext", opengl._platform())
    return mujoco.Renderer


@pytest.mark.needs_gl
def test_our_flat_picture_is_what_mujocos_renderer_draws_without_shadow_and_multisampling(mujocos, arm):
    env = arm(1)
    env.reset(np.array([5]))
    model, data = env.physics.model, mujoco.MjData(env.physics.model)
    data.qpos[:], data.mocap_pos[:], data.mocap_quat[:] = env.physics.qpos[0], env.physics.mocap_pos[0], env.physics.mocap_quat[0]
    mujoco.mj_forward(model, data)
    samples, model.vis.quality.offsamples = model.vis.quality.offsamples, 0
    with mujocos(model, 96, 128) as theirs:
        model.vis.quality.offsamples = samples
        theirs.update_scene(data, "front")
        theirs.scene.flags[[int(mujoco.mjtRndFlag.mjRND_SHADOW), int(mujoco.mjtRndFlag.mjRND_REFLECTION)]] = 0
        np.testing.assert_array_equal(env.render("front", size=(96, 128))[0], theirs.render())
        theirs.enable_segmentation_rendering()
        np.testing.assert_array_equal(env.render_segmentation("front", size=(96, 128))[0], theirs.render()[..., 0])
        theirs.enable_depth_rendering()
        ours = env.render_depth("front", size=(96, 128))[0]
        there = np.isfinite(ours)
        np.testing.assert_allclose(ours[there], theirs.render()[there], rtol=1e-5)
        assert (theirs.render()[~there] > 0.99 * model.vis.map.zfar * model.stat.extent).all()


AT_EXIT = """
import mujoco  # before waldo has chosen a platform
import numpy as np
from sim.env import ArmConfig, ArmVecEnv
made = [ArmVecEnv(ArmConfig(task={"_target_": "sim.tasks.pick_place.PickPlace"}, num_envs=1, threads=1)) for _ in range(3)]
for env in made:
    env.reset(np.array([1]))
    env.render("front", size=(24, 24)), env.render()
made[0].close()
print(made[1].physics._renderer.backend)
"""


@pytest.mark.needs_gl
def test_a_program_that_forgets_to_close_ends_without_a_word(gl):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", AT_EXIT], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.strip() != "software"


@pytest.mark.slow
@pytest.mark.needs_gl
def test_a_policys_picture_costs_a_twentieth_of_mujocos_defaults(mujocos, arm):
    """Medians of interleaved rounds; MuJoCo's defaults are a shadow map of 4096 and 4 samples per pixel."""
    env = arm(1)
    env.reset(np.array([5]))
    state, model = env.physics.state()[0], copy.copy(env.physics.model)
    model.vis.quality.shadowsize, model.vis.quality.offsamples = 4096, 4
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    with mujocos(model, 96, 96) as theirs:
        for _ in range(12):
            for name, count in (("ours", 40), ("theirs", 2)):
                began = time.perf_counter()
                for _ in range(count):
                    if name == "ours":
                        env.physics.show(state, "front", (96, 96))
                    else:
                        theirs.update_scene(data, "front")
                        theirs.render()
                seconds[name].append((time.perf_counter() - began) / count)
    ours, default = np.median(seconds["ours"]), np.median(seconds["theirs"])
    print(f"96x96: {1 / ours:.0f} pictures/s, {default / ours:.0f}x MuJoCo's defaults")
    assert default / ours >= 20


WITHOUT_GL = """
import numpy as np
from pathlib import Path
from data.errors import RenderError
from data.store import Dataset
from sim.collect import collect
from sim.env import ArmConfig, ArmVecEnv
from sim.tasks.pick_place import PickPlaceExpert
task = {"_target_": "sim.tasks.pick_place.PickPlace"}
env = ArmVecEnv(ArmConfig(task=task, num_envs=1, threads=1, expert="sim.tasks.pick_place.PickPlaceExpert"))
obs = env.reset(np.array([1]))
obs, *_ = env.step(obs["observation.state"])
print(sorted(obs))
try:
    print(env.render("front").shape)
except RenderError as error:
    print(error)
counts = collect(env, Path("demo"), np.array([1]), {"clean": 1.0}, {})
print(counts["no_images"])
print(Dataset.open("demo").camera_keys)
"""
OBSERVED = "['observation.environment_state', 'observation.joints', 'observation.state']"


def without_gl(folder, prelude=""):
    environment = {**os.environ, "MUJOCO_GL": "disable", "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-c", prelude + WITHOUT_GL]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def test_without_opengl_pictures_come_from_pybullet(tmp_path):
    pytest.importorskip("pybullet")
    assert without_gl(tmp_path) == [OBSERVED, "(1, 96, 96, 3)", "", "('observation.images.front', 'observation.images.wrist')"]


def test_without_opengl_and_pybullet_everything_but_pictures_works_and_both_ways_out_are_named(tmp_path):
    seen, error, said, cameras = without_gl(tmp_path, "import sys\nsys.modules['pybullet'] = None\n")
    assert seen == OBSERVED
    for line in (error, said):
        assert "no OpenGL for rendering" in line and "apt-get install libegl1" in line and "pip install pybullet" in line
    assert cameras == "()"


def test_a_platform_that_fails_is_said_and_software_steps_in(arm, monkeypatch):
    pytest.importorskip("pybullet")

    def broken(model):
        raise RuntimeError("Cannot create an EGL context.\nmore")

    env = arm(1)
    env.reset(np.array([1]))
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr(opengl, "OpenGL", broken)
    with pytest.warns(RuntimeWarning, match=r"RuntimeError: Cannot create an EGL context\.\): pictures are drawn in software"):
        assert env.render("front", size=(24, 24)).std() > 10
    assert env.physics.drawn_by == "software"


@pytest.mark.needs_gl
def test_what_cannot_be_drawn_is_refused(gl, arm):
    env = arm(1)
    env.reset(np.array([1]))
    with pytest.raises(ConfigError, match="no camera 'frnt'; did you mean 'front'"):
        env.render("frnt")
    with pytest.raises(ConfigError, match="a picture of 0x10 pixels; allowed: 1 to 4096"):
        env.render("front", size=(10, 0))
    with pytest.raises(ConfigError, match="segmentation of 'bdy'; did you mean 'body'"):
        env.render_segmentation("front", of="bdy")


@pytest.mark.parametrize(("given", "expected"), [("osmesa", "osmesa"), ("disable", "disable")])
def test_a_platform_that_was_chosen_is_kept(given, expected):
    code = "import os\nfrom sim import gl\nprint(gl.choose(), os.environ['MUJOCO_GL'])"
    environment = {**os.environ, "MUJOCO_GL": given}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, expected]


def test_without_libraries_none_is_chosen_and_a_window_only_where_there_is_a_display(monkeypatch):
    from sim import gl

    if not sys.platform.startswith("linux"):
        pytest.skip("other systems than Linux choose their OpenGL platform by themselves")

    def chosen(*libraries, **environment):
        for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(gl, "_loads", lambda library: library in libraries)
        return gl.choose()

    assert chosen() == "disable"
    assert chosen("libOSMesa.so.8") == "osmesa"
    assert chosen("libEGL.so.1", "libOSMesa.so.8", "libGL.so.1", DISPLAY=":0") == "egl"
    assert chosen("libGL.so.1") == "disable"
    assert chosen("libGL.so.1", DISPLAY=":0") == "glfw"
    assert chosen("libGL.so.1", WAYLAND_DISPLAY="wayland-0") == "glfw"
    assert chosen(DISPLAY=":0") == "disable"
