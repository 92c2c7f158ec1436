"""Any Gymnasium environment by its id: the rows are those of the environments themselves."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from data.config import build
from data.errors import ConfigError, RenderError, WaldoError
from sim.foreign.plan import features_of
from sim.gym import GymConfig, GymVecEnv
from tests.sim.open_toy import BLIND, open_toy

ROOT = Path(__file__).resolve().parents[2]


def pendulum(num_envs=2, **options):
    """Gymnasium's own pendulum, which needs no further package: cos, sin, speed; one torque."""
    settings = {
        "id": "Pendulum-v1",
        "package": "gymnasium",
        "task": "pendulum",
        "robot": "pendulum",
        "rate_hz": 20.0,
        "max_steps": 15,
        "observations": {
            "observation.state": {"start": 0, "stop": 2, "names": ["cos", "sin"], "units": ["1", "1"]},
            "observation.environment_state": {"start": 2, "stop": 3, "names": ["speed"], "units": ["rad/s"]},
        },
        "action_names": ["torque"],
        "action_unit": "N m",
        "success_key": "",
        "num_envs": num_envs,
    }
    return GymVecEnv(GymConfig(**{**settings, **options}))


def test_rows_are_the_environments_own():
    gymnasium = importlib.import_module("gymnasium")
    vec, seeds = pendulum(3), np.array([5, 6, 5])
    actions = np.random.default_rng(0).uniform(-2, 2, (15, 3, 1))
    actions[:, 2] = actions[:, 0]
    obs = vec.reset(seeds)
    seen = [obs]
    rewards, ends = [], []
    for t in range(15):
        obs, reward, terminated, truncated, info = vec.step(actions[t])
        seen.append(obs)
        rewards.append(reward)
        ends.append(truncated)
        assert not terminated.any() and not info["success"].any()
    for row, seed in enumerate(seeds):
        env = gymnasium.make("Pendulum-v1")
        raw = env.reset(seed=int(seed))[0]
        for t in range(15):
            np.testing.assert_array_equal(seen[t]["observation.state"][row], raw[:2].astype(np.float32))
            np.testing.assert_array_equal(seen[t]["observation.environment_state"][row], raw[2:].astype(np.float32))
            raw, reward, *_ = env.step(actions[t, row].astype(np.float32))
            assert rewards[t][row] == reward
        env.close()
    np.testing.assert_array_equal(seen[-1]["observation.state"][0], seen[-1]["observation.state"][2])
    assert [end.all() for end in ends] == [False] * 14 + [True]
    vec.close()


def test_rows_that_have_ended_stand_still():
    vec = pendulum(2)
    before = vec.reset(np.array([1, 2]))
    after = vec.step(np.ones((2, 1)), np.array([False, True]))[0]
    np.testing.assert_array_equal(after["observation.state"][0], before["observation.state"][0])
    assert np.abs(after["observation.state"][1] - before["observation.state"][1]).max() > 0
    vec.close()


def test_a_short_group_fills_up_with_its_first_row():
    vec = pendulum(3)
    obs = vec.reset(np.array([4]))
    for values in obs.values():
        np.testing.assert_array_equal(values, np.repeat(values[:1], 3, 0))
    vec.close()


def test_the_spec_is_what_the_yaml_says():
    spec = pendulum().spec
    assert [f.name for f in spec.observations] == ["observation.state", "observation.environment_state"]
    assert spec.feature("observation.environment_state").units == ("rad/s",)
    assert (spec.action.names, spec.action.units, spec.action.kind, spec.rate_hz) == (("torque",), ("N m",), "position", 20.0)


def test_the_bounds_of_actions_are_the_spaces_or_narrower():
    vec = pendulum()
    assert (vec.action_low.tolist(), vec.action_high.tolist(), vec.action_low.dtype) == ([-2.0], [2.0], np.float32)
    assert pendulum(action_low=[-1], action_high=[0.5]).action_high.tolist() == [0.5]
    toy = open_toy(1, kwargs={"bound": 0.1}, **BLIND)  # the next float32 to 0.1 lies outside of it
    assert (
        (toy.action_high.astype(float) < 0.1).all() and (toy.action_high > 0.0999999).all() and (toy.action_low == -toy.action_high).all()
    )
    toy = open_toy(1, kwargs={"bound": np.inf}, action_low=[-3.0], action_high=[3.0, 4.0], **BLIND)
    assert (toy.action_low.tolist(), toy.action_high.tolist()) == ([-3, -3], [3, 4])


