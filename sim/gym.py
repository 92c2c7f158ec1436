"""Any Gymnasium environment by its id: B copies behind the VecEnv contract, in this process, or in others and their interpreters.

The YAML says which part of the observation is what; nothing is guessed. An environment that raises ends its own episode, which has
failed; in other processes (`python`, `isolate`) so does one that hangs or takes its process down. `step()` names them in
info["error"], row -> message, and they are made anew before their next reset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.errors import ConfigError, RenderError, WaldoError, did_you_mean
from data.machine import cores
from data.spec import ActionSpec, PolicySpec
from sim import gl
from sim.base import Obs
from sim.foreign.advice import explained
from sim.foreign.maker import Maker, Refused
from sim.foreign.plan import features_of, hook_path, names_of, units_of
from sim.foreign.process import interpreter
from sim.foreign.rows import NoPicture, Rows
from sim.foreign.workers import Workers

CLIP = 1e-3  # share of an element's range that may be clipped before a step counts as limited


@dataclass
class GymConfig:
    id: str = ""  # Gymnasium id, e.g. gym_pusht/PushT-v0
    package: str = ""  # the module whose import registers the id
    extra: str = ""  # the extra of this project that installs it, for the error message
    requirements: str = ""  # the file that says what another interpreter needs, for the error message
    hook: str = ""  # a Python file in sim/foreign (hooks/NAME.py) or your own, see sim.foreign.maker
    task: str = ""
    robot: str = ""
    instruction: str = ""  # the task in words, for policies that read them; "" is the hook's, or the task's name
    rate_hz: float = 10.0
    max_steps: int = 300
    kwargs: dict[str, Any] = field(default_factory=dict)  # passed to gymnasium.make
    observations: dict[str, Any] = field(default_factory=dict)  # name -> which part of the observation, see sim.foreign.plan
    images: bool = False  # draw the observations with `render: true` every step; slow
    cameras: list[str] = field(default_factory=list)  # that the hook can render, the first is the default
    action_names: list[str] = field(default_factory=list)
    action_unit: str = "1"  # of all
    action_units: list[str] = field(default_factory=list)  # or one each
    action_kind: str = "position"  # what the numbers mean, see data.spec.ActionSpec
    action_low: list[float] = field(
        default_factory=list
    )  # narrower than the action space, one for all or one each; a must where it is unbounded
    action_high: list[float] = field(default_factory=list)
    outside: str = "clip"  # what becomes of an action outside of these bounds: clip, error
    success_key: str = "is_success"  # dotted, in info; or `terminated`; "" where there is no such thing
    success_reward: float | None = None  # an episode that reaches this reward has succeeded; instead of success_key
    expert: str = ""  # `hook`: the hook's scripted expert, for `waldo collect`
    num_envs: int = 50
    python: str = ""  # Python of another environment, .../bin/python, in which the environments run; "" for this one
    isolate: bool = False  # run them in other processes of this Python
    workers: int = 0  # processes, 0 for as many as cores
    variables: dict[str, str] = field(default_factory=dict)  # environment variables of these processes
    timeout: float = 60.0  # [s] that one environment may take for a step or a picture, in other processes
    start_timeout: float = 300.0  # [s] until all of a process are made, or one is reset


def plan_of(config: GymConfig) -> dict[str, Any]:
    """What `Rows` needs to know, as JSON can hold it. Raises ConfigError."""
    plan = {key: getattr(config, key) for key in ("id", "package", "kwargs", "max_steps", "success_key", "success_reward")}
    return {**plan, "hook": hook_path(config.hook), "expert": config.expert == "hook", "parts": features_of(config.observations)[1]}


class GymVecEnv:
    Config = GymConfig
    milestones: tuple[str, ...] = ()  # Gymnasium has no word for them

    def __init__(self, config: GymConfig, **overrides: Any) -> None:
        for key, value in overrides.items():
            setattr(config, key, value)
        for key in ("num_envs", "max_steps", "rate_hz", "timeout", "start_timeout"):
            if not getattr(config, key) > 0:
                raise ConfigError(f"env.{key}={getattr(config, key)}; it must be positive")
        for key, allowed in (("outside", ("clip", "error")), ("expert", ("", "hook"))):
            if getattr(config, key) not in allowed:
                raise ConfigError(f"env.{key}={getattr(config, key)!r}; {did_you_mean(getattr(config, key), allowed)}")
        self.config = config
        self.num_envs, self.max_steps = config.num_envs, config.max_steps
        features, parts = features_of(config.observations)
        names = names_of(config.action_names)
        if not names:
            raise ConfigError("env.action_names is empty: every element of the action has a name")
        action = ActionSpec(config.action_kind, names, units_of(config.action_units or config.action_unit, len(names)))
        self.spec = PolicySpec(config.task, config.robot, features, action, config.rate_hz)
        self.camera_names = tuple(config.cameras)
        self._rows = self._open()
        self._arrays = self._rows.arrays
        try:
            found = self._rows.inspect()
            unseen = [part["name"] for part in parts if part["camera"] and not found["render"]]
            if unseen:
                raise ConfigError(
                    f"env.observations: {unseen[0]} names a camera, and only a hook's `render` can choose one; leave `camera` out"
                )
            self.action_low, self.action_high = self._bounds(np.array(found["low"]), np.array(found["high"]))
        except BaseException as error:
            self.close()
            if isinstance(error, Refused):
                raise explained(error, config.id, config.python, config.extra, config.requirements) from error
            raise
        self.about: dict[str, Any] = found["about"]  # what the hook's `describe` says
        self.instruction = str(config.instruction or self.about.get("instruction") or config.task.replace("_", " "))
        self.has_expert = config.expert == "hook"
        self._drawn = tuple(part["name"] for part in parts if part["render"])
        self._broken: dict[int, str] = {}  # rows that broke between two steps
        self._running = np.zeros(self.num_envs, bool)
        self._count = 0  # rows with an episode of their own

    def _open(self) -> Rows | Workers:
        """The environments, here or in other processes."""
        config, plan = self.config, plan_of(self.config)
        b, a = self.num_envs, self.spec.action.dim
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            **dict.fromkeys(("action", "expert"), ("float32", (b, a))),
            **dict.fromkeys(("terminated", "truncated", "success"), ("uint8", (b,))),
            "reward": ("float64", (b,)),
            "length": ("int32", (b,)),
            **{f.name: (f.dtype, (b, *f.shape)) for f in self.spec.observations},
        }
        gl.choose()
        try:
            if not (config.python or config.isolate):
                arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in shapes.items()}
                return Rows(plan, {**arrays, "clock": np.zeros(2)}, Maker(plan))
            python = interpreter(config.python) if config.python else ""
            count = min(config.workers if config.workers > 0 else cores(), b)
            return Workers(plan, shapes, count, python, config.variables, config.timeout, config.start_timeout)
        except Refused as error:
            raise explained(error, config.id, config.python, config.extra, config.requirements) from error

    def reset(self, seeds: np.ndarray) -> Obs:
        """One episode per seed (at most num_envs); spare rows repeat the first. A row that cannot be reset breaks in the first step."""
        if not 0 < len(seeds) <= self.num_envs:
            raise WaldoError(f"{len(seeds)} seeds for {self.num_envs} environments; allowed: 1 to {self.num_envs}")
        self._count = len(seeds)
        self._running = np.arange(self.num_envs) < self._count
        for name in ("reward", "terminated", "truncated", "success", "length"):
            self._arrays[name][:] = 0
        try:
            self._broken = self._rows.reset(np.arange(self._count), np.asarray(seeds, np.int64), self._draws)
        except NoPicture as error:
            raise self._blind(error) from error
        except Refused as error:  # a process that is to take over cannot be started
            raise explained(error, self.config.id, self.config.python, self.config.extra, self.config.requirements) from error
        return self._observe()

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """info: success (B,) bool; limited (B,) bool, an element was clipped by more than CLIP of its range; error, row -> message of
        the episodes that broke in this step: they are terminated, without success.

        Raises WaldoError for an action that is not finite, and with outside=error for one that is outside, before anything moves.
        """
        asked = self._running if active is None else self._running & active
        rows = np.flatnonzero(asked)
        action, limited = self._checked(np.asarray(action), rows)
        errors = {row: self._broken.pop(row) for row in list(self._broken) if asked[row]}
        if errors:
            rows = rows[~np.isin(rows, list(errors))]
        arrays = self._arrays
        arrays["action"][rows] = action[rows]
        if len(rows):
            try:
                errors |= self._rows.step(rows, self._draws)
            except NoPicture as error:
                raise self._blind(error) from error
        reward = np.zeros(self.num_envs)
        reward[rows] = arrays["reward"][rows]
        if errors:
            broken = list(errors)
            arrays["terminated"][broken], arrays["truncated"][broken], arrays["success"][broken], reward[broken] = 1, 0, 0, 0
        terminated, truncated, success = (arrays[name].astype(bool) for name in ("terminated", "truncated", "success"))
        self._running[terminated | truncated] = False
        if self._count < self.num_envs:
            for values in (reward, terminated, truncated, success, limited):
                values[self._count :] = values[0]
        return self._observe(), reward, terminated, truncated, {"success": success, "limited": limited, "error": errors}

    def expert_actions(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), A): what the hook's expert would do now in these rows; zero for rows that have ended."""
        if not self.has_expert:
            raise ConfigError(f"environment {self.config.id} has no scripted expert; env.expert=hook uses its hook's")
        rows = np.asarray(rows, int)
        able = np.array([row for row in rows if self._running[row] and row not in self._broken], int)
        self._arrays["expert"][:] = 0
        if len(able):
            self._broken |= self._rows.act(able)
        action = self._arrays["expert"][rows].copy()
        return np.clip(action, self.action_low, self.action_high) if self.config.outside == "clip" else action

    def render(self, camera: str = "", rows: np.ndarray | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """From a camera of the hook (by default the first of camera_names), or as the environment renders itself."""
        if camera and self.camera_names and camera not in self.camera_names:
            raise ConfigError(f"environment {self.config.id} has no camera {camera!r}; {did_you_mean(camera, self.camera_names)}")
        rows = np.arange(self.num_envs) if rows is None else np.asarray(rows, int)
        camera = camera or (self.camera_names[0] if self.camera_names else "")
        try:
            frames, errors = self._rows.render(rows, camera, size)
        except NoPicture as error:
            raise self._blind(error) from error
        self._broken |= {row: message for row, message in errors.items() if self._running[row]}
        if size is not None and frames.shape[1:3] != tuple(size):
            import cv2

            frames = np.stack([cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA) for frame in frames])
        return frames

    def close(self) -> None:
        self._rows.close()

    @property
    def _draws(self) -> bool:
        return self.config.images and bool(self._drawn)

    def _blind(self, error: NoPicture) -> RenderError:
        return RenderError(f"environment {self.config.id}: {error}")

    def _observe(self) -> Obs:
        obs = {f.name: self._arrays[f.name].copy() for f in self.spec.observations if self.config.images or f.name not in self._drawn}
        if self._count < self.num_envs:
            for values in obs.values():
                values[self._count :] = values[0]
        return obs

    def _checked(self, action: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, A) float32 within the bounds, and (B,) bool whether they cut off more than CLIP of a range, of the given rows."""
        wanted = (self.num_envs, self.spec.action.dim)
        if action.shape != wanted:
            raise WaldoError(f"actions of shape {action.shape}; this environment takes {wanted}: {', '.join(self.spec.action.names)}")
        action = action.astype(np.float32)
        inside = np.minimum(np.maximum(action, self.action_low), self.action_high)
        asked = action[rows]
        wrong = ~np.isfinite(asked)
        finite = not wrong.any()
        if finite and self.config.outside == "error":
            wrong = asked != inside[rows]
        if wrong.any():
            k, i = np.argwhere(wrong)[0]
            allowed = f"{self.action_low[i]:g} to {self.action_high[i]:g}" if finite else "a finite number"
            raise WaldoError(f"the action of row {rows[k]} has {self.spec.action.names[i]}={asked[k, i]:g}; allowed is {allowed}")
        limited = np.zeros(self.num_envs, bool)
        limited[rows] = (np.abs(asked - inside[rows]) > CLIP * (self.action_high - self.action_low)).any(1)
        return inside, limited

    def _bounds(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(A,) float32 each: the action space's, or the narrower ones of the YAML. Raises ConfigError where they are not finite."""
        config, dim = self.config, self.spec.action.dim
        where = f"environment {config.id}"
        if len(low) != dim:
            raise ConfigError(f"{where}: env.action_names has {dim} names, but its actions have {len(low)} elements")
        found = []
        for key, space, said in (("low", low, config.action_low), ("high", high, config.action_high)):
            if len(said) not in (0, 1, dim):
                raise ConfigError(f"{where}: env.action_{key} has {len(said)} numbers; give one for all, or {dim}")
            values = np.broadcast_to(np.array(said, float), dim) if said else space
            if not np.isfinite(values).all():
                name = self.spec.action.names[int(np.flatnonzero(~np.isfinite(values))[0])]
                raise ConfigError(f"{where}: its action space is unbounded at {name}; bound it with env.action_low and env.action_high")
            if ((values < low) | (values > high)).any():
                raise ConfigError(f"{where}: env.action_{key}={said} leaves its action space, {low.tolist()} to {high.tolist()}")
            found.append(values)
        if (found[0] >= found[1]).any():
            raise ConfigError(f"{where}: env.action_low={found[0].tolist()} is not below env.action_high={found[1].tolist()}")
        low32, high32 = (values.astype(np.float32) for values in found)
        # What float32 rounds outwards would lie outside of a space of float64.
        low32 = np.where(low32 < found[0], np.nextafter(low32, np.float32(np.inf)), low32)
        return low32, np.where(high32 > found[1], np.nextafter(high32, np.float32(-np.inf)), high32)
