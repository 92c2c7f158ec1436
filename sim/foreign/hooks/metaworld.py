"""Meta-World's 50 tasks: `env.id=Meta-World/drawer-open-v3`. Needs metaworld 3.x (mujoco 3.3.0) in the interpreter that runs it.

The seed of an episode draws the goal and the objects' places from the task's own ranges, anew every time: not one of the 50 fixed goals of the
MT1 benchmark. The goal is part of the observation, and an episode ends with its first success.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

INSTRUCTIONS = {
    "assembly": "put the ring onto the peg",
    "basketball": "put the ball into the basket",
    "bin-picking": "move the block from one bin to the other",
    "box-close": "put the lid onto the box",
    "button-press-topdown": "press the button from above",
    "button-press-topdown-wall": "press the button from above, over the wall",
    "button-press": "press the button",
    "button-press-wall": "press the button behind the wall",
    "coffee-button": "press the button of the coffee machine",
    "coffee-pull": "pull the mug away from the coffee machine",
    "coffee-push": "push the mug under the coffee machine",
    "dial-turn": "turn the dial",
    "disassemble": "take the ring off the peg",
    "door-close": "close the door",
    "door-lock": "lock the door",
    "door-open": "open the door",
    "door-unlock": "unlock the door",
    "hand-insert": "put the hand into the hole",
    "drawer-close": "close the drawer",
    "drawer-open": "open the drawer",
    "faucet-open": "open the faucet",
    "faucet-close": "close the faucet",
    "hammer": "hammer the nail into the wall",
    "handle-press-side": "press the handle down from the side",
    "handle-press": "press the handle down",
    "handle-pull-side": "pull the handle up from the side",
    "handle-pull": "pull the handle up",
    "lever-pull": "pull the lever up",
    "peg-insert-side": "put the peg into the hole in the side",
    "pick-place-wall": "carry the puck over the wall to the goal",
    "pick-out-of-hole": "take the puck out of the hole",
    "reach": "reach the goal",
    "push-back": "push the puck back to the goal",
    "push": "push the puck to the goal",
    "pick-place": "carry the puck to the goal",
    "plate-slide": "slide the plate into the cabinet",
    "plate-slide-side": "slide the plate sideways into the cabinet",
    "plate-slide-back": "slide the plate out of the cabinet",
    "plate-slide-back-side": "slide the plate sideways out of the cabinet",
    "peg-unplug-side": "pull the peg out of the hole in the side",
    "soccer": "kick the ball into the goal",
    "stick-push": "push the box with the stick",
    "stick-pull": "pull the box with the stick",
    "push-wall": "push the puck round the wall to the goal",
    "reach-wall": "reach the goal behind the wall",
    "shelf-place": "put the puck onto the shelf",
    "sweep-into": "sweep the puck into the hole",
    "sweep": "sweep the puck off the table",
    "window-open": "open the window",
    "window-close": "close the window",
}


class SeededGoals(gymnasium.Wrapper):
    """Meta-World's own reset ignores its seed; this one draws everything that is random from it. The 39 numbers come in named parts."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None:
            inner: Any = self.unwrapped
            inner.seed(int(seed))
        obs, info = self.env.reset()
        return _parts(obs), info

    def step(self, action: Any) -> Any:
        obs, *rest = self.env.step(action)
        return (_parts(obs), *rest)


def ids() -> list[str]:
    return [f"Meta-World/{name}-v3" for name in INSTRUCTIONS]


def make(id: str, kwargs: dict[str, Any]) -> Any:
    metaworld = importlib.import_module("metaworld")
    env: Any = metaworld.ALL_V3_ENVIRONMENTS[_task(id)](render_mode="rgb_array", **kwargs)
    env._set_task_called, env._freeze_rand_vec, env.seeded_rand_vec = True, False, True
    env._partially_observable = False
    del env.sawyer_observation_space  # cached before the goal became visible
    env.observation_space = env.sawyer_observation_space
    return SeededGoals(metaworld.AutoTerminateOnSuccessWrapper(env))


def describe(env: Any) -> dict[str, Any]:
    task = _name(env)
    return {"task": task, "instruction": INSTRUCTIONS[task[: -len("-v3")]]}


def render(env: Any, camera: str, height: int, width: int) -> Any:
    """Cameras: topview, corner, corner2, corner3, corner4, behindGripper, gripperPOV. The corners hang upside down: their pictures are turned."""
    camera = camera or "corner4"
    image = _part("offscreen").draw(env.unwrapped.model, env.unwrapped.data, camera, height, width)
    return image[::-1, ::-1] if camera.startswith("corner") else image


def expert(env: Any, rng: Any) -> Callable[[Any], Any]:
    """Meta-World's own scripted policy of the task; its actions are clipped to the action space."""
    policy = importlib.import_module("metaworld.policies").ENV_POLICY_MAP[_name(env)]()
    low, high = env.action_space.low, env.action_space.high
    return lambda obs: np.clip(policy.get_action(obs["observation"]), low, high).astype(np.float32)


def _parts(obs: Any) -> dict[str, Any]:
    """robot: hand and gripper; objects: up to two of position and quaternion, zero where there are fewer; previous: both, a step ago."""
    return {"observation": obs, "robot": obs[:4], "objects": obs[4:18], "previous": obs[18:36], "goal": obs[36:]}


def _task(id: str) -> str:
    return id.split("/")[-1]


def _name(env: Any) -> str:
    metaworld = importlib.import_module("metaworld")
    kind = type(env.unwrapped)
    return next(name for name, other in metaworld.ALL_V3_ENVIRONMENTS.items() if other is kind)


@functools.lru_cache(maxsize=2)
def _part(name: str) -> Any:
    """A file in parts/, by its path: in another interpreter it is on no search path."""
    loader = importlib.machinery.SourceFileLoader(name, str(Path(__file__).parent / "parts" / f"{name}.py"))
    module = types.ModuleType(loader.name)
    loader.exec_module(module)
    return module
