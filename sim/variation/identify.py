"""System identification: what an arm's joints, servos and payload must be, so that the simulation moves as a log says it did.

The log's joint targets are given to the simulated arm under our control law, from the log's first posture; mujoco.sysid varies
the unknowns until measured and simulated positions and velocities agree (least squares, finite differences, box bounds).
Contacts are left out: the log must be of free motion. 95 % intervals take the model for right and the noise for white.
"""

from __future__ import annotations

import copy
import importlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import mujoco
import numpy as np

from data.errors import ConfigError, DatasetError, WaldoError
from sim.arms.build import robot_spec
from sim.variation.parameters import PAYLOAD, Unknown, add_payload, unknowns
from sim.world import Mount, World, build_world

_ROOM = Path(__file__).parents[1] / "tasks" / "room.xml"
_STEP = 1e-4  # of finite differences, of an unknown's range
_ENOUGH = 1e-5  # change of the unknowns, and of the misfit, that ends the search
_NARROW = 0.25  # a log must narrow every unknown to an interval smaller than this share of its range, to either side
_ALIKE = 0.5  # cosine from which on the effects of two unknowns count as alike
_MOST_STEPS = 200_000  # physics steps of all logs together


@dataclass(frozen=True)
class MotionLog:
    """One motion of an arm with J joints, T samples. Between samples the target moves in a straight line."""

    t: np.ndarray  # (T,) [s], rising
    q_target: np.ndarray  # (T, J) [rad] what was asked for at t
    q: np.ndarray  # (T, J) [rad] measured
    dq: np.ndarray | None = None  # (T, J) [rad/s] measured, if it was

    @staticmethod
    def from_ticks(ticks: np.ndarray) -> MotionLog:
        """Ticks of the control loop's log (real.log), of one segment."""
        wrote = ticks[ticks["wrote"] > 0]
        return MotionLog(wrote["t"] - wrote["t"][:1], wrote["q_wire"], wrote["q"], wrote["dq"])

    @staticmethod
    def from_episode(columns: Mapping[str, np.ndarray], fps: float, joints: int) -> MotionLog:
        """An episode of a dataset whose action is joint positions: `action` of a frame is reached at the next frame."""
        q, action = columns["observation.joints"][:, :joints], columns["action"][:, :joints]
        return MotionLog(np.arange(len(q)) / fps, np.concatenate([q[:1], action[:-1]]).astype(float), q.astype(float))

    def check(self, joints: int) -> None:
        """Raises DatasetError for a log that cannot be replayed."""
        shape = (len(self.t), joints)
        for name, values in (("q_target", self.q_target), ("q", self.q), *((("dq", self.dq),) if self.dq is not None else ())):
            if np.shape(values) != shape:
                raise DatasetError(f"log: {name} has shape {np.shape(values)}; wanted {shape}: a row per time, a column per joint")
            if not np.isfinite(values).all():
                raise DatasetError(f"log: {name} holds values that are not finite")
        if len(self.t) < 10 or not (np.diff(self.t) > 0).all():
            raise DatasetError(f"log: {len(self.t)} times; wanted at least 10, rising")


@dataclass(frozen=True)
class Estimate:
    name: str  # damping:joint3
    unit: str
    value: float
    low: float  # of the 95 % interval
    high: float
    before: float  # what the description says


@dataclass(frozen=True)
class Identified:
    robot: str
    estimates: tuple[Estimate, ...]
    before: tuple[float, float]  # root mean square of measured - simulated: positions [rad], velocities [rad/s] (NaN without)
    after: tuple[float, float]

    def override(self) -> dict[str, dict[str, float]]:
        """{kind: {joint: value}} for `env.identified`, in a YAML file too. A payload is no part of the arm and is left out."""
        found: dict[str, dict[str, float]] = {}
        for estimate in self.estimates:
            kind, _, joint = estimate.name.partition(":")
            if kind != PAYLOAD:
                found.setdefault(kind, {})[joint] = estimate.value
        return found

    def __str__(self) -> str:
        lines = [
            f"{self.robot}: positions {self.before[0]:.2g} -> {self.after[0]:.2g} rad, velocities {self.before[1]:.2g} -> {self.after[1]:.2g} rad/s"
        ]
        lines += [
            f"  {e.name:24s} {e.value:8.4g}  [{e.low:.4g}, {e.high:.4g}] {e.unit}, described as {e.before:.4g}" for e in self.estimates
        ]
        return "\n".join(lines)


