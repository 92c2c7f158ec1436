"""A frame rate that the motion contradicts: values that are held over several frames, velocities that do not fit positions."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

# A signal that is sampled at every frame moves in neighbouring frames most of the time while it moves at all; of one that is
# held over k frames no two neighbours do. Jitter of two clocks makes a few: the fingers of a real G1 (8.6 Hz in 30 Hz) have none.
NEIGHBOURS = 0.05
# Pauses say nothing about the rate: intervals longer than this many frames are rests.
REST = 15
# Fewer changes than this are no evidence.
CHANGES = 50
# Displacement and integrated velocity agree within some per cent where both are measured well; 20 % is another time step.
SLOPE = 0.2
# and only where one explains the other
FIT = 0.9


def check(recording: Recording) -> list[Finding]:
    return _held(recording) + _velocities(recording) if recording.rate_is_known else []


def _held(recording: Recording) -> list[Finding]:
    """Elements of observations that change only every k-th frame."""
    found, rates, every = [], [], True
    for name in (n for n in recording.vectors if n.startswith("observation.")):
        values = recording.column(name)
        periods: dict[int, float] = {}
        for i in range(values.shape[1]):
            changes = np.flatnonzero((values[1:, i] != values[:-1, i]) & recording.inside)
            intervals = np.diff(changes)
            within = np.diff(np.searchsorted(recording.ends, changes + 1, side="right")) == 0
            intervals = intervals[within & (intervals <= REST)]
            if len(intervals) < CHANGES:
                continue
            if np.mean(intervals == 1) < NEIGHBOURS:
                periods[i] = float(np.mean(intervals[intervals <= 1.5 * np.median(intervals)]))
            else:
                every = False
        if periods:
            k = float(np.median(list(periods.values())))
            rates.append(recording.fps / k)
            what = f"{recording.say(name, tuple(periods))} changes only every {k:.3g} frames"
            text = f"{what}: sampled at about {recording.fps / k:.2g} Hz and held, in a recording of {recording.fps:g} Hz"
            why = "between its samples it is old by up to that time, which a robot in operation has to match"
            found.append(Finding("rate", "note", text, why, "nothing, if the sensor is that slow", name, tuple(periods)))
    if found and every:  # nothing moves faster: the recording itself was blown up, or its rate is not what it says
        why = "velocities come in bursts that no robot made, and a policy is trained on repeated frames"
        mend = recording.edit("convert", resample=_rate(float(np.median(rates))))
        return [Finding("rate", "warning", "; ".join(finding.found for finding in found), why, mend, found[0].feature, found[0].elements)]
    return found


def _velocities(recording: Recording) -> list[Finding]:
    """Positions and velocities of the same things: displacement per frame against velocity times period."""
    found = []
    units = {name: recording.units(name) for name in recording.vectors if recording.units(name)}
    positions = {(_stem(label), unit): (name, i) for name, i, label, unit in _elements(recording, units) if not unit.endswith("/s")}
    ratios: dict[str, list[float]] = {}
    for name, i, label, unit in _elements(recording, units):
        at = positions.get((_stem(label), unit.removesuffix("/s")))
        if not unit.endswith("/s") or at is None:
            continue
        moved = recording.steps(*at)[recording.inside]
        velocity = recording.column(name)[:, i].astype(np.float64)
        expected = (0.5 * (velocity[1:] + velocity[:-1]) / recording.fps)[recording.inside]
        power = float(expected @ expected)
        if power > 0 and moved @ moved > 0 and (moved @ expected) / np.sqrt(power * (moved @ moved)) > FIT:
            ratios.setdefault(name, []).append(float(moved @ expected) / power)
    for name, values in ratios.items():
        ratio = float(np.median(values))
        if abs(ratio - 1) > SLOPE:
            text = f"positions move {ratio:.3g} times as far per frame as {name} says ({count(len(values), 'element')})"
            text += f": at {_rate(recording.fps / ratio)} Hz instead of {recording.fps:g} Hz both would agree"
            why = "a policy trained from it would act at the wrong speed"
            found.append(Finding("rate", "warning", text, why, recording.repair(fps=_rate(recording.fps / ratio)), name))
    return found


def _rate(estimate: float) -> str:
    """[Hz]; the whole number that was meant, where one is near."""
    whole = round(estimate)
    return str(whole) if abs(estimate - whole) < 0.05 * estimate else f"{estimate:.3g}"


def _elements(recording: Recording, units: dict[str, tuple[str, ...]]) -> list[tuple[str, int, str, str]]:
    """(column, element, name, unit) of all observed elements that have both."""
    return [
        (name, i, label, unit)
        for name, of in units.items()
        if name.startswith("observation.")
        for i, (label, unit) in enumerate(zip(recording.labels(name), of))
    ]


def _stem(label: str) -> str:
    """`joint1_vel`, `joint1_velocity`, `joint1_pos` and `joint1` are of one thing."""
    for ending in ("velocity", "position", "vel", "pos", "dot"):
        label = label.removesuffix(ending).rstrip("_. ")
    return label
