"""Dimensions that never move: of the whole recording, or of single episodes while their command moves."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

# A joint that follows moves about as far as its command; while that sweeps this share of all it ever does, stillness is a fault.
# (Fingers of a real G1 rest through commands of 10 %: friction and the resolution of the encoder.)
COMMANDED = 0.3


def check(recording: Recording) -> list[Finding]:
    found = []
    followed = _followed(recording)
    for name in recording.vectors:
        values = recording.column(name)
        others = [*recording.grippers(name), *recording.in_quaternion(name)]  # their own checks; a rotation about one axis is still one
        told = [i for i in range(values.shape[1]) if i not in others and np.isfinite(recording.raw(name)[:, i]).any()]
        still = tuple(i for i in told if np.ptp(values[:, i]) == 0)
        broken = tuple(i for i in still if (name, i) in followed and np.ptp(followed[name, i]) > 0)
        idle = tuple(i for i in still if i not in broken)
        if broken:
            text = f"{recording.say(name, broken)} never moves, though the action commands it to"
            why = "a policy that is fed by it does not see its own motion"
            found.append(Finding("dead", "warning", text, why, "look at the sensor and record it again; or train without it", name, broken))
        if idle:
            text = f"{recording.say(name, idle)} never {'moves' if len(idle) == 1 else 'move'}; always {_values(values[0, list(idle)])}"
            why = "nothing can be learned from a constant, and some programs divide by its deviation of zero"
            found.append(Finding("dead", "note", text, why, "nothing to do for waldo", name, idle))
        for i in told:
            if (name, i) in followed and i not in still:
                found += _single_episodes(recording, name, i, values[:, i], followed[name, i])
    return found


def _followed(recording: Recording) -> dict[tuple[str, int], np.ndarray]:
    """(column, element) of each observation that an action of the same name commands -> the command, (N,)."""
    commands = {}
    for action in recording.actions:
        values = recording.column(action)
        for i in sorted(set(range(values.shape[1])) - recording.in_quaternion(action)):
            at = recording.partner(action, i)
            if at is not None and at[1] not in recording.in_quaternion(at[0]):
                commands[at] = values[:, i]
    return commands


def _single_episodes(recording: Recording, name: str, i: int, values: np.ndarray, command: np.ndarray) -> list[Finding]:
    still = recording.spans(values) == 0
    commanded = recording.spans(command) > COMMANDED * np.ptp(command)
    rows = np.flatnonzero(still & commanded)
    if not len(rows):
        return []
    episodes = tuple(recording.numbers[rows].tolist())
    text = f"{recording.say(name, (i,))} stands still in {count(len(rows), 'episode', len(still))}, though the action commands it to move"
    why = "the sensor was gone, or the motor off: what the policy sees there is not what happened"
    return [Finding("dead", "warning", text, why, recording.delete(episodes), name, (i,), episodes[0], 0, episodes)]


def _values(values: np.ndarray) -> str:
    shown = ", ".join(f"{value:.4g}" for value in values[:6])
    return shown + (", ..." if len(values) > 6 else "")
