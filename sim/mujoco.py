"""MuJoCo behind the Physics protocol: B worlds stepped on a thread pool by mujoco.batch, bit-identical at any batch size."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sim import gl

gl.choose()

import mujoco  # noqa: E402  after the choice of its OpenGL platform
from mujoco.batch import Batch  # noqa: E402

from data.errors import RenderError  # noqa: E402
from real.base import RobotSpec  # noqa: E402
from sim.control import GRIPPER_FORCE, GRIPPER_KD, GRIPPER_KP, LAG, gains  # noqa: E402

_FLAT = int(mujoco.mjtRndFlag.mjRND_SHADOW), int(mujoco.mjtRndFlag.mjRND_REFLECTION)


def build_model(scene: Path, arm: Path, spec: RobotSpec, edit: Callable[[mujoco.MjSpec], None] | None = None) -> mujoco.MjModel:
    """One world: the scene, the arm at its origin, limits and servo from `spec`. `edit` may change sizes before compiling."""
    # One text instead of MjSpec.attach: attaching without a prefix warns on stderr at every start.
    text = scene.read_text(encoding="utf-8").replace("</mujoco>", f'<include file="{arm}"/></mujoco>')
    world = mujoco.MjSpec.from_string(text)
    kp, kd = gains(spec)
    for i, name in enumerate(spec.joint_names):
        joint = world.joint(name)
        joint.range = [spec.q_min[i], spec.q_max[i]]
        joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
        _servo(world, name, mujoco.mjtTrn.mjTRN_JOINT, kp[i], kd[i], spec.tau_max[i])
    _servo(world, "width", mujoco.mjtTrn.mjTRN_TENDON, GRIPPER_KP, GRIPPER_KD, GRIPPER_FORCE)
    if edit is not None:
        edit(world)
    return world.compile()


def _servo(world: mujoco.MjSpec, name: str, kind: mujoco.mjtTrn, kp: float, kd: float, force: float) -> None:
    actuator = world.add_actuator(name=name, target=name, trntype=kind)
    actuator.set_to_position(kp=kp, kv=kd)
    actuator.forcerange = [-force, force]
    actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE


class MujocoPhysics:
    """B simulations of `model`. The arm's joints and its gripper are the actuators, in the order of `spec`, width last."""

    def __init__(self, model: mujoco.MjModel, spec: RobotSpec, num_envs: int, threads: int = 0) -> None:
        self.model, self.spec, self.num_envs = model, spec, num_envs
        self.timestep = float(model.opt.timestep)
        self._batch = Batch(model, num_envs, threads)
        b = self._batch
        self._qpos, self._qvel, self._ctrl = b.bind("qpos"), b.bind("qvel"), b.bind("ctrl")
        self._mocap_pos, self._mocap_quat = b.bind("mocap_pos"), b.bind("mocap_quat")
        self._arm = np.array([model.joint(name).qposadr[0] for name in spec.joint_names])
        self._arm_v = np.array([model.joint(name).dofadr[0] for name in spec.joint_names])
        self._fingers = np.array([model.joint(name).qposadr[0] for name in ("finger1", "finger2")])
        kp, kd = gains(spec)
        self._lead = kd / kp - LAG  # [s]
        self._renderers: dict[tuple[int, int, bool], mujoco.Renderer] = {}
        self._view = mujoco.MjData(model)

    def reset(self, rows: np.ndarray) -> None:
        self._batch.reset(np.asarray(rows), stage=mujoco.mjtStage.mjSTAGE_NONE.value)

    def set_joints(self, q: np.ndarray, width: np.ndarray, rows: np.ndarray) -> None:
        rows = np.asarray(rows)[:, None]
        self._qpos[rows, self._arm] = q
        self._qvel[rows, self._arm_v] = 0.0
        self._qpos[rows, self._fingers] = np.asarray(width)[:, None] / 2
        self._ctrl[rows[:, 0], : self.spec.dof] = q
        self._ctrl[rows[:, 0], -1] = width

    def set_body(self, name: str, position: np.ndarray, quat: np.ndarray, rows: np.ndarray) -> None:
        body = self.model.body(name)
        if body.mocapid[0] >= 0:
            self._mocap_pos[rows, body.mocapid[0]] = position
            self._mocap_quat[rows, body.mocapid[0]] = quat
            return
        address = self.model.jnt_qposadr[body.jntadr[0]]
        self._qpos[rows, address : address + 3] = position
        self._qpos[rows, address + 3 : address + 7] = quat

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        return self._qpos[:, self._arm], self._qvel[:, self._arm_v]

    def width(self) -> np.ndarray:
        return self._qpos[:, self._fingers].sum(1)

    def body(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        body = self.model.body(name)
        if body.mocapid[0] >= 0:
            return self._mocap_pos[:, body.mocapid[0]].copy(), self._mocap_quat[:, body.mocapid[0]].copy()
        address = self.model.jnt_qposadr[body.jntadr[0]]
        return self._qpos[:, address : address + 3].copy(), self._qpos[:, address + 3 : address + 7].copy()

    def step(self, q_targets: np.ndarray, dq_targets: np.ndarray, width_targets: np.ndarray, rows: np.ndarray | None = None) -> None:
        led = q_targets + self._lead * dq_targets[:, None]  # MuJoCo's servo damps dq, not dq - dq_target
        control = np.concatenate([led, width_targets[:, :, None]], -1)
        self._batch.rollout(control.shape[1], control, record=(), ids=rows)

    def state(self) -> np.ndarray:
        """(B, S) everything that `show` needs to draw a row again later."""
        return np.concatenate([self._qpos, self._mocap_pos.reshape(self.num_envs, -1), self._mocap_quat.reshape(self.num_envs, -1)], 1)

    def render(self, camera: str, rows: np.ndarray, size: tuple[int, int], beautiful: bool = False) -> np.ndarray:
        """(len(rows), height, width, 3) uint8. beautiful: shadows and anti-aliasing, ten times slower."""
        states = self.state()
        return np.stack([self.show(states[i], camera, size, beautiful) for i in rows])

    def show(self, state: np.ndarray, camera: str, size: tuple[int, int], beautiful: bool = False) -> np.ndarray:
        """Draw one saved `state` row: (height, width, 3) uint8."""
        model, data = self.model, self._view
        nq, nm = model.nq, model.nmocap
        data.qpos[:] = state[:nq]
        data.mocap_pos[:] = state[nq : nq + 3 * nm].reshape(nm, 3)
        data.mocap_quat[:] = state[nq + 3 * nm :].reshape(nm, 4)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        renderer = self._renderer(size, beautiful)
        renderer.update_scene(data, camera)
        if not beautiful:
            for flag in _FLAT:
                renderer.scene.flags[flag] = 0
        return renderer.render()

    def _renderer(self, size: tuple[int, int], beautiful: bool) -> mujoco.Renderer:
        key = (*size, beautiful)
        if key not in self._renderers:
            if os.environ.get("MUJOCO_GL") == "disable":
                raise RenderError(f"no OpenGL for rendering: no library of it was found, or MUJOCO_GL=disable. {gl.INSTALL_HINT}")
            samples = self.model.vis.quality.offsamples
            self.model.vis.quality.offsamples = samples if beautiful else 0  # read when the context is made
            try:
                self._renderers[key] = mujoco.Renderer(self.model, *size)
            except Exception as error:  # whatever the platform's GL loader raises
                detail = (str(error).splitlines() or ["no detail"])[0]
                raise RenderError(f"no OpenGL for rendering ({type(error).__name__}: {detail}). {gl.INSTALL_HINT}") from error
            finally:
                self.model.vis.quality.offsamples = samples
        return self._renderers[key]

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
