"""The artefact: the same answers as torch, without torch, and nothing else than what was exported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.errors import CheckpointError, ConfigError, SpecError
from policies.artifact import Artifact
from policies.export import export
from policies.offline.iql import IQLConfig, IQLCritic
from policies.steering.best_of_n import BestOfN, BestOfNConfig
from tests.policies.dummy import POINT, Scripted, make_normalizer, make_obs, make_spec, seeds_of, stir, tiny_flow

ROOT = Path(__file__).resolve().parents[2]


def critic_for(policy, **options):
    return stir(IQLCritic(IQLConfig(**{"ensemble": 3, "width": 8, "depth": 1, **options}), policy.spec, policy.normalizer), seed=4)


def plain(kind):
    return tiny_flow(make_spec(camera=kind == "unet"), network=kind, depth=2)


@pytest.fixture(scope="module")
def steered():
    policy = plain("mlp")
    return BestOfN(BestOfNConfig(num_samples=4, pessimism=0.5), policy, critic_for(policy))


@pytest.fixture(scope="module")
def exported(steered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "artefact"
    return export(
        steered, folder, {"dq_max": [1.0, 2.0]}, {"git_commit": "abc"}, [{"name": "success", "value": 0.5, "n": 4, "low": 0.1, "high": 0.9}]
    )


@pytest.fixture
def copy(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "artefact"))


def differences(policy, artefact, num_samples=2):
    """Largest difference of any action as a share of its range, over batches of several sizes."""
    low, high = artefact.normalizer.ranges["action"]
    worst = 0.0
    for batch in (1, 3, 8):
        obs, seeds = make_obs(policy.spec, batch, seed=batch), seeds_of(batch, first=50)
        pair = [one.sample(obs, num_samples, seeds) for one in (policy, artefact)]
        assert pair[0].shape == pair[1].shape == (batch, num_samples, policy.spec.horizon, policy.spec.action.dim)
        assert pair[1].dtype == np.float32
        worst = max(worst, float((np.abs(pair[0] - pair[1]) / (high - low)).max()))
    return worst


def test_an_artefact_with_a_camera_and_a_unet_answers_as_its_policy(tmp_path):
    """The slow one to trace; tests/test_contracts.py compares every policy of configs/ as an MLP that sees no pictures."""
    policy = plain("unet")
    artefact = Artifact.load(export(policy, tmp_path / "artefact", {}, {}))
    assert artefact.spec == policy.spec
    assert differences(policy, artefact) < 1e-5


def test_a_steered_artefact_answers_as_its_policy(steered, exported):
    """Which of four flow samples is best is decided by the critic: a wrong order would differ by far more."""
    assert differences(steered, Artifact.load(exported)) < 1e-5


def test_it_carries_what_the_robot_needs(exported, steered):
    artefact = Artifact.load(exported)
    assert artefact.limits == {"dq_max": [1.0, 2.0]}
    assert artefact.provenance == {"git_commit": "abc"}
    card = (exported / "MODEL_CARD.md").read_text()
    for word in ("Steering: best_of_n", "success: 0.5 [0.1, 0.9], n = 4", "commit abc", "10 Hz", "`observation.state`", "x [m]"):
        assert word in card
    assert sorted(p.name for p in exported.iterdir()) == sorted(
        ["artifact.json", "critic.onnx", "denoise.onnx", "encoder.onnx", "spec.json", "stats.npz", "MODEL_CARD.md"]
    )


def test_it_runs_without_torch_and_without_our_training_code(exported):
    code = f"""
import sys
import numpy as np
from policies.artifact import Artifact
artefact = Artifact.load({str(exported)!r})
obs = {{f.name: np.zeros((1, artefact.spec.n_obs_steps, *f.shape), np.float32) for f in artefact.spec.observations}}
obs["observation.state"][..., 3] = 1
artefact.sample(obs, 1, np.zeros(1, np.uint64))
print(*sorted({{name.split('.')[0] for name in sys.modules}} & {{"torch", "onnx", "onnxscript", "omegaconf", "hydra", "mujoco", "safetensors"}}))
print(*sorted(name for name in sys.modules if name.startswith("policies.")))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", "policies.artifact policies.normalize policies.schedule"]


