"""Every robot's limits and home, its YAML, and what a RobotSpec refuses."""

import dataclasses
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import real.robots
from data.config import build
from data.errors import RobotError
from real.cell import Cell
from real.kinematics import Kinematics
from real.robots import Mjcf, Urdf
from real.robots.panda import SPEC as PANDA

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "robot"
ROBOTS = sorted(module.name for module in pkgutil.iter_modules(real.robots.__path__))
# The wrist of an SO-101 stops before its tool points straight down at a height of 0.12 m; at 0.08 m it does.
HOME = {"panda": (0.307, 0.487), "panda_mesh": (0.307, 0.487), "so101": (0.22, 0.08)}


@pytest.fixture(params=ROBOTS)
def robot(request):
    return importlib.import_module(f"real.robots.{request.param}")


def test_a_robot_says_what_it_is_and_where_its_model_comes_from(robot):
    name = robot.__name__.rsplit(".", 1)[1]
    assert robot.SPEC.name == name
    assert robot.SPEC.source.startswith("https://")
    assert isinstance(robot.DESCRIPTION, Mjcf | Urdf)
    if isinstance(robot.DESCRIPTION, Mjcf):
        assert robot.DESCRIPTION.path.is_file()
    else:
        assert len(robot.DESCRIPTION.joints) == robot.SPEC.dof


def test_home_is_inside_the_limits_over_the_table(robot):
    spec = robot.SPEC
    assert (np.array(spec.q_home) > np.array(spec.q_min) + 0.05).all()
    assert (np.array(spec.q_home) < np.array(spec.q_max) - 0.05).all()
    position, _ = Kinematics(spec).forward(np.array(spec.q_home))
    x, z = HOME.get(spec.name, (0.45, 0.3))
    np.testing.assert_allclose(position[0], [x, 0, z], atol=1e-3)


def test_its_yaml_makes_a_cell_in_which_home_is_allowed(robot):
    cell = build(OmegaConf.load(CONFIGS / f"{robot.SPEC.name}.yaml"))
    assert isinstance(cell, Cell) and cell.robot == robot.SPEC
    position, _ = cell.kinematics.forward(np.array(robot.SPEC.q_home))
    assert (position[0] > cell.config.workspace_low).all() and (position[0] < cell.config.workspace_high).all()
    cell.committer(0.01)


def test_every_yaml_names_a_robot():
    assert sorted(path.stem for path in CONFIGS.glob("*.yaml")) == ROBOTS


def test_reach_is_where_the_table_needs_it(robot):
    """The corners of the middle of the workspace are reached, the tool pointing down as far as the arm can."""
    cell = build(OmegaConf.load(CONFIGS / f"{robot.SPEC.name}.yaml"))
    small = robot.SPEC.dof == 5
    xs, ys, zs = ((0.18, 0.26), (-0.1, 0.1), (0.03, 0.07)) if small else ((0.35, 0.6), (-0.25, 0.25), (0.03, 0.3))
    points = np.array([[x, y, z] for x in xs for y in ys for z in zs])
    down = np.tile([0.0, 1.0, 0.0, 0.0], (8, 1))
    q = cell.kinematics.inverse(points, down, np.tile(robot.SPEC.q_home, (8, 1)), iterations=300)
    found, _ = cell.kinematics.forward(q)
    assert np.abs(found - points).max() < 1e-3, "m"


def test_the_hash_of_an_arm_with_a_dh_table_is_what_logs_of_older_versions_hold():
    assert PANDA.hash() == "f7b8804383044638d2b6847e91379cb3c206704b5ebfcdd0eb0559df792742c2"
    assert dataclasses.replace(PANDA, gripper_speed=0.2).hash() != PANDA.hash()


def chain_of(spec):
    return tuple((0.0, 0.0, 0.1, 1.0, 0.0, 0.0, 0.0) for _ in range(spec.dof + 1))


def test_a_robot_spec_has_one_geometry():
    with pytest.raises(RobotError, match="either dh or chain; found both"):
        dataclasses.replace(PANDA, chain=chain_of(PANDA))
    with pytest.raises(RobotError, match="either dh or chain; found neither"):
        dataclasses.replace(PANDA, dh=())
    with pytest.raises(RobotError, match=r"dh must be \(8, 3\) finite numbers, found \(7, 3\)"):
        dataclasses.replace(PANDA, dh=PANDA.dh[:-1])
    with pytest.raises(RobotError, match=r"chain must be \(8, 7\)"):
        dataclasses.replace(PANDA, dh=(), chain=chain_of(PANDA)[:-1])
    with pytest.raises(RobotError, match="quaternions of chain must have length 1"):
        dataclasses.replace(PANDA, dh=(), chain=(*chain_of(PANDA)[:-1], (0.0, 0.0, 0.0, 1.0, 0.1, 0.0, 0.0)))


def test_a_dh_table_and_the_chain_that_it_stands_for_are_the_same_arm():
    """The chain written down by hand: Craig's rows as rotations about x, the tool behind the flange."""
    rows = [(a, -np.sin(alpha) * d, np.cos(alpha) * d, np.cos(alpha / 2), np.sin(alpha / 2), 0.0, 0.0) for a, d, alpha in PANDA.dh]
    z, yaw = PANDA.tcp
    rows[-1] = (0.0, 0.0, PANDA.dh[-1][1] + z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
    spec = dataclasses.replace(PANDA, dh=(), tcp=(0.0, 0.0), chain=tuple(tuple(map(float, row)) for row in rows))
    q = np.random.default_rng(0).uniform(PANDA.q_min, PANDA.q_max, (50, 7))
    for ours, theirs in zip(Kinematics(spec).forward(q), Kinematics(PANDA).forward(q), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_reading_every_robot_loads_no_simulator():
    code = f"import importlib, sys\nfor name in {ROBOTS}: importlib.import_module('real.robots.' + name)\nprint('mujoco' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CONFIGS.parents[1])
    assert done.stdout.strip() == "False"
