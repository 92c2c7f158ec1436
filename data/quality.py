"""How good and how broad a recording is: TQ and SACo, returns, success, smoothness, path length, covered workspace.

TQ, trajectory quality, and SACo, state-action coverage, are of Schweighofer et al., "A Dataset Perspective on Offline
Reinforcement Learning" (arXiv 2111.04714):

    TQ   = (mean return - return of a minimal policy) / (return of the best online policy - return of a minimal policy)
    SACo = unique state-action pairs / unique state-action pairs of a reference, the replay buffer of an online training

Imitation wants a high TQ, off-policy RL a high SACo. Both need a reference from outside; without one they are measured against
the recording itself and marked as relative, which compares nothing but parts of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.errors import DatasetError
from data.store import Dataset

EDGES = 100  # per dimension, as in the authors' code
LENGTHS = ("m", "cm", "mm", "px")
_AXIS = re.compile(r"^(?:(.*)[_. \-])?([xyz])$", re.IGNORECASE)
_NO_PLACE = re.compile(r"vel|acc|force|torque|rot|quat|ang|euler|axis", re.IGNORECASE)


@dataclass(frozen=True)
class Measure:
    """A number, and whether it is only relative to the recording itself."""

    value: float
    relative: bool


@dataclass(frozen=True)
class Place:
    """Elements of a column that are a position in the plane or in space, in the order x, y, z.

    names   of the elements; unit   of all of them, "" where it is not said
    guessed   True where no name says so, and the two elements that move most were taken
    """

    feature: str
    elements: tuple[int, ...]
    names: tuple[str, ...]
    unit: str
    guessed: bool = False


def episode_starts(dataset: Dataset) -> np.ndarray:
    """(E,) int64: the first row of each episode."""
    return dataset.episode_ends - dataset.lengths


def returns(dataset: Dataset) -> np.ndarray | None:
    """(E,) sums of next.reward, not discounted, as in the paper's experiments; None where there is no reward."""
    if "next.reward" not in dataset.column_keys:
        return None
    reward = dataset.table(["next.reward"])["next.reward"].reshape(dataset.num_frames).astype(np.float64)
    return np.add.reduceat(reward, episode_starts(dataset))


def successes(dataset: Dataset) -> np.ndarray | None:
    """(E,) bool: whether next.success was ever true; None where nobody recorded it."""
    if "next.success" not in dataset.column_keys:
        return None
    success = dataset.table(["next.success"])["next.success"].reshape(dataset.num_frames) > 0.5
    return np.logical_or.reduceat(success, episode_starts(dataset))


def trajectory_quality(gained: np.ndarray, minimal: float | None = None, online: float | None = None) -> Measure:
    """TQ of episodes with these returns.

    gained    (E,) returns; minimal, online   those of a minimal (random) policy and of the best online policy. What is not
              given is the smallest and the largest return in the recording, and the result is relative
    Raises DatasetError if there is no return, or minimal and online are the same.
    """
    if not len(gained) or not np.isfinite(gained).all():
        raise DatasetError(f"TQ needs finite returns; found {len(gained)}, {int((~np.isfinite(gained)).sum())} of them not finite")
    low = float(gained.min()) if minimal is None else minimal
    high = float(gained.max()) if online is None else online
    if not high > low:
        raise DatasetError(
            f"TQ needs an online return above the minimal one; found {high:g} and {low:g}, give them as online= and minimal="
        )
    return Measure(float((gained.mean() - low) / (high - low)), minimal is None or online is None)


def unique_rows(vectors: np.ndarray, low: np.ndarray, high: np.ndarray, edges: int = EDGES) -> int:
    """How many different cells the rows lie in.

    vectors   (N, D); low, high   (D,) ends of the grid, which has `edges` equally spaced edges per dimension, 2 to 256: edges - 1
              cells, and as in the authors' code one more for the upper end itself. What lies outside is counted at its end.
    The authors estimate this number with HyperLogLog, to 1 %. Counting codes of one byte per element is exact, and takes less
    memory than the vectors. Raises DatasetError for another number of edges.
    """
    if not 2 <= edges <= 256:
        raise DatasetError(f"edges={edges} per dimension; allowed: 2 to 256")
    codes: np.ndarray = np.empty(vectors.shape, np.uint8)
    for i, column in enumerate(vectors.T):
        width = float(high[i] - low[i])
        if width <= 0:
            codes[:, i] = 0
            continue
        codes[:, i] = np.clip(np.floor((column.astype(np.float64) - low[i]) / width * (edges - 1)), 0, edges - 1)
    return len(np.unique(codes.view(np.dtype((np.void, codes.shape[1])))))


def state_action_pairs(dataset: Dataset, features: Sequence[str] = ()) -> np.ndarray:
    """(N, D) float32: states and actions side by side. features: columns; () takes all real observations and actions.

    Raises DatasetError for an unknown name, or if there is no action or no observation.
    """
    names = list(features) or [
        name
        for name in dataset.column_keys
        if (name.startswith(("observation.", "action.")) or name == "action") and np.dtype(dataset.features[name]["dtype"]).kind == "f"
    ]
    if not any(n.startswith("action") for n in names) or all(n.startswith("action") for n in names):
        raise DatasetError(f"SACo needs observations and actions that are numbers; {dataset.root} has {', '.join(names) or 'neither'}")
    table = dataset.table(names)
    return np.concatenate([table[name].reshape(dataset.num_frames, -1).astype(np.float32) for name in names], 1)