@pytest.mark.parametrize("name", ["encoder.onnx", "denoise.onnx", "critic.onnx", "spec.json", "stats.npz", "MODEL_CARD.md"])
def test_a_file_that_was_altered_or_is_missing_is_named(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is not the file that was exported"):
        Artifact.load(copy)
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        Artifact.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format 2.*this version reads format 1"),
        ({"schedule": {"times": [0.0]}}, "is damaged"),
        ({"steer": {"rule": "luck"}}, "steering 'luck'"),
        ({"steer": None}, "is damaged"),
        ({"sha256": None}, "is damaged"),
        ({"sha256": {}}, "lists no sha256 of encoder.onnx"),
        ({"limits": ...}, "is damaged"),
    ],
)
def test_a_manifest_this_version_does_not_understand_is_refused(copy, change, message):
    manifest = json.loads((copy / "artifact.json").read_text()) | change
    (copy / "artifact.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not ...}))
    with pytest.raises(CheckpointError, match=message):
        Artifact.load(copy)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00"])
def test_a_manifest_that_is_none_is_damaged(copy, text):
    (copy / "artifact.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"artifact.json is damaged"):
        Artifact.load(copy)


def test_a_folder_that_is_no_artefact_says_how_to_make_one(tmp_path):
    with pytest.raises(CheckpointError, match="`waldo export` writes one"):
        Artifact.load(tmp_path)


def with_value(obs, name, value):
    changed = {k: v.copy() for k, v in obs.items()}
    changed[name][0, -1, 0] = value
    return changed


def bad_observations(spec):
    obs = make_obs(spec, 2)
    yield {k: v for k, v in obs.items() if k != "observation.state"}, "'observation.state' is missing; found: observation.environment_state"
    yield obs | {"observation.state": obs["observation.state"][..., :7]}, r"'observation.state' has shape \(2, 2, 7\), wanted"
    yield {k: v[:, :1] for k, v in obs.items()}, r"has shape \(2, 1, 8\), wanted"
    yield {k: v[:, -1] for k, v in obs.items()}, r"has shape \(2, 8\), wanted"
    yield with_value(obs, "observation.environment_state", np.nan), "'observation.environment_state' holds a value that is not finite"
    yield with_value(obs, "observation.state", np.inf), "'observation.state' holds a value that is not finite"


@pytest.mark.parametrize("case", range(6))
def test_policy_and_artefact_refuse_the_same_observations(steered, exported, case):
    obs, message = list(bad_observations(steered.spec))[case]
    for one in (Artifact.load(exported), steered):
        with pytest.raises(SpecError, match=message):
            one.sample(obs, 1, seeds_of(2))


def test_an_artefact_takes_no_guide(exported, steered):
    with pytest.raises(SpecError, match="takes no guide"):
        Artifact.load(exported).sample(make_obs(steered.spec, 1), 1, seeds_of(1), guide=lambda x, t, x1: x)


def test_what_cannot_be_exported_says_so_and_leaves_nothing(tmp_path):
    with pytest.raises(ConfigError, match="Scripted cannot be exported; allowed: a DenoisingPolicy"):
        export(Scripted(make_spec(), np.zeros((1, 8, 8))), tmp_path / "artefact", {}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_critic_that_reads_other_observations_or_ranges_than_the_policy_is_not_exported(tmp_path):
    """The artefact encodes an observation once, for both."""
    policy = plain("mlp")
    for spec, normalizer in (
        (make_spec(camera=True), make_normalizer(make_spec(camera=True))),
        (policy.spec, type(policy.normalizer)(policy.spec, {k: (low - 1, high) for k, (low, high) in policy.normalizer.ranges.items()})),
    ):
        other = stir(IQLCritic(IQLConfig(ensemble=2, width=8, depth=1), spec, normalizer))
        with pytest.raises(ConfigError, match="IQLCritic was not learned for this policy"):
            export(BestOfN(BestOfNConfig(), policy, other), tmp_path / "artefact", {}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_artefact_before(copy, monkeypatch):
    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("policies.export.np.savez", fail)
    monkeypatch.setattr("policies.export._onnx", lambda module, inputs, names, outputs, path, batch_axis=0: path.write_bytes(b""))
    with pytest.raises(OSError, match="No space"):
        export(tiny_flow(make_spec(action=POINT)), copy, {}, {})
    assert Artifact.load(copy).spec.action.kind == "ee_pose"
