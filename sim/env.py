"""A task with an arm in a physics engine, B episodes at once: the VecEnv that owns the step loop.

Each control step turns the action into joint targets (differential IK from the previous targets for end-effector
poses), limits their speed to the robot's, and lets the engine follow them along a straight line.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from data.config import build
from data.errors import ConfigError, did_you_mean
from data.spec import ActionSpec, Feature, PolicySpec
from real.base import RobotSpec
from real.kinematics import Kinematics
from sim.base import Obs
from sim.control import ramp
from sim.mujoco import MujocoPhysics, build_model

POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
POSE_UNITS = ("m", "m", "m", "1", "1", "1", "1")
REACH = 1.5  # [m] no arm of ours reaches further from its base
SUCCESS_STEPS = 5  # the success condition must hold for so many control steps


def offered_spec(task: Any, robot: RobotSpec, rate_hz: float, action: str, cameras: dict[str, tuple[int, int]]) -> PolicySpec:
    """Everything that `robot` doing `task` lets a policy see and do; `cameras`: name -> (height, width)."""
    joints = tuple(robot.joint_names)
    features = [
        Feature("observation.state", (8,), names=(*POSE, "gripper_width"), units=(*POSE_UNITS, "m"), quaternions=(3,)),
        Feature("observation.joints", (robot.dof,), names=joints, units=("rad",) * robot.dof),
        *task.features,
        *(Feature(f"observation.images.{name}", (*size, 3), "uint8") for name, size in cameras.items()),
    ]
    if action == "ee_pose":
        order = ActionSpec("ee_pose", (*POSE, "gripper_width"), (*POSE_UNITS, "m"), quaternions=(3,))
    elif action == "joint":
        order = ActionSpec("joint", (*joints, "gripper_width"), (*("rad",) * robot.dof, "m"))
    else:
        raise ConfigError(f"env.action={action!r}: {did_you_mean(action, ('ee_pose', 'joint'))}")
    return PolicySpec(task.name, robot.name, tuple(features), order, rate_hz)


def load_robot(name: str) -> Any:
    """The module real.robots.<name>. Raises ConfigError naming the robots there are."""
    try:
        return importlib.import_module(f"real.robots.{name}")
    except ModuleNotFoundError as error:
        import pkgutil

        import real.robots

        known = [m.name for m in pkgutil.iter_modules(real.robots.__path__)]
        raise ConfigError(f"robot {name!r} is unknown; {did_you_mean(name, known)}") from error


@dataclass
class ArmConfig:
    task: dict[str, Any] = field(default_factory=dict)  # `_target_` and options of the task
    robot: str = "panda"  # a module of real.robots
    action: str = "ee_pose"  # ee_pose: absolute pose of the tool and gripper width; joint: joint positions and gripper width
    expert: str = ""  # class of the scripted demonstrator, for `waldo collect`
    num_envs: int = 100  # episodes at once
    rate_hz: float = 20.0  # control steps per second
    max_steps: int = 240  # control steps per episode
    image_size: int = 96  # height and width of the policy's cameras [px]
    images: bool = False  # render the policy's cameras every step; slow
    threads: int = 0  # physics threads, 0 for all cores
    home_noise: float = 0.02  # standard deviation of the arm's start around its home posture [rad]


class ArmVecEnv:
    Config = ArmConfig

    def __init__(self, config: ArmConfig, **overrides: Any) -> None:
        for key, value in overrides.items():
            setattr(config, key, value)
        for key in ("num_envs", "max_steps", "rate_hz", "image_size"):
            if not getattr(config, key) > 0:
                raise ConfigError(f"env.{key}={getattr(config, key)}; it must be positive")
        self.config = config
        self.task = build(config.task)
        robot = load_robot(config.robot)
        self.robot: RobotSpec = robot.SPEC
        self.num_envs, self.max_steps = config.num_envs, config.max_steps
        size = (config.image_size, config.image_size)
        self.spec = offered_spec(self.task, self.robot, config.rate_hz, config.action, dict.fromkeys(self.task.cameras, size))
        model = build_model(self.task.scene, robot.MJCF, self.robot, self.task.edit)
        self.physics = MujocoPhysics(model, self.robot, config.num_envs, config.threads)
        self.kinematics = Kinematics(self.robot)
        steps = 1 / (config.rate_hz * self.physics.timestep)
        self.substeps = round(steps)
        if self.substeps < 1 or abs(steps - self.substeps) > 1e-6 * steps:
            raise ConfigError(
                f"env.rate_hz={config.rate_hz:g}: a control step must be a whole number of physics steps of {self.physics.timestep:g} s"
            )
        self._q_target = np.tile(self.robot.q_home, (self.num_envs, 1))
        self._width_target = np.full(self.num_envs, self.robot.gripper_max_width)
        self._held = np.zeros(self.num_envs, int)
        self._step = np.zeros(self.num_envs, int)

    def reset(self, seeds: np.ndarray) -> Obs:
        """One episode per seed (at most num_envs); spare rows repeat the first."""
        seeds = np.concatenate([seeds, np.full(self.num_envs - len(seeds), seeds[0])]).astype(np.int64)
        rows = np.arange(self.num_envs)
        rngs = [np.random.Generator(np.random.Philox(key=int(seed))) for seed in seeds]
        self.physics.reset(rows)
        self._q_target = np.array([self.robot.q_home + r.normal(0, self.config.home_noise, self.robot.dof) for r in rngs])
        self._width_target[:] = self.robot.gripper_max_width
        self.physics.set_joints(self._q_target, self._width_target, rows)
        self.task.reset(self.physics, rngs, rows)
        self._held[:], self._step[:] = 0, 0
        return self.observe()

    def observe(self) -> Obs:
        q, _ = self.physics.joints()
        position, quat = self.kinematics.forward(q)
        state = np.concatenate([position, quat, self.physics.width()[:, None]], 1)
        obs = {"observation.state": state.astype(np.float32), "observation.joints": q.astype(np.float32), **self.task.observe(self.physics)}
        if self.config.images:
            for camera in self.task.cameras:
                obs[f"observation.images.{camera}"] = self.render(camera)
        return obs

    def joint_targets(self, action: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(R, A) actions of the given rows -> (R, dof) joint targets, no faster than the joints may go."""
        previous = self._q_target[rows]
        if self.config.action == "joint":
            wanted = np.clip(action[:, :-1], self.robot.q_min, self.robot.q_max)
        else:
            wanted = self.kinematics.inverse(action[:, :3], action[:, 3:7], previous)
        limit = np.asarray(self.robot.dq_max) / self.config.rate_hz
        return previous + np.clip(wanted - previous, -limit, limit)

    def step(
        self, action: np.ndarray, active: np.ndarray | None = None
    ) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        rows = np.arange(self.num_envs) if active is None else np.flatnonzero(active)
        targets = self.joint_targets(np.asarray(action[rows], float), rows)
        q_path = ramp(self._q_target[rows], targets, self.substeps)
        dq = (targets - self._q_target[rows]) * self.config.rate_hz
        travel = self.robot.gripper_speed / self.config.rate_hz
        width = np.clip(action[rows, -1], 0, self.robot.gripper_max_width)
        width = self._width_target[rows] + np.clip(width - self._width_target[rows], -travel, travel)
        width_path = ramp(self._width_target[rows, None], width[:, None], self.substeps)[:, :, 0]
        self._q_target[rows], self._width_target[rows] = targets, width
        self.physics.step(q_path, dq, width_path, rows)
        self._step[rows] += 1
        self._held = np.where(self.task.success(self.physics), self._held + 1, 0)
        success = self._held >= SUCCESS_STEPS
        truncated = ~success & (self._step >= self.max_steps)
        return self.observe(), success.astype(float), success, truncated, {"success": success}

    def render(self, camera: str = "", rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """As the policy sees it, or with shadows for people when `camera` is the task's film camera (the default)."""
        camera = camera or self.task.film_camera
        rows = np.arange(self.num_envs) if rows is None else rows
        beautiful = camera == self.task.film_camera
        default = (240, 320) if beautiful else (self.config.image_size, self.config.image_size)
        return self.physics.render(camera, rows, size or default, beautiful)

    def close(self) -> None:
        self.physics.close()


class ArmEnv(gymnasium.Env):
    """One episode of an ArmVecEnv with Gymnasium's own interface."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  Gymnasium's convention

    def __init__(self, config: ArmConfig) -> None:
        self.render_mode = "rgb_array"
        self.vec = ArmVecEnv(config, num_envs=1)
        box = {f.name: f.shape for f in self.vec.spec.observations if config.images or not f.is_image}
        self.observation_space = gymnasium.spaces.Dict(
            {
                name: gymnasium.spaces.Box(0, 255, shape, np.uint8)
                if len(shape) == 3
                else gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)
                for name, shape in box.items()
            }
        )
        robot = self.vec.robot
        joint = config.action == "joint"
        low = [*robot.q_min, 0.0] if joint else [-REACH] * 3 + [-1.0] * 4 + [0.0]
        high = [*robot.q_max, robot.gripper_max_width] if joint else [REACH] * 3 + [1.0] * 4 + [robot.gripper_max_width]
        self.action_space = gymnasium.spaces.Box(np.array(low, np.float32), np.array(high, np.float32))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        episode = seed if seed is not None else int(self.np_random.integers(2**31))
        return {k: v[0] for k, v in self.vec.reset(np.array([episode])).items()}, {}

    def step(self, action: np.ndarray) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.vec.step(np.asarray(action)[None])
        row = {k: v[0] for k, v in obs.items()}
        return row, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {"success": bool(info["success"][0])}

    def render(self) -> np.ndarray:
        return self.vec.render()[0]

    def close(self) -> None:
        self.vec.close()
