"""A policy that knows the frames it was trained on less well than a lookup that never saw them: it was not trained enough."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from policies.diagnosis import Alarm, Study, sign_test
from policies.diagnosis.lookup import answers

# Per episode a coin is tossed: is the policy or the lookup nearer to what was done? The policy has seen the answer and the lookup has
# not, so a trained policy wins most. This many decimal orders against the coin have to be there.
ODDS = 3.0
WORSE = 1.0  # times the lookup's error, in the median episode


def check(study: Study) -> list[Alarm]:
    if len(study.trained) < 4:
        return []
    a = answers(study)
    mine, theirs = a.per_episode(a.policy), a.best()
    ratio = float(np.median(mine / np.maximum(theirs, 1e-9)))
    odds = sign_test(int((mine > theirs).sum()), len(mine))
    if odds < ODDS or ratio <= WORSE:
        return []
    found = f"on its own training frames it is {np.median(mine):.3g} of half a range off, the average of all actions {a.typical:.3g}, and a lookup "
    found += f"in the other episodes {np.median(theirs):.3g}: worse in {int((mine > theirs).sum())} of {len(mine)} episodes"
    notes, step = history(study.place)
    why = "it has not learned what the demonstrations say"
    more = f"waldo train {study.settings} train.steps={4 * step}" if step else f"waldo train {study.settings} with more train.steps"
    return [Alarm("under-trained", "training", "likely", odds, "; ".join([found, *notes]), why, more)]


def history(place: str) -> tuple[list[str], int]:
    """What the files beside a checkpoint say of its training, in words, and its number of steps, 0 where nobody says."""
    folder = Path(place)
    notes = []
    try:
        step = int(json.loads((folder / "provenance.json").read_text()).get("step", 0))
    except (OSError, ValueError, TypeError):
        return [], 0
    try:
        lines = (folder.parent / "metrics.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if "loss" in row]
    except (OSError, ValueError, TypeError):
        rows = []
    losses = np.array([row["loss"] for row in rows if row.get("step", 0) <= step], float)
    if len(losses) >= 8:
        quarter = len(losses) // 4
        before, after = losses[-2 * quarter : -quarter].mean(), losses[-quarter:].mean()
        if before > after > 0:
            notes.append(f"its loss still fell from {before:.3g} to {after:.3g} in the last quarter of {step} steps")
    if not notes and step:
        notes.append(f"it was trained for {step} steps")
    return notes, step
