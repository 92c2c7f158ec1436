"""Episodes that are far shorter or longer than the others, and those too short to hold one step."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

# A quarter of the usual: people and experts differ by a factor of two (Push-T 49 to 246 frames around 122, G1 221 to 583 around
# 350), a try that was stopped by mistake ends in the first seconds.
FACTOR = 4.0
# and outside of what the recording itself shows: this many robust standard deviations of log length, where lengths vary widely
DEVIATIONS = 4.0
MANY = 5  # episodes; of fewer none is unusual


def check(recording: Recording) -> list[Finding]:
    found = []
    single = recording.lengths < 2
    if single.any():
        text = "with a single frame"
        why = "there is no next observation, and no window of two observations"
        found.append(_finding(recording, "warning", single, text, why))
    if len(recording.lengths) < MANY:
        return found
    logs = np.log(recording.lengths)
    median = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - median)))
    limit = max(np.log(FACTOR), DEVIATIONS * spread)
    usual = f"where {np.exp(median):.0f} are usual"
    short = (logs < median - limit) & ~single
    if short.any():
        text = f"of only {recording.lengths[short].min()} to {recording.lengths[short].max()} frames, {usual}"
        found.append(_finding(recording, "warning", short, text, "recordings that were stopped at once teach to stop"))
    long = logs > median + limit
    if long.any():
        text = f"of {recording.lengths[long].min()} to {recording.lengths[long].max()} frames, {usual}"
        found.append(_finding(recording, "note", long, text, "a recorder that was left running adds frames in which nothing happens"))
    return found


def _finding(recording: Recording, severity: str, chosen: np.ndarray, text: str, why: str) -> Finding:
    episodes = tuple(recording.numbers[chosen].tolist())
    mend = recording.delete(episodes)
    return Finding("lengths", severity, f"{count(len(episodes), 'episode')} {text}", why, mend, "", (), episodes[0], 0, episodes)