def test_an_action_outside_is_clipped_or_refused():
    obs, clipped = [], pendulum(2)
    for action in (5.0, 2.0):
        clipped.reset(np.array([1, 2]))
        obs.append(clipped.step(np.full((2, 1), action))[0]["observation.state"])
    np.testing.assert_array_equal(*obs)
    strict = pendulum(2, outside="error")
    strict.reset(np.array([1, 2]))
    with pytest.raises(WaldoError, match="the action of row 1 has torque=5; allowed is -2 to 2"):
        strict.step(np.array([[2.0], [5.0]]))
    strict.step(np.array([[2.0], [5.0]]), np.array([True, False]))  # nobody's action
    with pytest.raises(WaldoError, match="the action of row 0 has torque=inf; allowed is a finite number"):
        clipped.step(np.array([[np.inf], [5.0]]))
    with pytest.raises(WaldoError, match=r"actions of shape \(2,\); this environment takes \(2, 1\): torque"):
        clipped.step(np.zeros(2))


def test_success_is_what_the_yaml_says():
    def of(**options):
        """Rewards and successes of three steps."""
        vec = open_toy(1, kwargs={"ends": 3}, **BLIND, **options)
        vec.reset(np.array([3]))
        steps = [vec.step(np.ones((1, 2))) for _ in range(3)]
        vec.close()
        return [step[1][0] for step in steps], [bool(step[4]["success"][0]) for step in steps]

    rewards, found = of()
    x = np.random.default_rng(3).normal(size=2)[0]  # where the toy starts; it goes on by about 0.1
    assert abs(x + 0.1) > 0.05 and found == [x + 0.1 > 0] * 3
    assert rewards[0] < rewards[1] < rewards[2]
    assert of(success_reward=float(rewards[1]))[1] == [False, True, True]
    assert of(success_key="terminated")[1] == [False, False, True]
    with pytest.warns(UserWarning, match="Toy-v0: an episode ended without success_key 'won' in info, which has: done, nothing"):
        assert of(success_key="won", isolate=True)[1] == [False] * 3


def test_rows_that_have_ended_keep_their_last_state_whoever_steps_them():
    vec = open_toy(2, kwargs={"ends": 2}, **BLIND)
    vec.reset(np.array([3, 4]))
    vec.step(np.zeros((2, 2)), np.array([True, False]))
    last = vec.step(np.zeros((2, 2)))
    assert last[2].tolist() == [True, False]
    for _ in range(3):
        obs, reward, terminated, _, info = vec.step(np.ones((2, 2)))
        np.testing.assert_array_equal(obs["observation.state"][0], last[0]["observation.state"][0])
        assert (reward[0], terminated[0], info["success"][0], info["error"]) == (0, True, last[4]["success"][0], {})


