"""The hooks that come with waldo, as far as they can be tried without the packages that they are for: those are in test_foreign_envs.py."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from omegaconf import OmegaConf

from sim import gl as opengl
from sim.foreign.plan import features_of, hook_path, names_of, units_of

ROOT = Path(__file__).resolve().parents[2]
HOOKS, VENVS = ROOT / "sim" / "foreign" / "hooks", ROOT / "sim" / "foreign" / "venvs"
FILES = sorted(path for path in HOOKS.rglob("*.py") if path.stem != "__init__")
YAMLS = sorted(path.stem for path in (ROOT / "configs" / "env").glob("*.yaml") if OmegaConf.load(path).get("requirements"))
SCENE = """<mujoco><visual><quality offsamples="8" shadowsize="2048"/></visual><worldbody><light pos="0 0 2"/>
  <geom type="plane" size="1 1 .1" rgba="0 0 1 1"/>
  <body pos="0 0 .1"><joint axis="0 0 1"/><geom type="box" size=".1 .1 .1" rgba="1 0 0 1"/></body>
  <camera name="top" pos="0 0 1"/><camera name="away" pos="0 0 -1" xyaxes="1 0 0 0 -1 0"/></worldbody></mujoco>"""


def load(path):
    """A hook by its path, as another interpreter loads it."""
    spec = importlib.util.spec_from_file_location(f"hook_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_hook_is_python_3_8_and_needs_nothing_at_import_but_numpy_and_gymnasium(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    assert isinstance(tree.body[1], ast.ImportFrom) and tree.body[1].module == "__future__", "annotations of today would not do in 3.8"
    tops = {alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    tops |= {node.module.split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert tops <= set(sys.stdlib_module_names) | {"numpy", "gymnasium"}


@pytest.mark.parametrize("name", YAMLS)
def test_a_yaml_names_files_that_are_there_and_as_many_units_as_names(name):
    path = ROOT / "configs" / "env" / f"{name}.yaml"
    config = OmegaConf.to_container(OmegaConf.load(path))
    assert len(path.read_text().splitlines()) <= 40
    features, _ = features_of(config["observations"])  # raises where names, units and places disagree
    assert features[0].name == "observation.state"
    assert len({f.name for f in features}) == len(features) and all(len(set(f.names)) == len(f.names) for f in features)
    names = names_of(config["action_names"])
    assert len(units_of(config.get("action_units") or config["action_unit"], len(names))) == len(names) == len(set(names))
    assert (ROOT / config["requirements"]).is_file()
    hook = load(Path(hook_path(config["hook"])))
    assert config.get("expert", "") == ("hook" if hasattr(hook, "expert") else "")
    if hasattr(hook, "ids") and hook.ids.__code__.co_names[0] != "sorted":  # robosuite's are asked of robosuite
        assert config["id"] in hook.ids()
    assert f"make venv-{Path(config['requirements']).stem}" in path.read_text().splitlines()[0]


@pytest.mark.parametrize("path", sorted(VENVS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_venv_is_pinned_exactly_and_free_of_torch(path):
    pins = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    found = {pin.split("==")[0].lower() for pin in pins}
    assert len(found) == len(pins) and {"numpy", "gymnasium", "mujoco"} <= found
    assert not any(word in name for name in found for word in ("torch", "cuda", "nvidia", "jax"))


def test_meta_world_has_fifty_tasks_each_with_its_instruction():
    hook = load(HOOKS / "metaworld.py")
    assert len(hook.ids()) == 50 == len(set(hook.INSTRUCTIONS.values())) and all(
        re.fullmatch(r"Meta-World/[a-z-]+-v3", i) for i in hook.ids()
    )


def test_a_kitchen_is_done_when_nothing_is_left_to_do():
    success = load(HOOKS / "robotics.py").success
    assert success(None, None, 0.0, {"tasks_to_complete": []}) and not success(None, None, 0.0, {"tasks_to_complete": ["kettle"]})
    assert success(None, None, 0.0, {"success": np.True_}) and success(None, None, 0.0, {"is_success": np.float32(1)})
    assert not success(None, None, 0.0, {"is_success": 0.0}) and not success(None, None, 0.0, {})


class FakeSuite:
    """What robosuite answers: a quaternion with its scalar last, and a generator that its placement samplers hold on to."""

    action_spec = np.array([-1.0, -1.0]), np.array([1.0, 1.0])

    def __init__(self):
        self.rng = np.random.default_rng(99)
        self.sampler, self.done = self.rng, False

    def reset(self):
        return {"cube_quat": np.array([0.1, 0.2, 0.3, 0.9]), "place": self.sampler.uniform(size=2), "height": 0.5, "all-state": np.zeros(9)}

    def step(self, action):
        return self.reset(), action.sum(), False, {}

    def _check_success(self):
        return self.done


def test_robosuite_gets_its_seed_and_quaternions_with_the_scalar_first():
    env = load(HOOKS / "robosuite.py").Gym(FakeSuite())
    first, again, other = env.reset(seed=3)[0], env.reset(seed=3)[0], env.reset(seed=4)[0]
    np.testing.assert_array_equal(first["cube_quat"], [0.9, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(first["place"], again["place"])
    np.testing.assert_array_equal(first["place"], np.random.default_rng(3).uniform(size=2))
    assert (first["place"] != other["place"]).all() and first["height"].shape == (1,) and set(first) == set(env.observation_space.spaces)
    assert env.step(np.ones(2, np.float32))[1:] == (2.0, False, False, {"success": False})
    env.env.done = True
    assert env.step(np.ones(2, np.float32))[2:] == (True, False, {"success": True})


class FakeArm(gymnasium.Env):
    """An environment of OGBench: the goal is told by reset, and chosen through its options."""

    action_space = observation_space = gymnasium.spaces.Box(-1, 1, (28,))
    compute_ob_info = None

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.options = options
        return np.arange(28.0), {"goal": 100 + np.arange(28.0)}

    def step(self, action):
        return -np.arange(28.0), 1.0, False, False, {}


def test_ogbench_shows_its_goal_and_seeds_go_through_its_five():
    inner = FakeArm()
    env = load(HOOKS / "ogbench.py").GoalInObservation(inner)
    chosen = []
    for seed in range(100, 110):
        obs = env.reset(seed=seed)[0]
        chosen.append(inner.options["task_id"])
    assert chosen == [1, 2, 3, 4, 5] * 2
    obs = env.step(np.zeros(28))[0]
    np.testing.assert_array_equal(np.concatenate([obs["robot"], obs["objects"]]), -np.arange(28.0))
    np.testing.assert_array_equal(obs["objects_goal"], 100 + np.arange(19, 28))
    inner._reward_task_id = 2
    assert "goal" not in env.reset(seed=1)[0] and inner.options == {}


def test_a_turn_is_a_right_handed_rotation():
    turn = load(HOOKS / "parts" / "aloha_expert.py").turn
    for axis in range(3):
        wanted = np.zeros(9)
        quat = np.zeros(4)
        mujoco.mju_axisAngle2Quat(quat, np.eye(3)[axis], 0.7)
        mujoco.mju_quat2Mat(wanted, quat)
        np.testing.assert_allclose(turn(axis, 0.7), wanted.reshape(3, 3), atol=1e-12)


@pytest.fixture
def offscreen():
    opengl.choose()
    module = load(HOOKS / "parts" / "offscreen.py")
    yield module
    module.close()


@pytest.mark.needs_gl
def test_a_picture_is_that_of_mujocos_renderer_without_its_shadows(gl, offscreen):
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    found = offscreen.draw(model, data, "top", 60, 80)
    assert model.vis.quality.offsamples == 8 and model.vis.quality.shadowsize == 2048, "the model is as it was"
    model.vis.quality.offsamples = 0
    with mujoco.Renderer(model, 60, 80) as renderer:
        renderer.update_scene(data, "top")
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = 0
        np.testing.assert_array_equal(found, renderer.render())
    assert found[30, 40, 0] > 100 and found[5, 5, 2] > 50, "a red box in the middle of a blue plane"


@pytest.mark.needs_gl
def test_copies_of_a_model_share_a_context_but_not_their_state(gl, offscreen):
    pictures = []
    for angle in (0.0, np.pi / 4):
        model = mujoco.MjModel.from_xml_string(SCENE)
        data = mujoco.MjData(model)
        data.qpos[0] = angle
        mujoco.mj_forward(model, data)
        pictures.append(offscreen.draw(model, data, "top", 40, 40))
    assert len(offscreen._contexts) == 1
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.needs_gl
def test_a_camera_that_is_not_there_is_named_with_those_that_are(gl, offscreen):
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    with pytest.raises(ValueError, match=r"no camera 'topp'; there is: top, away"):
        offscreen.draw(model, data, "topp", 40, 40)


def test_a_view_is_the_free_camera_moved_as_gymnasium_says(offscreen):
    model = mujoco.MjModel.from_xml_string(SCENE)
    camera = offscreen.view({"distance": 2.5, "azimuth": 132.0, "lookat": np.array([1.3, 0.75, 0.55])}, model)
    assert (camera.distance, camera.azimuth, camera.elevation) == (2.5, 132.0, -45.0)
    np.testing.assert_array_equal(camera.lookat, [1.3, 0.75, 0.55])
