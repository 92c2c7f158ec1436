"""Quaternions whose norm is not 1, and those that change their sign from a frame to the next."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

# float32 keeps a norm to 1e-7, a printed and parsed quaternion of four decimals to 1e-4.
ROUNDED = 1e-3
# Beyond this it is no rotation with rounding, but four numbers that mean something else, or zeros.
BROKEN = 0.05


def check(recording: Recording) -> list[Finding]:
    found = []
    for name in recording.vectors:
        for first in recording.quaternions(name):
            elements = tuple(range(first, first + 4))
            q = recording.column(name)[:, first : first + 4].astype(np.float64)
            off = np.abs(np.sqrt((q * q).sum(1)) - 1)
            rows = np.flatnonzero(off > ROUNDED)
            said = recording.say(name, elements)
            if len(rows):
                worst = int(np.argmax(off))
                text = f"{said} is no unit quaternion in {count(len(rows), 'frame', len(q))}; the norm is up to {off[worst]:.3g} off 1"
                why = "its rotation is not defined" if off[worst] > BROKEN else "rotations made from it shear a little"
                severity = "error" if off[worst] > BROKEN else "warning"
                episodes = recording.episodes_of(rows)
                episode, frame = recording.place(int(rows[np.argmax(off[rows] > 0.9 * off[worst])]))
                found.append(
                    Finding("quaternions", severity, text, why, recording.delete(episodes), name, elements, episode, frame, episodes)
                )
            flips = np.flatnonzero(((q[1:] * q[:-1]).sum(1) < 0) & recording.inside)
            if len(flips):
                episode, frame = recording.place(int(flips[0]) + 1)
                episodes = recording.episodes_of(flips)
                text = f"{said} changes its sign {count(len(flips), 'time')}, in {count(len(episodes), 'episode', len(recording.numbers))}"
                why = "the same rotation, but a jump to a network that takes the four numbers as they are; waldo's see 6-D rotations"
                mend = "nothing to do for waldo"
                found.append(Finding("quaternions", "note", text, why, mend, name, elements, episode, frame, episodes))
    return found
