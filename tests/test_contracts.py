"""What every policy, critic, steering rule, dataset and environment has to satisfy: one set of tests over every YAML in configs/.
(Robots: tests/real.)

A new thing is tested the moment its YAML exists. `make test-contracts` runs this file alone.
"""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from data.batches import Drawn
from data.config import build, locate, typed
from data.errors import ConfigError, DatasetError, RenderError, SpecError
from data.record import Recorder
from data.signals import ACTOR
from data.spec import Feature
from data.store import Dataset
from policies import checkpoint
from policies.artifact import Artifact
from policies.export import export
from policies.inputs import DataConfig, Inputs, open_dataset
from policies.train import TrainConfig, train
from sim.collect import collect
from tests.policies.dummy import make_batch, make_chunks, make_normalizer, make_obs, make_spec, seeds_of, stir, tiny_flow
from waldo import manual
from waldo.compose import composed
from waldo.manual import FAMILIES
from waldo.options import options_of

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SPEC = make_spec(camera=True, horizon=16, n_action_steps=8)
BLIND = make_spec(horizon=16, n_action_steps=8)


def group(name, real=True):
    """The YAML files of a group; `real` leaves out those that stand for nothing, or that only play."""
    paths = sorted((CONFIGS / name).glob("*.yaml"))
    assert paths, f"configs/{name} holds no YAML: its contract would be tested by nothing"
    targets = {p.stem: OmegaConf.load(p).get("_target_", "?") for p in paths}
    return [stem for stem, target in targets.items() if not real or (target and not target.startswith("sim.players."))]


def load(group_name, name, spec=SPEC, **options):
    """What the YAML describes, with random weights so that every input matters."""
    torch.manual_seed(0)
    node = OmegaConf.load(CONFIGS / group_name / f"{name}.yaml")
    return stir(build({**OmegaConf.to_container(node), **options}, spec, make_normalizer(spec)))


every_policy = pytest.mark.parametrize("name", group("policy"))
every_critic = pytest.mark.parametrize("name", group("offline"))


def rows(obs, picked):
    return {key: values[picked] for key, values in obs.items()}


def check_loss(module, critic):
    module.train()
    batch = make_batch(module, 6, critic)
    torch.manual_seed(1)
    loss, info = module.loss(batch)
    assert loss.shape == () and torch.isfinite(loss)
    assert all(type(value) is float and np.isfinite(value) for value in info.values())
    assert info["loss"] == pytest.approx(loss.item(), rel=1e-5)
    loss.backward()
    idle = [key for key, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == [], "parameters that no loss reaches"
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)
    for key in batch:
        if key == "action_is_pad" or batch[key].dtype == torch.uint8:
            continue
        torch.manual_seed(1)
        other = module.loss(batch | {key: batch[key] + 0.5})[0]
        assert other.item() != loss.item(), f"the loss does not depend on {key}"


def check_trains(module, critic, out):
    """A few steps of the real loop, then the folder answers as the module that was trained."""
    columns = {key: value.numpy() for key, value in make_batch(module, 16, critic).items()}
    config = TrainConfig(steps=2, batch_size=4, warmup=1, threads=1, device="cpu")
    folder = train(module, Drawn(lambda picked, _: {k: v[picked] for k, v in columns.items()}, 16), config, out, 0, {"seed": 0})
    loaded = checkpoint.load(folder)
    assert type(loaded) is type(module) and loaded.spec == module.spec
    assert not loaded.training and not module.training
    return loaded


@every_policy
def test_a_policys_loss_is_finite_and_reaches_every_weight(name):
    check_loss(load("policy", name), critic=False)


@every_policy
def test_a_policy_proposes_chunks_in_si_units(name):
    policy = load("policy", name)
    chunks = policy.sample(make_obs(SPEC, 3), 2, seeds_of(3))
    assert isinstance(chunks, np.ndarray) and chunks.dtype == np.float32
    assert chunks.shape == (3, 2, SPEC.horizon, SPEC.action.dim)
    assert np.isfinite(chunks).all()
    np.testing.assert_allclose(np.linalg.norm(chunks[..., 3:7], axis=-1), 1, atol=1e-5)
    low, high = policy.normalizer.ranges["action"]
    plain = [0, 1, 2, 7]
    assert (chunks[..., plain] >= low[plain] - 1e-5).all() and (chunks[..., plain] <= high[plain] + 1e-5).all()


