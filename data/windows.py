"""(observation, action) windows over whole episodes, gathered a batch at a time with no per-sample Python.

n_obs_steps = 2, horizon = 4, an episode of frames 0..4; a window is anchored at the newest observed frame t:

    t = 0    obs 0 0     action 0 1 2 3         the first frame is repeated before the episode
    t = 2    obs 1 2     action 2 3 4 4*        * = padding: the last action is repeated, action_is_pad says where
    t = 4    obs 3 4     action 4 4*4*4*

Windows never cross from one episode into the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.errors import DatasetError


class Windows:
    """Windows over columns that hold N frames of E episodes.

    columns      name -> (N, ...); every key but "action" is an observation
    episode_ends (E,) cumulative frame counts, the last one is N
    episodes     the episodes to draw from, None for all
    """

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        episode_ends: np.ndarray,
        n_obs_steps: int,
        horizon: int,
        episodes: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        ends = np.asarray(episode_ends, np.int64)
        starts = np.concatenate([[0], ends[:-1]])
        if len(ends) == 0 or (ends <= starts).any():
            raise DatasetError(f"every episode needs at least one frame; episode ends found: {ends.tolist()[:10]}")
        for name, values in columns.items():
            if len(values) != ends[-1]:
                raise DatasetError(f"column {name!r} has {len(values)} frames, the episodes have {ends[-1]}")
        chosen = np.arange(len(ends)) if episodes is None else np.asarray(episodes, np.int64)
        if len(chosen) == 0:
            raise DatasetError("no episode is left to draw windows from")
        self.columns = dict(columns)
        self.n_obs_steps, self.horizon = n_obs_steps, horizon
        self.anchors = np.concatenate([np.arange(starts[e], ends[e]) for e in chosen])  # (W,)
        lengths = ends[chosen] - starts[chosen]
        self._first = np.repeat(starts[chosen], lengths)  # (W,) first frame of the anchor's episode
        self._last = np.repeat(ends[chosen] - 1, lengths)  # (W,) last frame

    def __len__(self) -> int:
        return len(self.anchors)

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """rows (B,) in [0, len(self)) -> observations (B, n_obs_steps, ...), action (B, horizon, A), action_is_pad (B, horizon)."""
        t = self.anchors[rows][:, None]
        past = np.maximum(t + np.arange(1 - self.n_obs_steps, 1), self._first[rows][:, None])  # (B, n_obs_steps)
        future = t + np.arange(self.horizon)  # (B, horizon)
        inside = np.minimum(future, self._last[rows][:, None])
        out = {name: values[past] for name, values in self.columns.items() if name != "action"}
        out["action"] = self.columns["action"][inside]
        out["action_is_pad"] = future != inside
        return out
