"""Universal Robots UR5e as primitive shapes, with the parallel hand of panda.xml on its flange: it needs no package of meshes.

Sources. DH table and link masses: Universal Robots, "DH Parameters for calculations of kinematics and dynamics". Ranges (360
degrees either way) and speeds (180 deg/s): UR5e user manual; the elbow is kept to 180 degrees, as in the vendor's ROS
description. Torques: "Max. joint torques" (sizes 3 and 1). The vendor publishes no limits of acceleration and jerk: those below
are chosen here. The base frame is the controller's: at zero the arm points along -x.
"""

from __future__ import annotations

from math import pi
from pathlib import Path

from real.base import RobotSpec
from real.robots import Mjcf

MJCF = Path(__file__).with_suffix(".xml")
DESCRIPTION = Mjcf(MJCF)

SPEC = RobotSpec(
    name="ur5e",
    joint_names=("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"),
    q_min=(-2 * pi, -2 * pi, -pi, -2 * pi, -2 * pi, -2 * pi),
    q_max=(2 * pi, 2 * pi, pi, 2 * pi, 2 * pi, 2 * pi),
    dq_max=(pi,) * 6,
    ddq_max=(8.0,) * 6,
    dddq_max=(400.0,) * 6,
    tau_max=(150.0, 150.0, 150.0, 28.0, 28.0, 28.0),
    q_home=(2.840857734, -1.697295646, 1.905591289, -1.779091969, -pi / 2, -1.871531246),
    dh=(
        (0.0, 0.1625, 0.0),
        (0.0, 0.0, pi / 2),
        (-0.425, 0.0, 0.0),
        (-0.3922, 0.1333, 0.0),
        (0.0, 0.0997, pi / 2),
        (0.0, 0.0996, -pi / 2),
        (0.0, 0.0, 0.0),  # flange
    ),
    tcp=(0.1034, 0.0),
    gripper_max_width=0.08,
    gripper_speed=0.1,
    source="https://www.universal-robots.com/articles/ur/application-installation/dh-parameters-for-calculations-of-kinematics-and-dynamics/",
)
