"""The bodies of an MjModel in one client of Bullet: loaded from URDFs, without damping, motors or contacts of Bullet's own choice."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mujoco
import numpy as np

from sim.bullet import contacts
from sim.bullet.client import pybullet
from sim.bullet.contacts import Group
from sim.bullet.support import BALL
from sim.bullet.translate import Translator, Tree

_FLAGS = (
    pybullet.URDF_USE_INERTIA_FROM_FILE
    | pybullet.URDF_USE_SELF_COLLISION
    | pybullet.URDF_USE_SELF_COLLISION_INCLUDE_PARENT
    | pybullet.URDF_USE_IMPLICIT_CYLINDER
    | pybullet.URDF_MAINTAIN_LINK_ORDER
    | pybullet.URDF_IGNORE_VISUAL_SHAPES
)
_SOLVER = {  # everything else that results depend on, said out loud
    "numSubSteps": 0,
    "deterministicOverlappingPairs": 1,
    "erp": 0.2,
    "contactERP": 0.2,
    "frictionERP": 0.2,
    "globalCFM": 0.0,
    "enableConeFriction": 1,
    "restitutionVelocityThreshold": 1e9,
    "solverResidualThreshold": 1e-7,
    "contactBreakingThreshold": 0.005,
    "enableFileCaching": 0,
}


@dataclass(frozen=True)
class Loaded:
    """A tree in Bullet. joints: the hinges and slides of the MjModel that move its `links`."""

    uid: int
    tree: Tree
    joints: tuple[int, ...]
    links: tuple[int, ...]
    part: slice  # of the joints of all trees

    @cached_property
    def ones(self) -> list[float]:
        return [1.0] * len(self.links)


class Scene:
    """Fills `client`. A place in Bullet is a multibody and the index of its link, -1 for the base."""

    def __init__(self, model: mujoco.MjModel, client: int) -> None:
        self.model, self.client = model, client
        pybullet.setPhysicsEngineParameter(fixedTimeStep=float(model.opt.timestep), **_SOLVER, physicsClientId=client)
        still = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY
        pybullet.setGravity(*([0.0] * 3 if still else model.opt.gravity.tolist()), physicsClientId=client)
        self.trees: list[Loaded] = []
        self.links: dict[int, tuple[int, int]] = {}  # body of the model -> place of the link that carries its mass
        self.balls: dict[int, tuple[int, int]] = {}  # ball joint of the model -> place
        self.groups: dict[tuple[int, int], Group] = {}  # place -> geoms that collide there
        with tempfile.TemporaryDirectory(prefix="waldo-bullet-") as folder:
            for tree in Translator(model, Path(folder)).trees():
                self._load(tree)
        groups, places = list(self.groups.values()), list(self.groups)
        self._touching = contacts.pairs(model, groups)
        for i, j in self._touching:
            (a, link_a), (b, link_b) = places[i], places[j]
            pybullet.setCollisionFilterPair(a, b, link_a, link_b, 1, physicsClientId=client)
        self.set_friction(model.geom_friction)

    def _load(self, tree: Tree) -> None:
        uid = pybullet.loadURDF(str(tree.path), flags=_FLAGS, physicsClientId=self.client)
        scalar: list[tuple[int, int]] = []
        for index, link in enumerate(tree.links, -1):
            self._bare(uid, index)
            if link.body >= 0:
                self.links[link.body] = uid, index
            if link.group is not None:
                self.groups[uid, index] = link.group
            if link.joint >= 0 and self.model.jnt_type[link.joint] == BALL:
                self.balls[link.joint] = uid, index
                self._loosen(uid, index)
            elif link.joint >= 0:
                scalar.append((link.joint, index))
        start = self.trees[-1].part.stop if self.trees else 0
        joints, links = tuple(joint for joint, _ in scalar), tuple(index for _, index in scalar)
        self.trees.append(Loaded(uid, tree, joints, links, slice(start, start + len(scalar))))

    def _bare(self, uid: int, index: int) -> None:
        pybullet.changeDynamics(
            uid,
            index,
            linearDamping=0,
            angularDamping=0,
            jointDamping=0,
            restitution=0,
            maxJointVelocity=1e9,
            physicsClientId=self.client,
        )
        pybullet.setCollisionFilterGroupMask(uid, index, 0, 0, physicsClientId=self.client)  # nothing, but the pairs that follow

    def _loosen(self, uid: int, index: int) -> None:
        """Switch off the motor that Bullet gives a ball joint."""
        still, off = [0.0, 0.0, 0.0, 1.0], [0.0] * 3
        pybullet.setJointMotorControlMultiDof(
            uid, index, pybullet.POSITION_CONTROL, still, positionGain=0, velocityGain=0, force=off, physicsClientId=self.client
        )

    @property
    def joints(self) -> np.ndarray:
        """(J,) hinges and slides, in the order of the trees."""
        return np.array([joint for tree in self.trees for joint in tree.joints], int)

    def set_rounds(self, rounds: int) -> None:
        """How often the solver goes through all contacts and motors at most."""
        pybullet.setPhysicsEngineParameter(numSolverIterations=rounds, physicsClientId=self.client)

    def set_friction(self, values: np.ndarray) -> None:
        """Take geom_friction (ngeom, 3)."""
        found = contacts.friction(self.model, values, list(self.groups.values()), self._touching)
        for (uid, index), (slide, spin, roll) in zip(self.groups, found.tolist(), strict=True):
            pybullet.changeDynamics(
                uid, index, lateralFriction=slide, spinningFriction=spin, rollingFriction=roll, physicsClientId=self.client
            )

    def set_masses(self, mass: np.ndarray, inertia: np.ndarray) -> None:
        """Take body_mass (nbody,) and body_inertia (nbody, 3); together, for of a mass alone Bullet would guess the inertia."""
        for body, (uid, index) in self.links.items():
            if self.model.body_mocapid[self.model.body_rootid[body]] < 0:
                diagonal = inertia[body].tolist()
                pybullet.changeDynamics(uid, index, mass=float(mass[body]), localInertiaDiagonal=diagonal, physicsClientId=self.client)

    def set_ball_damping(self, values: np.ndarray) -> None:
        """Take dof_damping (nv,)."""
        for joint, (uid, index) in self.balls.items():
            damping = float(values[self.model.jnt_dofadr[joint]])
            pybullet.changeDynamics(uid, index, jointDamping=damping, physicsClientId=self.client)

    def moving(self) -> Sequence[Loaded]:
        """The trees with hinges or slides."""
        return [tree for tree in self.trees if tree.joints]
