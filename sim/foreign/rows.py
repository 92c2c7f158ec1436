"""The environments of one process, stepped one after the other into arrays that may be shared memory.

Also read by its path in other interpreters: the standard library, numpy and gymnasium only, Python 3.8 or later. What cannot be
used at all raises Refused; an environment that raises in the middle only breaks its own row, until that row's next reset.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from sim.foreign.maker import Maker, Refused, told

FILM = (240, 320)  # height and width of a hook's picture where nobody asked for another [px]
IDLE = -1  # the clock's row while no environment is at work


class NoPicture(Refused):
    """Not even the first picture can be had."""


def pick(tree: Any, key: str) -> Any:
    """The part of nested mappings and sequences at a dotted path. Raises KeyError naming what there is instead."""
    if not key:
        return tree
    if isinstance(tree, dict) and key in tree:
        return tree[key]
    head, _, rest = key.partition(".")
    if isinstance(tree, dict):
        if head not in tree:
            raise KeyError(f"there is no {head!r}; there is: {', '.join(map(str, tree)) or '(nothing)'}")
        return pick(tree[head], rest)
    if isinstance(tree, (tuple, list)) and head.isdigit() and int(head) < len(tree):
        return pick(tree[int(head)], rest)
    raise KeyError(f"there is no {head!r} in {type(tree).__name__}")


def _vector(raw: Any, key: str) -> ndarray:
    found = pick(raw, key)
    if type(found) is ndarray and found.ndim == 1 and found.dtype == np.float64:  # nearly always
        return found
    return np.asarray(found, np.float64).ravel()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """numpy's and Python's global generators start from the seed inside, for environments that draw from them in reset()."""
    kept, own = np.random.get_state(), random.getstate()  # noqa: NPY002  it is the old generator that such code uses
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(kept)  # noqa: NPY002
        random.setstate(own)


class Rows:
    """R environments made from a plan (see sim.foreign.plan); every method takes row numbers and writes into `arrays`.

    arrays   name -> (R, ...): action, reward, terminated, truncated, success, length, expert, one per observation; clock (2,): the row
             at work and since when
    """

    def __init__(self, plan: dict[str, Any], arrays: dict[str, ndarray], maker: Maker) -> None:
        self.plan, self.arrays = plan, arrays
        self.maker, self.hook = maker, maker.hook
        count = len(arrays["reward"])
        self.notes: list[str] = []  # for the user, said once
        self._envs: list[Any] = [maker.make() for _ in range(count)]
        self._last: list[Any] = [None] * count  # observations as the environments gave them
        self._experts: list[Any] = [None] * count
        self._lengths = [0] * count
        parts = [part for part in plan["parts"] if not part["render"]]
        vectors, images = [part for part in parts if not part["image"]], [part for part in parts if part["image"]]
        self._vectors = [(p["name"], arrays[p["name"]], p["keys"], slice(p["start"], p["stop"]), p) for p in vectors]
        self._images = [(p["name"], arrays[p["name"]], p["keys"][0]) for p in images]
        self._sizes: dict[str, int] = {}  # of whole vectors, as the environments gave them
        self._drawn = False  # a picture has worked once
        self._judge, self._enough, self._key = getattr(self.hook, "success", None), plan["success_reward"], plan["success_key"]
        self._key_seen = self._judge is not None or self._enough is not None or self._key in ("", "terminated")
        self._space: Any = None
        self._max_steps = plan["max_steps"]

    def inspect(self) -> dict[str, Any]:
        """What the first environment is like; it is reset once. Raises Refused if it is not what the plan says."""
        env = self._envs[0]
        space = env.action_space
        low, high = getattr(space, "low", None), getattr(space, "high", None)
        if low is None or high is None:
            raise Refused(f"its action space is {space}; only a Box of numbers can be commanded")
        try:
            raw = env.reset(seed=0)[0]
        except Exception as error:  # anybody's code
            raise Refused(f"its reset() raises {told(error)}") from error
        try:
            self._read(0, raw)
        except (KeyError, ValueError, TypeError) as error:
            raise Refused(f"the observation is not what the YAML says: {error.args[0] if error.args else error}") from error
        describe = getattr(self.hook, "describe", None)
        return {
            "low": [float(x) for x in np.ravel(low)],
            "high": [float(x) for x in np.ravel(high)],
            "expert": hasattr(self.hook, "expert"),
            "render": hasattr(self.hook, "render"),
            "about": describe(env) if describe else {},
        }

    def reset(self, rows: Iterable[int], seeds: Iterable[int], pictures: bool) -> dict[int, str]:
        """Start an episode per row. Returns row -> what went wrong; such a row's observation is zero."""
        errors: dict[int, str] = {}
        for row, seed in zip(map(int, rows), map(int, seeds)):
            self._lengths[row] = 0
            for name in ("reward", "terminated", "truncated", "success", "length", *(part["name"] for part in self.plan["parts"])):
                self.arrays[name][row] = 0
            with self._at_work(row, errors):
                if self._envs[row] is None:
                    self._envs[row] = self.maker.make()
                env = self._envs[row]
                with seeded(seed):
                    self._last[row] = env.reset(seed=seed)[0]
                if self.plan["expert"]:
                    self._experts[row] = self.hook.expert(env, np.random.default_rng([seed, 1]))
                self._read(row, self._last[row])
                if pictures:
                    self._draw(row)
        return errors

    def step(self, rows: Iterable[int], pictures: bool) -> dict[int, str]:
        errors: dict[int, str] = {}
        clock = self.arrays["clock"]
        for row in map(int, rows):  # what _at_work does, without the price of a context manager
            clock[1], clock[0] = time.monotonic(), row
            try:
                self._step(row, pictures)
            except NoPicture:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001  anybody's code
                self._break(row, error, errors)
        clock[0] = IDLE
        return errors

    def _step(self, row: int, pictures: bool) -> None:
        env, arrays = self._envs[row], self.arrays
        if self._space is None:
            self._space = env.action_space
        action = arrays["action"][row].astype(self._space.dtype).reshape(self._space.shape)
        raw, reward, terminated, truncated, info = env.step(action)
        self._last[row] = raw
        self._lengths[row] = length = self._lengths[row] + 1
        arrays["length"][row] = length
        if not math.isfinite(reward):
            raise ValueError(f"the reward is {reward}")
        terminated, truncated = bool(terminated), bool(truncated) or length >= self._max_steps
        arrays["reward"][row] = reward
        arrays["success"][row] = self._success(env, raw, reward, terminated, info)
        if terminated or truncated:
            arrays["terminated"][row], arrays["truncated"][row] = terminated, truncated
            if not self._key_seen:
                self._key_seen = True  # said once
                names = ", ".join(map(str, info)) or "(nothing)"
                self.notes.append(f"an episode ended without success_key {self._key!r} in info, which has: {names}")
        self._read(row, raw)
        if pictures:
            self._draw(row)

    def act(self, rows: Iterable[int]) -> dict[int, str]:
        """What the scripted experts would do now, into `expert`."""
        errors: dict[int, str] = {}
        for row in map(int, rows):
            with self._at_work(row, errors):
                action = np.asarray(self._experts[row](self._last[row]), np.float64).ravel()
                if len(action) != self.arrays["expert"].shape[1] or not np.isfinite(action).all():
                    raise ValueError(f"the expert answered {action}")
                self.arrays["expert"][row] = action
        return errors

    def render(self, rows: Iterable[int], camera: str, size: tuple[int, int] | None) -> tuple[ndarray, dict[int, str]]:
        """(len(rows), height, width, 3) uint8; black for a row that is broken. Raises NoPicture."""
        errors: dict[int, str] = {}
        frames: list[Any] = []
        for row in map(int, rows):
            frames.append(None)
            if self._envs[row] is not None:
                with self._at_work(row, errors):
                    frames[-1] = self._picture(row, camera, size)
        shape = next((frame.shape for frame in frames if frame is not None), (*(size or FILM), 3))
        return np.stack([np.zeros(shape, np.uint8) if frame is None else frame for frame in frames]), errors

    def close(self) -> None:
        for env in self._envs:
            with contextlib.suppress(Exception):  # it is going anyway
                if env is not None:
                    env.close()

    @contextlib.contextmanager
    def _at_work(self, row: int, errors: dict[int, str]) -> Iterator[None]:
        """Says who is at work and since when, and takes what it raises as the end of its episode."""
        clock = self.arrays["clock"]
        clock[1] = time.monotonic()  # before the row: a reader in between blames nobody for too long a time
        clock[0] = row
        try:
            yield
        except NoPicture:
            clock[0] = IDLE
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  anybody's code
            self._break(row, error, errors)
        clock[0] = IDLE

    def _break(self, row: int, error: BaseException, errors: dict[int, str]) -> None:
        """This row has no environment until its next reset."""
        errors[row] = f"after step {self._lengths[row]}: {told(error)}"
        with contextlib.suppress(Exception):  # it is broken already
            self._envs[row].close()
        self._envs[row] = None

    def _success(self, env: Any, raw: Any, reward: float, terminated: bool, info: dict[str, Any]) -> bool:
        if self._judge is not None:
            return bool(self._judge(env, raw, reward, info))
        if self._enough is not None:
            return bool(reward >= self._enough)
        if self._key == "terminated":
            return terminated
        try:
            value = pick(info, self._key) if self._key else False
        except KeyError:  # many environments say it only at the end
            return False
        self._key_seen = True
        return bool(value.any() if isinstance(value, ndarray) else value)

    def _read(self, row: int, raw: Any) -> None:
        """Raises KeyError or ValueError where the observation is not what the plan says."""
        for name, target, keys, wanted, part in self._vectors:
            vector = _vector(raw, keys[0]) if len(keys) == 1 else np.concatenate([_vector(raw, key) for key in keys])
            if self._sizes.get(name) != len(vector):
                self._measure(name, len(vector), part)
            values = vector[wanted]
            if not math.isfinite(values.dot(values)):
                raise ValueError(f"{name} is not finite: {values}")
            target[row] = values
        for name, target, key in self._images:
            image = np.asarray(pick(raw, key))
            if image.shape != target.shape[1:] or image.dtype != np.uint8:
                raise ValueError(f"{name} is {image.dtype} {image.shape}; the YAML says uint8 {target.shape[1:]}")
            target[row] = image

    def _measure(self, name: str, size: int, part: dict[str, Any]) -> None:
        """A vector of `size` numbers, for the first time, or suddenly."""
        if name in self._sizes:
            raise ValueError(f"{name} has {size} numbers now and had {self._sizes[name]}")
        start, stop = part["start"], part["stop"]
        if stop > size or (part["whole"] and stop != size):
            raise ValueError(f"{name}: the YAML names elements {start} to {stop - 1}, and there are {size}")
        self._sizes[name] = size

    def _draw(self, row: int) -> None:
        for part in self.plan["parts"]:
            if part["render"]:
                wanted = tuple(part["shape"])
                image = self._picture(row, part["camera"], wanted[:2])
                if image.shape != wanted:
                    raise NoPicture(f"{part['name']} is rendered as {image.shape}; the YAML says {wanted}")
                self.arrays[part["name"]][row] = image

    def _picture(self, row: int, camera: str, size: Any) -> ndarray:
        """Raises NoPicture until one picture has worked: then it is not this episode that is wrong."""
        env = self._envs[row]
        try:
            image = self.hook.render(env, camera, *(size or FILM)) if hasattr(self.hook, "render") else env.render()
            picture = np.ascontiguousarray(image)
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                kind = f"{picture.dtype} {picture.shape}" if picture.ndim else str(image)
                raise ValueError(f"the picture is {kind}; wanted is uint8 (height, width, 3): kwargs.render_mode=rgb_array?")
        except Exception as error:
            if self._drawn:
                raise
            raise NoPicture(f"no picture can be had of it: {told(error)}") from error
        self._drawn = True
        return picture
