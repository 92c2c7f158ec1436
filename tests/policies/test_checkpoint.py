"""Checkpoints: what is loaded is what was saved, and everything else is refused with one clear error."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

from data.errors import CheckpointError, ConfigError, SpecError, WaldoError
from policies import checkpoint
from policies.offline.iql import IQLConfig, IQLCritic
from tests.policies.dummy import make_chunks, make_normalizer, make_obs, make_spec, seeds_of, stir, tiny_flow


@pytest.fixture
def policy():
    return tiny_flow(make_spec(camera=True))


@pytest.fixture
def folder(policy, tmp_path):
    checkpoint.save(policy, tmp_path / "checkpoint", {"step": 7, "seed": 3})
    return tmp_path / "checkpoint"


def test_a_loaded_policy_answers_as_the_saved_one(policy, folder):
    loaded = checkpoint.load(folder)
    assert type(loaded) is type(policy) and not loaded.training
    assert loaded.config == policy.config and loaded.spec == policy.spec
    obs = make_obs(policy.spec, 3)
    np.testing.assert_array_equal(loaded.sample(obs, 2, seeds_of(3)), policy.sample(obs, 2, seeds_of(3)))
    assert checkpoint.provenance(folder) == {"step": 7, "seed": 3}


def test_a_critic_with_its_targets_comes_back(tmp_path):
    spec = make_spec()
    critic = stir(IQLCritic(IQLConfig(ensemble=2, width=8, depth=1), spec, make_normalizer(spec)))
    checkpoint.save(critic, tmp_path / "critic", {})
    loaded = checkpoint.load(tmp_path / "critic")
    obs, chunks = make_obs(spec, 3), make_chunks(spec, (3, 2, spec.n_action_steps))
    np.testing.assert_array_equal(loaded.q(obs, chunks), critic.q(obs, chunks))
    np.testing.assert_array_equal(loaded.v(obs), critic.v(obs))
    for name, value in critic.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_other_weights_can_be_saved_in_its_place(policy, tmp_path):
    halved = {name: p.detach() / 2 for name, p in policy.named_parameters()}
    checkpoint.save(policy, tmp_path / "half", {}, halved)
    for name, p in checkpoint.load(tmp_path / "half").named_parameters():
        torch.testing.assert_close(p, halved[name])


@pytest.mark.parametrize("name", checkpoint.FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} missing"):
        checkpoint.load(folder)


@pytest.mark.parametrize("name", checkpoint.FILES[:4])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_one_clear_error(folder, name, damage):
    content = (folder / name).read_bytes()
    noise = np.random.default_rng(0).bytes(len(content))
    (folder / name).write_bytes({"cut": content[: len(content) // 2], "noise": noise, "empty": b""}[damage])
    with pytest.raises(WaldoError) as caught:
        checkpoint.load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        checkpoint.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        checkpoint.load(tmp_path / "file")


def test_weights_of_another_network_are_refused(folder, tmp_path):
    checkpoint.save(tiny_flow(make_spec(camera=True), width=8), tmp_path / "other", {})
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.load(folder)


def with_config(folder, text):
    (folder / "config.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "_target_: os.system\ncommand: touch owned\n",
            "os.system is not built from a file that came with a checkpoint; allowed packages: policies",
        ),
        ("_target_: policiesevil.Policy\n", "is not built from a file"),
        ("_target_: policies.imitation.flow.FlowPolcy\n", "has no FlowPolcy"),
        ("_target_: policies.nowhere.Policy\n", "policies has no nowhere.Policy"),
        ("_target_: policies.imitation.flow.FlowPolicy\nwdth: 3\n", "unknown option 'wdth'; did you mean 'width'"),
        ("_target_: policies.imitation.flow.FlowPolicy\nwidth: wide\n", "width='wide' does not fit"),
        ("width: 3\n", "needs `_target_`"),
        ("_target_: policies.checkpoint.recover\n", "is not a policy or a critic"),  # functions and borrowed names of our own modules
        ("_target_: policies.imitation.flow.FlowPolicy.loss\n", "is not a policy or a critic"),
        ("_target_: policies.checkpoint.Path\n", "is borrowed from elsewhere"),
        ("_target_: policies.checkpoint.shutil\n", "is borrowed from elsewhere"),
        ("_target_: policies.checkpoint.os.system\n", "is borrowed from elsewhere"),
        ("_target_: policies.train.torch.nn.Linear\n", "is borrowed from elsewhere"),
        ("- a\n- list\n", "config.yaml"),
        ("just a word\n", "config.yaml"),
        ("width: ${oc.env:HOME}\n_target_: policies.imitation.flow.FlowPolicy\n", "config.yaml"),
    ],
)
def test_only_our_own_policies_are_built_from_a_file(folder, text, message):
    with pytest.raises((CheckpointError, ConfigError), match=message) as caught:
        checkpoint.load(with_config(folder, text))
    assert "\n" not in str(caught.value)


def test_a_package_is_built_only_when_it_is_trusted_by_name(folder, policy, tmp_path, monkeypatch):
    package = tmp_path / "strangers_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('imported').touch()\n"
        "from policies.imitation.flow import FlowPolicy\nclass Policy(FlowPolicy):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    node = (folder / "config.yaml").read_text().replace("policies.imitation.flow.FlowPolicy", "strangers_package.Policy")
    with pytest.raises(ConfigError, match="say trust=strangers_package"):
        checkpoint.load(with_config(folder, node))
    assert not (package / "imported").exists()
    loaded = checkpoint.load(folder, trust="strangers_package")
    obs = make_obs(policy.spec, 1)
    np.testing.assert_array_equal(loaded.sample(obs, 1, seeds_of(1)), policy.sample(obs, 1, seeds_of(1)))


class Mine:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_in_disguise_is_not_run(folder, tmp_path):
    trap = tmp_path / "trap"
    for name in ("model.safetensors", "stats.safetensors"):
        content = (folder / name).read_bytes()
        torch.save({"weights": Mine(trap)}, folder / name)
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoint.load(folder)
        assert not trap.exists()
        (folder / name).write_bytes(content)
    torch.load(_pickled(tmp_path, trap), weights_only=False)  # the trap does spring for those who unpickle
    assert trap.exists()


def _pickled(tmp_path, trap):
    torch.save({"weights": Mine(trap)}, tmp_path / "pickle")
    return tmp_path / "pickle"


def test_a_spec_that_is_none_is_refused(folder):
    raw = json.loads((folder / "spec.json").read_text())
    raw["action"]["kind"] = "dance"
    (folder / "spec.json").write_text(json.dumps(raw))
    with pytest.raises(SpecError, match="action kind 'dance' is unknown"):
        checkpoint.load(folder)


def test_a_save_that_is_interrupted_leaves_the_one_before(policy, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tiny_flow(make_spec(camera=True), seed=1), folder, {})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    checkpoint.save(tiny_flow(make_spec(camera=True), seed=1), folder, {})  # what was left lying does not disturb the next one
    assert (folder / "model.safetensors").read_bytes() != before["model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_cut_between_its_two_renames_the_old_one_is_found(policy, folder):
    folder.rename(folder.with_name("checkpoint.old"))
    obs = make_obs(policy.spec, 1)
    np.testing.assert_array_equal(checkpoint.load(folder).sample(obs, 1, seeds_of(1)), policy.sample(obs, 1, seeds_of(1)))