@every_policy
def test_a_proposal_is_a_function_of_its_observation_and_its_seed(name):
    policy = load("policy", name)
    obs, seeds = make_obs(SPEC, 4), seeds_of(4, first=9)
    chunks = policy.sample(obs, 3, seeds)
    np.testing.assert_array_equal(chunks, policy.sample(obs, 3, seeds))
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(policy.sample(rows(obs, order), 3, seeds[order]), chunks[order], atol=1e-4)
    for i in range(4):
        alone = policy.sample(rows(obs, slice(i, i + 1)), 3, seeds[i : i + 1])
        np.testing.assert_allclose(alone[0], chunks[i], atol=1e-4)
    other = policy.sample(make_obs(SPEC, 4, seed=7), 3, seeds)
    assert np.abs(other - chunks).max((1, 2, 3)).min() > 1e-4, "the observation changes nothing"
    if np.abs(chunks[:, 0] - chunks[:, 1]).max() > 1e-6:  # not a regression: then another seed is another chunk
        again = policy.sample(obs, 3, seeds + np.uint64(1000))
        assert np.abs(again - chunks).max((1, 2, 3)).min() > 1e-4, "the seed changes nothing"


@every_policy
def test_a_guide_is_called_with_what_base_promises(name):
    policy = load("policy", name)
    obs, seeds = make_obs(SPEC, 2), seeds_of(2)
    seen = []

    def watch(x, t, x1_hat):
        seen.append(t)
        assert x.shape == x1_hat.shape == (2 * 3, SPEC.horizon, policy.action_dim)
        return x

    np.testing.assert_allclose(policy.sample(obs, 3, seeds, watch), policy.sample(obs, 3, seeds), atol=1e-5)
    assert seen == sorted(seen) and all(0 <= t < 1 for t in seen)


@every_policy
def test_a_policy_survives_its_checkpoint(name, tmp_path):
    policy = load("policy", name)
    loaded = check_trains(policy, False, tmp_path)
    obs = make_obs(SPEC, 2)
    np.testing.assert_array_equal(loaded.sample(obs, 2, seeds_of(2)), policy.sample(obs, 2, seeds_of(2)))


@every_policy
def test_a_policy_refuses_observations_it_cannot_read(name):
    policy = load("policy", name)
    obs = make_obs(SPEC, 2)
    with pytest.raises(SpecError, match="'observation.images.front' is missing"):
        policy.sample({k: v for k, v in obs.items() if "images" not in k}, 1, seeds_of(2))
    with pytest.raises(SpecError, match="has shape"):
        policy.sample(obs | {"observation.state": obs["observation.state"][:, :1]}, 1, seeds_of(2))
    with pytest.raises(SpecError, match="not finite"):
        policy.sample(obs | {"observation.state": np.full_like(obs["observation.state"], np.nan)}, 1, seeds_of(2))


def check_export(policy, folder):
    """The artefact's proposals equal the policy's to 1e-5 of the action's range, or the export says that there is none."""
    try:
        artefact = Artifact.load(export(policy, folder, {}, {}))
    except ConfigError as error:
        assert "cannot be exported" in str(error)
        assert not folder.exists()
        return
    low, high = artefact.normalizer.ranges["action"]
    for batch in (1, 4):
        obs, seeds = make_obs(policy.spec, batch, seed=batch), seeds_of(batch, first=20)
        ours, theirs = (one.sample(obs, 2, seeds) for one in (policy, artefact))
        assert (np.abs(ours - theirs) / (high - low)).max() < 1e-5


@every_policy
def test_a_policy_is_exported_as_it_is_or_says_that_it_cannot_be(name, tmp_path):
    known = {option.name for option in options_of(OmegaConf.load(CONFIGS / "policy" / f"{name}.yaml")._target_) or ()}
    options = {
        key: value for key, value in {"width": 32, "depth": 2, "network": "mlp"}.items() if key in known
    }  # tracing a U-Net takes 10 s
    check_export(load("policy", name, BLIND, **options), tmp_path / "artefact")


@every_critic
def test_a_critics_loss_is_finite_and_reaches_every_weight(name):
    check_loss(load("offline", name), critic=True)


