"""UFACTORY xArm7 with the parallel hand of panda.xml on its flange.

Sources. Geometry, joint ranges and torques: UFACTORY's own description (xarm_ros2), whose right angles are 1.5708 rad.
Speed (180 deg/s): xArm user manual, "Technical Specifications". Acceleration and jerk: the largest that the arm's controller
accepts (xArm Developer Manual, "xArm Motion Parameters": 1145 deg/s^2 and 28647 deg/s^3).
"""

from __future__ import annotations

from math import pi

from real.base import RobotSpec
from real.robots import Urdf

_C, _S = 0.7071054825112363, 0.7071080798594735  # cosine and sine of 1.5708 / 2

SPEC = RobotSpec(
    name="xarm7",
    joint_names=tuple(f"joint{i}" for i in range(1, 8)),
    q_min=(-2 * pi, -2.059, -2 * pi, -0.19198, -2 * pi, -1.69297, -2 * pi),
    q_max=(2 * pi, 2.0944, 2 * pi, 3.927, 2 * pi, pi, 2 * pi),
    dq_max=(pi,) * 7,
    ddq_max=(19.98,) * 7,
    dddq_max=(499.98,) * 7,
    tau_max=(50.0, 50.0, 30.0, 30.0, 30.0, 20.0, 20.0),
    q_home=(0.0, -0.081340475, 0.0, 1.086841667, 0.0, 1.168182142, 0.0),
    chain=(
        (0.0, 0.0, 0.267, 1.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, _C, -_S, 0.0, 0.0),
        (0.0, -0.293, 0.0, _C, _S, 0.0, 0.0),
        (0.0525, 0.0, 0.0, _C, _S, 0.0, 0.0),
        (0.0775, -0.3425, 0.0, _C, _S, 0.0, 0.0),
        (0.0, 0.0, 0.0, _C, _S, 0.0, 0.0),
        (0.076, 0.097, 0.0, _C, -_S, 0.0, 0.0),
        (0.0, 0.0, 0.1034, 1.0, 0.0, 0.0, 0.0),
    ),
    gripper_max_width=0.08,
    gripper_speed=0.1,
    source="https://github.com/xArm-Developer/ufactory_doc_usermanual, technical specifications",
)

DESCRIPTION = Urdf(
    package="example-robot-data",
    path="example-robot-data/robots/xarm_description/urdf/xarm7.urdf",
    joints=SPEC.joint_names,
    tool="link7",
    tcp=(0.0, 0.0, 0.1034, 1.0, 0.0, 0.0, 0.0),
)
