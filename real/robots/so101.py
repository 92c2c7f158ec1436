"""SO-101 of TheRobotStudio, a 3D-printed arm of five joints with one moving jaw, driven by Feetech STS3215 servos.

Sources. Geometry and joint ranges: TheRobotStudio's URDF (SO-ARM100, new calibration). Torque and speed: Feetech STS3215 at
7.4 V, 19.5 kg cm at stall and 0.222 s per 60 degrees without load. Nobody publishes its accelerations and jerks: those below
are chosen here.

The tool centre point lies 0.02 m beside the inner face of the fixed jaw and 0.01 m above the tips, its y axis along the
opening: an object of up to 0.04 m that stands there is between the open jaws, and is pushed onto the fixed one when they close.
The opening at the tips is 0.0745 m/rad times the angle of the jaw from where it would touch, -0.2 rad in the description (its
lower stop is -0.175 rad). Measured on the meshes that holds to 2 mm from 0 to 0.07 m; wider than that it is not used.
"""

from __future__ import annotations

from math import sqrt

from real.base import RobotSpec
from real.robots import Fingers, Urdf

_H = sqrt(0.5)
_C, _S = 0.7071054825112363, 0.7071080798594735  # cosine and sine of 1.5708 / 2

SPEC = RobotSpec(
    name="so101",
    joint_names=("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"),
    q_min=(-1.91986, -1.74533, -1.69, -1.65806, -2.74385),
    q_max=(1.91986, 1.74533, 1.69, 1.65806, 2.84121),
    dq_max=(4.71,) * 5,
    ddq_max=(20.0,) * 5,
    dddq_max=(1000.0,) * 5,
    tau_max=(1.91,) * 5,
    q_home=(-0.067581811, -0.101609309, 0.112945636, 1.559466684, -1.589704965),
    chain=(
        (0.0388353, -8.97657e-09, 0.0624, 1.7603637852e-12, 1.32679489668e-06, -0.999999999998, -1.32679489668e-06),
        (-0.0303992, -0.0182778, -0.0542, 0.499998163397, -0.499999999997, -0.499999999997, -0.500001836603),
        (-0.11257, -0.028, 0.0, _C, 0.0, 0.0, _S),
        (-0.1349, 0.0052, 0.0, _C, 0.0, 0.0, -_S),
        (0.0, -0.0611, 0.0181, 0.0172100724929, -0.0172081334648, 0.706898659335, 0.70689601709),
        (0.0121, -0.000218121, -0.094, 0.0, _H, _H, 0.0),
    ),
    gripper_max_width=0.07,
    gripper_speed=0.2,
    source="https://github.com/TheRobotStudio/SO-ARM100; Feetech STS3215 data sheet",
)

DESCRIPTION = Urdf(
    package="example-robot-data",
    path="example-robot-data/robots/so_arm_description/urdf/so101.urdf",
    joints=SPEC.joint_names,
    tool="gripper_link",
    tcp=(0.0121, -0.000218121, -0.094, 0.0, _H, _H, 0.0),
    fingers=Fingers(
        joints=("gripper",),
        opening=(0.0745,),
        closed=-0.2,
        links=("moving_jaw_so101_v1_link", "gripper_link"),
        camera=(0.012, 0.075, 0.0, 0.95534, -0.29552, 0.0, 0.0),
    ),
    slices=(("gripper_link", 6), ("moving_jaw_so101_v1_link", 5)),
    armature=0.028,
    damping=0.1,
)
