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
from data.windows import Anchors, check_columns, observed


class Transitions:
    """columns also hold `next.reward` (N,) and `next.terminated` (N,); see Windows for the rest."""

    def __init__(
        self, columns: Mapping[str, np.ndarray], episode_ends: np.ndarray, n_obs_steps: int, n_action_steps: int, gamma: float
    ) -> None:
        for name in ("next.reward", "next.terminated"):
            if name not in columns:
                raise DatasetError(f"offline RL needs the column {name!r}; found: {', '.join(sorted(columns))}")
        starts, ends = check_columns(columns, episode_ends)
        self.n, self.n_obs_steps, self.gamma = n_action_steps, n_obs_steps, gamma
        self.columns = {k: v for k, v in columns.items() if k == "action" or k.startswith("observation.")}
        self._reward, terminated = columns["next.reward"], columns["next.terminated"]
        ends_for_good = np.asarray(terminated[ends - 1]).astype(bool).reshape(-1)
        counts = np.where(ends_for_good, ends - starts, np.maximum(ends - starts - n_action_steps, 0))
        self.anchors = Anchors(starts, ends, counts)
        if len(self.anchors) == 0:
            raise DatasetError(f"no episode is longer than a chunk of {n_action_steps} steps and none is terminated")

    def __len__(self) -> int:
        return len(self.anchors)

    def batch(self, rows: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """rows (B,) -> observations, `next.`-prefixed observations, action (B, n, A), reward (B,), discount (B,)."""
        t, first, last = self.anchors.locate(rows)
        ahead = t[:, None] + np.arange(self.n)  # (B, n)
        steps = np.minimum(ahead, last[:, None])
        inside = ahead == steps
        after = np.minimum(t + self.n, last)
        past, then = observed(t, first, self.n_obs_steps), observed(after, first, self.n_obs_steps)
        seen = {name: values for name, values in self.columns.items() if name != "action"}
        out = {name: values[past] for name, values in seen.items()}
        out["action"] = self.columns["action"][steps]
        powers = self.gamma ** np.arange(self.n, dtype=np.float32)
        reward = np.asarray(self._reward[steps], np.float32).reshape(steps.shape)
        out["reward"] = (reward * inside * powers).sum(1).astype(np.float32)
        over = t + self.n > last  # the chunk reaches the end of the episode, which is then a terminated one
        out["discount"] = np.where(over, 0.0, self.gamma**self.n).astype(np.float32)
        return out | {"next." + name: values[then] for name, values in seen.items()}
