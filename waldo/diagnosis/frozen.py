"""A camera of the environment whose picture stands still while the arm moves."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import CERTAIN, Alarm
from waldo.diagnosis import Trial
from waldo.diagnosis.pictures import views

ALIKE = 0.01  # grey levels of 255, of the averaged picture: a renderer gives the same picture to the bit
MOVED = 0.05  # of the range of the actions: an arm that comes so far is seen by any camera that sees it at all


def check(trial: Trial) -> list[Alarm]:
    seen = views(trial)
    if seen is None:
        return []
    far = seen.moved.max(1) > MOVED
    found = []
    for name, images in seen.shown.items():
        change = np.abs(images - images[:, :1]).max((1, 2, 3, 4))[far]
        here = np.abs(seen.recorded[name] - seen.recorded[name][:, :1]).max((1, 2, 3, 4))[far]
        if len(change) and (change < ALIKE).all() and (here >= ALIKE).any():
            text = f"{name} of the environment shows the same picture to {change.max():.2g} grey levels in {len(change)} of {len(change)} episodes, "
            text += f"while the arm moves; in the recording it changes by {np.median(here):.2g}"
            step = "restart the camera, and refuse frames whose time stamp does not advance"
            found.append(Alarm("frozen camera", "frozen", "certain", 0.9 * CERTAIN, text, "what it sees is not what is there", step))
    return found
