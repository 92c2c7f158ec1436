"""A recording of another rate than the environment's: by what both say, and by which speed the recorded actions have to be done again."""

from __future__ import annotations

from policies.diagnosis import CERTAIN, Alarm
from waldo.diagnosis import Trial
from waldo.diagnosis.hypotheses import best


def check(trial: Trial) -> list[Alarm]:
    study = trial.study
    rates = {"the policy": study.policy.spec.rate_hz, "the recording": float(study.dataset.fps)}
    if trial.env is not None:
        rates["the environment"] = trial.env.spec.rate_hz
    why = "the same chunk is done faster or slower than it was learned"
    alarms = []
    if len(set(rates.values())) > 1:
        text = ", ".join(f"{who} is of {rate:g} Hz" for who, rate in rates.items())
        step = f"env.rate_hz={study.policy.spec.rate_hz:g}, or data.resample={rates.get('the environment', study.policy.spec.rate_hz):g} and train again"
        alarms.append(Alarm("wrong rate", "rate", "certain", CERTAIN, text, why, step))
    found = best(trial)
    if found is not None and found.kind == "ratio" and trial.env is not None:
        true = trial.env.spec.rate_hz * found.value
        text = f"done again at {true:.3g} Hz the recorded actions lead where the recording says, at {trial.env.spec.rate_hz:g} Hz they do not: "
        text += f"{found.errors:.2g} instead of {found.asis:.2g} frames of motion apart ({found.wins} of {found.n} episodes)"
        step = f"correct the rate of the recording, waldo data repair {study.dataset.root} fps={true:.3g}, and train again with "
        step += f"data.resample={trial.env.spec.rate_hz:g}"
        alarms.append(Alarm("wrong rate", "rate", "certain", found.odds, text, why, step))
    return alarms
