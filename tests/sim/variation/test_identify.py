"""What an arm was simulated with is found again from its noisy log, with honest intervals; logs that say nothing are refused."""

import subprocess
import sys

import numpy as np
import pytest

from data.errors import ConfigError, DatasetError, WaldoError
from sim.control import ramp
from sim.mujoco import open_physics
from sim.variation.identify import MotionLog, identify
from sim.variation.parameters import NAMES, PAYLOAD, apply
from sim.world import build_world
from tests.sim.conftest import TASK, make_arm

RATE = 50  # [Hz] of the logs
NOISE = (2e-4, 5e-3)  # [rad], [rad/s]

needs_toolbox = pytest.mark.skipif(
    any(__import__("importlib.util").util.find_spec(name) is None for name in ("colorama", "tabulate")),
    reason="mujoco.sysid asks for colorama and tabulate",
)


def simulated(values, seconds=3.0, swing=0.3, seed=0, held=None):
    """A noisy log of the panda with other parameters, stepped by the environment's physics. held: (kg, m) of a ball at the tool."""
    from sim.tasks.pick_place import PickPlace

    world = build_world(PickPlace.scene, "panda")
    arm, width = world.arms[0], np.full((1, 1), 0.08)
    apply(world.model, world.arms, values)
    home, rng = np.array(arm.spec.q_home), np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE) + 1) / RATE
    waves = np.sin(2 * np.pi * rng.uniform(0.4, 1.3, (3, 7)) * t[:, None, None] + rng.uniform(0, 6.3, (3, 7))).sum(1)
    target = home + swing / 2 * np.minimum(t / 0.5, 1)[:, None] * waves
    physics, row, substeps = open_physics(world, 1, 1), np.array([0]), round(1 / RATE / world.model.opt.timestep)
    physics.reset(row)
    physics.set_joints(target[:1], width, row)
    q, dq = [target[0]], [np.zeros(7)]
    for before, after in zip(target[:-1], target[1:], strict=True):
        physics.step(ramp(before[None], after[None], substeps), (after - before)[None] * RATE, np.tile(width[:, None], (1, substeps, 1)))
        position, velocity = physics.joints()
        q.append(position[0].copy())
        dq.append(velocity[0].copy())
    physics.close()
    return MotionLog(t, target, np.array(q) + rng.normal(0, NOISE[0], (len(t), 7)), np.array(dq) + rng.normal(0, NOISE[1], (len(t), 7)))


@needs_toolbox
def test_damping_friction_and_servos_are_found_within_a_tenth():
    true = {"damping": {"joint5": 4.0}, "frictionloss": {"joint6": 1.2}, "stiffness": {"joint7": 450.0}, "armature": {"joint3": 0.4}}
    sought = [f"{kind}:{joint}" for kind, joints in true.items() for joint in joints]
    found = identify("panda", [simulated(true, seconds=2.0)], sought, noise=NOISE)
    for estimate in found.estimates:
        kind, joint = estimate.name.split(":")
        right = true[kind][joint]
        assert estimate.value == pytest.approx(right, rel=0.1), estimate
        assert abs(estimate.value - right) < 1.5 * (estimate.high - estimate.value), estimate  # 95 % intervals, one draw
        assert abs(estimate.before - right) > 3 * abs(estimate.value - right)
    assert found.after[0] < 1.1 * NOISE[0] < found.before[0] and found.after[1] < 1.1 * NOISE[1]
    assert "damping:joint5" in str(found)
    env = make_arm(1, identified=found.override())
    model, arm = env.physics.model, env.arms[0]
    assert model.dof_damping[arm.qvel[4]] == found.estimates[0].value
    assert (model.actuator_gainprm[6, 0], model.actuator_biasprm[6, 1]) == (found.estimates[2].value, -found.estimates[2].value)
    env.close()


@needs_toolbox
@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """24 intervals of 95 %: fewer than 18 hits would come by chance less than once in a thousand times."""
    true = {"damping": {"joint4": 3.0, "joint6": 2.0}, "stiffness": {"joint2": 3800.0, "joint5": 500.0}}
    right = {f"{kind}:{joint}": value for kind, joints in true.items() for joint, value in joints.items()}
    hits = 0
    for seed in range(6):
        found = identify("panda", [simulated(true, seed=seed)], list(right), noise=NOISE)
        hits += sum(e.low <= right[e.name] <= e.high for e in found.estimates)
    assert hits >= 18


@needs_toolbox
def test_what_the_description_says_already_stays():
    found = identify("panda", [simulated({})], ["damping:joint5", "stiffness:joint6"], noise=NOISE)
    for estimate in found.estimates:
        assert estimate.low - 0.02 * estimate.before <= estimate.before <= estimate.high + 0.02 * estimate.before


