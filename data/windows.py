"""(observation, action) windows over whole episodes, gathered a batch at a time with no per-sample Python.

n_obs_steps = 2, horizon = 4, an episode of frames 0..4; a window is anchored at the newest observed frame t:

    t = 0    obs 0 0     action 0 1 2 3         the first frame is repeated before the episode
    t = 2    obs 1 2     action 2 3 4 4*        * = padding: the last action is repeated, action_is_pad says where
    t = 4    obs 3 4     action 4 4*4*4*

Windows never cross from one episode into the next. Memory does not grow with the number of frames: columns may be
memory-mapped, and only the ends of episodes are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.errors import DatasetError
from data.goals import Hindsight


def stored_name(key: str) -> str:
    """`next.observation.state`, `goal.observation.state` -> `observation.state`: the column whose values an array of a batch holds."""
    for prefix in ("next.observation.", "goal.observation."):
        if key.startswith(prefix):
            return key[key.index("observation.") :]
    return key


class Anchors:
    """The frames that may be drawn: the first `counts[e]` frames of each chosen episode, numbered through.

    starts, ends (E,)   first frame of each chosen episode, and the one after its last; counts   (E,), each 0..ends - starts
    """

    def __init__(self, starts: np.ndarray, ends: np.ndarray, counts: np.ndarray) -> None:
        self.starts, self.ends = starts, ends
        self._until = np.cumsum(counts)
        self._before = self._until - counts

    def __len__(self) -> int:
        return int(self._until[-1])

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """rows (B,) -> frame, first frame of its episode, last frame of its episode, (B,) each."""
        e = np.searchsorted(self._until, rows, side="right")
        return self.starts[e] + rows - self._before[e], self.starts[e], self.ends[e] - 1

    def frames(self) -> np.ndarray:
        """Every frame that may be drawn, in the order of the rows, (len(self),) int64."""
        return self.locate(np.arange(len(self)))[0]


def check_columns(columns: Mapping[str, np.ndarray], episode_ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(starts, ends) of the episodes, (E,) int64 each. Raises DatasetError if an episode is empty or a column has another length."""
    ends = np.asarray(episode_ends, np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    if len(ends) == 0 or (ends <= starts).any():
        raise DatasetError(f"every episode needs at least one frame; episode ends found: {ends.tolist()[:10]}")
    for name, values in columns.items():
        if len(values) != ends[-1]:
            raise DatasetError(f"column {name!r} has {len(values)} frames, the episodes have {ends[-1]}")
    return starts, ends


class Windows:
    """Windows over columns that hold N frames of E episodes.

    columns      name -> (N, ...); every key but "action" is an observation
    episode_ends (E,) cumulative frame counts, the last one is N
    episodes     the episodes to draw from, None for all
    goals        adds what the episode reached later as `goal.<name>`, None for no goals
    """

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        episode_ends: np.ndarray,
        n_obs_steps: int,
        horizon: int,
        episodes: Sequence[int] | np.ndarray | None = None,
        goals: Hindsight | None = None,
    ) -> None:
        starts, ends = check_columns(columns, episode_ends)
        chosen = np.arange(len(ends)) if episodes is None else np.asarray(episodes, np.int64)
        if len(chosen) == 0:
            raise DatasetError("no episode is left to draw windows from")
        self.columns = dict(columns)
        self.n_obs_steps, self.horizon, self.goals = n_obs_steps, horizon, goals
        self.anchors = Anchors(starts[chosen], ends[chosen], (ends - starts)[chosen])

    def __len__(self) -> int:
        return len(self.anchors)

    def batch(self, rows: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """rows (B,) in [0, len(self)) -> observations (B, n_obs_steps, ...), action (B, horizon, A), action_is_pad (B, horizon).

        With goals also goal.<name> (B, ...), a function of (row, seed).
        """
        t, first, last = self.anchors.locate(rows)
        past = observed(t, first, self.n_obs_steps)
        future = t[:, None] + np.arange(self.horizon)  # (B, horizon)
        inside = np.minimum(future, last[:, None])
        out = {name: values[past] for name, values in self.columns.items() if name != "action"}
        out["action"] = self.columns["action"][inside]
        out["action_is_pad"] = future != inside
        if self.goals is not None:
            reached = self.goals.frames(rows, t, last, self.anchors, seed)
            out |= {f"goal.{name}": values[reached] for name, values in self.columns.items() if name in self.goals.names}
        return out


def observed(t: np.ndarray, first: np.ndarray, n_obs_steps: int) -> np.ndarray:
    """t, first (B,) -> the frames that are seen at t, oldest first, (B, n_obs_steps)."""
    return np.maximum(t[:, None] + np.arange(1 - n_obs_steps, 1), first[:, None])
