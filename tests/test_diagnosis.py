"""Checks that need an environment, on a servo whose answer is a formula: each finds its one cause, and none in the right environment."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from data.record import Recorder
from data.spec import ActionSpec, Feature, PolicySpec
from policies.diagnosis import Alarm, Study
from policies.inputs import DataConfig, Inputs
from waldo.diagnosis import (
    Outcome,
    Trial,
    checks,
    elsewhere,
    inverted,
    latency,
    limits,
    offline_checks,
    rate,
    response,
    shifted,
    stages,
    time_limit,
)
from waldo.diagnosis.conclusion import FINE, Diagnosis, conclude, merged
from waldo.diagnosis.hypotheses import best, distance

STATE = Feature("observation.state", (3,), names=("x", "y", "gripper_width"), units=("m", "m", "m"))
ACTION = ActionSpec("position", STATE.names, STATE.units)
LAG, RATE, LENGTH, EPISODES = 0.05, 20.0, 60, 12
SPEC = PolicySpec("point", "dot", (STATE,), ACTION, RATE, n_obs_steps=1, horizon=8, n_action_steps=8)


class Servo:
    """Follows the line from the last target to the next one, LAG behind: exactly solvable, so the truth at any rate is known.

    delay   control steps from an action to the servo; signs   what becomes of each element; low, high   where it is cut
    """

    milestones = ("near", "there")

    def __init__(self, rate=RATE, delay=0, signs=(1, 1, 1), low=-9.0, high=9.0, max_steps=100, num_envs=EPISODES, start=0.0):
        self.spec = dataclasses.replace(SPEC, rate_hz=rate, n_obs_steps=1, horizon=1, n_action_steps=1)
        self.rate, self.delay, self.signs, self.low, self.high = rate, delay, np.array(signs), low, high
        self.max_steps, self.num_envs, self.start, self.drawing = max_steps, num_envs, start, True
        self.action_low, self.action_high = np.full(3, low, np.float32), np.full(3, high, np.float32)
        self.instruction, self.camera_names = "go", ()

    def reset(self, seeds):
        seeds = np.resize(seeds, self.num_envs)
        self.x = self.start + np.stack([np.random.default_rng(int(seed)).uniform(-0.1, 0.1, 3) for seed in seeds])
        self.x[:, 2] = 0.08
        self.target, self.queue, self.t = self.x.copy(), [self.x.copy() for _ in range(self.delay)], np.zeros(len(seeds), int)
        return self._obs()

    def step(self, action, active=None):
        rows = np.arange(self.num_envs) if active is None else np.flatnonzero(active)
        self.queue.append(action.astype(float))
        asked = self.queue.pop(0)[rows]
        asked = np.where(self.signs > 0, asked, np.array([0.0, 0.0, 0.08]) - asked)
        wanted = asked.clip(self.low, self.high)
        # x' = (u - x) / LAG with u on a line: x = u - slope LAG + (x0 - u0 + slope LAG) exp(-t / LAG)
        slope, decay = (wanted - self.target[rows]) * self.rate, np.exp(-1 / (self.rate * LAG))
        self.x[rows] = wanted - slope * LAG + (self.x[rows] - self.target[rows] + slope * LAG) * decay
        self.target[rows] = wanted
        self.t[rows] += 1
        limited = np.zeros(self.num_envs, bool)
        limited[rows] = (np.abs(wanted - asked) > 1e-6).any(1)
        no = np.zeros(self.num_envs, bool)
        milestones = np.zeros((self.num_envs, 2), bool)
        return (
            self._obs(),
            np.zeros(self.num_envs),
            no,
            self.t >= self.max_steps,
            {"success": no, "limited": limited, "milestones": milestones},
        )

    def _obs(self):
        return {"observation.state": self.x.astype(np.float32)}

    def close(self):
        pass


def demonstrations(root, rate=RATE, label=RATE, change=lambda action: action, start=0.0):
    """What a servo of this rate does under smooth targets, recorded under a label; change: what becomes of the recorded actions."""
    env = Servo(rate, num_envs=1, start=start)
    spec = dataclasses.replace(env.spec, rate_hz=label)
    columns = [STATE, Feature("action", (3,), names=ACTION.names, units=ACTION.units)]
    with Recorder(root, label, columns, "dot", provenance={"spec": spec.to_json()}) as recorder:
        for number in range(EPISODES):
            rng = np.random.default_rng([7, number])
            t = np.arange(1, LENGTH + 1)[:, None] / rate
            phase, pace = rng.uniform(0, 2 * np.pi, 2), rng.uniform(1.5, 3, 2)
            path = start + 0.3 * np.sin(pace * t + phase) * (1 - np.exp(-t / 0.3))
            action = np.concatenate([path, np.where(t > 0.5 * LENGTH / rate, 0.0, 0.08)], 1).astype(np.float32)
            states = [env.reset(np.array([number]))["observation.state"][0]]
            states += [env.step(a[None])[0]["observation.state"][0] for a in action]
            recorder.add_episode({"observation.state": np.array(states[:-1]), "action": change(action)}, "go")
    return root


class Nobody:
    def __init__(self, spec):
        self.spec = spec

    def sample(self, obs, num_samples, seeds, guide=None):
        return np.zeros((len(seeds), num_samples, self.spec.horizon, 3), np.float32)


def trial(root, env=None, outcomes=(), **options):
    inputs = Inputs(DataConfig(path=str(root), observations=["observation.state"]), 1, 8, 8)
    spec = dataclasses.replace(SPEC, **options)
    study = Study(Nobody(spec), inputs, inputs.normalizer, place="nowhere", settings="data.path=point")
    return Trial(study, env, outcomes)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return demonstrations(tmp_path_factory.mktemp("servo") / "servo")


REPLAYING = (shifted, rate, inverted, limits, response, time_limit)


def test_in_the_environment_of_the_recording_nothing_is_found(sound):
    found = trial(sound, Servo())
    assert distance(found) < 1e-3 and best(found) is None
    for check in REPLAYING:
        assert check.check(found) == [], check.__name__


def test_episodes_that_begin_elsewhere_are_no_alarm(sound):
    """The arm comes to the recorded path from where it is."""
    found = trial(sound, Servo(start=0.05))
    assert 0 < distance(found) < 0.25
    for check in REPLAYING:
        assert check.check(found) == [], check.__name__


@pytest.mark.parametrize(("delay", "word"), [(1, "1 frame later"), (2, "2 frames later")])
def test_a_delay_of_the_environment_is_a_shift_of_the_actions(sound, delay, word):
    (alarm,) = shifted.check(trial(sound, Servo(delay=delay)))
    assert word in alarm.found and alarm.weight == "certain"


def test_recorded_actions_that_come_too_early_are_a_shift(tmp_path):
    root = demonstrations(tmp_path / "early", change=lambda a: np.concatenate([a[1:], a[-1:]]))
    found = trial(root, Servo())
    assert best(found).value == -1
    assert "1 frame earlier" in shifted.check(found)[0].found
    assert rate.check(found) == []


@pytest.mark.parametrize("true", [10.0, 40.0, 30.0])
def test_a_recording_of_another_rate_than_its_label_is_found_with_its_rate(tmp_path, true):
    found = trial(demonstrations(tmp_path / "rate", rate=true), Servo())
    (alarm,) = rate.check(found)
    assert f"done again at {true:g} Hz" in alarm.found
    assert shifted.check(found) == []


def test_rates_that_are_said_to_differ_need_no_replay(sound):
    (alarm,) = rate.check(trial(sound, None, rate_hz=10.0))
    assert alarm.found == "the policy is of 10 Hz, the recording is of 20 Hz"


def test_a_gripper_that_closes_where_it_should_open_is_inverted_and_the_arm_is_not(sound):
    (alarm,) = inverted.check(trial(sound, Servo(signs=(1, 1, -1))))
    assert alarm.cause == "gripper inverted"


def test_an_environment_that_cuts_what_was_done_has_other_limits(sound):
    found = limits.check(trial(sound, Servo(low=-0.15, high=0.15)))
    assert {alarm.cause for alarm in found} == {"another arm's limits"}
    assert any("outside of -0.15 to 0.15" in alarm.found for alarm in found)


def test_actions_that_were_cut_where_the_arm_went_on_are_of_other_limits(tmp_path):
    def cut(action):
        return np.concatenate([action[:, :2].clip(-0.1, 0.1), action[:, 2:]], 1)

    found = limits.check(trial(demonstrations(tmp_path / "cut", change=cut)))
    assert len(found) == 1 and "the arm went on to" in found[0].found


def test_an_environment_of_another_robot_is_named(sound):
    (alarm,) = limits.check(trial(sound, None, robot="dash"))
    assert "the policy is of 'dash', the recording is of 'dot'" in alarm.found


def test_a_time_limit_below_the_demonstrations_is_too_short(sound):
    (alarm,) = time_limit.check(trial(sound, Servo(max_steps=LENGTH - 10)))
    assert alarm.cause == "too short a horizon" and f"{LENGTH - 10} steps" in alarm.found
    assert time_limit.check(trial(sound, Servo(max_steps=LENGTH))) == []


def test_what_no_shift_speed_or_direction_explains_is_another_response(sound):
    class Shaken(Servo):
        def step(self, action, active=None):
            return super().step(action + 0.3 * np.sin(1.7 * self.t)[:, None], active)

    found = trial(sound, Shaken())
    assert shifted.check(found) == rate.check(found) == []
    assert [alarm.weight for alarm in response.check(found)] == ["likely"]


def outcomes(starts, success=False):
    return [Outcome(i, success, 20, {}, {"observation.state": np.tile(x, (20, 1)).astype(np.float32)}) for i, x in enumerate(starts)]


def test_episodes_that_begin_where_no_demonstration_did_are_told_with_the_element(sound):
    rng = np.random.default_rng(0)
    near = np.concatenate([rng.uniform(-0.1, 0.1, (20, 2)), np.full((20, 1), 0.08)], 1)
    assert elsewhere.check(trial(sound, Servo(), outcomes(near, True))) == []
    found = elsewhere.check(trial(sound, Servo(), outcomes(near + [0, 2, 0], True)))
    assert [alarm.cause for alarm in found] == ["out-of-distribution start"]
    assert "y begins at" in found[0].found


def test_the_step_that_is_never_reached_is_named(sound):
    some = [Outcome(i, False, 20, {"near": 5} if i % 10 else {}) for i in range(20)]
    (alarm,) = stages.check(trial(sound, Servo(), some))
    assert alarm.cause == "never gets to 'there'" and "90 % come to 'near'" in alarm.found
    assert stages.check(trial(sound, Servo(), [dataclasses.replace(o, success=True) for o in some])) == []


def test_a_chunk_that_takes_longer_than_it_lasts_is_too_slow(sound, monkeypatch):
    found = trial(sound)
    assert latency.check(found) == []
    clock = iter(range(1000))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: float(next(clock)))  # every chunk takes a second
    latency.chunk_seconds.cache_clear()
    assert [alarm.cause for alarm in latency.check(found)] == ["too slow"]
    latency.chunk_seconds.cache_clear()


def test_every_check_has_its_file_and_says_what_it_looks_for():
    assert {"normalisation", "training", "horizon", "recording", "modes"} <= set(offline_checks())
    assert {"shifted", "inverted", "rate", "limits", "swapped", "frozen", "elsewhere", "stages", "latency", "time_limit"} <= set(checks())


def test_a_policy_that_succeeds_is_told_of_certain_causes_only(sound, monkeypatch):
    likely = Alarm("a", "x", "likely", 9.0, "found", "why", "next")
    certain = dataclasses.replace(likely, cause="b", weight="certain")
    monkeypatch.setattr("waldo.diagnosis.conclusion.offline_checks", dict)
    monkeypatch.setattr("waldo.diagnosis.conclusion.checks", lambda: {"x": lambda trial: [likely, certain]})
    fails, works = outcomes(np.zeros((20, 3))), outcomes(np.zeros((20, 3)), True)
    assert [a.cause for a in conclude(trial(sound, Servo(), fails)).alarms] == ["b", "a"]
    diagnosis = conclude(trial(sound, Servo(), works))
    assert ([a.cause for a in diagnosis.alarms], [a.cause for a in diagnosis.silenced]) == (["b"], ["a"])
    assert diagnosis.sentence == "The cause is b: found."
    assert FINE == 0.9


def test_evidence_of_one_cause_is_one_alarm():
    alarm = Alarm("a", "x", "certain", 9.0, "one", "why", "next")
    (both,) = merged([dataclasses.replace(alarm, found="two", odds=3.0), alarm])
    assert (both.found, both.odds) == ("one; two", 9.0)
    assert Diagnosis((), (), ()).sentence.startswith("No alarm")


def test_the_page_stands_alone(sound, tmp_path):
    from waldo.diagnosis.page import write_page

    found = trial(sound, Servo(delay=1))
    page = write_page(found, conclude(found), tmp_path)
    text = page.read_text()
    assert "action shifted" in text and "<svg" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_a_relabelled_policy_is_tried_where_only_its_labels_differ(sound):
    from waldo.diagnosis import attempt

    class Ends(Servo):
        max_steps = 12

    env = Ends(rate=10.0, max_steps=12)
    assert len(attempt(env, Nobody(SPEC), np.arange(4))) == 4
    other = SimpleNamespace(spec=dataclasses.replace(env.spec, observations=()))
    assert attempt(other, Nobody(SPEC), np.arange(4)) == []
