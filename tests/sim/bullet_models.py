"""Worlds and states on which both engines are compared."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from sim.world import build_world

SCENE = Path(__file__).parents[2] / "sim/tasks/pick_place.xml"
BALL, FREE = int(mujoco.mjtJoint.mjJNT_BALL), int(mujoco.mjtJoint.mjJNT_FREE)

# Joints of all kinds, off centre, several in a body, a reference that is not 0, a body without joints, odd principal axes.
MENAGERIE = """<mujoco><compiler angle="radian"/><worldbody>
<geom type="plane" size="0 0 1"/>
<body name="shelf" pos="0 2 0" euler="0 0 0.5"><geom type="box" size="0.1 0.2 0.3"/>
  <body name="door" pos="0.1 0 0.2" euler="0.1 0 0"><joint name="hinge" axis="0 0 1" pos="0 -0.1 0" range="-1 2" limited="true"/>
    <geom type="box" pos="0 0.02 0.1" size="0.01 0.1 0.15" mass="1"/>
    <body name="knob" pos="0.02 0 0.1"><geom type="sphere" size="0.02" mass="0.1"/></body>
  </body>
</body>
<body name="cart" pos="0 0 1" euler="0.2 0.1 0.3">
  <joint name="x" type="slide" axis="1 0 0" pos="0.1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
  <joint name="yaw" axis="0 0 1" pos="0.1 0.05 0" ref="0.4"/>
  <geom type="box" pos="0.1 0.1 0.1" size="0.1 0.05 0.02" mass="1"/><geom type="capsule" fromto="0 0 0 0.1 0.2 0.1" size="0.02" mass="0.4"/>
  <body name="chain" pos="0.2 0 0" euler="0 0.4 0"><joint name="ball" type="ball" pos="0 0 0.05"/>
    <geom type="cylinder" pos="0 0.03 -0.1" euler="0.3 0.2 0" size="0.02 0.1" mass="0.5"/>
    <geom type="ellipsoid" pos="0.1 0 -0.1" size="0.02 0.03 0.04" mass="0.5" friction="2 0.1 0.1"/>
  </body>
</body>
<body name="toy" pos="1 0 1"><freejoint/><geom type="box" pos="0.1 0 0" size="0.1 0.05 0.02" mass="1"/>
  <body name="wheel" pos="0 0.1 0"><joint name="wheel" axis="0 1 0"/><geom type="cylinder" size="0.05 0.01" euler="1.57 0 0" mass="0.2"/></body>
</body>
<body name="table" mocap="true" pos="0 -1 0"><geom type="box" size="0.1 0.1 0.1"/>
  <body name="lamp" pos="0 0 0.2"><geom type="sphere" size="0.05"/></body></body>
</worldbody></mujoco>"""


def models() -> dict[str, mujoco.MjModel]:
    return {
        "every joint": mujoco.MjModel.from_xml_string(MENAGERIE),
        "panda and pick_place": build_world(SCENE, "panda").model,
    }


def random_state(model: mujoco.MjModel, rng: np.random.Generator) -> mujoco.MjData:
    """Any posture within the joints' ranges, at any speed."""
    data = mujoco.MjData(model)
    for joint in range(model.njnt):
        a, kind = model.jnt_qposadr[joint], model.jnt_type[joint]
        if kind == FREE:
            data.qpos[a : a + 3] = rng.uniform(-1, 1, 3)
            a += 3
        if kind in (FREE, BALL):
            quat = rng.normal(size=4)
            data.qpos[a : a + 4] = quat / np.linalg.norm(quat)
        else:
            low, high = model.jnt_range[joint] if model.jnt_limited[joint] else (-2, 2)
            data.qpos[a] = rng.uniform(low, high)
    data.qvel[:] = rng.normal(size=model.nv)
    data.mocap_pos[:] = rng.normal(size=data.mocap_pos.shape)
    data.mocap_quat[:] = rng.normal(size=data.mocap_quat.shape)
    data.mocap_quat[:] /= np.linalg.norm(data.mocap_quat, axis=1, keepdims=True)
    mujoco.mj_kinematics(model, data)
    return data
