"""All checks of a trial, what they found in the order of its strength, and the one sentence."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from data.errors import RenderError, WaldoError
from policies.diagnosis import Alarm, ranked
from policies.diagnosis.modes import spread
from waldo.diagnosis import Trial, checks, offline_checks
from waldo.diagnosis.hypotheses import distance
from waldo.diagnosis.latency import chunk_seconds
from waldo.diagnosis.open_loop import errors
from waldo.diagnosis.stages import reached

# Who succeeds so often has no reason to fail that would have to be inferred; contradictions are still told.
FINE = 0.9
FEWEST = 5  # episodes
WIDTH = 120


@dataclass(frozen=True)
class Diagnosis:
    """alarms   one per cause, the strongest first; silenced   what was measured, but does not matter to a policy that succeeds

    notes      what could not be looked at, and why; measured   name -> (value, unit)
    """

    alarms: tuple[Alarm, ...]
    silenced: tuple[Alarm, ...]
    notes: tuple[str, ...]
    measured: dict[str, tuple[float, str]] = field(default_factory=dict)
    about: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The one most likely cause."""
        if not self.alarms:
            return "No alarm: nothing that was looked at says why it should fail."
        first = self.alarms[0]
        word = {"certain": "The cause is", "likely": "The most likely cause is", "symptom": "No cause was found, only how it fails:"}
        return f"{word[first.weight]} {first.cause}: {first.found}."

    def told(self, title: str) -> list[str]:
        lines = [title, "", *self.about, ""]
        for number, alarm in enumerate(self.alarms, 1):
            lines.append(f"{number}. {alarm.cause} ({alarm.weight}, odds 10^{alarm.odds:.0f})")
            lines += [*_wrapped(f"{alarm.found}."), *_wrapped(f"Why: {alarm.why}."), *_wrapped(f"Try: {alarm.next}"), ""]
        if self.silenced:
            lines += [f"It succeeds, so these do not matter: {', '.join(sorted({a.cause for a in self.silenced}))}", ""]
        lines += [*(f"not looked at: {note}" for note in self.notes), *([""] if self.notes else [])]
        return [*lines, self.sentence]


def conclude(trial: Trial) -> Diagnosis:
    """Run every check. One that cannot be run is noted, and stops no other."""
    found: list[Alarm] = []
    notes: list[str] = []
    for name, study_check in offline_checks().items():
        try:
            found += study_check(trial.study)
        except WaldoError as error:
            notes.append(f"{name}: {error}")
    for name, check in checks().items():
        try:
            found += check(trial)
        except (WaldoError, RenderError) as error:
            notes.append(f"{name}: {error}")
    fine = len(trial.outcomes) >= FEWEST and trial.rate >= FINE
    kept = [a for a in found if a.weight == "certain" or not fine]
    return Diagnosis(merged(kept), tuple(a for a in found if a not in kept), tuple(notes), measured(trial), tuple(about(trial)))


def merged(alarms: list[Alarm]) -> tuple[Alarm, ...]:
    """One per cause: the strongest, with the evidence of the others."""
    by_cause: dict[str, list[Alarm]] = {}
    for alarm in ranked(alarms):
        by_cause.setdefault(alarm.cause, []).append(alarm)
    return tuple(dataclasses.replace(same[0], found="; ".join(dict.fromkeys(a.found for a in same))) for same in by_cause.values())


def measured(trial: Trial) -> dict[str, tuple[float, str]]:
    found = {"latency/chunk": (1000 * float(np.median(chunk_seconds(trial))), "ms")}
    if len(trial.study.trained) >= 4:
        found["spread/samples_to_demonstrations"] = (spread(trial.study)[0], "")
    if trial.env is not None and np.isfinite(distance(trial)):
        found["replay/distance"] = (distance(trial), "frames of motion")
    found |= {
        f"reached/{name.replace(' ', '_')}": (count / len(trial.outcomes), "") for name, count in reached(trial).items() if trial.outcomes
    }
    return found


def about(trial: Trial) -> list[str]:
    """What was looked at, in words, and the open-loop errors."""
    study = trial.study
    lines = [f"{len(study.trained)} episodes that it was trained on, {len(study.held_out)} that it never saw"]
    if trial.outcomes:
        lines.append(f"success in {sum(o.success for o in trial.outcomes)} of {len(trial.outcomes)} episodes")
    for group, rows in errors(study).items():
        where = {"trained": "what it was trained on", "held_out": "what it never saw"}[group]
        text = ", ".join(f"{row.name} {row.error:.2g}{' ' + row.unit if row.unit not in ('', '1') else ''}" for row in rows)
        lines += _wrapped(f"open-loop error on {where}: {text}", "")
    return lines


def _wrapped(text: str, indent: str = "   ") -> list[str]:
    import textwrap

    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent or "   ", break_long_words=False, break_on_hyphens=False
    )