@every_critic
def test_a_critic_values_chunks_row_by_row(name):
    critic = load("offline", name)
    obs, chunks = make_obs(SPEC, 3), make_chunks(SPEC, (3, 4, SPEC.n_action_steps))
    q, v = critic.q(obs, chunks), critic.v(obs)
    assert q.ndim == 3 and q.shape[1:] == (3, 4) and v.shape == (3,)
    assert np.isfinite(q).all() and np.isfinite(v).all()
    for i in range(3):
        one = rows(obs, slice(i, i + 1))
        np.testing.assert_allclose(critic.q(one, chunks[i : i + 1, 1:2])[:, 0, 0], q[:, i, 1], atol=1e-5)
        np.testing.assert_allclose(critic.v(one)[0], v[i], atol=1e-5)
    assert np.abs(critic.q(obs, chunks[:, ::-1]) - q).max() > 1e-5, "the chunk changes nothing"
    assert np.abs(critic.q(make_obs(SPEC, 3, seed=5), chunks) - q).max() > 1e-5, "the observation changes nothing"


@every_critic
def test_a_critic_survives_its_checkpoint(name, tmp_path):
    critic = load("offline", name)
    loaded = check_trains(critic, True, tmp_path)
    obs, chunks = make_obs(SPEC, 2), make_chunks(SPEC, (2, 3, SPEC.n_action_steps))
    np.testing.assert_array_equal(loaded.q(obs, chunks), critic.q(obs, chunks))
    np.testing.assert_array_equal(loaded.v(obs), critic.v(obs))


@pytest.mark.parametrize("name", group("steer"))
def test_a_steered_policy_is_a_policy(name, tmp_path):
    base = tiny_flow(BLIND)
    critic = load("offline", group("offline")[0], BLIND)
    steered = build(OmegaConf.load(CONFIGS / "steer" / f"{name}.yaml"), base, critic)
    assert steered.spec == base.spec
    obs, seeds = make_obs(BLIND, 3), seeds_of(3)
    chunks = steered.sample(obs, 2, seeds)
    assert chunks.shape == (3, 2, BLIND.horizon, BLIND.action.dim)
    np.testing.assert_array_equal(chunks, steered.sample(obs, 2, seeds))
    order = np.array([2, 0, 1])
    np.testing.assert_allclose(steered.sample(rows(obs, order), 2, seeds[order]), chunks[order], atol=1e-4)
    check_export(steered, tmp_path / "artefact")


@pytest.mark.parametrize("name", group("env"))
def test_an_environment_keeps_its_word(name):
    try:
        env = build({**OmegaConf.to_container(OmegaConf.load(CONFIGS / "env" / f"{name}.yaml")), "num_envs": 3})
    except ConfigError as error:
        assert "not installed" in str(error)
        pytest.skip(str(error))
    spec, seeds = env.spec, np.array([11, 12, 11])
    assert (spec.n_obs_steps, spec.horizon, spec.n_action_steps) == (1, 1, 1) and env.num_envs == 3 and env.max_steps > 0
    first = env.reset(seeds)
    vectors = [f for f in spec.observations if not f.is_image]
    assert vectors and {f.name for f in vectors} <= set(first) <= {f.name for f in spec.observations}
    for feature in spec.observations:
        if feature.name in first:
            assert first[feature.name].shape == (3, *feature.shape), feature.name
            assert first[feature.name].dtype == np.dtype(feature.dtype), feature.name
            np.testing.assert_array_equal(first[feature.name][0], first[feature.name][2])
    assert np.abs(first[vectors[0].name][0] - first[vectors[0].name][1]).max() > 0, "seeds change nothing"
    hold = np.zeros((3, spec.action.dim), np.float32)
    hold[:, : min(spec.action.dim, 2)] = 0.3
    for quat in spec.action.quaternions:
        hold[:, quat] = 1
    active = np.array([True, True, False])
    for _ in range(3):
        obs, reward, terminated, truncated, info = env.step(hold, active)
    for array, kind in ((reward, np.floating), (terminated, np.bool_), (truncated, np.bool_), (info["success"], np.bool_)):
        assert array.shape == (3,) and np.issubdtype(array.dtype, kind)
    assert np.abs(obs[vectors[0].name][0] - first[vectors[0].name][0]).max() > 0, "actions change nothing"
    np.testing.assert_array_equal(obs[vectors[0].name][2], first[vectors[0].name][2])  # a row that has ended stands still
    again = env.reset(seeds)
    for key, values in first.items():
        np.testing.assert_array_equal(again[key], values)
    try:
        picture = env.render("", np.array([0]), None)
        assert picture.ndim == 4 and picture.shape[0] == 1 and picture.shape[3] == 3 and picture.dtype == np.uint8
    except RenderError as error:
        assert "apt-get install" in str(error)
    env.close()


