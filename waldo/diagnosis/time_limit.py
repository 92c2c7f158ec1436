"""Episodes that are cut off before a demonstrator would have been done."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import Alarm
from waldo.diagnosis import Trial

SHARE = 0.2  # of the demonstrations; of those that were recorded in this environment none is longer


def check(trial: Trial) -> list[Alarm]:
    if trial.env is None:
        return []
    lengths = trial.study.dataset.lengths[trial.study.trained]
    limit, share = trial.env.max_steps, float((lengths > trial.env.max_steps).mean())
    if share <= SHARE:
        return []
    rate = trial.env.spec.rate_hz
    text = f"an episode ends after {limit} steps ({limit / rate:.3g} s), and {100 * share:.0f} % of the demonstrations take longer: "
    text += f"{int(np.median(lengths))} steps in the median, {int(lengths.max())} at most"
    step = f"env.max_steps={int(1.5 * lengths.max())}"
    return [Alarm("too short a horizon", "time_limit", "certain", 10 * share, text, "nobody could be done in that time", step)]
