"""Universal Robots UR5 (CB3 series) with the parallel hand of panda.xml on its flange.

Sources. Geometry: the URDF of ros-industrial/universal_robot, whose lengths are those of the UR5 manual ("UR5 serie 3").
Joint speeds (180 deg/s) and ranges (360 deg either way): UR5 technical specification; the description keeps the elbow to
180 deg. Torques: Universal Robots, "Max. joint torques" (joint sizes 3 and 1: 150 and 28 N m). Universal Robots publishes
no limits of acceleration and jerk: those below are chosen here, well inside what the arm does.
"""

from __future__ import annotations

from math import pi, sqrt

from real.base import RobotSpec
from real.robots import Urdf

_H = sqrt(0.5)

SPEC = RobotSpec(
    name="ur5",
    joint_names=("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"),
    q_min=(-2 * pi, -2 * pi, -pi, -2 * pi, -2 * pi, -2 * pi),
    q_max=(2 * pi, 2 * pi, pi, 2 * pi, 2 * pi, 2 * pi),
    dq_max=(pi,) * 6,
    ddq_max=(8.0,) * 6,
    dddq_max=(400.0,) * 6,
    tau_max=(150.0, 150.0, 150.0, 28.0, 28.0, 28.0),
    q_home=(-0.244999207, -1.687541483, 1.752765625, -1.636020469, -pi / 2, -1.815795534),
    chain=(
        (0.0, 0.0, 0.089159, 1.0, 0.0, 0.0, 0.0),
        (0.0, 0.13585, 0.0, 0.5, -0.5, 0.5, 0.5),
        (0.0, -0.425, -0.1197, 1.0, 0.0, 0.0, 0.0),
        (0.0, -0.39225, 0.0, _H, 0.0, 0.0, _H),
        (0.0, 0.0, 0.093, _H, _H, 0.0, 0.0),
        (0.0, 0.0, 0.09465, _H, -_H, 0.0, 0.0),
        (0.0, 0.0, 0.1857, 1.0, 0.0, 0.0, 0.0),  # flange 0.0823 m, hand 0.1034 m
    ),
    gripper_max_width=0.08,
    gripper_speed=0.1,
    source="https://www.universal-robots.com/articles/ur/application-installation/dh-parameters-for-calculations-of-kinematics-and-dynamics/",
)

DESCRIPTION = Urdf(
    package="example-robot-data",
    path="example-robot-data/robots/ur_description/urdf/ur5_robot.urdf",
    joints=tuple(f"{name}_joint" for name in SPEC.joint_names),
    tool="tool0",
    tcp=(0.0, 0.0, 0.1034, 1.0, 0.0, 0.0, 0.0),
)
