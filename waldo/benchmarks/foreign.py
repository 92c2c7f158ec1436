"""What it costs to step environments in another process or interpreter, as a share of the environments' own step time.

The environment of configs/env/<environment>.yaml, in the interpreter `python` ("" for this one): several stepped in a plain loop there,
against as many behind one child process, and one against one; blocks of steps take turns. Where the interpreter is this one,
Gymnasium's AsyncVectorEnv with one environment stands beside it.

    waldo bench foreign environment=metaworld python=/path/to/venv/bin/python
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from omegaconf import OmegaConf

from data.config import typed
from data.errors import ConfigError, did_you_mean
from data.results import Figure
from data.statistics import median_interval
from sim.foreign import direct
from sim.foreign.process import interpreter, surroundings
from sim.gym import GymConfig, GymVecEnv, plan_of
from waldo.bench import Measurement
from waldo.manual import CONFIGS

if TYPE_CHECKING:
    from omegaconf import DictConfig

BLOCK, SEVERAL = 50, 8  # steps, environments
TARGET = "sim.gym.GymVecEnv"


class _Way(Protocol):
    """Seconds per step of one environment, the median over a block of steps: what else the machine does falls out."""

    def __call__(self) -> float: ...

    def close(self) -> None: ...


class _Direct:
    """Environments in a loop of their own, in their interpreter."""

    def __init__(self, config: GymConfig, num_envs: int) -> None:
        words = [config.python or sys.executable, str(Path(direct.__file__)), json.dumps(plan_of(config)), str(num_envs)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=surroundings(config.python, config.variables))
        while self._answer() != "ready":  # libraries greet, too
            pass

    def __call__(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{BLOCK}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ConfigError("the environment's own loop ended; its message is above")
        return line.strip()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Through:
    """The same through child processes."""

    def __init__(self, config: GymConfig, num_envs: int, workers: int) -> None:
        self._env = GymVecEnv(dataclasses.replace(config, num_envs=num_envs, isolate=not config.python, workers=workers))
        self._seeds, self._rng = np.arange(num_envs), np.random.default_rng(0)
        self._env.reset(self._seeds)

    def __call__(self) -> float:
        """Seconds per step of one environment."""
        env, spent = self._env, []
        actions = self._rng.uniform(env.action_low, env.action_high, (BLOCK, env.num_envs, len(env.action_low))).astype(np.float32)
        for action in actions:
            began = time.perf_counter()
            _, _, terminated, truncated, info = env.step(action)
            spent.append(time.perf_counter() - began)
            if info["error"]:
                raise ConfigError(f"the environment broke: {next(iter(info['error'].values()))}")
            if (terminated | truncated).any():
                self._seeds = self._seeds + env.num_envs
                env.reset(self._seeds)
        return float(np.median(spent)) / env.num_envs

    def close(self) -> None:
        self._env.close()


class _Async:
    """Gymnasium's own way to another process of this interpreter."""

    def __init__(self, config: GymConfig) -> None:
        import functools

        import gymnasium

        from sim.foreign.maker import Maker

        self._envs = gymnasium.vector.AsyncVectorEnv([functools.partial(Maker(plan_of(config)).make)])
        self._rng = np.random.default_rng(0)
        self._envs.reset(seed=0)

    def __call__(self) -> float:
        space = self._envs.single_action_space
        actions = self._rng.uniform(space.low, space.high, (BLOCK, 1, *space.shape)).astype(space.dtype)  # type: ignore[attr-defined,misc]
        spent = []
        for action in actions:
            began = time.perf_counter()
            self._envs.step(action)
            spent.append(time.perf_counter() - began)
        return float(np.median(spent))

    def close(self) -> None:
        self._envs.close()


def measure(cfg: DictConfig) -> Measurement:
    """cfg: seconds; environment, python (see above). Raises ConfigError for an environment that is not of Gymnasium's."""
    config = _config(str(cfg.get("environment", "") or "pusht"), str(cfg.get("python", "") or ""))
    times = step_times(config, cfg.seconds)
    n = len(times["one"])

    def share(way: str, own: str) -> tuple[float, float, float]:
        """Median overhead and its 95 % interval, over the blocks."""
        return median_interval(times[way] / times[own] - 1)

    value, low, high = share("several, a process", "several")
    alone = share("one, a process", "one")
    others = [Figure("overhead of a process with one", alone[0], "", n, alone[1], alone[2])]
    others += [Figure(f"step of one environment: {name}", 1e3 * float(np.median(values)), "ms", n) for name, values in times.items()]
    usual = Figure("overhead of AsyncVectorEnv with one", share("one, AsyncVectorEnv", "one")[0], "", n) if not config.python else None
    return Measurement(Figure(f"overhead of a process with {SEVERAL}, {config.id}", value, "", n, low, high), usual, True, others)


def step_times(config: GymConfig, seconds: float) -> dict[str, np.ndarray]:
    """Seconds per step of one environment, in blocks that took turns."""
    ways: dict[str, _Way] = {}
    try:
        ways["one, a process"] = _Through(config, 1, 1)  # first: it says clearly what is missing
        ways["one"] = _Direct(config, 1)
        ways["several"] = _Direct(config, SEVERAL)
        ways["several, a process"] = _Through(config, SEVERAL, 1)
        ways["several, all cores"] = _Through(config, SEVERAL, 0)
        if not config.python:
            ways["one, AsyncVectorEnv"] = _Async(config)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times["one"]) < 5:
            for name, way in ways.items():
                times[name].append(way())
    finally:
        for way in ways.values():
            way.close()
    return {name: np.array(values) for name, values in times.items()}


def _config(name: str, python: str) -> GymConfig:
    found = {path.stem: path for path in (CONFIGS / "env").glob("*.yaml") if f"_target_: {TARGET}" in path.read_text(encoding="utf-8")}
    if name not in found:
        raise ConfigError(f"waldo bench foreign: environment={name} is no environment of Gymnasium's; {did_you_mean(name, found)}")
    options: Any = OmegaConf.to_container(OmegaConf.load(found[name]))
    del options["_target_"]
    config: GymConfig = typed(GymConfig, options, name)
    config.python = interpreter(python) if python else config.python
    return config
