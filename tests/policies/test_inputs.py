"""From a dataset on disk to batches: which episodes, which statistics, and what is refused."""

import dataclasses

import numpy as np
import pytest

from data.errors import ConfigError, DatasetError, SpecError
from data.record import Recorder
from data.spec import ActionSpec, Feature, PolicySpec
from policies.inputs import DataConfig, Inputs, offered_spec
from policies.normalize import Normalizer

STATE = Feature("observation.state", (2,), names=("x", "angle"), units=("m", "rad"), angles=(1,))
GOAL = Feature("observation.environment_state", (1,), names=("goal",), units=("m",))
ACTION = Feature("action", (2,), names=("vx", "vy"), units=("m/s", "m/s"))
SIGNALS = (Feature("next.reward", (1,)), Feature("next.success", (1,), "bool"), Feature("next.terminated", (1,), "bool"))
SPEC = PolicySpec("walk", "dot", (STATE, GOAL), ActionSpec("position", ACTION.names, ACTION.units), 10.0)
LENGTHS, SUCCESS = (4, 6, 5), (True, False, True)


@pytest.fixture
def root(tmp_path):
    return record(tmp_path / "demo", (STATE, GOAL, ACTION, *SIGNALS), {"spec": SPEC.to_json()})


def record(folder, features, provenance):
    """Three episodes; frame f of the dataset shows x = f, the second episode fails."""
    names = {f.name for f in features}
    with Recorder(folder, 10, features, "dot", provenance=provenance) as recorder:
        frame = 0
        for length, success in zip(LENGTHS, SUCCESS, strict=True):
            x = np.arange(frame, frame + length, dtype=np.float32)
            last = np.arange(length) == length - 1
            columns = {
                "observation.state": np.stack([x, 0.1 * x], 1),
                "observation.environment_state": np.full((length, 1), 7.0),
                "action": np.stack([x, -x], 1),
                "next.reward": (last & success).astype(np.float32),
                "next.success": last & success,
                "next.terminated": last,
            }
            recorder.add_episode({k: v for k, v in columns.items() if k in names}, "walk")
            frame += length
    return folder


def config(root, **options):
    return DataConfig(**{"path": str(root), "observations": ["observation.state", "observation.environment_state"], **options})


def test_the_spec_is_what_was_recorded_and_what_was_asked(root):
    inputs = Inputs(config(root, observations=["observation.state"]), 3, 8, 2)
    assert inputs.spec == dataclasses.replace(SPEC, observations=(STATE,), n_obs_steps=3, horizon=8, n_action_steps=2)


def test_all_episodes_are_imitated_or_those_that_succeeded(root):
    def first_frames(**options):
        inputs = Inputs(config(root, **options), 1, 1, 1)
        low, high = inputs.normalizer.ranges["observation.state"]
        batch = inputs.windows().batch(np.arange(len(inputs.windows())))
        return sorted(round(float(v)) for v in (batch["observation.state"][:, 0, 0] + 1) / 2 * (high - low)[0] + low[0])

    assert first_frames() == list(range(15))
    assert first_frames(only_success=True) == [0, 1, 2, 3, 10, 11, 12, 13, 14]
    assert first_frames(max_episodes=2) == list(range(10))
    assert first_frames(only_success=True, max_episodes=1) == [0, 1, 2, 3]


def test_statistics_come_from_the_imitated_episodes_alone(root):
    inputs = Inputs(config(root, only_success=True, max_episodes=1), 1, 1, 1)
    np.testing.assert_array_equal(inputs.normalizer.ranges["action"], [[0, -3], [3, 0]])
    np.testing.assert_array_equal(Inputs(config(root), 1, 1, 1).normalizer.ranges["action"], [[0, -14], [14, 0]])


def test_critics_learn_from_every_episode_in_the_policys_normalisation(root):
    inputs = Inputs(config(root, only_success=True), 1, 4, 2)
    policys = Normalizer(inputs.spec, {k: (low - 1, high + 1) for k, (low, high) in inputs.normalizer.ranges.items()})
    inputs.renormalize(policys)
    transitions = inputs.transitions(0.5)
    assert len(transitions) == sum(LENGTHS)  # all end for good
    batch = transitions.batch(np.arange(len(transitions)))
    np.testing.assert_allclose(batch["action"][0], policys.encode("action", np.array([[0.0, 0], [1, -1]])), atol=1e-6)
    assert batch["reward"].sum() == pytest.approx(2 * (1 + 0.5))  # of each success: the last frame, and half from the one before


def test_a_recording_that_does_not_say_what_its_actions_mean_has_to_be_told(tmp_path):
    root = record(tmp_path / "foreign", (STATE, GOAL, ACTION), {})
    with pytest.raises(DatasetError, match=r"does not say what its actions mean; set data.action_kind and data.task"):
        Inputs(config(root), 1, 1, 1)
    inputs = Inputs(config(root, task="walk", action_kind="position"), 1, 1, 1)
    assert offered_spec(inputs.dataset, config(root, task="walk", action_kind="position")) == SPEC
    with pytest.raises(SpecError, match="action kind 'dance' is unknown"):
        Inputs(config(root, task="walk", action_kind="dance"), 1, 1, 1)


@pytest.mark.parametrize(
    ("options", "steps", "error", "message"),
    [
        ({"observations": ["observation.stat"]}, (1, 4, 2), SpecError, "'observation.stat' is not in .*did you mean 'observation.state'"),
        ({}, (1, 4, 5), SpecError, "n_action_steps must lie between 1 and horizon=4, found 5"),
        ({}, (1, 4, 0), SpecError, "n_action_steps must lie between 1 and horizon=4, found 0"),
        ({}, (0, 4, 2), SpecError, "n_obs_steps must be at least 1, found 0"),
    ],
)
def test_what_does_not_fit_the_dataset_is_refused(root, options, steps, error, message):
    with pytest.raises(error, match=message):
        Inputs(config(root, **options), *steps)


