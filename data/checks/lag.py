"""How many frames the observed state trails the action, and whether the action is the state itself."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording

# Arms that follow position targets trail by 50 to 200 ms: 1 to 6 frames at 30 Hz. Further away correlation is chance.
LAGS = range(-5, 16)
# Below this the action is no position target of what is observed (a change, a velocity, a force).
CORRELATED = 0.5
# One frame is what every control loop has, and is how actions are recorded.
USUAL = (1,)
FRAMES = 200_000  # of an evenly spread choice of episodes: a mean over these is exact enough
BEYOND = 0.02  # by which a lag has to correlate better than the usual one to be named: neighbours of a smooth motion are alike


def check(recording: Recording) -> list[Finding]:
    found = []
    rows = _sample(recording)
    for action in recording.actions:
        pairs = _pairs(recording, action)
        if not pairs:
            continue
        curves, same = [], []
        for i, (name, j) in pairs.items():
            a, s = recording.column(action)[:, i].astype(np.float64), recording.column(name)[:, j].astype(np.float64)
            if np.ptp(a) == 0 or np.ptp(s) == 0 or np.corrcoef(a, s)[0, 1] < CORRELATED:
                continue
            same.append(np.array_equal(a, s))
            curves.append(_curve(recording.steps(action, i), recording.steps(name, j), rows))
        if not curves:
            continue
        elements = tuple(pairs)
        if all(same):
            text = f"{action} is the observed state of the same frame, value for value"
            why = "a policy learns to copy its input, and then stands still"
            mend = "record what was commanded; or train on states alone, with the next state as the action"
            found.append(Finding("lag", "warning", text, why, mend, action, elements))
            continue
        curve = np.mean(curves, 0)
        best = LAGS[int(np.argmax(curve))]
        usual = max(curve[LAGS.index(k)] for k in USUAL)
        if best not in USUAL and curve.max() > usual + BEYOND:
            milliseconds = 1000 * abs(best) / recording.fps
            side = "leads the observed state by" if best > 0 else "comes after the observed state by" if best < 0 else "moves together with"
            how = (
                f"{side} {abs(best)} frames ({milliseconds:.0f} ms)" if best else "moves together with the observed state of the same frame"
            )
            text = f"{action} {how}: correlation {curve.max():.2f}, of one frame {usual:.2f}"
            why = (
                "chunks that are executed shorter than this lag never see their effect"
                if best > 0
                else "an action should lead to the next state"
            )
            found.append(Finding("lag", "note", text, why, "nothing, if the robot is meant to trail that far", action, elements))
    return found


def _pairs(recording: Recording, action: str) -> dict[int, tuple[str, int]]:
    """Element of the action -> the observed element that it commands: of the same name, else of a state of the same width."""
    width = recording.column(action).shape[1]
    skipped = recording.in_quaternion(action) | set(recording.grippers(action))
    pairs = {i: at for i in range(width) if i not in skipped and (at := recording.partner(action, i)) is not None}
    state = "observation.state"
    if not pairs and state in recording.vectors and recording.column(state).shape[1] == width:
        pairs = {i: (state, i) for i in range(width) if i not in skipped}
    return pairs


def _sample(recording: Recording) -> np.ndarray:
    """(M, 2) first and last row of the episodes that are looked at."""
    step = max(1, int(recording.ends[-1]) // FRAMES)
    return np.stack([recording.starts[::step], recording.ends[::step]], 1)


def _curve(a: np.ndarray, s: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Correlation of the motion of an action with the motion of the state k frames later, for every k in LAGS.

    Each lag is judged by the frames that have a partner at that distance in the same episode.
    """
    gap = np.zeros(max(abs(LAGS[0]), LAGS[-1]))  # so that no episode meets another
    chosen = [slice(start, end - 1) for start, end in rows.tolist()]
    first = np.concatenate([part for span in chosen for part in (a[span], gap)])
    second = np.concatenate([part for span in chosen for part in (s[span], gap)])
    real = np.concatenate([part for span in chosen for part in (np.ones(span.stop - span.start), gap)])
    squared = first**2, second**2
    curve = np.zeros(len(LAGS))
    for n, k in enumerate(LAGS):
        now, then = slice(max(0, -k), len(first) - max(0, k)), slice(max(0, k), len(first) - max(0, -k))
        power = _product(squared[0][now], real[then]) * _product(squared[1][then], real[now])
        curve[n] = _product(first[now], second[then]) / np.sqrt(power) if power > 0 else 0.0
    return curve


def _product(a: np.ndarray, b: np.ndarray) -> float:
    """Their inner product, without the threads of a BLAS library, which cost more than they bring on vectors."""
    return float(np.einsum("i,i->", a, b))
