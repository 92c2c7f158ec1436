"""Menagerie."""

from __future__ import annotations

import mujoco

from real.base import RobotSpec


def read_menagerie(model: str) -> tuple[RobotSpec, mujoco.MjSpec]:
    raise NotImplementedError