def coverage(pairs: np.ndarray, reference: np.ndarray | None = None, edges: int = EDGES) -> Measure:
    """SACo of state-action pairs (N, D) against those of a reference (M, D), in one grid over both.

    Without a reference: unique pairs by pairs, which is 1 where every frame is a new one. In many dimensions nearly every frame
    is, whatever the recording; choose the few that matter. Raises DatasetError if both have other dimensions.
    """
    if reference is not None and reference.shape[1] != pairs.shape[1]:
        raise DatasetError(f"SACo compares equal state-action vectors; found {pairs.shape[1]} and {reference.shape[1]} elements")
    whole = [pairs] if reference is None else [pairs, reference]
    low, high = np.min([p.min(0) for p in whole], 0), np.max([p.max(0) for p in whole], 0)
    unique = unique_rows(pairs, low, high, edges)
    return Measure(unique / (len(pairs) if reference is None else unique_rows(reference, low, high, edges)), reference is None)


def places(dataset: Dataset) -> tuple[Place, ...]:
    """Positions among the observations: neighbours called x, y (and z) of one thing; else the two elements that move most."""
    found = []
    for name in (n for n in dataset.column_keys if n.startswith("observation.")):
        labels, units = dataset.column_names.get(name, ()), dataset.column_units.get(name, ())
        things: dict[str, dict[str, int]] = {}
        for i, label in enumerate(labels):
            match = _AXIS.match(label)
            if match and not _NO_PLACE.search(match[1] or "") and (not units or units[i] in LENGTHS):
                things.setdefault(match[1] or "", {})[match[2].lower()] = i
        for axes in things.values():
            if {"x", "y"} <= set(axes):
                elements = tuple(axes[axis] for axis in "xyz" if axis in axes)
                found.append(Place(name, elements, tuple(labels[i] for i in elements), units[elements[0]] if units else ""))
    if found or "observation.state" not in dataset.column_keys:
        return tuple(found)
    name = "observation.state"
    values = dataset.table([name])[name].reshape(dataset.num_frames, -1)
    if values.shape[1] < 2:
        return ()
    elements = tuple(sorted(np.argsort(-np.ptp(values, 0), kind="stable")[:2].tolist()))
    labels, units = dataset.column_names.get(name, ()), dataset.column_units.get(name, ())
    named = tuple(labels[i] if labels else f"[{i}]" for i in elements)
    alike = bool(units) and len({units[i] for i in elements}) == 1
    return (Place(name, elements, named, units[elements[0]] if alike else "", True),)


def positions(dataset: Dataset, place: Place) -> np.ndarray:
    """(N, 2 or 3) float64 of a place."""
    return dataset.table([place.feature])[place.feature].reshape(dataset.num_frames, -1)[:, list(place.elements)].astype(np.float64)


def path_lengths(points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(E,) length of each episode's path, in the unit of the points. points: (N, D); ends: (E,) cumulative."""
    steps = np.sqrt((np.diff(points, axis=0) ** 2).sum(1))
    steps[ends[:-1] - 1] = 0.0  # from one episode to the next
    total = np.concatenate([[0.0], np.cumsum(steps)])
    return np.diff(total[ends - 1], prepend=0.0)


def occupied(points: np.ndarray, cells: int = 32) -> float:
    """The share of cells of a `cells` x `cells` grid over the bounding box of (N, 2) points that any point lies in."""
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], cells)
    return float((counts > 0).mean())


def smoothness(points: np.ndarray, ends: np.ndarray, fps: float) -> np.ndarray:
    """(E,) spectral arc length of each episode's speed; NaN for those of fewer than 4 frames, and those that stand still."""
    starts = np.concatenate([[0], ends[:-1]])
    values = np.full(len(ends), np.nan)
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if end - start >= 4:
            values[i] = spectral_arc_length(np.sqrt((np.diff(points[start:end], axis=0) ** 2).sum(1)) * fps, fps)
    return values


def spectral_arc_length(speed: np.ndarray, fps: float, cutoff: float = 10.0, threshold: float = 0.05, padding: int = 4) -> float:
    """SPARC (Balasubramanian et al. 2015, J. NeuroEng. Rehab. 12:112): minus the length of the speed's normalised spectrum up to
    the last frequency that matters. One smooth stroke has about -1.4; tremor and stops make it smaller. Independent of how far
    and how fast the motion is.

    speed       (T,) at `fps` [Hz]
    cutoff      frequencies above this are no voluntary motion [Hz]; at most half of fps
    threshold   of the largest amplitude; padding   powers of two by which the spectrum is refined; both as in the paper
    NaN where there is no motion.
    """
    count = 1 << (int(np.ceil(np.log2(max(2, len(speed))))) + padding)
    amplitude = np.abs(np.fft.rfft(speed, count))
    if not amplitude.max() > 0:
        return float("nan")
    frequency = np.arange(len(amplitude)) * fps / count
    kept = frequency <= cutoff
    frequency, amplitude = frequency[kept], amplitude[kept] / amplitude.max()
    above = np.flatnonzero(amplitude >= threshold)
    frequency, amplitude = frequency[above[0] : above[-1] + 1], amplitude[above[0] : above[-1] + 1]
    if len(frequency) < 2:
        return 0.0
    return -float(np.sqrt((np.diff(frequency) / (frequency[-1] - frequency[0])) ** 2 + np.diff(amplitude) ** 2).sum())
