"""Actions that were cut at a limit: many samples lie exactly on the largest or smallest value that there is."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording

# Of a motion that turns around by itself one sample lies on its extreme; of 5 % it was held there.
SHARE = 0.05
# A value that takes only so many levels is a switch, not a motion: an open-or-close gripper is at its extremes by design.
LEVELS = 10


def check(recording: Recording) -> list[Finding]:
    found = []
    for name in recording.actions:
        values = recording.column(name)
        shares: dict[int, tuple[float, float]] = {}  # element -> share, limit
        for i in sorted(set(range(values.shape[1])) - recording.in_quaternion(name) - set(recording.grippers(name))):
            column = values[:, i]
            for limit in (column.min(), column.max()):
                at = column == limit
                share = float(at.mean())
                # An axis that is parked for whole episodes is not cut: only episodes in which it moves count.
                if share > SHARE and _moving_share(recording, column, at) > SHARE and not _is_switch(column):
                    shares[i] = max(shares.get(i, (0.0, 0.0)), (share, float(limit)))
        if shares:
            worst = max(shares, key=lambda i: shares[i])
            share, limit = shares[worst]
            text = (
                f"{recording.say(name, tuple(shares))} is cut at its limit: [{worst}] is exactly {limit:.4g}{recording.unit(name, worst)} "
            )
            text += f"in {100 * share:.0f} % of all frames"
            why = "what the demonstrator wanted beyond the limit is lost; check that it is the robot's limit and not a wrong scale"
            found.append(Finding("clipped", "note", text, why, "nothing, if the limit is meant", name, tuple(shares)))
    return found


def _moving_share(recording: Recording, column: np.ndarray, at: np.ndarray) -> float:
    """The share of samples at the limit within the episodes in which the value leaves it."""
    counts = np.add.reduceat(at.astype(np.int64), recording.starts)
    moves = counts < recording.lengths
    frames = int(recording.lengths[moves].sum())
    return float(counts[moves].sum() / frames) if frames else 0.0


def _is_switch(column: np.ndarray) -> bool:
    return len(np.unique(column)) <= LEVELS
