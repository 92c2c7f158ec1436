"""How far the start of an episode lies from the starts that a policy learned from.

    known = Novelty(starts)                  (n, D) first observations of the demonstrations
    known.distance(others)                   (m,) to the nearest of them, in standard deviations of the demonstrations

Each element is counted in its standard deviation over the demonstrations; the distance is Euclidean, to the nearest of them. It
grows with the number of elements and shrinks with the number of demonstrations: `Novelty.usual`, how far the demonstrations lie
from each other, is what it is to be compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from data.errors import DatasetError
from data.evaluation import Evaluation

ROBOT = ("observation.state", "observation.joints")  # the arm's own start, which is noise; used only where there is nothing else
OBSERVATION, IMAGES = "observation.", "observation.images."
STILL = 1e-3  # share of its size, or of 1, below which an element's spread counts as none; its changes are then counted in this


class Novelty:
    """Distances to the nearest of n known starts (n, D)."""

    def __init__(self, starts: np.ndarray) -> None:
        """Raises DatasetError for fewer than two, or values that are not finite."""
        from scipy.spatial import cKDTree

        starts = np.asarray(starts, float)
        if starts.ndim != 2 or len(starts) < 2 or not np.isfinite(starts).all():
            raise DatasetError(f"starts of shape {starts.shape}: at least two demonstrations with finite first observations are wanted")
        self._middle = starts.mean(0)
        self._scale = np.maximum(starts.std(0), STILL * np.maximum(1.0, np.abs(self._middle)))
        self._tree = cKDTree(self._scaled(starts))
        self.usual: np.ndarray = self._tree.query(self._scaled(starts), k=2)[0][:, 1]  # (n,) from each to the nearest of the others

    def distance(self, starts: np.ndarray) -> np.ndarray:
        """(m, D) -> (m,) [standard deviations]."""
        return np.asarray(self._tree.query(self._scaled(np.asarray(starts, float)))[0])

    def _scaled(self, starts: np.ndarray) -> np.ndarray:
        return np.asarray((starts - self._middle) / self._scale)


def shared_vectors(recorded: Iterable[str], traced: Iterable[str]) -> list[str]:
    """The observation vectors that both have and that say how the world begins: without the robot's own, unless there is nothing else.

    Raises DatasetError if there is none.
    """
    there = set(traced)
    both = sorted(name for name in recorded if name in there and name.startswith(OBSERVATION) and not name.startswith(IMAGES))
    if not both:
        raise DatasetError(
            f"the demonstrations and the episodes share no observation vector; the episodes have {', '.join(sorted(there)) or 'none'}"
        )
    return [name for name in both if name not in ROBOT] or both


def starts_of(evaluation: Evaluation, names: Sequence[str]) -> np.ndarray:
    """(n, D): the first row of every episode's trace. Raises DatasetError where a trace or an observation is missing."""
    found = []
    for seed in evaluation.seeds:
        trace = evaluation.trace(int(seed))
        missing = [name for name in names if trace is None or name not in trace or not len(trace[name])]
        if trace is None or missing:
            raise DatasetError(f"{evaluation.folder} keeps no trace of {missing[0]} for seed {seed}; evaluate again with traces=true")
        found.append(np.concatenate([np.asarray(trace[name][0], float).ravel() for name in names]))
    return np.stack(found)
