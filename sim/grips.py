"""Orientations of the tool other than straight down, and moves that change them.

   pitch 0        pitch 45 degrees      pitch 90 degrees
the tool points     forward and           forward, away
     down               down             from the base
"""

from __future__ import annotations

import numpy as np

from data.rotations import multiply, quat_about_z
from sim.experts import DOWN, Hand, Plan


def pitched(pitch: float, roll: float = 0.0) -> np.ndarray:
    """(4,) orientation for Hand.grip: straight down, turned forward by `pitch` [rad]; `roll` [rad] turns it about its own axis.

    At roll 0 the fingers open to the sides, at roll pi/2 or -pi/2 they open in the upright plane.
    """
    forward = np.array([np.cos(pitch / 2), 0.0, -np.sin(pitch / 2), 0.0])
    return multiply(forward, multiply(DOWN, quat_about_z(np.array(roll))))


def tilt(hand: Hand, move: Plan, end: np.ndarray, seconds: float = 0.8) -> Plan:
    """Do `move` while the grip goes to `end` (4,) on the shortest way, at an eased pace; ends when both are done."""
    start, steps = hand.grip, max(1, round(seconds * hand.rate))
    nearest = end if start @ end >= 0 else -end
    angle = float(np.arccos(min(1.0, start @ nearest)))
    moving, i = True, 0
    while True:
        moving = moving and next(move, hand) is None
        i += 1
        if not moving and i > steps:
            return
        s = min(i / steps, 1.0)
        share = s * s * (3 - 2 * s)
        if angle > 1e-6:
            hand.grip = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * nearest) / np.sin(angle)
        yield
