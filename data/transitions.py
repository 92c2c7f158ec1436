"""Chunked n-step transitions for offline RL, gathered a batch at a time.

With n = n_action_steps, r[t] the reward of action t, and gamma per step:

    obs[t] --a[t..t+n-1]--> reward = sum_i gamma^i r[t+i]   next = obs[t+n]   discount = gamma^n

    ... t-1  t  t+1 ... t+n-1  t+n ...   inside an episode: bootstrap from t+n
    ... t-1  t  t+1 [terminated]         discount = 0, the chunk is padded with its last action
    ... t-1  t  t+1 [truncated]          not drawn: what would have followed was never seen

(Q-chunking, Li et al. 2025, eq. 5: the n-step return of an executed chunk needs no off-policy correction.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data.errors import DatasetError
from data.windows import Windows


class Transitions:
    """columns also hold `next.reward` (N,) and `next.terminated` (N,); see Windows for the rest."""

    def __init__(
        self, columns: Mapping[str, np.ndarray], episode_ends: np.ndarray, n_obs_steps: int, n_action_steps: int, gamma: float
    ) -> None:
        for name in ("next.reward", "next.terminated"):
            if name not in columns:
                raise DatasetError(f"offline RL needs the column {name!r}; found: {', '.join(sorted(columns))}")
        self.n, self.gamma = n_action_steps, gamma
        self.reward = np.asarray(columns["next.reward"], np.float32)
        self.terminated = np.asarray(columns["next.terminated"], bool)
        inputs = {k: v for k, v in columns.items() if k == "action" or k.startswith("observation.")}
        self.windows = Windows(inputs, episode_ends, n_obs_steps, n_action_steps)
        w = self.windows
        whole = w.anchors + n_action_steps <= w._last
        ends_for_good = self.terminated[w._last]
        self.rows = np.flatnonzero(whole | ends_for_good)
        if len(self.rows) == 0:
            raise DatasetError(f"no episode is longer than a chunk of {n_action_steps} steps and none is terminated")

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """rows (B,) -> observations, `next.`-prefixed observations, action (B, n, A), reward (B,), discount (B,)."""
        picked = self.rows[rows]
        w = self.windows
        out = w.batch(picked)
        inside = ~out.pop("action_is_pad")  # (B, n)
        t, last = w.anchors[picked], w._last[picked]
        steps = np.minimum(t[:, None] + np.arange(self.n), last[:, None])
        powers = self.gamma ** np.arange(self.n, dtype=np.float32)
        out["reward"] = (self.reward[steps] * inside * powers).sum(1).astype(np.float32)
        over = t + self.n > last  # the chunk reaches the end of the episode, which is then a terminated one
        out["discount"] = np.where(over, 0.0, self.gamma**self.n).astype(np.float32)
        after = np.minimum(t + self.n, last)
        past = np.maximum(after[:, None] + np.arange(1 - w.n_obs_steps, 1), w._first[picked][:, None])
        for name, values in w.columns.items():
            if name != "action":
                out["next." + name] = values[past]
        return out
