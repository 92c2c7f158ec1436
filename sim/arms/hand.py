"""The parallel hand of panda.xml, for arms whose description ends at the flange."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import mujoco

from real.base import Frame
from real.robots.panda import MJCF

FIELDS = ("type", "size", "pos", "quat", "mass", "rgba", "contype", "conaffinity", "condim", "friction", "solref", "solimp")


@functools.cache
def _source() -> mujoco.MjSpec:
    return mujoco.MjSpec.from_file(str(MJCF))


def add_hand(body: mujoco.MjsBody, place: Frame) -> mujoco.MjsBody:
    """A copy of the hand, with fingers, pads, camera `wrist` and site `tcp`, fixed to `body` at `place`.

    Copied element by element: attaching it would either rename its joints or warn of their names at every start.
    """
    hand = _copy(_source().body("hand"), body)
    hand.pos, hand.quat = list(place[:3]), list(place[3:])
    return hand


def _copy(source: mujoco.MjsBody, parent: mujoco.MjsBody) -> mujoco.MjsBody:
    body = parent.add_body(name=source.name, pos=source.pos, quat=source.quat, gravcomp=source.gravcomp)
    for geom in source.geoms:
        body.add_geom(name=geom.name, **{field: getattr(geom, field) for field in FIELDS})
    for site in source.sites:
        body.add_site(name=site.name, pos=site.pos, quat=site.quat, size=site.size, rgba=site.rgba, group=site.group)
    for camera in source.cameras:
        body.add_camera(name=camera.name, pos=camera.pos, xyaxes=camera.alt.xyaxes, fovy=camera.fovy)
    for joint in source.joints:
        body.add_joint(name=joint.name, type=joint.type, axis=joint.axis, range=joint.range, armature=joint.armature, damping=joint.damping)
    for child in source.bodies:
        _copy(child, body)
    return body


def couple(spec: mujoco.MjSpec, opening: Sequence[float]) -> None:
    """Joins finger1 (and finger2) to the tendon `width`, whose length is the opening [m]; two fingers move as one."""
    tendon = spec.add_tendon(name="width")
    for i, metres in enumerate(opening):
        tendon.wrap_joint(f"finger{i + 1}", metres)
    if len(opening) == 2:
        equality = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, objtype=mujoco.mjtObj.mjOBJ_JOINT, name1="finger1", name2="finger2")
        equality.data[:5] = [0, 1, 0, 0, 0]
        equality.solref = [0.005, 1]
