"""Environment steps per second of pick_place, 64 at once, against Gymnasium's own vector environments of the same task.

Beside it: the same of an environment as one would write it with MuJoCo and Gymnasium alone (waldo/benchmarks/plain_env.py),
raw mujoco.batch (the limit), rendering against MuJoCo's default settings, and a closed loop of an image policy with
the shares of physics, rendering and inference. Everything is measured in turns in one run; the figures are medians.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium
import mujoco
import numpy as np
import torch
from mujoco.batch import Batch
from omegaconf import OmegaConf

from data.config import build, typed
from data.errors import RenderError
from data.results import Figure
from policies.normalize import Normalizer
from sim.env import ArmConfig
from sim.rollout import rollout
from sim.single import ArmEnv
from waldo.bench import Measurement
from waldo.benchmarks.plain_env import PlainArm
from waldo.manual import CONFIGS

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sim.env import ArmVecEnv

BATCH, FEW = 64, 8
BASELINE = f"AsyncVectorEnv({FEW}) of the same task"
WANTED = ("observation.state", "observation.images.front")


def measure(cfg: DictConfig) -> Measurement:
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    others, steps = _steps(cfg)
    try:
        others += [*_rendering(cfg.seconds), *_closed_loop(cfg)]
    except RenderError as error:
        print(f"rendering not measured: {error}")
    return Measurement(steps["ours"], steps[BASELINE], others=others)


def in_turns(calls: dict[str, tuple[Callable[[], Any], int]], seconds: float) -> dict[str, Figure]:
    """Things per second of each call that does `count` of them: medians of calls that take turns for `seconds` each."""
    for call, _ in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, (call, _) in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: Figure(name, calls[name][1] / float(np.median(spent)), "/s", len(spent)) for name, spent in times.items()}


def _steps(cfg: DictConfig) -> tuple[list[Figure], dict[str, Figure]]:
    ours = _env(BATCH, action="joint", threads=cfg.threads)
    ours.reset(np.arange(BATCH))
    rng = np.random.default_rng(cfg.seed)
    home = np.array([*ours.robot.q_home, ours.robot.gripper_max_width])
    goals = [home + rng.normal(0, 0.1, (BATCH, 8)) * [*np.ones(7), 0.0] for _ in range(16)]  # everyone moves, nobody stands still
    turn = {"ours": 0}

    def action(who: str, rows: int) -> np.ndarray:
        turn[who] += 1
        return goals[turn[who] % 16][:rows].astype(np.float32)

    raw = Batch(ours.physics.model, BATCH, cfg.threads)
    raw.state[:] = ours.physics._batch.state  # type: ignore[attr-defined]
    control = np.tile(home, (BATCH, ours.substeps, 1))
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "ours": (lambda: ours.step(action("ours", BATCH)), BATCH),
        "raw mujoco.batch, no observation, no limits": (lambda: raw.rollout(ours.substeps, control, record=()), BATCH),
    }
    with contextlib.ExitStack() as stack:
        for kind in (gymnasium.vector.SyncVectorEnv, gymnasium.vector.AsyncVectorEnv):
            for single, words in ((_same_task, "the same task"), (PlainArm, "plain MuJoCo")):
                env = kind([single] * FEW)
                stack.callback(env.close)
                env.reset(seed=0)
                name = f"{kind.__name__}({FEW}) of {words}"
                turn[name] = 0
                calls[name] = (lambda env=env, name=name: env.step(action(name, FEW)), FEW)  # type: ignore[misc]
        found = in_turns(calls, cfg.seconds)
    ours.close()
    mine, rest = found["ours"], list(found)[1:]
    figures = [found[name] for name in rest if name != BASELINE] + [
        Figure(f"ours / {name}", mine.value / found[name].value) for name in rest
    ]
    return figures, {**found, "ours": dataclasses.replace(mine, name=f"environment steps, {BATCH} at once")}


def _same_task() -> ArmEnv:
    node = {"task": {"_target_": "sim.tasks.pick_place.PickPlace"}, "action": "joint", "threads": 1}
    return ArmEnv(typed(ArmConfig, node, "env"))


def _rendering(seconds: float) -> list[Figure]:
    env = _env(FEW)
    env.reset(np.arange(FEW))
    model = env.physics.model
    plain = mujoco.MjModel.from_xml_string("<mujoco/>").vis.quality  # MuJoCo's own settings
    kept = model.vis.quality.shadowsize, model.vis.quality.offsamples
    rows, data = np.arange(FEW), mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    env.render("front", rows)
    model.vis.quality.shadowsize, model.vis.quality.offsamples = plain.shadowsize, plain.offsamples
    usual = mujoco.Renderer(model, 96, 96)
    model.vis.quality.shadowsize, model.vis.quality.offsamples = kept

    def default() -> None:
        usual.update_scene(data, "front")
        usual.render()

    found = in_turns({"ours": (lambda: env.render("front", rows), FEW), "default": (default, 1)}, seconds)
    usual.close()
    env.close()
    return [
        dataclasses.replace(found["ours"], name="rendering 96x96"),
        dataclasses.replace(found["default"], name="rendering 96x96 with MuJoCo's default settings"),
        Figure("rendering: ours / default", found["ours"].value / found["default"].value),
    ]


def _closed_loop(cfg: DictConfig) -> list[Figure]:
    steps, rows = 48, 32
    env = _env(rows, images=True, max_steps=steps, threads=cfg.threads)
    spec = dataclasses.replace(
        env.spec, observations=tuple(env.spec.feature(name) for name in WANTED), n_obs_steps=1, horizon=16, n_action_steps=8
    )
    sizes = {"observation.state": 8, "action": spec.action.dim}
    normalizer = Normalizer(spec, {name: (-np.ones(n), np.ones(n)) for name, n in sizes.items()})
    torch.manual_seed(cfg.seed)
    policy = build(OmegaConf.load(CONFIGS / "policy" / "bc.yaml"), spec, normalizer).eval()  # type: ignore[arg-type]
    spent = {"physics": 0.0, "rendering": 0.0, "inference": 0.0}

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return run

    env.physics.step = timed("physics", env.physics.step)  # type: ignore[method-assign]
    env.physics.render = timed("rendering", env.physics.render)  # type: ignore[method-assign]
    policy.sample = timed("inference", policy.sample)
    list(rollout(env, policy, np.arange(rows)))
    spent.update(dict.fromkeys(spent, 0.0))
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() - start < cfg.seconds or rounds < 3:
        list(rollout(env, policy, np.arange(rows)))
        rounds += 1
    whole = time.perf_counter() - start
    env.close()
    size = sum(p.numel() for p in policy.parameters())
    figures = [Figure(f"closed loop from images, {size / 1e6:.1f} M parameters", rows * steps * rounds / whole, "policy steps/s", rounds)]
    figures += [Figure(f"share of {name}", seconds / whole) for name, seconds in spent.items()]
    return [*figures, Figure("share of the rest", 1 - sum(spent.values()) / whole)]


def _env(num_envs: int, **options: Any) -> ArmVecEnv:
    task = {"_target_": "sim.tasks.pick_place.PickPlace"}
    env: ArmVecEnv = build({"_target_": "sim.env.ArmVecEnv", "task": task, **options}, num_envs=num_envs)
    return env
