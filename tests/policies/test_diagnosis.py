"""Checks of a policy and its data: each finds the one thing that it is for, and nothing in a policy that copies what was shown."""

import dataclasses

import numpy as np
import pytest

from data.record import Recorder
from data.spec import ActionSpec, Feature, PolicySpec
from policies.diagnosis import (
    Alarm,
    Study,
    cameras,
    generalisation,
    horizon,
    inverted,
    modes,
    normalisation,
    ranked,
    recording,
    shifted,
    sign_test,
    training,
)
from policies.diagnosis.lookup import answers
from policies.inputs import DataConfig, Inputs
from policies.normalize import Normalizer

STATE = Feature("observation.state", (3,), names=("x", "y", "goal"), units=("m", "m", "m"))
VIEWS = tuple(Feature(f"observation.images.{name}", (16, 16, 3), "uint8") for name in ("left", "right"))
ACTION = ActionSpec("position", ("x", "y"), ("m", "m"))
EPISODES, LENGTH = 16, 40


def episode(number):
    """A curve to a goal: the action is where the next frame is. Position tells the frame, so that a copy can be looked up."""
    rng = np.random.default_rng(number)
    goal, t = rng.uniform(0.5, 1.0), np.linspace(0, 1, LENGTH + 1)
    x = goal * t + 0.003 * number
    path = np.stack([x, 0.3 * np.sin(2 * np.pi * t) * goal], 1)
    state = np.concatenate([path[:-1], np.full((LENGTH, 1), goal)], 1)
    return {"observation.state": state.astype(np.float32), "action": path[1:].astype(np.float32)}


def pictures(number, side):
    """A bright square on the left or the right that moves with the frame."""
    frames = np.full((LENGTH, 16, 16, 3), 40 if side == "left" else 180, np.uint8)
    for t in range(LENGTH):
        at = 2 + t * 10 // LENGTH
        frames[t, at : at + 3, 4:8] = 250
    return frames


def recorded(root, change=lambda arrays: arrays, views=False):
    seen = (STATE, *VIEWS) if views else (STATE,)
    spec = PolicySpec("point", "dot", seen, ACTION, 20.0)
    columns = [STATE, Feature("action", (2,), names=ACTION.names, units=ACTION.units)]
    sizes = {f.name: (16, 16) for f in VIEWS} if views else {}
    with Recorder(root, 20.0, columns, "dot", sizes, codec="png", provenance={"spec": spec.to_json()}) as recorder:
        for i in range(EPISODES):
            images = {f"observation.images.{side}": pictures(i, side) for side in ("left", "right")} if views else {}
            recorder.add_episode(change(episode(i)), "go", images)
    return root


class Copy:
    """Does what was shown, found by the observation. change: what becomes of a chunk (n, horizon, A)."""

    def __init__(self, inputs, change=lambda chunk, lookup: chunk):
        self.spec, self.change = inputs.spec, change
        table = inputs.dataset.table(["observation.state", "action"])
        self.states, self.actions = table["observation.state"], table["action"]
        self.last = np.repeat(inputs.dataset.episode_ends, inputs.dataset.lengths) - 1
        self.first = np.repeat(inputs.dataset.episode_ends - inputs.dataset.lengths, inputs.dataset.lengths)

    def lookup(self, rows, shift=0):
        at = rows[:, None] + np.arange(self.spec.horizon) + shift
        return self.actions[np.clip(at, self.first[rows][:, None], self.last[rows][:, None])]

    def sample(self, obs, num_samples, seeds, guide=None):
        asked = obs["observation.state"][:, -1]
        rows = np.argmin(((asked[:, None] - self.states[None]) ** 2).sum(-1), 1)
        chunk = self.change(self.lookup(rows), lambda shift: self.lookup(rows, shift))
        return np.repeat(chunk[:, None], num_samples, 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("point") / "point")


def study(root, change=lambda chunk, lookup: chunk, normalizer=None, steps=4, ahead=8, names=("observation.state",), **options):
    inputs = Inputs(DataConfig(path=str(root), observations=list(names)), 1, ahead, steps)
    policy = Copy(inputs, change)
    return Study(policy, inputs, normalizer or inputs.normalizer, place="nowhere", settings="data.path=point", **options)


def test_a_copy_of_what_was_shown_raises_no_alarm(root):
    for check in (cameras, horizon, inverted, modes, normalisation, recording, shifted, training):
        assert check.check(study(root)) == [], check.__name__


@pytest.mark.parametrize(("shift", "word"), [(1, "later"), (-1, "earlier")])
def test_chunks_that_belong_to_another_frame_are_found_with_their_direction(root, shift, word):
    (alarm,) = shifted.check(study(root, lambda chunk, lookup: lookup(shift)))
    assert alarm.cause == "action shifted" and alarm.weight == "certain"
    assert f"1 frame {word}" in alarm.found


def test_an_element_that_goes_the_other_way_is_named(root):
    (alarm,) = inverted.check(study(root, lambda chunk, lookup: chunk * [1, -1]))
    assert alarm.cause == "y inverted"


def test_ranges_of_other_data_are_found_and_a_rounding_is_not(root):
    sound = study(root).normalizer
    wrong = Normalizer(sound.spec, {**sound.ranges, "action": tuple(1.3 * end for end in sound.ranges["action"])})
    (alarm,) = normalisation.check(study(root, normalizer=wrong))
    assert alarm.weight == "certain" and alarm.found.startswith("2 of 5 ranges")
    rounded = Normalizer(sound.spec, {name: (low + 1e-6, high - 1e-6) for name, (low, high) in sound.ranges.items()})
    assert normalisation.check(study(root, normalizer=rounded)) == []