def identify(
    robot: str,
    logs: Sequence[MotionLog],
    parameters: Sequence[str],
    bounds: Mapping[str, tuple[float, float]] | None = None,
    noise: tuple[float, float] = (1e-3, 1e-2),
    threads: int = 1,
) -> Identified:
    """Estimate `parameters` (names of sim.variation.parameters) of a robot of real.robots from logs of its free motion.

    noise: about how far measured positions [rad] and velocities [rad/s] are off; it weighs them against each other.
    Raises DatasetError for a log that cannot be replayed, ConfigError for unknown names, and WaldoError naming every parameter
    that the logs do not excite.
    """
    sysid = _toolbox()
    arm = _Arm(robot, PAYLOAD in parameters)
    sought = unknowns(parameters, arm.world.model, arm.world.arms[0], bounds or {})
    for log in logs:
        log.check(arm.world.arms[0].spec.dof)
    arm.require_length(logs)
    fit = _Fit(sysid, arm, logs, sought, noise, threads)
    start = fit.start
    _require_excited(fit.slope(start), sought, 1.0)
    best, _ = sysid.optimize(
        fit.parameters, fit.residuals, verbose=False, output=io.StringIO(), max_iters=50, eps=_STEP, xtol=_ENOUGH, gtol=_ENOUGH
    )
    x = np.clip(best.as_vector(), 0, 1)
    slope, left = fit.slope(x), fit.residual(x)
    _require_excited(slope, sought, float(np.sqrt(np.mean(left**2))))
    _, half = sysid.calculate_intervals([left], slope)
    estimates = [
        Estimate(u.name, u.unit, value, max(value - h, 0.0), value + h, u.nominal)
        for u, value, h in zip(sought, fit.values(x), (half * fit.width).tolist(), strict=True)
    ]
    return Identified(robot, tuple(estimates), fit.off(fit.nominal), fit.off(x))


def _toolbox() -> ModuleType:
    """mujoco.sysid, which comes with MuJoCo and asks for a few packages more."""
    sysid = importlib.import_module("mujoco.sysid")
    if not hasattr(sysid, "optimize"):  # it hides a package that is missing
        raise ConfigError("identification needs the packages that mujoco.sysid asks for: pip install colorama tabulate")
    return sysid


class _Arm:
    """The robot alone, without contacts; with a ball at its tool if a payload is sought."""

    def __init__(self, robot: str, payload: bool) -> None:
        robot_spec(robot)
        self.world: World = build_world(_ROOM, robot)
        if payload:
            body, place = self._tool()
            self.world = build_world(_ROOM, robot, (Mount(),), lambda spec: add_payload(spec, body, place))
        self.world.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT

    def _tool(self) -> tuple[str, np.ndarray]:
        """The last link and where the tool lies in it."""
        model, arm = self.world.model, self.world.arms[0]
        data = mujoco.MjData(model)
        data.qpos[arm.qpos] = arm.spec.q_home
        mujoco.mj_kinematics(model, data)
        body = model.jnt_bodyid[np.flatnonzero(model.jnt_qposadr == arm.qpos[-1])[0]]
        tool = arm.forward(np.array(arm.spec.q_home)[None])[0][0]
        return model.body(int(body)).name, data.xmat[body].reshape(3, 3).T @ (tool - data.xpos[body])

    def require_length(self, logs: Sequence[MotionLog]) -> None:
        steps = sum(float(log.t[-1] - log.t[0]) for log in logs) / self.world.model.opt.timestep
        if not logs or steps > _MOST_STEPS:
            raise DatasetError(
                f"{len(logs)} logs of {steps:.0f} physics steps together; wanted at least one, and at most {_MOST_STEPS} steps"
            )

    def control(self, log: MotionLog) -> tuple[np.ndarray, np.ndarray]:
        """Times (N,) of the physics steps and what the servos are told at each, (N, nu)."""
        model, arm = self.world.model, self.world.arms[0]
        dt = model.opt.timestep
        times = np.arange(int(np.ceil((log.t[-1] - log.t[0]) / dt - 1e-9)) + 1) * dt
        reached = np.stack([np.interp(times + dt, log.t - log.t[0], joint) for joint in log.q_target.T], 1)  # at the step's end
        here = np.stack([np.interp(times, log.t - log.t[0], joint) for joint in log.q_target.T], 1)
        control = np.zeros((len(times), model.nu))
        control[:, arm.ctrl.start : arm.ctrl.stop - 1] = reached + arm.lead * (reached - here) / dt
        control[:, arm.ctrl.stop - 1] = arm.spec.gripper_max_width
        return times, control

    def initial(self, log: MotionLog) -> tuple[np.ndarray, np.ndarray]:
        """qpos and qvel at the log's first sample, gripper open; without velocities, at rest."""
        model, arm = self.world.model, self.world.arms[0]
        qpos, qvel = model.qpos0.copy(), np.zeros(model.nv)
        qpos[arm.qpos] = log.q[0]
        qpos[arm.fingers] = arm.spec.gripper_max_width * arm.opening / (arm.opening @ arm.opening)
        if log.dq is not None:
            qvel[arm.qvel] = log.dq[0]
        return qpos, qvel


