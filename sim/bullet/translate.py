"""A compiled MjModel as URDF texts: one for the fixed world, one per mocap body, one per tree of bodies that move.

      MuJoCo body with joints a, b                     links of the URDF
      parent --(body frame)-- anchor a, anchor b       parent --joint a--> massless link --joint b--> link of the body
                                                                                       |--fixed--> more groups of geoms
A URDF link sits at its joint's anchor and has the body's orientation; joints count from qpos0. Only what collides has a shape:
pictures of a state are drawn from the MjModel (sim/rendering), whichever engine stepped it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from data.rotations import multiply, rotate
from sim.bullet import contacts
from sim.bullet.contacts import Group
from sim.bullet.shapes import geometry, numbers, origin
from sim.bullet.support import BALL, FREE, HINGE, SLIDE, check

_KINDS = {HINGE: "revolute", SLIDE: "prismatic", BALL: "spherical"}
_NO_MASS = '<inertial><mass value="0"/><inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>'
_HERE = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
Pose = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Link:
    """A link in Bullet and what it stands for in the MjModel."""

    name: str
    body: int = -1  # whose mass it carries; -1: nobody's
    joint: int = -1  # by which it moves in its parent; -1: none
    group: Group | None = None  # its geoms that collide


@dataclass(frozen=True)
class Tree:
    """One multibody. body: the free or mocap body it is placed by; -1: its base stands still."""

    path: Path
    body: int
    links: tuple[Link, ...]  # the base first, which Bullet counts as -1


@dataclass
class _Draft:
    texts: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def base(self, link: Link, content: str) -> None:
        self.texts.append(f'<link name="{link.name}">{content}</link>')
        self.links.append(link)

    def hang(self, link: Link, content: str, parent: str, pose: Pose, kind: str = "fixed", axis: str = "") -> None:
        self.base(link, content)
        ends = f'<parent link="{parent}"/><child link="{link.name}"/>'
        self.texts.append(f'<joint name="{link.name}" type="{kind}">{ends}{origin(*pose)}{axis}</joint>')


class Translator:
    """Writes `model` into `folder`. Raises ConfigError for what cannot be translated."""

    def __init__(self, model: mujoco.MjModel, folder: Path) -> None:
        check(model)
        self._model, self._folder = model, folder
        self._groups = contacts.groups(model)
        self._children = [[b for b in range(1, model.nbody) if model.body_parentid[b] == p] for p in range(model.nbody)]
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        self._xpos, self._xquat = data.xpos.copy(), data.xquat.copy()

    def trees(self) -> list[Tree]:
        """The fixed world first."""
        fixed = [body for body in range(self._model.nbody) if self._model.body_weldid[body] == 0]
        roots = [b for b in range(1, self._model.nbody) if b not in fixed and self._model.body_parentid[b] in fixed]
        return [self._world(fixed), *(self._tree(root) for root in roots)]

    def _world(self, fixed: list[int]) -> Tree:
        draft = _Draft()
        draft.base(Link("base"), _NO_MASS)
        for body in fixed:
            pose = self._xpos[body], self._xquat[body]
            for i, group in enumerate(self._groups.get(body, [])):
                draft.hang(Link(f"b{body}g{i}", group=group), _NO_MASS + self._geoms(group, np.zeros(3)), "base", pose)
        return self._write("world", -1, draft)

    def _tree(self, root: int) -> Tree:
        m, draft = self._model, _Draft()
        if m.body_mocapid[root] >= 0 or m.jnt_type[m.body_jntadr[root]] == FREE:
            self._hang(draft, root, "", _HERE)
            return self._write(f"tree{root}", root, draft)
        draft.base(Link("base"), _NO_MASS)
        # Bullet takes what is fixed to link 0 for a part of the fixed world: let link 0 be one.
        draft.hang(Link("foot"), _NO_MASS, "base", _HERE)
        up = int(m.body_parentid[root])
        pose = self._xpos[up] + rotate(self._xquat[up], m.body_pos[root]), multiply(self._xquat[up], m.body_quat[root])
        self._hang(draft, root, "foot", pose)
        return self._write(f"tree{root}", -1, draft)

    def _hang(self, draft: _Draft, body: int, parent: str, pose: Pose) -> None:
        """Add the links of `body`, whose frame has this pose in the parent's link ("": it is the base), and all that hangs on it."""
        m = self._model
        first = int(m.body_jntadr[body])
        joints = [j for j in range(first, first + int(m.body_jntnum[body])) if m.jnt_type[j] != FREE]
        anchor = np.array(m.jnt_pos[joints[-1]]) if joints else np.zeros(3)
        name, groups = f"b{body}", self._groups.get(body, [])
        group = groups[0] if groups else None
        content = self._inertial(body, anchor) + self._geoms(group, anchor)
        if not parent:
            draft.base(Link(name, body, group=group), content)
        elif not joints:
            draft.hang(Link(name, body, group=group), content, parent, pose)
        else:
            here, before = pose[0] + rotate(pose[1], m.jnt_pos[joints[0]]), m.jnt_pos[joints[0]]
            turn = pose[1]
            for joint in joints[:-1]:
                between = Link(f"{name}j{joint}", joint=joint)
                draft.hang(between, _NO_MASS, parent, (here + m.jnt_pos[joint] - before, turn), *self._movement(joint))
                parent, here, turn, before = between.name, *_HERE, m.jnt_pos[joint]
            link = Link(name, body, joints[-1], group)
            draft.hang(link, content, parent, (here + anchor - before, turn), *self._movement(joints[-1]))
        for i, extra in enumerate(groups[1:], 1):
            draft.hang(Link(f"{name}g{i}", group=extra), _NO_MASS + self._geoms(extra, anchor), name, _HERE)
        for child in self._children[body]:
            self._hang(draft, child, name, (m.body_pos[child] - anchor, m.body_quat[child]))

    def _movement(self, joint: int) -> tuple[str, str]:
        """Kind, and axis with limits, of a joint; Bullet reads a lower limit above the upper as none."""
        m = self._model
        kind = int(m.jnt_type[joint])
        if kind == BALL:
            return _KINDS[kind], '<axis xyz="1 0 0"/>'  # it has none, but Bullet warns without
        low, high = m.jnt_range[joint] - m.qpos0[m.jnt_qposadr[joint]] if m.jnt_limited[joint] else (1.0, -1.0)
        limits = f'<limit lower="{float(low)!r}" upper="{float(high)!r}" effort="1e9" velocity="1e9"/>'
        return _KINDS[kind], f'<axis xyz="{numbers(m.jnt_axis[joint])}"/>{limits}'

    def _inertial(self, body: int, anchor: np.ndarray) -> str:
        m = self._model
        if m.body_mocapid[m.body_rootid[body]] >= 0:
            return _NO_MASS
        x, y, z = (repr(float(value)) for value in m.body_inertia[body])
        return (
            f'<inertial>{origin(m.body_ipos[body] - anchor, m.body_iquat[body])}<mass value="{float(m.body_mass[body])!r}"/>'
            f'<inertia ixx="{x}" ixy="0" ixz="0" iyy="{y}" iyz="0" izz="{z}"/></inertial>'
        )

    def _geoms(self, group: Group | None, anchor: np.ndarray) -> str:
        m, parts = self._model, []
        for geom in group.geoms if group else ():
            position, quat = m.geom_pos[geom] - anchor, m.geom_quat[geom]
            shift, element = geometry(m, geom, self._folder)
            parts.append(f"<collision>{origin(position + rotate(quat, shift), quat)}<geometry>{element}</geometry></collision>")
        return "".join(parts)

    def _write(self, name: str, body: int, draft: _Draft) -> Tree:
        path = self._folder / f"{name}.urdf"
        path.write_text(f'<robot name="{name}">\n' + "\n".join(draft.texts) + "\n</robot>\n", encoding="utf-8")
        return Tree(path, body, tuple(draft.links))
