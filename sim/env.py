"""A task with arms in a physics engine, B episodes at once: the VecEnv that owns the step loop.

Each control step turns the action into joint targets (differential IK from the previous targets for end-effector
poses), limits their speed to the robot's, and lets the engine follow them along a straight line.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.config import build
from data.errors import ConfigError, SimulationError, did_you_mean
from real.base import RobotSpec
from sim.arms.build import robot_spec
from sim.base import Obs, Task
from sim.control import ramp
from sim.offer import action_bounds, offered_spec
from sim.physics import Worlds
from sim.rendering.renderer import Look
from sim.variation.disturb import Delay, Noise
from sim.variation.parameters import apply
from sim.variation.randomize import Randomizer, Variation, furnished, settings
from sim.world import Mount, build_world

SUCCESS_STEPS = 5  # the success condition must hold for so many control steps
ENGINES = ("mujoco", "pybullet")  # modules of sim
REWARDS = ("sparse", "dense")
# What an action may ask beyond the possible before a step counts as limited: joints [rad], tool [m], gripper width [m].
JOINT_HAIR, TOOL_HAIR, WIDTH_HAIR = 1e-3, 1e-2, 2e-3


@dataclass
class ArmConfig:
    task: dict[str, Any] = field(default_factory=dict)  # `_target_` and options of the task
    robot: str = "panda"  # a module of real.robots, or menagerie:MODEL
    base: list[float] = field(default_factory=list)  # where one arm stands instead of the origin [m]: a short one nearer to its work
    engine: str = "mujoco"  # mujoco or pybullet: the same world and the same control law
    action: str = "ee_pose"  # ee_pose: absolute pose of the tool and gripper width; joint: joint positions and gripper width
    reward: str = "sparse"  # sparse: 1 when it is done, else 0; dense: from 0 to 1, the nearer the better
    expert: str = ""  # class of the scripted demonstrator, for `waldo collect`
    num_envs: int = 100  # episodes at once
    rate_hz: float = 20.0  # control steps per second
    max_steps: int = 240  # control steps per episode
    image_size: int = 96  # height and width of the policy's cameras [px]
    images: bool = False  # render the policy's cameras every step; slow
    threads: int = 0  # physics threads (MuJoCo) or processes (PyBullet), 0 for all cores
    home_noise: float = 0.02  # standard deviation of the arm's start around its home posture [rad]
    identified: dict[str, Any] = field(
        default_factory=dict
    )  # {kind: {joint: value}} from sim.variation.identify, instead of the description's
    randomize: dict[str, Any] = field(default_factory=dict)  # options of sim.variation.randomize.RandomizeConfig; empty: nothing varies


class ArmVecEnv:
    Config = ArmConfig

    def __init__(self, config: ArmConfig, **overrides: Any) -> None:
        for key, value in overrides.items():
            setattr(config, key, value)
        for key in ("num_envs", "max_steps", "rate_hz", "image_size"):
            if not getattr(config, key) > 0:
                raise ConfigError(f"env.{key}={getattr(config, key)}; it must be positive")
        for key, allowed in (("engine", ENGINES), ("reward", REWARDS)):
            if getattr(config, key) not in allowed:
                raise ConfigError(f"env.{key}={getattr(config, key)!r}: {did_you_mean(getattr(config, key), allowed)}")
        self.config = config
        self.task: Task = build(config.task)
        self.robot: RobotSpec = robot_spec(config.robot)
        self.num_envs, self.max_steps = config.num_envs, config.max_steps
        mounts = self._mounts()
        size = (config.image_size, config.image_size)
        cameras = dict.fromkeys(self.task.cameras, size)
        self.spec = offered_spec(self.task, self.robot, mounts, config.rate_hz, config.action, cameras)
        self.action_low, self.action_high = action_bounds(self.robot, len(mounts), config.action)
        self.instruction, self.milestones = self.task.instruction, self.task.milestones
        self.camera_names = (self.task.film_camera, *self.task.cameras)
        varied = settings(config.randomize)
        world = build_world(self.task.scene, config.robot, mounts, furnished(varied, self.task.edit))
        apply(world.model, world.arms, config.identified)
        self.physics: Worlds = importlib.import_module(f"sim.{config.engine}").open_physics(world, config.num_envs, config.threads)
        self.arms = world.arms
        steps = 1 / (config.rate_hz * self.physics.timestep)
        self.substeps = round(steps)
        if self.substeps < 1 or abs(steps - self.substeps) > 1e-6 * steps:
            raise ConfigError(
                f"env.rate_hz={config.rate_hz:g}: a control step must be a whole number of physics steps of {self.physics.timestep:g} s"
            )
        self.drawing = True
        self._pictures: dict[str, np.ndarray] = {}
        self._home = np.tile(self.robot.q_home, len(self.arms))
        self._dq_max = np.tile(self.robot.dq_max, len(self.arms))
        self._q_target = np.tile(self._home, (self.num_envs, 1))
        self._width_target = np.full((self.num_envs, len(self.arms)), self.robot.gripper_max_width)
        self._held = np.zeros(self.num_envs, int)
        self._step = np.zeros(self.num_envs, int)
        self._randomizer = Randomizer(varied, world, self.task.cameras) if varied else None
        self.variations: list[Variation] = []  # what each row got, if anything varies
        self._looks: list[Look | None] = []
        self._noise = Noise(self.spec.observations) if varied and "noise" in varied.groups else None
        self._delay = Delay(self.num_envs, self._randomizer.max_delay) if self._randomizer and self._randomizer.max_delay else None

    def _mounts(self) -> tuple[Mount, ...]:
        base = self.config.base
        if not base:
            return self.task.mounts or (Mount(),)
        if self.task.mounts or len(base) != 3:
            raise ConfigError(
                f"env.base={list(base)}: [x, y, z] of the one arm of a task; {self.task.name} has {len(self.task.mounts) or 1}"
            )
        return (Mount(position=(float(base[0]), float(base[1]), float(base[2]))),)

    def reset(self, seeds: np.ndarray) -> Obs:
        """One episode per seed (at most num_envs); spare rows repeat the first."""
        seeds = np.concatenate([seeds, np.full(self.num_envs - len(seeds), seeds[0])]).astype(np.int64)
        rows = np.arange(self.num_envs)
        rngs = [np.random.Generator(np.random.Philox(key=int(seed))) for seed in seeds]
        self.physics.reset(rows)
        self._q_target = np.array([self._home + r.normal(0, self.config.home_noise, len(self._home)) for r in rngs])
        self._width_target[:] = self.robot.gripper_max_width
        self.physics.set_joints(self._q_target, self._width_target, rows)
        self.task.reset(self.physics, rngs, rows)
        self._held[:], self._step[:] = 0, 0
        self._vary(seeds, rows)
        return self.observe()

    def variation(self, seed: int) -> Variation | None:
        """What the episode of this seed gets; None if nothing varies."""
        return self._randomizer.draw(int(seed)) if self._randomizer else None

    def look(self, variation: Variation | None) -> Look | None:
        """How an episode looks, for `physics.show`."""
        return self._randomizer.look(variation) if self._randomizer and variation else None

    def _vary(self, seeds: np.ndarray, rows: np.ndarray) -> None:
        if self._randomizer is None:
            return
        self.variations = [self._randomizer.draw(int(seed)) for seed in seeds]
        self._looks = [self._randomizer.look(variation) for variation in self.variations]
        self._randomizer.apply(self.physics, self.variations, rows)
        if self._noise is not None:
            self._noise.begin(seeds, [variation.noise for variation in self.variations])
        if self._delay is not None:
            rest = {"q": self._q_target, "dq": np.zeros_like(self._q_target), "width": self._width_target}
            self._delay.begin(np.array([variation.delay for variation in self.variations]), rest)

    def observe(self, running: np.ndarray | None = None) -> Obs:
        """running: the rows that were stepped, None for all."""
        q, _ = self.physics.joints()
        widths = self.physics.widths()
        parts = [part for i in range(len(self.arms)) for part in (*self.physics.tool(i), widths[:, i : i + 1])]
        state = np.concatenate(parts, 1)
        obs = {"observation.state": state.astype(np.float32), "observation.joints": q.astype(np.float32), **self.task.observe(self.physics)}
        if self._noise is not None:
            obs = self._noise.add(obs, self._step)
        if self.config.images:
            for camera in self.task.cameras:
                obs[f"observation.images.{camera}"] = self._picture(camera, running)
        return obs

    def _picture(self, camera: str, running: np.ndarray | None) -> np.ndarray:
        """What the policy's camera sees, (B, H, W, 3); rows that have ended, and all while nobody looks, keep their last one."""
        size = (self.config.image_size, self.config.image_size)
        kept = self._pictures.setdefault(camera, np.zeros((self.num_envs, *size, 3), np.uint8))
        rows = np.arange(self.num_envs) if running is None else running
        if self.drawing and len(rows):
            kept[rows] = self.physics.render(camera, rows, size, looks=self._looks)
        return kept.copy()

    def joint_targets(self, action: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(R, A) actions of the given rows -> (R, J) joint targets, no faster than the joints may go."""
        return self._limit(action, rows)[0]

    def _limit(self, action: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R, A) -> joint targets (R, J), and whether limits of position, reach or speed cut off more than a hair (R,). How fast the
        gripper goes does not count: that it takes a while is no surprise to who asks it to close.
        """
        previous, cut = self._q_target[rows], np.zeros(len(rows), bool)
        parts = []
        for arm, order, before in zip(self.arms, np.split(action, len(self.arms), 1), np.split(previous, len(self.arms), 1)):
            if self.config.action == "joint":
                parts.append(np.clip(order[:, :-1], self.robot.q_min, self.robot.q_max))
                cut |= (np.abs(parts[-1] - order[:, :-1]) > JOINT_HAIR).any(1)
            else:
                parts.append(arm.inverse(order[:, :3], order[:, 3:7], before))
                cut |= np.linalg.norm(arm.forward(parts[-1])[0] - order[:, :3], axis=1) > TOOL_HAIR
            width = order[:, -1]
            cut |= (width < -WIDTH_HAIR) | (width > self.robot.gripper_max_width + WIDTH_HAIR)
        limit, wanted = self._dq_max / self.config.rate_hz, np.concatenate(parts, 1) - previous
        cut |= (np.abs(wanted) > limit + JOINT_HAIR).any(1)
        return previous + np.clip(wanted, -limit, limit), cut

    def as_joints(self, pose: np.ndarray, row: int) -> np.ndarray:
        """The joint action (A,) of one row that does what an action of poses and widths (8 per arm,) would do."""
        parts = []
        for arm, order, before in zip(self.arms, np.split(pose, len(self.arms)), np.split(self._q_target[row], len(self.arms))):
            parts += [arm.inverse(order[None, :3], order[None, 3:7], before[None])[0], order[7:]]
        return np.concatenate(parts).astype(np.float32)

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """info: success (B,) bool at last for SUCCESS_STEPS; milestones (B, M) bool at this instant; limited (B,) bool, see `_limit`;
        error, row -> message of the episodes that broke in this step.

        Raises SimulationError for an action that is not finite; positions out of reach are approached, widths clipped.
        """
        rows = np.arange(self.num_envs) if active is None else np.flatnonzero(active)
        action = np.asarray(action[rows], float)
        if not np.isfinite(action).all():
            bad = sorted({self.spec.action.names[i] for i in np.argwhere(~np.isfinite(action))[:, 1]})
            raise SimulationError(f"the action holds values that are not finite ({', '.join(bad)}); nothing was moved")
        targets, cut = self._limit(action, rows)
        q_path = ramp(self._q_target[rows], targets, self.substeps)
        dq = (targets - self._q_target[rows]) * self.config.rate_hz
        travel = self.robot.gripper_speed / self.config.rate_hz
        each = action.shape[1] // len(self.arms)
        width = np.clip(action[:, each - 1 :: each], 0, self.robot.gripper_max_width)
        width = self._width_target[rows] + np.clip(width - self._width_target[rows], -travel, travel)
        width_path = ramp(self._width_target[rows], width, self.substeps)
        self._q_target[rows], self._width_target[rows] = targets, width
        if self._delay is not None:
            q_path, width_path = self._delay.pass_on("q", q_path, rows), self._delay.pass_on("width", width_path, rows)
            dq = self._delay.pass_on("dq", np.repeat(dq[:, None], self.substeps, 1), rows)
        self.physics.step(q_path, dq, width_path, rows)
        self._step[rows] += 1
        self._held = np.where(self.task.success(self.physics), self._held + 1, 0)
        broken = dict(self.physics.failed)
        lost = np.isin(np.arange(self.num_envs), list(broken))
        success = (self._held >= SUCCESS_STEPS) & ~lost
        truncated = ~success & ~lost & (self._step >= self.max_steps)
        reward = self.task.reward(self.physics) if self.config.reward == "dense" else success.astype(float)
        limited = np.zeros(self.num_envs, bool)
        limited[rows] = cut
        reached = self.task.reached(self.physics) & ~lost[:, None] if self.milestones else np.zeros((self.num_envs, 0), bool)
        info: dict[str, Any] = {"success": success, "milestones": reached, "limited": limited}
        if broken:
            info["error"] = broken
        return self.observe(rows), reward, success | lost, truncated, info

    def render(self, camera: str = "", rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """As the policy sees it, or with shadows for people when `camera` is the task's film camera (the default)."""
        camera = camera or self.task.film_camera
        rows = np.arange(self.num_envs) if rows is None else rows
        beautiful = camera == self.task.film_camera
        default = (240, 320) if beautiful else (self.config.image_size, self.config.image_size)
        return self.physics.render(camera, rows, size or default, beautiful, self._looks)

    def render_depth(self, camera: str, rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """(R, height, width) float32 [m] along the optical axis of a camera; inf where nothing is. No policy observes it:
        datasets hold pictures of bytes and vectors. Raises RenderError."""
        rows = np.arange(self.num_envs) if rows is None else rows
        return self.physics.render_depth(camera, rows, size or (self.config.image_size,) * 2, self._looks)

    def render_segmentation(
        self, camera: str, rows: np.ndarray | None = None, size: tuple[int, int] | None = None, of: str = "geom"
    ) -> np.ndarray:
        """(R, height, width) int32: the index of the geom (or of="body") of `physics.model` in each pixel, -1 where nothing is."""
        rows = np.arange(self.num_envs) if rows is None else rows
        return self.physics.render_segmentation(camera, rows, size or (self.config.image_size,) * 2, self._looks, of)

    def close(self) -> None:
        self.physics.close()