@needs_toolbox
def test_a_payload_is_weighed():
    """The truth is simulated by hanging the ball on the arm; gravity is compensated for the arm alone."""
    from sim.variation.identify import _Arm
    from sim.variation.parameters import _write_payload

    arm = _Arm("panda", payload=True)
    _write_payload(arm.world.model, 0.6)
    model, log = arm.world.model, simulated({})
    import mujoco

    times, control = arm.control(log)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = arm.initial(log)
    q = [log.q[0]]
    for told in control[:-1]:
        data.ctrl[:] = told
        mujoco.mj_step(model, data)
        q.append(data.qpos[arm.world.arms[0].qpos].copy())
    heavy = MotionLog(log.t, log.q_target, np.array(q)[:: round(len(times) / len(log.t))][: len(log.t)])
    found = identify("panda", [heavy], [PAYLOAD], noise=NOISE)
    assert found.estimates[0].value == pytest.approx(0.6, rel=0.01)
    assert found.override() == {} and np.isnan(found.after[1])


@needs_toolbox
def test_logs_that_do_not_tell_are_refused_by_name():
    still = simulated({}, seconds=1.0, swing=0.0)
    with pytest.raises(WaldoError, match="does not excite damping:joint1, .*damping:joint7.*Log faster, longer or wider"):
        identify("panda", [still], ["damping"], noise=NOISE)
    with pytest.raises(WaldoError, match="cannot tell damping:joint5, servo_damping:joint5 from each other"):
        identify("panda", [simulated({})], ["damping:joint5", "servo_damping:joint5"], noise=NOISE)


LOG = MotionLog(np.arange(20) / RATE, np.zeros((20, 7)), np.zeros((20, 7)), np.zeros((20, 7)))


@needs_toolbox
@pytest.mark.parametrize(
    ("logs", "parameters", "error", "message"),
    [
        ([LOG], ["dampign"], ConfigError, "parameter 'dampign'; did you mean 'damping'"),
        ([LOG], ["damping:joint8"], ConfigError, "the arm has no joint 'joint8'; did you mean 'joint"),
        ([LOG], [], ConfigError, "name at least one, and each once; allowed: damping, armature"),
        ([LOG], ["damping", "damping:joint1"], ConfigError, "name at least one, and each once"),
        ([], ["damping"], DatasetError, "0 logs .* wanted at least one"),
        ([MotionLog(LOG.t, LOG.q, LOG.q[:, :6])], ["damping"], DatasetError, r"q has shape \(20, 6\); wanted \(20, 7\)"),
        ([MotionLog(LOG.t, LOG.q + np.nan, LOG.q)], ["damping"], DatasetError, "q_target holds values that are not finite"),
        ([MotionLog(LOG.t[::-1], LOG.q, LOG.q)], ["damping"], DatasetError, "20 times; wanted at least 10, rising"),
        ([MotionLog(LOG.t * 1e6, LOG.q, LOG.q)], ["damping"], DatasetError, "at most 200000 steps"),
    ],
)
def test_bad_questions_get_one_clear_answer(logs, parameters, error, message):
    with pytest.raises(error, match=message):
        identify("panda", logs, parameters)


@pytest.mark.parametrize(
    ("identified", "message"),
    [
        ({"dampign": {"joint1": 1.0}}, "env.identified: 'dampign'; did you mean 'damping'"),
        ({"damping": {"joint9": 1.0}}, "env.identified.damping: no joint 'joint9'"),
        ({"damping": {"joint1": -1.0}}, "env.identified.damping.joint1=-1.0; wanted a number that is not negative"),
        ({"damping": 1.0}, "env.identified.damping=1.0; wanted a value per joint"),
    ],
)
def test_values_that_make_no_sense_are_refused(identified, message):
    with pytest.raises(ConfigError, match=message):
        make_arm(1, identified=identified)


def test_logs_are_read_as_the_control_loop_and_datasets_write_them():
    from real.log import tick_dtype

    ticks = np.zeros(12, tick_dtype(7))
    ticks["t"], ticks["wrote"], ticks["q_wire"], ticks["q"], ticks["dq"] = 5 + np.arange(12) / 500, 1, 0.1, 0.2, 0.3
    ticks["wrote"][0] = 0
    log = MotionLog.from_ticks(ticks)
    assert len(log.t) == 11 and log.t[0] == 0 and (log.q_target == 0.1).all() and (log.q == 0.2).all() and (log.dq == 0.3).all()

    env = make_arm(1, task=TASK, action="joint", home_noise=0.0)
    obs, rows = env.reset(np.array([1])), []
    for step in range(12):
        action = np.append(env.robot.q_home, 0.08)[None].astype(np.float32)
        action[0, :7] += 0.02 * np.sin(step)
        rows.append((obs["observation.joints"][0], action[0]))
        obs = env.step(action)[0]
    env.close()
    columns = {"observation.joints": np.array([r[0] for r in rows]), "action": np.array([r[1] for r in rows])}
    log = MotionLog.from_episode(columns, 20.0, 7)
    log.check(7)
    assert log.dq is None and log.t[-1] == pytest.approx(11 / 20)
    np.testing.assert_allclose(log.q_target[1:], columns["action"][:-1, :7])


def test_without_its_packages_they_are_named():
    code = (
        "import sys\nsys.modules['colorama'] = None\nimport numpy as np\nfrom sim.variation.identify import identify\n"
        "try:\n    identify('panda', [], ['damping'])\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ConfigError identification needs the packages that mujoco.sysid asks for: pip install colorama tabulate"


def test_the_names_are_those_of_the_documentation():
    assert NAMES == ("damping", "armature", "frictionloss", "stiffness", "servo_damping", "payload")
