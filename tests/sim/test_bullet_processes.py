"""PybulletPhysics: the same numbers whoever steps a row, nothing left of an earlier episode, and one clear error when a process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest

pytest.importorskip("pybullet", reason="the extra pybullet is not installed")

from data.errors import ConfigError, SimulationError
from sim.physics import FIELDS
from sim.pybullet import PybulletPhysics, open_physics
from sim.world import World, build_world
from tests.sim.bullet_models import SCENE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SCENE, "panda")


@pytest.fixture
def physics(world: World) -> Iterator[Callable[[int, int], PybulletPhysics]]:
    """Makes engines and closes them."""
    made: list[PybulletPhysics] = []

    def make(num_envs: int, processes: int) -> PybulletPhysics:
        made.append(PybulletPhysics(world, num_envs, processes))
        return made[-1]

    yield make
    for one in made:
        one.close()


def episode(physics: PybulletPhysics, seed: int = 0, steps: int = 6, only: np.ndarray | None = None) -> np.ndarray:
    """(steps, R, nq + nv): the arms fall upon the cubes and push them about, every row in its own way."""
    rows = np.arange(physics.num_envs)
    rngs = [np.random.default_rng([seed, row]) for row in rows]
    home = physics.arms[0].spec.q_home
    q = np.array([home + rng.normal(0, 0.1, 7) for rng in rngs])
    physics.reset(rows)
    physics.set_joints(q, np.full((len(rows), 1), 0.06), rows)
    tool = physics.tool()[0]
    physics.set_body("cube", tool + [0, 0, -0.02], np.tile([1.0, 0, 0, 0], (len(rows), 1)), rows)
    physics.set_body("bin", np.array([[0.5, 0.2 + 0.01 * r, 0] for r in rows]), np.tile([1.0, 0, 0, 0], (len(rows), 1)), rows)
    chosen, states = rows if only is None else only, []
    for k in range(steps):
        target = q[chosen] + 0.05 * k * np.array([1, 1, 0, 1, 0, 0, 1])
        path = np.repeat(target[:, None], 25, 1)
        physics.step(path, np.zeros((len(chosen), 7)), np.full((len(chosen), 25, 1), 0.02), None if only is None else only)
        states.append(np.concatenate([physics.qpos, physics.qvel], 1)[chosen])
    return np.array(states)


@pytest.mark.parametrize(
    ("num_envs", "processes"), [(1, 0), (3, 2), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((8, 2), (8, 3), (1, 1), (3, 1)))]
)
def test_a_row_does_not_depend_on_the_batch_nor_on_the_processes(physics, reference, num_envs, processes):
    assert np.ptp(reference[-1], 0).max() > 0.1
    np.testing.assert_array_equal(episode(physics(num_envs, processes)), reference[:, :num_envs])


@pytest.fixture(scope="module")
def reference(world: World) -> np.ndarray:
    """Eight rows, stepped in this process."""
    engine = PybulletPhysics(world, 8, 0)
    try:
        return episode(engine)
    finally:
        engine.close()


def test_an_episode_does_not_depend_on_what_ran_before(physics):
    engine = physics(2, 1)
    first = episode(engine, seed=1)
    episode(engine, seed=2, steps=9)
    np.testing.assert_array_equal(episode(engine, seed=1), first)


def test_rows_that_are_not_stepped_stay(physics):
    engine = physics(4, 2)
    whole = episode(engine, seed=3)
    some = np.array([1, 3])
    before = episode(engine, seed=3, only=some)
    np.testing.assert_array_equal(before, whole[:, some])
    assert (engine.qvel[0] == 0).all()


def test_a_row_is_reset_alone(physics):
    engine = physics(3, 1)
    episode(engine)
    other = engine.qpos[[0, 2]].copy()
    engine.reset(np.array([1]))
    np.testing.assert_array_equal(engine.qpos[1], engine.model.qpos0)
    np.testing.assert_array_equal(engine.qpos[[0, 2]], other)


def test_more_steps_than_fit_at_once_are_the_same(physics):
    engine, control = physics(1, 1), np.tile([*build_world(SCENE, "panda").arms[0].spec.q_home, 0.0], (1, 150, 1))
    rows, ends = np.array([0]), []
    for parts in ([150], [50, 50, 50]):
        engine.reset(rows)
        for start, count in zip(np.cumsum([0, *parts[:-1]]), parts, strict=True):
            engine._advance(control[:, start : start + count], rows)
        ends.append(engine.qpos.copy())
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("processes", [0, 2])
def test_a_field_of_one_row_is_felt_by_that_row_alone(physics, reference, processes):
    engine, reference = physics(3, processes), reference[:3, :3]
    for name in FIELDS:
        value = getattr(engine.model, name)
        engine.set_field(name, value[None] * 1.3, np.array([1]))
        felt = episode(engine, steps=3)
        np.testing.assert_array_equal(felt[:, [0, 2]], reference[:, [0, 2]])
        silent = name == "dof_frictionloss"  # 1.3 times nothing
        assert np.array_equal(felt[:, 1], reference[:, 1]) == silent, name
        engine.set_field(name, value[None], np.array([1]))
    np.testing.assert_array_equal(episode(engine, steps=3), reference)


def test_a_state_that_is_no_number_is_named_and_the_others_go_on(physics):
    engine = physics(2, 1)
    reference = episode(engine)
    engine.reset(np.array([0, 1]))
    engine.qvel[0, :] = np.nan
    engine._touch(np.array([0]))
    engine.step(np.zeros((2, 25, 7)), np.zeros((2, 7)), np.zeros((2, 25, 1)))
    assert list(engine.failed) == [0] and "unstable" in engine.failed[0]
    np.testing.assert_array_equal(episode(engine), reference)
    assert not engine.failed


def test_bad_fields_are_refused(physics):
    engine = physics(2, 1)
    with pytest.raises(ConfigError, match=r"'geom_size' cannot differ.*allowed: actuator"):
        engine.set_field("geom_size", np.zeros((1, 3)), np.array([0]))
    with pytest.raises(ConfigError, match=r"'body_mass' needs.*shape"):
        engine.set_field("body_mass", np.ones((1, 3)), np.array([0]))
    with pytest.raises(ConfigError, match="finite"):
        engine.set_field("body_mass", np.full((1, engine.model.nbody), np.nan), np.array([0]))
    with pytest.raises(ConfigError, match="must be positive, found 0"):
        engine.set_field("body_mass", np.zeros((1, engine.model.nbody)), np.array([0]))
    episode(engine)  # and it goes on


def test_a_world_that_bullet_cannot_do_is_refused_by_the_processes_too(world):
    import dataclasses

    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='spring' type='ball' stiffness='1'/><geom size='.1'/></body></worldbody></mujoco>"
    )
    with pytest.raises(ConfigError, match="'spring'"):
        PybulletPhysics(dataclasses.replace(world, model=model, arms=world.arms), 2, 2)


def test_a_killed_process_is_one_error(physics):
    engine = physics(4, 2)
    assert engine._crew is not None
    engine._crew._processes[1].kill()
    with pytest.raises(SimulationError, match=r"simulations 2 to 3 ended with exit status -9"):
        episode(engine)
    with pytest.raises(SimulationError, match="closed"):
        engine.step(np.zeros((4, 1, 7)), np.zeros((4, 7)), np.zeros((4, 1, 1)))


PARENT = """
import os, sys
from pathlib import Path
from sim.pybullet import PybulletPhysics
from sim.world import build_world
engine = PybulletPhysics(build_world(Path("sim/tasks/pick_place.xml"), "panda"), 2, 2)
print(*(process.pid for process in engine._crew._processes), flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_processes_end_with_their_parent():
    done = subprocess.run([sys.executable, "-c", PARENT], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while (alive := [pid for pid in pids if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_printed_and_no_file_is_left(tmp_path):
    code = """
from pathlib import Path
from sim.pybullet import open_physics
from sim.world import build_world
open_physics(build_world(Path("sim/tasks/pick_place.xml"), "panda"), 2, 2).close()
"""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.glob("waldo-bullet-*"))


def test_one_simulation_is_stepped_in_this_process(world):
    engine = open_physics(world, 1)
    try:
        assert engine._crew is None
    finally:
        engine.close()
    with pytest.raises(ConfigError, match="processes=-1"):
        PybulletPhysics(world, 1, -1)