def test_names_and_units_have_a_short_form():
    features, (part,) = features_of({"observation.state": {"keys": ["a", "b.c"], "names": ["x", "q0..3"], "units": ["m", "4*1"]}})
    assert (features[0].names, features[0].units) == (("x", "q0", "q1", "q2", "q3"), ("m", "1", "1", "1", "1"))
    assert (part["keys"], part["start"], part["stop"], part["whole"]) == (["a", "b.c"], 0, 5, True)
    vec = open_toy(1, action_names=["v0..1"], action_units=["m/s", "mm/s"], action_kind="joint", **BLIND)
    assert (vec.spec.action.names, vec.spec.action.units, vec.spec.action.kind) == (("v0", "v1"), ("m/s", "mm/s"), "joint")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "env.observations is empty"),
        ({"observation.state": 3}, "observation.state is 3; wanted are the keys key, keys, start"),
        ({"observation.state": {"kye": "a", "names": ["x"], "units": "m"}}, "unknown key 'kye'; did you mean 'key'"),
        ({"observation.state": {"key": "a", "names": ["x"]}}, "observation.state has no `units`"),
        ({"observation.state": {"start": 2, "stop": 4, "names": ["x"], "units": "m"}}, "elements 2 to 4 .* with 1 names and 1 units"),
        ({"observation.state": {"names": ["x"], "units": ["2*m"]}}, "with 1 names and 2 units"),
        ({"observation.state": {"key": "a", "keys": ["b"], "names": ["x"], "units": "m"}}, "one `key`, or several `keys`"),
        ({"observation.state": {"names": ["x..y"], "units": "m", "angles": [1]}}, r"angles=\[1\].* do not lie in its 1 elements"),
        ({"observation.state": {"names": ["x0..2"], "units": "m", "quaternions": [0]}}, "do not lie in its 3 elements"),
        ({"observation.images.top": {"key": "a", "shape": [4, 4]}}, r"shape=\[4, 4\]; an image has \[height, width, 3\]"),
        ({"observation.images.top": {"shape": [4, 4, 3]}}, "either a `key` of the observation, or render: true"),
    ],
)
def test_an_observation_that_is_not_well_described_is_one_clear_error(said, message):
    with pytest.raises(ConfigError, match=message):
        features_of(said)


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        ({"observation.state": {"key": "agent.pose", "names": ["x"], "units": "m"}}, "there is no 'pose'; there is: position, time"),
        ({"observation.state": {"key": "agent.position", "names": ["x"], "units": "m"}}, "the YAML names elements 0 to 0, and there are 2"),
        (
            {"observation.state": {"key": "mood", "start": 1, "stop": 2, "names": ["x"], "units": "m"}},
            "the YAML names elements 1 to 1, and there are 1",
        ),
        ({"observation.state": {"key": "agent", "names": ["x"], "units": "m"}}, "the observation is not what the YAML says"),
        ({"observation.images.top": {"key": "pixels", "shape": [4, 4, 3]}}, r"is uint8 \(4, 6, 3\); the YAML says uint8 \(4, 4, 3\)"),
        ({"observation.images.top": {"key": "agent.position", "shape": [4, 4, 3]}}, "is float64"),
        ({"observation.images.top": {"render": True, "camera": "top", "shape": [4, 4, 3]}}, "names a camera, and only a hook's `render`"),
    ],
)
def test_an_observation_that_is_not_what_the_yaml_says_is_one_clear_error(observations, message):
    with pytest.raises(ConfigError, match=message):
        open_toy(1, observations=observations)


def test_pictures_are_drawn_when_they_are_wanted():
    vec = open_toy(2)
    vec.config.images = False
    assert "observation.images.side" not in vec.reset(np.array([1, 2]))
    vec.config.images = True
    obs = vec.step(np.zeros((2, 2)))[0]
    assert (obs["observation.images.side"] == 1).all()
    assert vec.render(rows=np.array([1]), size=(6, 8)).shape == (1, 6, 8, 3)
    with pytest.raises(RenderError, match=r"environment Toy-v0: .* is rendered as \(12, 16, 3\); the YAML says \(12, 12, 3\)"):
        open_toy(1, observations={"observation.images.side": {"render": True, "shape": [12, 12, 3]}}).reset(np.array([1]))
    for isolate in (False, True):
        blind = open_toy(1, kwargs={"render_mode": None}, isolate=isolate)
        with pytest.raises(RenderError, match="environment Toy-v0: no picture can be had of it: .*kwargs.render_mode=rgb_array"):
            blind.reset(np.array([1]))
        blind.close()


HOOK = """
import numpy as np
from tests.sim.toy import Toy

def ids():
    return ["red", "blue"]

def make(id, kwargs):
    return Toy(bound={"red": 1.0, "blue": 2.0}[id])

def render(env, camera, height, width):
    return np.full((height, width, 3), {"front": 1, "side": 2}[camera], np.uint8)

def success(env, obs, reward, info):
    return env.unwrapped.time == 2

def describe(env):
    return {"instruction": "go there"}
"""


