"""`Worlds`: B copies of one world behind the Physics protocol, whatever engine steps them.

Both engines keep their state in the MjModel's layout (qpos, qvel, mocap poses), so that everything a task asks is answered
here, once, from those arrays. An engine adds four things: `_clear`, `_advance`, `set_field` and `close`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import mujoco
import numpy as np

from data.errors import ConfigError, did_you_mean
from data.rotations import multiply, rotate
from sim.rendering.renderer import Look, Renderer
from sim.world import World

# Model fields that may differ between simulations, in both engines.
FIELDS = ("body_mass", "body_inertia", "geom_friction", "dof_damping", "dof_frictionloss", "actuator_gainprm", "actuator_biasprm")
Pose = tuple[np.ndarray, np.ndarray]  # position (B, 3) [m], quaternion (B, 4) w first
_HINGE, _SLIDE, _FREE = (int(kind) for kind in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_FREE))


class Worlds(ABC):
    """Implements sim.base.Physics. `rows` are always indices of simulations, R of them."""

    qpos: np.ndarray  # (B, nq) live: what is written here is the state at the next step, once `_touch` was told
    qvel: np.ndarray  # (B, nv)
    mocap_pos: np.ndarray  # (B, nmocap, 3)
    mocap_quat: np.ndarray  # (B, nmocap, 4)

    def __init__(self, world: World, num_envs: int) -> None:
        self.world, self.model, self.arms, self.num_envs = world, world.model, world.arms, num_envs
        self.timestep = float(self.model.opt.timestep)
        self.failed: dict[int, str] = {}  # rows that the last step broke, and how
        self._seen: dict[str, Pose] = {}  # poses worked out since the state last changed
        self._renderer = Renderer(self.model)
        self._arm_q = np.concatenate([arm.qpos for arm in self.arms])
        self._arm_v = np.concatenate([arm.qvel for arm in self.arms])
        self._lead = np.concatenate([arm.lead for arm in self.arms])
        self._ctrl_q = np.concatenate([np.arange(self.model.nu)[arm.ctrl][:-1] for arm in self.arms])
        self._ctrl_width = np.array([arm.ctrl.stop - 1 for arm in self.arms])

    # What an engine does.

    @abstractmethod
    def _clear(self, rows: np.ndarray) -> None:
        """Put the given rows back to the model's initial state, nothing of what went before left."""

    @abstractmethod
    def _advance(self, control: np.ndarray, rows: np.ndarray) -> None:
        """Follow control (R, S, nu), one row of it per physics step; note broken rows in `failed`."""

    @abstractmethod
    def set_field(self, name: str, values: np.ndarray, rows: np.ndarray) -> None:
        """Give the rows their own values (R, ...) of an MjModel field, one of FIELDS; until they are set again."""

    def _touch(self, rows: np.ndarray) -> None:
        """The state of these rows was written from outside."""
        self._seen.clear()

    # Starting.

    def reset(self, rows: np.ndarray) -> None:
        rows = np.asarray(rows)
        self._clear(rows)
        self._touch(rows)

    def set_joints(self, q: np.ndarray, widths: np.ndarray, rows: np.ndarray) -> None:
        """Place the arms (R, J) and grippers (R, arms) at rest."""
        rows = np.asarray(rows)[:, None]
        self.qpos[rows, self._arm_q] = q
        self.qvel[rows, self._arm_v] = 0.0
        for i, arm in enumerate(self.arms):
            self.qpos[rows, arm.fingers] = np.asarray(widths)[:, i, None] * arm.opening / (arm.opening @ arm.opening)
        self._touch(rows[:, 0])

    def set_body(self, name: str, position: np.ndarray, quat: np.ndarray, rows: np.ndarray) -> None:
        """Place a body that moves freely, at rest, or one that only we move (mocap): (R, 3) [m], (R, 4)."""
        body = self._find(mujoco.mjtObj.mjOBJ_BODY, name)
        if (mocap := self.model.body_mocapid[body]) >= 0:
            self.mocap_pos[rows, mocap] = position
            self.mocap_quat[rows, mocap] = quat
        else:
            joint = self.model.body_jntadr[body]
            if joint < 0 or self.model.jnt_type[joint] != _FREE:
                raise ConfigError(f"body {name!r} cannot be placed: it neither moves freely nor is it a mocap body")
            address, dof = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
            self.qpos[rows, address : address + 3] = position
            self.qpos[rows, address + 3 : address + 7] = quat
            self.qvel[rows, dof : dof + 6] = 0.0
        self._touch(rows)

    def set_joint(self, name: str, value: np.ndarray, rows: np.ndarray) -> None:
        """Place a hinge or slide of the scene: (R,) [rad] or [m], at rest."""
        joint = self._find(mujoco.mjtObj.mjOBJ_JOINT, name)
        self.qpos[rows, self.model.jnt_qposadr[joint]] = value
        self.qvel[rows, self.model.jnt_dofadr[joint]] = 0.0
        self._touch(rows)

    # Looking.

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all arms, one after the other: position (B, J) [rad], velocity (B, J) [rad/s]."""
        return self.qpos[:, self._arm_q], self.qvel[:, self._arm_v]

    def widths(self) -> np.ndarray:
        """(B, arms) [m]: how far each gripper is open."""
        return np.stack([(self.qpos[:, arm.fingers] * arm.opening).sum(1) for arm in self.arms], 1)

    def tool(self, arm: int = 0) -> Pose:
        """Pose of an arm's tool centre point in the world."""
        key = f"tool {arm}"
        if key not in self._seen:
            self._seen[key] = self.arms[arm].forward(self.qpos[:, self.arms[arm].qpos])
        return self._seen[key]

    def joint(self, name: str) -> np.ndarray:
        """(B,) [rad] or [m]: a hinge or slide of the scene."""
        return self.qpos[:, self.model.jnt_qposadr[self._find(mujoco.mjtObj.mjOBJ_JOINT, name)]].copy()

    def body(self, name: str) -> Pose:
        """Pose of any body in the world, also of one that hangs on joints."""
        if name not in self._seen:
            self._seen[name] = self._pose(self._find(mujoco.mjtObj.mjOBJ_BODY, name))
        position, quat = self._seen[name]
        return position.copy(), quat.copy()

    def velocity(self, name: str) -> np.ndarray:
        """(B, 6) of a body that moves freely: linear [m/s] in the world, angular [rad/s] in its own frame."""
        joint = self.model.body_jntadr[self._find(mujoco.mjtObj.mjOBJ_BODY, name)]
        if joint < 0 or self.model.jnt_type[joint] != _FREE:
            raise ConfigError(f"body {name!r} does not move freely: its velocity is that of its joints")
        address = self.model.jnt_dofadr[joint]
        return self.qvel[:, address : address + 6].copy()

    def _find(self, kind: mujoco.mjtObj, name: str) -> int:
        found = mujoco.mj_name2id(self.model, kind, name)
        if found < 0:
            what = "body" if kind == mujoco.mjtObj.mjOBJ_BODY else "joint"
            count = self.model.nbody if what == "body" else self.model.njnt
            known = [mujoco.mj_id2name(self.model, kind, i) for i in range(count)]
            raise ConfigError(f"the world has no {what} {name!r}; {did_you_mean(name, [k for k in known if k])}")
        return found

    def _pose(self, body: int) -> Pose:
        m = self.model
        if body == 0:
            return np.zeros((self.num_envs, 3)), np.tile([1.0, 0, 0, 0], (self.num_envs, 1))
        if (mocap := m.body_mocapid[body]) >= 0:
            return self.mocap_pos[:, mocap].copy(), self.mocap_quat[:, mocap].copy()
        joints = range(m.body_jntadr[body], m.body_jntadr[body] + m.body_jntnum[body])
        if len(joints) == 1 and m.jnt_type[joints[0]] == _FREE:
            address = m.jnt_qposadr[joints[0]]
            return self.qpos[:, address : address + 3].copy(), self.qpos[:, address + 3 : address + 7].copy()
        position, quat = self._pose(int(m.body_parentid[body]))
        position, quat = position + rotate(quat, m.body_pos[body]), multiply(quat, m.body_quat[body])
        for joint in joints:
            value = self.qpos[:, m.jnt_qposadr[joint], None] - m.qpos0[m.jnt_qposadr[joint]]
            axis, anchor = m.jnt_axis[joint], m.jnt_pos[joint]
            if m.jnt_type[joint] == _SLIDE:
                position = position + rotate(quat, value * axis)
            elif m.jnt_type[joint] == _HINGE:
                turned = multiply(quat, np.concatenate([np.cos(value / 2), np.sin(value / 2) * axis], 1))
                position, quat = position + rotate(quat, anchor) - rotate(turned, anchor), turned
            else:
                start = m.jnt_qposadr[joint]
                turned = multiply(quat, self.qpos[:, start : start + 4])
                position, quat = position + rotate(quat, anchor) - rotate(turned, anchor), turned
        return position, quat

    # Moving.

    def step(self, q_targets: np.ndarray, dq_targets: np.ndarray, width_targets: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Follow q_targets (R, S, J) and width_targets (R, S, arms), one per physics step; the joint targets move at dq_targets
        (R, J) or, one per physics step, (R, S, J) [rad/s]. rows: the R rows to step (sorted), None for all. Rows that break are
        named in `failed`.
        """
        rows = np.arange(self.num_envs) if rows is None else rows
        control = np.empty((*q_targets.shape[:2], self.model.nu))
        # The servos damp dq, not dq - dq_target: a led target makes up for it (see sim.control).
        control[:, :, self._ctrl_q] = q_targets + self._lead * (dq_targets if dq_targets.ndim == 3 else dq_targets[:, None])
        control[:, :, self._ctrl_width] = width_targets
        self.failed = {}
        self._seen.clear()
        self._advance(control, rows)

    # Drawing.

    @property
    def drawn_by(self) -> str:
        """egl, osmesa, glfw or software. Raises RenderError where nothing can draw."""
        return self._renderer.backend

    def state(self) -> np.ndarray:
        """(B, nq + 7 nmocap): everything that `show` needs to draw a row again later."""
        return np.concatenate([self.qpos, self.mocap_pos.reshape(self.num_envs, -1), self.mocap_quat.reshape(self.num_envs, -1)], 1)

    def render(
        self, camera: str, rows: np.ndarray, size: tuple[int, int], beautiful: bool = False, looks: Sequence[Look | None] | None = None
    ) -> np.ndarray:
        """(len(rows), height, width, 3) uint8. beautiful: shadows and anti-aliasing, ten times slower. Raises RenderError.

        looks: one per simulation, what is to look otherwise than in the model.
        """
        states, worn = self.state(), looks or [None] * self.num_envs
        return np.stack([self.show(states[i], camera, size, beautiful, worn[i]) for i in rows])

    def render_depth(self, camera: str, rows: np.ndarray, size: tuple[int, int], looks: Sequence[Look | None] | None = None) -> np.ndarray:
        """(len(rows), height, width) float32 [m] along the optical axis; inf where nothing is. Raises RenderError."""
        states, worn = self.state(), looks or [None] * self.num_envs
        return np.stack([self._renderer.depth(states[i], camera, size, worn[i]) for i in rows])

    def render_segmentation(
        self, camera: str, rows: np.ndarray, size: tuple[int, int], looks: Sequence[Look | None] | None = None, of: str = "geom"
    ) -> np.ndarray:
        """(len(rows), height, width) int32: index of the geom (or of="body") in the model, -1 where nothing is. Raises RenderError."""
        states, worn = self.state(), looks or [None] * self.num_envs
        return np.stack([self._renderer.segmentation(states[i], camera, size, worn[i], of) for i in rows])

    def show(self, state: np.ndarray, camera: str, size: tuple[int, int], beautiful: bool = False, look: Look | None = None) -> np.ndarray:
        """Draw one row of `state`: (height, width, 3) uint8. look: what is to look otherwise than in the model."""
        return self._renderer.color(state, camera, size, beautiful, look)

    def close(self) -> None:
        self._renderer.close()
