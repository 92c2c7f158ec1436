"""One simulation of an MjModel in PyBullet, on a client of its own; states have the MjModel's layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

from data.errors import ConfigError, did_you_mean
from sim.bullet.client import pybullet
from sim.bullet.contacts import Group
from sim.bullet.equality import add_equalities
from sim.bullet.gravity import Lift
from sim.bullet.scene import Scene
from sim.bullet.servo import Servo
from sim.bullet.state import State, initial
from sim.bullet.support import label

_VELOCITY, _TORQUE = pybullet.VELOCITY_CONTROL, pybullet.TORQUE_CONTROL


@dataclass(frozen=True)
class Contact:
    """One point where two links touch."""

    first: Group  # whose geoms
    second: Group
    distance: float  # [m], negative: inside each other
    normal: np.ndarray  # (3,) from the second to the first, in the world
    force: float  # [N] along the normal, in the last step


class BulletWorld:
    """Raises ConfigError for what the model has and Bullet cannot do."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self.client: int = pybullet.connect(pybullet.DIRECT)
        if self.client < 0:
            raise ConfigError("PyBullet holds at most 1024 simulations in one process; use more processes or a smaller num_envs")
        try:
            self.scene = Scene(model, self.client)
            self._state = State(self.scene)
            self._servo, self._lift = Servo(model, self.scene.joints), Lift(model)
            self._moving = self.scene.moving()
            self._mass, self._inertia = model.body_mass.copy(), model.body_inertia.copy()
            self._set_servo("damping", model.dof_damping)
            add_equalities(self.scene)
            self.load(*initial(model))
            self._start: int = pybullet.saveState(physicsClientId=self.client)
        except BaseException:
            self.close()
            raise
        self._fields: dict[str, Callable[[np.ndarray], None]] = {
            "body_mass": lambda values: self._set_masses(values, self._inertia),
            "body_inertia": lambda values: self._set_masses(self._mass, values),
            "geom_friction": self.scene.set_friction,
            "dof_damping": lambda values: self._set_servo("damping", values),
            "dof_frictionloss": lambda values: self._set_servo("frictionloss", values),
            "actuator_gainprm": lambda values: self._set_servo("gainprm", values),
            "actuator_biasprm": lambda values: self._set_servo("biasprm", values),
        }

    def reset(self) -> None:
        """Back to the model's initial state; of what went before nothing is left, its contacts neither."""
        self._state.scatter()  # else contacts that come back at the same place are taken for the old ones, and start warm
        pybullet.performCollisionDetection(physicsClientId=self.client)
        pybullet.restoreState(self._start, physicsClientId=self.client)
        self._servo.forget()

    def load(self, qpos: np.ndarray, qvel: np.ndarray, mocap_pos: np.ndarray, mocap_quat: np.ndarray) -> None:
        """Take over a state: (nq,), (nv,), (nmocap, 3), (nmocap, 4)."""
        self._state.load(qpos, qvel, mocap_pos, mocap_quat)
        self._servo.forget()

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """qpos (nq,) and qvel (nv,)."""
        return self._state.read()

    def step(self, control: np.ndarray) -> None:
        """Follow control (S, nu), one physics step per row: a call reads the joints of a tree, one or two set its motors."""
        c, servo, lift, address, dof = self.client, self._servo, self._lift, self._state.address, self._state.dof
        drive = servo.drive(control)
        for now in drive:
            if self._moving:
                q, v = self._state.joints()
                speeds, forces = (found.tolist() for found in servo.motors(now, q, v))
                for tree in self._moving:
                    pybullet.setJointMotorControlArray(
                        tree.uid,
                        tree.links,
                        _VELOCITY,
                        targetVelocities=speeds[tree.part],
                        forces=forces[tree.part],
                        velocityGains=tree.ones,
                        physicsClientId=c,
                    )
                if lift.needed:
                    torques = lift.torques(address, q)[dof].tolist()
                    for tree in self._moving:
                        pybullet.setJointMotorControlArray(tree.uid, tree.links, _TORQUE, forces=torques[tree.part], physicsClientId=c)
            pybullet.stepSimulation(physicsClientId=c)

    def contacts(self) -> list[Contact]:
        """All points of contact of the last step."""
        groups = self.scene.groups
        points = pybullet.getContactPoints(physicsClientId=self.client)
        return [Contact(groups[p[1], p[3]], groups[p[2], p[4]], p[8], np.array(p[7]), p[9]) for p in points]

    def set_field(self, name: str, values: np.ndarray) -> None:
        """This simulation's own values of an MjModel field, in the field's shape; they outlive a reset."""
        if name not in self._fields:
            raise ConfigError(f"field {name!r} cannot differ between simulations; {did_you_mean(name, self._fields)}")
        values, shape = np.asarray(values, float), getattr(self.model, name).shape
        if values.shape != shape or not np.isfinite(values).all():
            raise ConfigError(f"field {name!r} needs finite values of shape {shape}, found shape {values.shape}")
        self._fields[name](values)

    def _set_masses(self, mass: np.ndarray, inertia: np.ndarray) -> None:
        massless = np.flatnonzero((mass <= 0) & (self.model.body_mass > 0))
        if len(massless):
            name = label(self.model, mujoco.mjtObj.mjOBJ_BODY, int(massless[0]))
            raise ConfigError(f"body_mass of {name} must be positive, found {mass[massless[0]]:g}")
        self._mass, self._inertia = mass.copy(), inertia.copy()
        self.scene.set_masses(mass, inertia)
        self._lift.weigh(mass)

    def _set_servo(self, name: str, values: np.ndarray) -> None:
        setattr(self._servo, name, values.copy())
        self._servo.update()
        self.scene.set_rounds(self._servo.rounds)
        if name == "damping":
            self.scene.set_ball_damping(values)

    def close(self) -> None:
        if self.client >= 0:
            pybullet.disconnect(self.client)
            self.client = -1
