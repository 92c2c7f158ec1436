"""Ranges in the checkpoint that are not those of the data which it was trained on: everything seen and done is scaled by them."""

from __future__ import annotations

import numpy as np

from policies.diagnosis import CERTAIN, Alarm, Study

# The ranges were computed from these very numbers, so they are equal to the bit; a copy that went through another format is off by
# rounding. One hundredth of a range moves what the network sees by less than its own error.
APART = 0.01  # of the range
# Where the episodes that were trained on are not known, only a range that leaves the whole recording is wrong.
UNKNOWN = 0.1
NAMED = 3


def check(study: Study) -> list[Alarm]:
    stored, true = study.normalizer.ranges, study.ranges
    spec = study.policy.spec
    wrong: list[tuple[float, str]] = []
    total = 0
    for name in (*study.vectors, "action"):
        feature = spec.action if name == "action" else spec.feature(name)
        turning = {first + k for first in feature.quaternions for k in range(4)} | set(getattr(feature, "angles", ()))
        (low, high), (least, most) = stored[name], true[name]
        span = np.maximum(most - least, 1e-4 * (1 + np.abs(most)))
        beyond = np.maximum(least - low, high - most) / span
        off = beyond if not study.exact else np.maximum(np.abs(low - least), np.abs(high - most)) / span
        allowed = APART if study.exact else UNKNOWN
        for i in (i for i in range(len(low)) if i not in turning):
            total += 1
            if off[i] > allowed:
                label = feature.names[i] if i < len(feature.names) else str(i)
                text = f"{name} {label}: {low[i]:.4g} to {high[i]:.4g} in the checkpoint, {least[i]:.4g} to {most[i]:.4g} in the data"
                wrong.append((float(off[i]), text))
    if not wrong:
        return []
    wrong.sort(reverse=True)
    found = f"{len(wrong)} of {total} ranges are not those of the data; {'; '.join(text for _, text in wrong[:NAMED])}"
    why = "the network sees and asks for numbers that are scaled otherwise than in its training"
    step = f"train again from these data: waldo train {study.settings}; or put the ranges of the training back into {study.place}"
    return [Alarm("wrong normalisation", "normalisation", "certain" if study.exact else "likely", 0.9 * CERTAIN, found, why, step)]
