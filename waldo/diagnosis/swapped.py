"""Cameras that changed places: the recording's pictures look like those of another camera of the environment."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import Alarm, sign_test
from waldo.diagnosis import Trial
from waldo.diagnosis.pictures import views

# Of the same camera the pictures of two episodes differ by where things lie; of two cameras by everything. Half the distance to the
# other camera than to its own, in every episode, is no accident of the scene.
NEARER = 0.5
FEWEST = 0.9  # of the episodes


def check(trial: Trial) -> list[Alarm]:
    from scipy.optimize import linear_sum_assignment

    seen = views(trial)
    if seen is None or len(seen.recorded) < 2:
        return []
    names = list(seen.recorded)
    # (E, C, C): how far the first picture of a recorded camera is from the environment's cameras, over all of its episodes
    there = np.stack([seen.shown[name][:, 0].mean(0) for name in names])
    first = np.stack([seen.recorded[name][:, 0] for name in names], 1)
    far = np.sqrt(((first[:, :, None] - there[None, None]) ** 2).mean((-3, -2, -1)))
    _, best = linear_sum_assignment(far.mean(0))
    moved = [i for i in range(len(names)) if best[i] != i]
    if not moved:
        return []
    own = far[:, moved, moved].mean(1)
    other = far[:, moved, best[moved]].mean(1)
    wins = int((other < NEARER * own).sum())
    if wins < FEWEST * len(own):
        return []
    pairs = ", ".join(f"{names[i]} of the recording is {names[best[i]]} of the environment" for i in moved)
    text = f"{pairs}: {np.median(other):.3g} grey levels apart instead of {np.median(own):.3g} ({wins} of {len(own)} episodes)"
    odds = sign_test(wins, len(own)) * float(np.log2(np.median(own) / max(float(np.median(other)), 1e-3)))
    step = "exchange them with data.mapping and train again, or in the environment's observations"
    return [Alarm("swapped cameras", "swapped", "certain", 10 * odds, text, "it looks for things in the other picture", step)]
