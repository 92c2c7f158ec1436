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


def tilt(hand: Hand, move: Plan, start: np.ndarray, end: np.ndarray, steps: int) -> Plan:
    """Do `move` while the grip goes from `start` to `end` (4,) on the shortest way, in `steps` control steps at an eased pace."""
    angle = np.arccos(np.clip(start @ end, -1.0, 1.0))
    for i, _ in enumerate(move, 1):
        s = min(i / steps, 1.0)
        share = s * s * (3 - 2 * s)
        if angle > 1e-6:
            grip = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
            hand.grip = grip / np.linalg.norm(grip)
        yield