class _Fit:
    """Residuals as a function of the unknowns, each scaled from its bounds to 0..1."""

    def __init__(
        self, sysid: Any, arm: _Arm, logs: Sequence[MotionLog], sought: Sequence[Unknown], noise: tuple[float, float], threads: int
    ) -> None:
        self._sysid, self._arm, self._logs, self._sought, self._noise, self._threads = sysid, arm, logs, sought, noise, threads
        self.low = np.array([u.low for u in sought])
        self.width = np.array([u.high - u.low for u in sought])
        self.nominal = (np.array([u.nominal for u in sought]) - self.low) / self.width
        self.start = np.clip(self.nominal, 0.02, 0.98)  # least squares can stall in a corner
        self.parameters = sysid.ParameterDict()
        for u, x in zip(sought, self.start, strict=True):
            self.parameters.add(sysid.Parameter(u.name, x, 0.0, 1.0))
        self._measured = []
        model = arm.world.model
        for log in logs:
            times, control = arm.control(log)
            seen = log.q if log.dq is None else np.concatenate([log.q, log.dq], 1)
            initial = sysid.create_initial_state(model, *arm.initial(log))
            series = sysid.TimeSeries(times, control), sysid.TimeSeries(log.t - log.t[0], seen)
            self._measured.append(sysid.SystemTrajectory(model, *series, initial, None))

    def values(self, x: np.ndarray) -> list[float]:
        return [float(v) for v in self.low + x * self.width]

    def residuals(self, x: np.ndarray, parameters: Any) -> tuple[list[np.ndarray], list, list]:
        """One array per log, (n,) or (n, K) for K columns of x: what mujoco.sysid minimises."""
        parts = [
            self._sysid.model_residual(
                x, parameters, self._model, log, modify_residual=self._compare, n_threads=self._threads, resample_true=False
            )[0]
            for log in self._measured
        ]
        return parts, [], []

    def residual(self, x: np.ndarray) -> np.ndarray:
        """(n,) in units of the noise, of all logs."""
        return np.concatenate(self.residuals(x, self.parameters.copy())[0])

    def slope(self, x: np.ndarray) -> np.ndarray:
        """(n, unknowns): change of the residual per range of each unknown."""
        step = np.where(x < 0.5, _STEP, -_STEP)
        moved = np.concatenate(self.residuals(x[:, None] + np.diag(step), self.parameters.copy())[0])
        return (moved - self.residual(x)[:, None]) / step

    def off(self, x: np.ndarray) -> tuple[float, float]:
        """Root mean square of what is left: positions [rad], velocities [rad/s]."""
        joints, sums = self._arm.world.arms[0].spec.dof, np.zeros(2)
        counts = np.zeros(2)
        for log, part in zip(self._logs, self.residuals(x, self.parameters.copy())[0], strict=True):
            each = part.reshape(-1, joints if log.dq is None else 2 * joints)
            sums += (each[:, :joints] ** 2).sum(), (each[:, joints:] ** 2).sum()
            counts += each[:, :joints].size, each[:, joints:].size
        q, dq = (float(n * np.sqrt(s / c)) if c else float("nan") for n, s, c in zip(self._noise, sums, counts, strict=True))
        return q, dq

    def _model(self, parameters: Any) -> mujoco.MjModel:
        model = copy.copy(self._arm.world.model)
        for unknown, value in zip(self._sought, self.values(parameters.as_vector()), strict=True):
            unknown.write(model, value)
        return model

    def _compare(
        self, parameters: Any, predicted: Any, measured: Any, model: mujoco.MjModel, everything: bool, state: np.ndarray
    ) -> tuple[np.ndarray, Any, Any]:
        """mujoco.sysid's hook: the difference at the log's times, in units of the noise."""
        arm = self._arm.world.arms[0]
        joints = arm.spec.dof
        columns = [1 + arm.qpos, 1 + model.nq + arm.qvel][: measured.data.shape[1] // joints]
        simulated = np.stack([np.interp(measured.times[1:], state[:, 0], state[:, c]) for c in np.concatenate(columns)], 1)
        scale = np.repeat(self._noise[: len(columns)], joints)
        return (simulated - measured.data[1:]) / scale, measured, measured


def _require_excited(slope: np.ndarray, sought: Sequence[Unknown], noise: float) -> None:
    """slope (n, unknowns) of residuals whose standard deviation is `noise`. Raises WaldoError naming what cannot be told."""
    alone = 1.96 * noise / np.maximum(np.linalg.norm(slope, axis=0), 1e-12)
    weak = [u.name for u, half in zip(sought, alone, strict=True) if half > _NARROW]
    if weak:
        raise WaldoError(
            f"the log does not excite {', '.join(weak)}: it would leave more than half of the range open. "
            "Log faster, longer or wider motions of these joints, give narrower bounds, or leave them out"
        )
    unit = slope / np.linalg.norm(slope, axis=0)
    values, vectors = np.linalg.eigh(unit.T @ unit)
    together = alone * np.sqrt((vectors**2 / np.maximum(values, 1e-12)).sum(1))
    wide = np.flatnonzero(together > _NARROW)
    if len(wide):
        alike = np.abs(unit.T @ unit)[wide]  # of those that are too wide, to every other one
        mixed = [u.name for i, u in enumerate(sought) if i in wide or alike[:, i].max() > _ALIKE]
        raise WaldoError(f"the log cannot tell {', '.join(mixed)} from each other: leave some of them out, or log other motions")
