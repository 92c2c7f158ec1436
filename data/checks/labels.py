"""Vectors whose elements have no names or no units."""

from __future__ import annotations

from data.checks import Finding, Recording


def check(recording: Recording) -> list[Finding]:
    found = []
    nameless = [name for name in recording.vectors if not recording.labels(name)]
    if nameless:
        why = "nobody, and no check, can tell which element is the gripper or which way x is"
        mend = recording.edit("relabel", names=f"{{{nameless[0]}: [A, B, ...]}}")
        found.append(Finding("labels", "note", f"no names of the elements of {', '.join(nameless)}", why, mend, nameless[0]))
    unitless = [name for name in recording.vectors if not recording.units(name)]
    if unitless:
        why = "metres or millimetres, radians or degrees: a policy is refused by a robot only if both say what they mean"
        mend = recording.edit("relabel", units=f"{{{unitless[0]}: [m, rad, ...]}}")
        found.append(Finding("labels", "note", f"no units of {', '.join(unitless)}", why, mend, unitless[0]))
    cameras = [name for name in recording.cameras if not recording.features[name].get("names")]
    if cameras:
        why = "older converters leave names=null, which makes lerobot's own tools fail; waldo reads it as height, width, channels"
        found.append(Finding("labels", "note", f"no names of the axes of {', '.join(cameras)}", why, recording.repair(), cameras[0]))
    return found
