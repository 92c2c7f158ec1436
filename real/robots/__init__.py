"""One robot = one file: its published limits with their source (`SPEC`), and where its model comes from (`DESCRIPTION`).

Plain numbers only: what moves a real arm reads these files without a simulator. sim/robots.py builds the models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from real.base import Frame

HERE: Frame = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Mjcf:
    """An MJCF file of our own, with the names that the simulators expect (docs/robots.md)."""

    path: Path


@dataclass(frozen=True)
class Fingers:
    """The gripper that a description brings along."""

    joints: tuple[str, ...]  # one or two, in the description's names
    opening: tuple[float, ...]  # metres of opening per unit of each joint
    closed: float = 0.0  # position of the joints at which the fingers touch [m] or [rad]
    links: tuple[str, ...] = ()  # links whose surface holds objects
    camera: Frame = HERE  # of the camera `wrist` in `Urdf.tool`; it looks along its -z, +y is up in the picture


@dataclass(frozen=True)
class Urdf:
    """A URDF inside an installed pip package."""

    package: str  # pip distribution
    path: str  # in the package's share folder, which is also where its package:// addresses start
    joints: tuple[str, ...]  # from base to tool, as RobotSpec.joint_names
    tool: str  # link that the tool centre point is fixed to
    tcp: Frame = HERE  # tool centre point in that link
    fingers: Fingers | None = None  # None: the parallel hand of panda.xml is mounted
    hand: Frame = HERE  # where it is mounted in `tool`
    slices: tuple[tuple[str, int], ...] = ()  # (link, n): a hollow link collides as n convex slices, others as one convex hull
    colours: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()  # (mesh file or material, RGBA) where the file's own is dull
    armature: float = 0.1  # of every joint [kg m^2]: gears and rotors, not part of a URDF
    damping: float = 0.5  # of every joint [N m s/rad]


Description = Mjcf | Urdf
