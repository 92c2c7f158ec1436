"""Planar quasi-static pushing of a body made of boxes: what one straight push does to it, and which push is best.

The body slides on an ellipsoidal limit surface and sticks to the pusher (Lynch, Maekawa and Tanie 1992, "Manipulation and
active sensing by pushing using tactile feedback"). What a push does, seen from the body, does not depend on where the body
lies: all pushes are worked out once, and to plan is to look at all of them.

              pusher            The pusher's flat end touches a side. It turns the body about the corner that is nearer to the
           +--[]------+         centre of mass; while the centre lies abreast of the flat end, it does not turn it.
           +---+  +---+
               |  |
               +--+
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]  # centre x, y and half sizes along x, y in the body's frame [m]
STEP, KEPT, LONGEST = 0.0025, 4, 0.22  # [m] of integration, steps between lengths that are kept, [m]
SLANTS = np.radians([-30.0, -15.0, 0.0, 15.0, 30.0])  # directions of a push against the side's normal
CONE = np.tan(np.radians(36))  # the pusher sticks while its force is so near the normal
SPACING, EDGE = 0.01, 0.005  # [m] between places on a side, and from its ends
GAP = 0.004  # [m] free space round the pusher where it comes down
AHEAD = 150  # pushes that a second one is tried after


@dataclass(frozen=True)
class Pushes:
    """N pushes in the body's frame."""

    start: np.ndarray  # (N, 2) centre of the pusher when it touches [m]
    direction: np.ndarray  # (N, 2) unit vector it then moves along
    length: np.ndarray  # (N,) how far [m]
    effect: np.ndarray  # (N, 3) the body's new pose in its old frame: x, y [m], yaw [rad]

    def choose(self, pose: np.ndarray, goal: np.ndarray, tolerances: tuple[float, float], price: np.ndarray, noise: np.ndarray) -> int:
        """The push of a body at `pose` (3,) after which, or after one more, it is nearest to `goal` (3,), all in tolerances.

        price: (N,) of doing it, infinite where it cannot be done; noise: (N,) added to the first one, for variety.
        """
        ends = compose(pose, self.effect)
        first = cost(ends, goal, tolerances) + price + noise
        ahead = np.argsort(first)[:AHEAD]
        worth = np.where(np.isfinite(price), price, np.median(price[np.isfinite(price)]))  # what is out of reach now need not stay so
        second = (cost(compose(ends[ahead, None], self.effect), goal, tolerances) + worth).min(1) + price[ahead] + noise[ahead]
        return int(ahead[second.argmin()] if second.min() < first[ahead[0]] else ahead[0])


def compose(pose: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Poses (..., 3) x, y, yaw, each followed by a change (..., 3) in its own frame."""
    cos, sin = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    x = pose[..., 0] + cos * change[..., 0] - sin * change[..., 1]
    y = pose[..., 1] + sin * change[..., 0] + cos * change[..., 1]
    return np.stack([x, y, pose[..., 2] + change[..., 2]], -1)


def errors(pose: np.ndarray, goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (...,) [m] and angle (...,) [rad], neither negative, between poses (..., 3)."""
    x, y, yaw = np.moveaxis(pose - goal, -1, 0)
    return np.hypot(x, y), np.abs((yaw + np.pi) % (2 * np.pi) - np.pi)


def cost(pose: np.ndarray, goal: np.ndarray, tolerances: tuple[float, float]) -> np.ndarray:
    """(...,) how far poses (..., 3) are from the goal, in tolerances [m] and [rad]."""
    distance, angle = errors(pose, goal)
    return np.asarray(np.hypot(distance / tolerances[0], angle / tolerances[1]))


def library(boxes: Sequence[Box], half: float, radius: float, clearance: float) -> Pushes:
    """All pushes of a square pusher of half width `half` [m] that is aligned with the boxes, along every side.

    radius: of the limit surface, largest moment over largest force [m]; clearance: it comes down so far before it touches [m].
    """
    starts, normals, directions = [], [], []
    for x, y, *halves in boxes:
        for axis, sign in ((0, -1.0), (0, 1.0), (1, -1.0), (1, 1.0)):
            normal = np.zeros(2)
            normal[axis] = sign
            reach = halves[1 - axis] - EDGE
            for along in np.linspace(-reach, reach, max(2, round(2 * reach / SPACING) + 1)):
                start = np.array([x, y]) - normal * (halves[axis] + half)
                start[1 - axis] += along
                for cos, sin in zip(np.cos(SLANTS), np.sin(SLANTS), strict=True):
                    direction = np.array([cos * normal[0] - sin * normal[1], sin * normal[0] + cos * normal[1]])
                    if _free(start, boxes, half) and _free(start - direction * clearance, boxes, half + GAP):
                        starts.append(start)
                        normals.append(normal)
                        directions.append(direction)
    return _roll_out(np.array(starts), np.array(normals), np.array(directions), half, radius)


def _free(centre: np.ndarray, boxes: Sequence[Box], half: float) -> bool:
    return all(max(abs(centre[0] - x) - hx, abs(centre[1] - y) - hy) > half - 1e-9 for x, y, hx, hy in boxes)


def _roll_out(start: np.ndarray, normal: np.ndarray, direction: np.ndarray, half: float, radius: float) -> Pushes:
    """Every start and direction (M, 2) with every length, as long as the pusher sticks."""
    touch = start + normal * half
    tangent = np.stack([-normal[:, 1], normal[:, 0]], 1)
    # Where the line along the push through the centre of mass meets the side: a force there does not turn the body.
    depth = (touch * normal).sum(1) / (direction * normal).sum(1)
    away = (touch * tangent).sum(1) - depth * (direction * tangent).sum(1)
    touch = touch - tangent * np.clip(away, -half, half)[:, None]
    pose = np.zeros((len(start), 3))
    sticks = np.ones(len(start), bool)
    found: list[tuple[np.ndarray, ...]] = []
    for step in range(1, round(LONGEST / STEP) + 1):
        twist = slide(_turn(pose[:, 2], touch), direction, radius)
        force = twist[:, :2]  # on this limit surface the force is along the velocity of the centre
        into, aside = (force * _turn(pose[:, 2], normal)).sum(1), (force * _turn(pose[:, 2], tangent)).sum(1)
        sticks &= np.abs(aside) < CONE * into
        pose += STEP * twist
        if step % KEPT == 0:
            kept = np.flatnonzero(sticks)
            found.append((start[kept], direction[kept], np.full(len(kept), step * STEP), pose[kept]))
    return Pushes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def slide(touch: np.ndarray, velocity: np.ndarray, radius: float) -> np.ndarray:
    """(M, 3) velocity of the centre [m/s] and turn [rad/s] of bodies whose point `touch` (M, 2) off the centre moves at `velocity` (M, 2)."""
    (rx, ry), (ux, uy), square = touch.T, velocity.T, radius**2
    whole = square + rx**2 + ry**2
    vx = ((square + rx**2) * ux + rx * ry * uy) / whole
    vy = (rx * ry * ux + (square + ry**2) * uy) / whole
    return np.stack([vx, vy, (rx * vy - ry * vx) / square], 1)


def _turn(angle: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * vectors[:, 0] - sin * vectors[:, 1], sin * vectors[:, 0] + cos * vectors[:, 1]], 1)