def test_only_success_needs_to_know_who_succeeded(tmp_path):
    root = record(tmp_path / "foreign", (STATE, GOAL, ACTION), {"spec": SPEC.to_json()})
    with pytest.raises(DatasetError, match=r"data.only_success needs the column 'next.success'"):
        Inputs(config(root, only_success=True), 1, 1, 1)
    with pytest.raises(DatasetError, match=r"next.reward"):
        Inputs(config(root), 1, 1, 1).transitions(0.9)


def test_a_dataset_in_which_nobody_succeeded_teaches_nothing(tmp_path):
    signals = (STATE, GOAL, ACTION, *SIGNALS)
    with Recorder(tmp_path / "sad", 10, signals, "dot", provenance={"spec": SPEC.to_json()}) as recorder:
        zeros = {f.name: np.zeros((3, *f.shape), f.dtype) for f in signals}
        recorder.add_episode(zeros, "walk")
    with pytest.raises(DatasetError, match="has no episode that succeeded"):
        Inputs(config(tmp_path / "sad", only_success=True), 1, 1, 1)


# Several datasets, weights, mappings.


def in_millimetres(folder):
    """The same three episodes as somebody else would have recorded them: other names, millimetres, twice the rate."""
    features = (
        Feature("observation.robot", (2,), names=("a", "b")),
        Feature("observation.environment_state", (1,), names=("goal",), units=("m",)),
        Feature("action", (2,), names=("vx", "vy"), units=("mm/s", "mm/s")),
        *SIGNALS,
    )
    with Recorder(folder, 20, features, "dot") as recorder:
        for length in LENGTHS:
            t = np.repeat(np.arange(length, dtype=np.float32), 2)
            last = np.arange(2 * length) == 2 * length - 1
            columns = {
                "observation.robot": np.stack([1000 * t, 0.1 * t], 1),
                "observation.environment_state": np.full((2 * length, 1), 7.0),
                "action": np.stack([1000 * t, -1000 * t], 1),
                "next.reward": last.astype(np.float32),
                "next.success": last,
                "next.terminated": last,
            }
            recorder.add_episode(columns, "walk")
    return folder


THEIRS = {
    "observation.state": {
        "source": "observation.robot", "names": ["x", "angle"], "units": ["m", "rad"], "from_units": ["mm", "rad"], "angles": [1]
    },
    "action": {"source": "action", "units": ["m/s", "m/s"]},
}  # fmt: skip


def test_datasets_with_other_names_units_and_rates_are_trained_on_together(root, tmp_path):
    theirs = in_millimetres(tmp_path / "theirs")
    other = {"path": str(theirs), "mapping": THEIRS, "resample": 10.0, "task": "walk", "action_kind": "position"}
    both = Inputs(config(root, also=[other]), 1, 2, 2)
    alone = Inputs(config(root), 1, 2, 2)
    assert both.spec == alone.spec and len(both.windows()) == 2 * len(alone.windows())
    np.testing.assert_allclose(both.normalizer.ranges["action"][1], [14, 0], atol=1e-5)
    batch = both.windows().batch(np.arange(len(both.windows())))
    second = batch["observation.state"][len(alone.windows()) :]
    expected = both.normalizer.encode("observation.state", np.array([[0, 0], [1, 0.1]], np.float32))
    np.testing.assert_allclose(second[:2, 0], expected, atol=1e-5)
    assert both.content_hash != alone.content_hash
    assert len(both.transitions(0.9)) > len(alone.transitions(0.9))


def test_a_share_of_the_batch_for_each_dataset(root, tmp_path):
    other = {"path": str(record(tmp_path / "more", (STATE, GOAL, ACTION, *SIGNALS), {"spec": SPEC.to_json()})), "share": 3.0}
    rows = Inputs(config(root, share=1.0, also=[other]), 1, 1, 1).windows()
    assert rows.weights.sum() == pytest.approx(4) and rows.weights[: sum(LENGTHS)].sum() == pytest.approx(1)


def test_datasets_that_do_not_fit_together_are_told_apart_by_every_difference(root, tmp_path):
    theirs = in_millimetres(tmp_path / "theirs")
    other = {"path": str(theirs), "task": "walk", "action_kind": "position"}
    with pytest.raises(
        SpecError, match=r"rate_hz: the policy wants 10.0, found 20.0; observation 'observation.state' is missing.*also\[\].mapping"
    ):
        Inputs(config(root, also=[other]), 1, 1, 1)
    with pytest.raises(ConfigError, match=r"data.also\[0\]: unknown option 'pth'; did you mean 'path'"):
        Inputs(config(root, also=[{"pth": "x"}]), 1, 1, 1)


def test_frames_are_weighted_by_what_a_rule_says_of_them(root):
    inputs = Inputs(config(root, only_success=True), 1, 1, 1)
    rows = inputs.windows(lambda dataset: np.arange(dataset.num_frames, dtype=float))
    np.testing.assert_array_equal(rows.weights, [*range(4), *range(10, 15)])  # the second episode is not imitated
    transitions = inputs.transitions(0.9, lambda dataset: np.arange(dataset.num_frames, dtype=float))
    np.testing.assert_array_equal(transitions.weights, np.arange(15))


def test_a_dataset_that_is_not_there_says_where_it_can_be_had():
    with pytest.raises(DatasetError, match="no dataset 'nowhere'.*It can be had from https://example.org/x.zip"):
        Inputs(config("nowhere", url="https://example.org/x.zip"), 1, 1, 1)
