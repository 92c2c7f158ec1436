"""The arm of panda.py with the meshes, masses and inertias of Franka Emika's own description (franka_ros)."""

from __future__ import annotations

from dataclasses import replace

from real.robots import Fingers, Urdf
from real.robots.panda import SPEC as PANDA

SPEC = replace(PANDA, name="panda_mesh")

DESCRIPTION = Urdf(
    package="example-robot-data",
    path="example-robot-data/robots/panda_description/urdf/panda.urdf",
    joints=tuple(f"panda_joint{i}" for i in range(1, 8)),
    tool="panda_hand",
    tcp=(0.0, 0.0, 0.1034, 1.0, 0.0, 0.0, 0.0),
    fingers=Fingers(
        joints=("panda_finger_joint1", "panda_finger_joint2"),
        opening=(1.0, 1.0),
        links=("panda_leftfinger", "panda_rightfinger"),
        camera=(0.075, 0.0, 0.01, 0.0923505, 0.7010505, 0.7010505, 0.0923505),  # that of panda.xml
    ),
)
