"""The states of B simulations in one block of memory that the simulating processes share."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod
from pathlib import Path

import mujoco
import numpy as np

CHUNK = 64  # rows of control that fit in at once [physics steps]
TOUCHED, CLEARED = 1, 3  # marks: the state was written from outside; and before that the simulation was reset


@dataclass(frozen=True)
class Share:
    """Row i belongs to simulation i."""

    qpos: np.ndarray  # (B, nq)
    qvel: np.ndarray  # (B, nv)
    mocap_pos: np.ndarray  # (B, nmocap, 3)
    mocap_quat: np.ndarray  # (B, nmocap, 4)
    control: np.ndarray  # (B, CHUNK, nu)
    mark: np.ndarray  # (B,) uint8, TOUCHED or CLEARED since the last step
    active: np.ndarray  # (B,) uint8, to be stepped
    failed: np.ndarray  # (B,) uint8, broken by the last step


def shared(model: mujoco.MjModel, num_envs: int, path: Path | None = None) -> Share:
    """Arrays in the file `path`, made when it is not there; in this process's own memory without one."""
    shapes = [(model.nq,), (model.nv,), (model.nmocap, 3), (model.nmocap, 4), (CHUNK, model.nu)]
    floats = 8 * num_envs * sum(prod(shape) for shape in shapes)
    size = floats + 3 * num_envs
    memory: mmap.mmap | bytearray = bytearray(size)
    if path is not None:
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(size)
            memory = mmap.mmap(file.fileno(), size)
    arrays, at = [], 0
    for shape in shapes:
        count = num_envs * prod(shape)
        arrays.append(np.frombuffer(memory, float, count, at).reshape(num_envs, *shape))
        at += 8 * count
    flags = [np.frombuffer(memory, np.uint8, num_envs, floats + i * num_envs) for i in range(3)]
    return Share(*arrays, *flags)