def test_of_data_that_may_be_others_only_ranges_far_beyond_them_are_wrong(root):
    sound = study(root).normalizer
    fewer = Normalizer(sound.spec, {name: (0.9 * low + 0.1 * high, high) for name, (low, high) in sound.ranges.items()})
    assert normalisation.check(study(root, normalizer=fewer, exact=False)) == []
    wider = Normalizer(sound.spec, {name: (low - 1, high + 1) for name, (low, high) in sound.ranges.items()})
    assert [alarm.weight for alarm in normalisation.check(study(root, normalizer=wider, exact=False))] == ["likely"]


def test_ranges_are_those_of_the_episodes_that_were_seen(root):
    few = study(root, seen=3)
    assert list(few.trained) == [0, 1, 2] and list(few.held_out) == list(range(3, EPISODES))
    shown = np.concatenate([episode(i)["action"] for i in range(3)])
    np.testing.assert_allclose(few.ranges["action"], (shown.min(0), shown.max(0)), rtol=1e-6)
    (alarm,) = normalisation.check(few)  # the policy's ranges are of all
    assert "action" in alarm.found or "observation" in alarm.found


def test_who_knows_its_training_frames_less_than_a_lookup_is_under_trained(root):
    (alarm,) = training.check(study(root, lambda chunk, lookup: np.full_like(chunk, 0.3)))
    assert alarm.cause == "under-trained" and alarm.odds > 3


def test_the_lookup_never_sees_the_episode_that_it_is_asked_about(root):
    """Otherwise it would be as good as the copy."""
    a = answers(study(root))
    assert np.allclose(a.per_episode(a.policy), 0, atol=1e-6)
    assert (a.best() > 1e-4).all() and np.median(a.best()) < 0.2 * a.typical


def test_chunks_below_reaction_time_are_too_short_and_pauses_are_counted(tmp_path):
    def pausing(arrays):
        return {name: np.repeat(values, np.where(np.arange(LENGTH) == 10, 12, 1), 0) for name, values in arrays.items()}

    where = recorded(tmp_path / "pauses", pausing)
    (alarm,) = horizon.check(study(where, steps=1, ahead=2))
    assert alarm.cause == "too short a horizon" and f"{EPISODES} of {EPISODES} pauses" in alarm.found
    assert horizon.check(study(where, steps=4)) == []  # 0.2 s


def test_samples_that_are_all_alike_where_demonstrators_chose_are_a_collapse(tmp_path):
    def either_way(arrays):
        side = 1 if arrays["observation.state"][0, 0] * 1000 % 2 < 1 else -1
        return {**arrays, "action": (arrays["action"] + [0, side * 0.5]).astype(np.float32)}

    where = recorded(tmp_path / "ways", either_way)
    found = study(where)
    assert modes.spread(found)[0] == 0.0 and modes.check(found) == []  # a regression has no samples
    noise = np.random.default_rng(0)
    found.__dict__["proposed"] = found.proposed + noise.normal(0, 1e-3, found.proposed.shape)
    answers.cache_clear()
    assert [alarm.cause for alarm in modes.check(found)] == ["mode collapse"]


def test_a_fifth_of_random_actions_is_found_in_the_recording(tmp_path):
    rng = np.random.default_rng(0)

    def spoil(arrays):
        action, bad = arrays["action"].copy(), rng.random(LENGTH) < 0.2
        action[bad] = rng.uniform(-0.3, 1, (int(bad.sum()), 2))
        return {**arrays, "action": action}

    (alarm,) = recording.check(study(recorded(tmp_path / "spoiled", spoil)))
    assert alarm.cause == "corrupted actions" and alarm.weight == "certain"


def test_a_policy_that_is_better_with_its_cameras_exchanged_has_them_swapped(tmp_path):
    names = ("observation.state", "observation.images.left", "observation.images.right")
    found = study(recorded(tmp_path / "views", views=True), names=names)
    assert cameras.check(found) == []
    copy = found.policy.sample

    def looking(obs, num_samples, seeds, guide=None):
        """Knows what to do only where the dark picture is the right one."""
        chunk = copy(obs, num_samples, seeds)
        return chunk + (obs["observation.images.right"].mean() > 100)

    found.policy.sample = looking
    found.__dict__.pop("proposed", None)
    (alarm,) = cameras.check(found)
    assert alarm.cause == "swapped cameras"


def test_alarms_are_ranked_by_weight_and_then_by_odds():
    alarm = Alarm("a", "b", "certain", 3.0, "", "", "")
    others = [dataclasses.replace(alarm, weight="symptom", odds=99), dataclasses.replace(alarm, weight="likely"), alarm]
    assert [a.weight for a in ranked(others)] == ["certain", "likely", "symptom"]
    assert ranked([alarm, dataclasses.replace(alarm, odds=5.0)])[0].odds == 5.0


def test_the_sign_test_is_that_of_a_coin():
    assert sign_test(10, 10) == pytest.approx(np.log10(2**10))
    assert sign_test(0, 10) == pytest.approx(0.0)
    assert sign_test(8, 10) == pytest.approx(-np.log10((45 + 10 + 1) / 1024))
    assert sign_test(0, 0) == 0.0


def test_a_policy_that_knows_its_own_episodes_alone_had_too_few(root):
    """It copies what it was trained on, and is at a loss in the others."""
    few = study(root, seen=8)
    assert generalisation.check(few) == []  # the copy knows all
    known = few.policy.last[few.ends[7] - 1]
    copy = few.policy.lookup
    few.policy.lookup = lambda rows, shift=0: copy(rows, shift) + np.where(rows <= known, 0.01, 0.3)[:, None, None]
    few.__dict__.pop("proposed", None)
    (alarm,) = generalisation.check(few)
    assert alarm.cause == "too few demonstrations"
