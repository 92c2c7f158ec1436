"""A small environment with every kind of mishap, as a hook: it is also read by other interpreters, where only numpy and gymnasium are."""

import os
import signal
import sys
import time

import gymnasium
import numpy as np


class Toy(gymnasium.Env):
    """A point that drifts by its own noise and by what it is told. `fault` happens in the step `at`, if the seed is one of `seeds`."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  Gymnasium's convention

    def __init__(self, fault="", at=3, seeds=(), render_mode=None, bound=1.0, ends=1000, chatty=False, loose=False, low=None):
        self.fault, self.at, self.seeds, self.render_mode, self.ends = fault, at, tuple(seeds), render_mode, ends
        self.chatty, self.loose = chatty, loose
        self.action_space = gymnasium.spaces.Box(-bound if low is None else low, bound, (2,), np.float64)
        self.observation_space = gymnasium.spaces.Dict({})
        if fault == "make":
            raise RuntimeError("no such robot")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed, self.time = seed, 0
        self.position = self.np_random.normal(size=2)
        self.mood = np.random.normal()  # noqa: NPY002  as old code does
        if self.at == 0:
            self._mishap()
        return self._read(), {}

    def step(self, action):
        assert action.dtype == np.float64
        self.time += 1
        if self.chatty:
            print(f"step {self.time}", file=sys.stderr)
            os.write(1, b"\x00\xff garbage \n" * 50)
        if self.time == self.at:
            self._mishap()
        self.position = self.position + 0.1 * action + 0.01 * self.np_random.normal(size=2)
        if self.loose:
            self.position = self.position + float.fromhex(os.urandom(4).hex()) * 1e-9
        obs = self._read()
        if self.time == self.at and self.seed in self.seeds:
            if self.fault == "nan":
                obs["agent"]["position"] = obs["agent"]["position"] * np.nan
            if self.fault == "shape":
                obs["agent"]["position"] = np.zeros(3)
        reward = float(self.position.sum())
        return obs, reward, self.time >= self.ends, False, {"done": {"well": self.position[0] > 0}, "nothing": None}

    def render(self):
        if self.render_mode is None:
            return None
        if self.fault == "draw" and self.time == self.at and self.seed in self.seeds:
            os._exit(7)
        return np.full((12, 16, 3), self.time, np.uint8)

    def _read(self):
        pixels = np.full((4, 6, 3), self.time, np.uint8)
        return {"agent": {"position": self.position, "time": self.time}, "mood": [self.mood], "pixels": pixels, "odd": (1, np.arange(3))}

    def _mishap(self):
        if self.seed not in self.seeds:
            return
        if self.fault == "raise":
            raise ValueError("the motor is hot")
        if self.fault == "leave":
            sys.exit("tired")
        if self.fault == "hang":
            time.sleep(1000)
        if self.fault == "exit":
            print("about to go", flush=True)
            os._exit(3)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


def register():
    if "Toy-v0" not in gymnasium.registry:
        gymnasium.register("Toy-v0", entry_point=Toy)


def expert(env, rng):
    start = rng.normal(size=2)
    asked = 0

    def act(obs):
        nonlocal asked
        asked += 1
        return start + asked + np.array([obs["agent"]["time"], env.unwrapped.seed]) * 1e-3

    return act


def describe(env):
    return {"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS", ""), "gl": os.environ.get("MUJOCO_GL", "")}
