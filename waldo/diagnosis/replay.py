"""The recorded actions done again in an environment: what came of them there, beside what was recorded.

Where the recording is of the same robot at the same rate, the two paths are the same but for how the episodes began. A path that
fits better when it is shifted, mirrored or stretched says how the recording and the environment differ, without trusting a label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.spec import ActionSpec, Feature
from sim.base import VecEnv

BEGIN = 5  # frames: the arm starts a little elsewhere than the recorded one did, and has come near to the recorded path after these
FEWEST = 10  # frames that are compared, or the episode says nothing
NEVER = 1e-6


@dataclass(frozen=True)
class Partner:
    """The observed element that an element of the action commands."""

    element: int  # of the action
    name: str  # of both
    unit: str
    feature: str
    index: int


@dataclass(frozen=True)
class Replay:
    """What was recorded and what came of the same actions, per episode, one row per recorded frame.

    wanted, got   (T, P) of the P partners; limited   (T,) bool: the environment did not do all that was asked
    """

    partners: tuple[Partner, ...]
    wanted: tuple[np.ndarray, ...]
    got: tuple[np.ndarray, ...]
    limited: tuple[np.ndarray, ...]

    def pace(self) -> np.ndarray:
        """(P,) what a recorded value moves in a frame (root mean square); of what stands still, what its like of the same unit move."""
        steps = np.concatenate(
            [np.diff(path[BEGIN:], axis=0) for path in self.wanted if len(path) > BEGIN + 1] or [np.zeros((1, len(self.partners)))]
        )
        own = np.sqrt((steps**2).mean(0))
        units = [p.unit for p in self.partners]
        like = np.array([max((own[j] for j in range(len(units)) if units[j] == unit), default=0.0) for unit in units])
        return np.maximum(np.where(own < 0.1 * like, like, own), NEVER)

    def apart(self, lag: int = 0) -> np.ndarray:
        """(E, P): how far the two are apart (root mean square), in frames' worth of motion. lag: frames by which the replayed answer comes
        later than the recorded one.
        """
        pace = self.pace()
        rows = []
        for wanted, got in zip(self.wanted, self.got, strict=True):
            # got[t + lag] belongs to wanted[t]
            low, high = BEGIN + max(0, -lag), min(len(wanted), len(got) - lag)
            gap = (got[low + lag : high + lag] - wanted[low:high]) / pace
            rows.append(np.sqrt((gap**2).mean(0)) if high - low >= FEWEST else np.full(len(pace), np.nan))
        return np.array(rows)

    def errors(self, lag: int = 0) -> np.ndarray:
        """(E,): the same over all elements; NaN for an episode that is too short."""
        return np.sqrt((self.apart(lag) ** 2).mean(1))


def partners_of(action: ActionSpec, features: Sequence[Feature]) -> tuple[Partner, ...]:
    """By name; where no name says it, element for element with a state of the same width. Orientations are left out, and so are actions that
    are changes, velocities or torques: what comes of them depends on where they begin.
    """
    if not action.absolute or action.kind in ("velocity", "torque"):
        return ()
    turning = {first + k for first in action.quaternions for k in range(4)}
    elements = [i for i in range(action.dim) if i not in turning]
    vectors = [f for f in features if not f.is_image]
    found = []
    for i in elements:
        name = action.names[i]
        home = next((f for f in vectors if name in f.names), None)
        if home is not None:
            found.append(Partner(i, name, action.units[i], home.name, home.names.index(name)))
    state = next((f for f in vectors if f.name == "observation.state" and f.shape == (action.dim,)), None)
    if not found and state is not None:
        found = [Partner(i, action.names[i], action.units[i], state.name, i) for i in elements]
    return tuple(found)


Change = Callable[[np.ndarray], np.ndarray]


def run(
    env: VecEnv,
    seeds: np.ndarray,
    actions: Sequence[np.ndarray],
    recorded: Sequence[np.ndarray],
    partners: tuple[Partner, ...],
    ratio: float = 1.0,
    held: bool = False,
    change: Change | None = None,
) -> Replay:
    """Do recorded actions (T, A) from each seed's start; recorded: (T, P) of the partners.

    ratio   recorded frames per control step: 0.5 plays the recording at half its speed
    held    actions are held between frames instead of being joined by a line
    change  what is done to every action before
    """
    wanted, got, limited = [], [], []
    for start in range(0, len(seeds), env.num_envs):
        part = slice(start, start + env.num_envs)
        played = [_stretched(a if change is None else change(a), ratio, held) for a in actions[part]]
        paths, curbed = _play(env, seeds[part], played, partners)
        for path, stopped, true in zip(paths, curbed, recorded[part], strict=True):
            frames = np.arange(len(path)) * ratio
            t = np.arange(int(np.floor(frames[-1])) + 1) if len(frames) else np.arange(0)
            got.append(np.stack([np.interp(t, frames, column) for column in path.T], 1) if len(t) else path)
            wanted.append(true[: len(t)].astype(float))
            limited.append(stopped)
    return Replay(partners, tuple(wanted), tuple(g[: len(w)] for g, w in zip(got, wanted, strict=True)), tuple(limited))


def mirrored(replay: Replay, element: int) -> Change:
    """The change that turns an element of the action round, within what was recorded of the value that it commands."""
    j = next(k for k, p in enumerate(replay.partners) if p.element == element)
    values = np.concatenate([w[:, j] for w in replay.wanted])

    def change(action: np.ndarray) -> np.ndarray:
        turned = action.copy()
        low = min(float(values.min()), float(action[:, element].min()))
        high = max(float(values.max()), float(action[:, element].max()))
        turned[:, element] = low + high - action[:, element]
        return turned

    return change


def without(replay: Replay, element: int) -> Replay:
    """The same, of all other elements."""
    keep = [j for j, p in enumerate(replay.partners) if p.element != element]
    return replace(
        replay,
        partners=tuple(replay.partners[j] for j in keep),
        wanted=tuple(w[:, keep] for w in replay.wanted),
        got=tuple(g[:, keep] for g in replay.got),
    )


def _stretched(action: np.ndarray, ratio: float, held: bool) -> np.ndarray:
    """(T, A) -> (ceil(T / ratio), A). An action is where a frame ends, so that of control step j ends at frame (j + 1) ratio."""
    if ratio == 1.0:
        return action
    steps = int(np.ceil(len(action) / ratio))
    at = (np.arange(1, steps + 1) * ratio - 1).clip(0, len(action) - 1)
    if held:
        return action[np.floor(np.arange(steps) * ratio).astype(int).clip(0, len(action) - 1)]
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(action) - 1), (at - low)[:, None]
    return ((1 - share) * action[low] + share * action[high]).astype(action.dtype)


def _play(
    env: VecEnv, seeds: np.ndarray, actions: Sequence[np.ndarray], partners: tuple[Partner, ...]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Per episode (T, P) as it was before each action, and (T,) whether the environment fell short; shorter where the episode ended."""
    n = env.num_envs
    obs = env.reset(np.asarray(seeds))
    lengths = np.array([min(len(a), env.max_steps) for a in actions])
    active = np.arange(n) < len(actions)
    paths: list[list[np.ndarray]] = [[] for _ in actions]
    curbed: list[list[bool]] = [[] for _ in actions]
    order = np.zeros((n, actions[0].shape[1]), np.float32)
    env.drawing = False
    for t in range(int(lengths.max())):
        active[: len(actions)] &= t < lengths
        rows = np.flatnonzero(active)
        if not len(rows):
            break
        for i in rows.tolist():
            paths[i].append(np.array([obs[p.feature][i, p.index] for p in partners], float))
            order[i] = actions[i][t]
        obs, _, terminated, truncated, info = env.step(order, active)
        short = info.get("limited")
        for i in rows.tolist():
            curbed[i].append(bool(short[i]) if short is not None else False)
        active &= ~(terminated | truncated)
    return [np.array(path) for path in paths], [np.array(c, bool) for c in curbed]
