"""A URDF of an installed pip package as an MjSpec of bodies, joints and inertias, and its shapes as arrays.

MuJoCo reads the tree itself; it would refuse package:// addresses and COLLADA meshes, so the shapes go another way.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from data.errors import ConfigError, RobotError
from data.rotations import matrix_from_quat
from real.robots import Urdf
from sim.arms.meshes import RGBA, Surface, read_mesh

SHARE = "cmeel.prefix/share"  # where wheels of the cmeel family keep what belongs to no programming language
READERS = ("trimesh", "collada", "fast_simplification")
GREY: RGBA = (0.8, 0.8, 0.82, 1.0)


Box = tuple[np.ndarray, np.ndarray, np.ndarray]  # half size (3,), turn (3, 3), centre (3,), [m]


@dataclass
class Link:
    """The shapes of one link, in its own frame."""

    visual: list[Surface] = field(default_factory=list)
    collision: list[Surface] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)  # to collide


def share_folder(package: str) -> Path:
    """Where the files of a pip package lie. Raises ConfigError that says how to install it."""
    try:
        folder = Path(str(importlib.metadata.distribution(package).locate_file(SHARE)))
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(f"the pip package {package} is not installed: pip install 'waldo[robots]'") from None
    if not folder.is_dir():
        raise ConfigError(f"the pip package {package} has no folder {SHARE}: pip install 'waldo[robots]' brings a version that has")
    return folder


def read_links(source: Urdf) -> dict[str, Link]:
    """The shapes of every link, with its meshes. Raises ConfigError or RobotError."""
    for module in READERS:
        if importlib.util.find_spec(module) is None:
            raise ConfigError(f"the meshes of {source.path} need the Python module {module}: pip install 'waldo[robots]'")
    folder, root = share_folder(source.package), _root(source)
    colours = {m.get("name", ""): _colour(m) for m in root.findall("material")}
    return {link.get("name", ""): _shapes(link, folder, colours, dict(source.colours)) for link in root.findall("link")}


def read_urdf(source: Urdf, names: tuple[str, ...]) -> mujoco.MjSpec:
    """Bodies, inertias and joints, the joints named `names`, finger1 and finger2. Raises ConfigError or RobotError."""
    root = _root(source)
    fingers = source.fingers.joints if source.fingers else ()
    _strip(root, dict(zip(source.joints, names, strict=True)) | {old: f"finger{i + 1}" for i, old in enumerate(fingers)})
    try:
        return mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
    except ValueError as error:
        raise RobotError(f"MuJoCo cannot read {source.path}: {error}") from error


def _root(source: Urdf) -> ET.Element:
    path = share_folder(source.package) / source.path
    try:
        return ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        raise RobotError(f"the description {path} cannot be read: {error}") from error


def _strip(root: ET.Element, renamed: Mapping[str, str]) -> None:
    """Leaves links, inertias and joints with their new names; a joint that is not among them stays as it stands at zero."""
    for link in root.findall("link"):
        for kind in ("visual", "collision"):
            for shape in link.findall(kind):
                link.remove(shape)
        mass = link.find("inertial/mass")
        inertial = link.find("inertial")
        if inertial is not None and mass is not None and float(mass.get("value", 0)) < 1e-6:
            link.remove(inertial)  # a frame, not a body
    for joint in root.findall("joint"):
        name = joint.get("name", "")
        if name in renamed:
            joint.set("name", renamed[name])
        else:
            joint.set("type", "fixed")
        for tag in ("mimic", "dynamics", "safety_controller"):
            for element in joint.findall(tag):
                joint.remove(element)
    for element in [e for e in root if e.tag not in ("link", "joint")]:
        root.remove(element)
    own = ET.SubElement(root, "mujoco")
    ET.SubElement(own, "compiler", fusestatic="false", balanceinertia="false", discardvisual="false")


def _shapes(link: ET.Element, folder: Path, colours: Mapping[str, RGBA | None], wanted: Mapping[str, RGBA]) -> Link:
    found = Link()
    for kind, surfaces in (("visual", found.visual), ("collision", found.collision)):
        for shape in link.findall(kind):
            turn, shift = _origin(shape)
            mesh, box = shape.find("geometry/mesh"), shape.find("geometry/box")
            if mesh is not None:
                path = folder / mesh.get("filename", "").removeprefix("package://")
                scale = np.array([float(v) for v in mesh.get("scale", "1 1 1").split()])
                material = shape.find("material")
                name = "" if material is None else material.get("name", "")
                own = None if material is None else _colour(material) or colours.get(name)
                for part in read_mesh(path):
                    rgba = wanted.get(path.name) or wanted.get(name) or own or part.rgba or GREY
                    surfaces.append(Surface(part.vertices * scale, part.faces, rgba).moved(turn, shift))
            elif box is not None and kind == "collision":
                size = np.array([float(v) for v in box.get("size", "").split()])
                found.boxes.append((size / 2, turn, shift))
    return found


def _origin(shape: ET.Element) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and shift (3,) of a shape in its link; URDF's roll, pitch, yaw turn about fixed axes."""
    origin = shape.find("origin")
    if origin is None:
        return np.eye(3), np.zeros(3)
    quat = np.zeros(4)
    mujoco.mju_euler2Quat(quat, np.array([float(v) for v in origin.get("rpy", "0 0 0").split()]), "XYZ")
    return matrix_from_quat(quat), np.array([float(v) for v in origin.get("xyz", "0 0 0").split()])


def _colour(material: ET.Element) -> RGBA | None:
    colour = material.find("color")
    if colour is None:
        return None
    r, g, b, a = (float(v) for v in colour.get("rgba", "").split())
    return r, g, b, a
