"""A 7-joint arm with the published kinematics and limits of the Franka Emika Panda, and a parallel gripper.

Source of the DH table and of every joint limit: Franka Control Interface documentation, "Robot and interface
specifications" (Panda), https://frankaemika.github.io/docs/control_parameters.html. Denavit-Hartenberg in Craig's
(modified) convention. Gripper: Franka Hand, 0.08 m stroke, 0.05 m/s per finger; its TCP lies 0.1034 m past the flange,
turned by -45 degrees about the flange's z.
"""

from __future__ import annotations

from math import pi
from pathlib import Path

from real.base import RobotSpec
from real.robots import Mjcf

MJCF = Path(__file__).with_suffix(".xml")  # the same arm as primitive shapes
DESCRIPTION = Mjcf(MJCF)

SPEC = RobotSpec(
    name="panda",
    joint_names=tuple(f"joint{i}" for i in range(1, 8)),
    q_min=(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
    q_max=(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    dq_max=(2.1750, 2.1750, 2.1750, 2.1750, 2.6100, 2.6100, 2.6100),
    ddq_max=(15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
    dddq_max=(7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0),
    tau_max=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    q_home=(0.0, -pi / 4, 0.0, -3 * pi / 4, 0.0, pi / 2, pi / 4),
    dh=(
        (0.0, 0.333, 0.0),
        (0.0, 0.0, -pi / 2),
        (0.0, 0.316, pi / 2),
        (0.0825, 0.0, pi / 2),
        (-0.0825, 0.384, -pi / 2),
        (0.0, 0.0, pi / 2),
        (0.088, 0.0, pi / 2),
        (0.0, 0.107, 0.0),  # flange
    ),
    tcp=(0.1034, -pi / 4),
    gripper_max_width=0.08,
    gripper_speed=0.1,
    source="https://frankaemika.github.io/docs/control_parameters.html",
)