def test_a_hook_makes_renders_judges_and_describes(tmp_path):
    (tmp_path / "hook.py").write_text(HOOK)
    images = {"observation.images.side": {"render": True, "camera": "side", "shape": [5, 7, 3]}}
    options = {"hook": str(tmp_path / "hook.py"), "cameras": ["front", "side"], "images": True, "kwargs": {}}
    vec = open_toy(2, **{**options, "id": "blue", "observations": {**BLIND["observations"], **images}, "max_steps": 3})
    assert vec.action_high.tolist() == [2, 2] and vec.instruction == "go there" and vec.camera_names == ("front", "side")
    assert (vec.reset(np.array([1, 2]))["observation.images.side"] == np.full((2, 5, 7, 3), 2)).all()
    assert (
        vec.render().shape == (2, 240, 320, 3) and vec.render("side", np.array([0]), (3, 4)).tolist() == np.full((1, 3, 4, 3), 2).tolist()
    )
    assert [vec.step(np.zeros((2, 2)))[4]["success"].tolist() for _ in range(3)] == [[False] * 2, [True] * 2, [False] * 2]
    assert vec.step(np.zeros((2, 2)))[3].all()  # max_steps holds where nobody else counts
    with pytest.raises(ConfigError, match="has no camera 'frond'; did you mean 'front'"):
        vec.render("frond")
    with pytest.raises(ConfigError, match="environment rod: its hook knows no id 'rod'; did you mean 'red'. allowed: blue, red"):
        open_toy(1, id="rod", **options)
    with pytest.raises(ConfigError, match="expert=hook, but the hook .*hook.py has no function `expert`"):
        open_toy(1, id="red", expert="hook", **options)
    with pytest.raises(ConfigError, match="has no scripted expert"):
        vec.expert_actions(np.array([0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"package": "gym_of_nobody", "extra": "pusht"},
            r"needs the package 'gym_of_nobody', which is not installed: pip install 'waldo\[pusht\]'",
        ),
        ({"package": "gym_of_nobody"}, "install gym_of_nobody"),
        ({"package": "gym_of_nobody", "requirements": "some.txt"}, "make a venv of its own, some.txt says what belongs in it.*env.python="),
        ({"num_envs": 0}, "env.num_envs=0; it must be positive"),
        ({"id": "Pendlum-v1"}, "environment Pendlum-v1: no environment is registered.*the closest: Pendulum-v1"),
        ({"id": "pusht/PushT", "package": "collections"}, "no environment is registered as 'pusht/PushT'"),
        ({"id": "CartPole-v1"}, r"environment CartPole-v1: its action space is Discrete\(2\); only a Box"),
        ({"action_names": ["a", "b"]}, "env.action_names has 2 names, but its actions have 1 elements"),
        ({"action_names": []}, "env.action_names is empty"),
        ({"action_low": [-3]}, r"env.action_low=\[-3\] leaves its action space, \[-2.0\] to \[2.0\]"),
        ({"action_low": [1, 1]}, "env.action_low has 2 numbers; give one for all, or 1"),
        ({"action_low": [1], "action_high": [0]}, r"env.action_low=\[1.0\] is not below env.action_high=\[0.0\]"),
        ({"outside": "wrap"}, "env.outside='wrap'; allowed: clip, error"),
        ({"expert": "me"}, "env.expert='me'; "),
        ({"timeout": 0}, "env.timeout=0; it must be positive"),
        ({"hook": "hooks/metaword.py"}, "env.hook=hooks/metaword.py: there is no such file; did you mean 'hooks/metaworld.py'"),
        ({"kwargs": {"gravty": 9.81}}, "environment Pendulum-v1.*gravty"),
    ],
)
def test_an_environment_that_cannot_be_made_is_one_clear_error(options, message):
    with pytest.raises(ConfigError, match=message):
        pendulum(**options)


def test_an_unbounded_action_space_says_how_to_bound_it():
    with pytest.raises(ConfigError, match="unbounded at vx; bound it with env.action_low and env.action_high"):
        open_toy(1, kwargs={"bound": np.inf}, **BLIND)
    with pytest.raises(WaldoError, match="0 seeds for 2 environments; allowed: 1 to 2"):
        pendulum(2).reset(np.array([], int))


@pytest.mark.parametrize("name", ["pusht", "pusht_image"])
def test_push_t_runs_from_its_yaml(name):
    pytest.importorskip("gym_pusht", reason="the extra `pusht` is not installed")
    node = OmegaConf.load(ROOT / "configs/env" / f"{name}.yaml")
    node.num_envs = 2
    env = build(node)
    obs = env.reset(np.array([100000, 100001]))
    for feature in env.spec.observations:
        assert obs[feature.name].shape == (2, *feature.shape)
        assert obs[feature.name].dtype == (np.uint8 if feature.is_image else np.float32)
    target = obs["observation.state"] + [20, -10]  # the agent follows its target
    for _ in range(20):
        obs, reward, _, truncated, _ = env.step(target)
    np.testing.assert_allclose(obs["observation.state"], target, atol=2)
    assert (reward >= 0).all() and (reward <= 1).all() and not truncated.any()
    again = build(node)
    first = again.reset(np.array([100001, 100000]))
    np.testing.assert_array_equal(first["observation.state"][::-1], env.reset(np.array([100000, 100001]))["observation.state"])
    frames = env.render()
    assert frames.shape == (2, 192, 192, 3) and frames.dtype == np.uint8
    env.close()
    again.close()
