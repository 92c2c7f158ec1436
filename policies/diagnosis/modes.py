"""Samples that are all the same where demonstrators did different things: mode collapse."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import Alarm, Study
from policies.diagnosis.lookup import answers

# Near-identical observations are not identical: a part of the demonstrations' spread is the distance between them, so that a sound
# sampler shows about half of it. A tenth is less than the sampler's own noise.
COLLAPSED = 0.1


def check(study: Study) -> list[Alarm]:
    ratio, demonstrated = spread(study)
    if not ratio < COLLAPSED or ratio == 0.0 or len(study.trained) < 4:
        return []  # a regression has no samples: that is how it was made, and no collapse
    found = (
        f"{study.proposed.shape[1]} samples of a chunk lie {ratio:.2g} times as far apart as the demonstrations' actions in near-identical "
    )
    found += f"observations ({demonstrated:.3g} of half a range)"
    why = "it knows one way, or the average of several, where the demonstrators chose"
    step = f"train without weight decay and with more noise_draws, or policy=diffusion: waldo train {study.settings}"
    return [Alarm("mode collapse", "modes", "symptom", 3.0, found, why, step)]


def spread(study: Study) -> tuple[float, float]:
    """(the samples' spread as a share of the demonstrations', the demonstrations' spread), in the median frame."""
    a = answers(study)
    own = np.sqrt(a.samples.var(1).mean(1))
    shown = np.maximum(a.spread, 1e-6)
    return float(np.median(own / shown)), float(np.median(shown))