@pytest.mark.parametrize("name", group("data", real=False))
def test_a_dataset_that_is_not_there_says_where_it_was_looked_for(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WALDO_DATASETS", str(tmp_path))
    node = composed("train", [f"data={name}"]).data  # composed, because one YAML may build on another
    config = typed(DataConfig, OmegaConf.to_container(node), "data")
    with pytest.raises(DatasetError) as caught:
        open_dataset(config)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_waldo_collect_records_is_what_its_data_config_reads(tmp_path, monkeypatch):
    """configs/env/pick_place.yaml and configs/data/pick_place.yaml, from the expert to a training batch."""
    node = OmegaConf.to_container(OmegaConf.load(CONFIGS / "env/pick_place.yaml"))
    env = build({**node, "num_envs": 4, "threads": 1})
    collect(env, tmp_path / "pick_place", np.arange(60, 64), {"clean": 1.0}, {}, images=False)
    env.close()
    monkeypatch.setenv("WALDO_DATASETS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = typed(DataConfig, OmegaConf.to_container(OmegaConf.load(CONFIGS / "data/pick_place.yaml")), "data")
    inputs = Inputs(config, 2, 16, 8)
    batch = inputs.windows().batch(np.arange(5))
    assert batch["action"].shape == (5, 16, inputs.normalizer.dim("action"))
    assert max(np.abs(values).max() for values in batch.values()) <= 1 + 1e-5
    transitions = inputs.transitions(0.99).batch(np.arange(5))
    assert set(transitions) == {*config.observations, *(f"next.{key}" for key in config.observations), "action", "reward", "discount"}
    assert len(inputs.transitions(0.99)) == sum(len(inputs.dataset.episode(i)) for i in range(4))  # all of them end for good


@pytest.mark.parametrize("name", group("weight"))
def test_a_rule_weighs_every_frame_of_a_dataset(name, tmp_path):
    folder = tmp_path / "demo"
    columns = {"action": np.zeros((4, 1)), "next.reward": np.arange(4.0), "actor": np.array([0, 1, 1, 2], np.uint8), "quality": np.ones(4)}
    features = [Feature("action", (1,)), Feature("next.reward", (1,)), ACTOR, Feature("quality", (1,))]
    with Recorder(folder, 10, features, "dummy") as recorder:
        for task in ("push", "lift", "lift"):
            recorder.add_episode(columns, task)
    weights = build(OmegaConf.load(CONFIGS / "weight" / f"{name}.yaml"))(Dataset.open(folder))
    assert weights.shape == (12,) and np.isfinite(weights).all() and (weights >= 0).all() and weights.any()


GROUPS = ("policy", "offline", "steer", "data", "env", "robot", "weight")


def test_every_group_of_configurations_has_a_contract():
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir() and not path.name.startswith("_")} == {*GROUPS, *FAMILIES.values()}


@pytest.mark.parametrize(("group_name", "name"), [(g, n) for g in GROUPS for n in group(g)])
def test_every_option_of_a_yaml_exists_and_the_file_says_what_it_is(group_name, name):
    path = CONFIGS / group_name / f"{name}.yaml"
    node = OmegaConf.to_container(OmegaConf.load(path))
    assert path.read_text().startswith("# "), "the first line says what it is"
    if "_target_" not in node:
        return
    found = locate(node["_target_"])
    assert inspect.isclass(found) or callable(found)
    options = options_of(node["_target_"])
    assert options is not None, "its options can be read without importing it"
    assert set(node) - {"_target_"} <= {option.name for option in options}


@pytest.mark.parametrize("command", manual.commands())
def test_every_choice_of_every_command_composes(command):
    for group_name in manual.defaults(command):
        for name in manual.choices(group_name):
            words = [f"{group_name}={name}", *(f"{option}=x" for option in manual.bare_options(command))]
            assert composed(command, words)[group_name] is not None
