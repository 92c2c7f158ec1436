"""Where on the way to success episodes end: "approaches, but never grasps"."""

from __future__ import annotations

from policies.diagnosis import Alarm
from waldo.diagnosis import Trial

FAILING = 0.5  # of the episodes; who succeeds more often knows every step
COMES, GOES = 0.5, 0.2  # shares that reach a step, and of those the shares that reach the next one
FEWEST = 5  # episodes


def check(trial: Trial) -> list[Alarm]:
    if len(trial.outcomes) < FEWEST or trial.rate >= FAILING:
        return []
    counts = reached(trial)
    names = ["begins", *counts]
    shares = [1.0, *(count / len(trial.outcomes) for count in counts.values())]
    for i in range(1, len(names)):
        if shares[i - 1] >= COMES and shares[i] < GOES * shares[i - 1]:
            done = f"{100 * shares[i - 1]:.0f} % come to '{names[i - 1]}'" if i > 1 else "every episode begins"
            text = f"{done}, but only {100 * shares[i]:.0f} % get to '{names[i]}' ({len(trial.outcomes)} episodes)"
            why = f"everything after '{names[i]}' is never tried"
            step = f"look at the films of these moments; more demonstrations of '{names[i]}', also from {names[i - 1]} slightly missed"
            return [Alarm(f"never gets to '{names[i]}'", "stages", "symptom", 3.0, text, why, step)]
    return []


def reached(trial: Trial) -> dict[str, int]:
    """Milestone -> episodes that reached it, in order; {} where the environment names none."""
    return {name: sum(name in outcome.milestones for outcome in trial.outcomes) for name in trial.milestones}
