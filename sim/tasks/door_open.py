"""Swing the door of a cupboard open by its handle. The cupboard stands at another place and turned in every episode.

The handle goes along an arc round the hinge, and the hand must go with it. People grasp the bar or hook it from behind.

      from above, at yaw 0                  the door open by 60 degrees
        +------------+                        +------------+
        |  cupboard  |      x, away           |            |
        o------------+      ^  from           o            |
      hinge      [ handle   |  the arm          .
                            +--> -y              . [ handle
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.rotations import quat_about_z, rotate
from sim.experts import Demonstrator, Plan
from sim.grips import pitched, tilt
from sim.task import pose_feature
from sim.tasks.furniture import Furniture

HINGE = np.array([-0.108, 0.126, 0.157])  # [m] in the cupboard's frame: where the door's frame is
HANDLE = np.array([-0.062, -0.21, 0.022])  # [m] in the door's frame: where the bar is held, above its post
SWING = 1.9  # [rad] how far the door opens
LEVELS = {
    "easy": {"x": [0.72, 0.75], "y": [-0.04, 0.04], "yaw": 0.1, "ajar": 0.1, "opening": np.radians(40), "friction": 0.1},
    "medium": {"x": [0.71, 0.77], "y": [-0.12, 0.1], "yaw": 0.25, "ajar": 0.05, "opening": np.radians(45), "friction": 0.3},
    "hard": {"x": [0.7, 0.78], "y": [-0.16, 0.14], "yaw": 0.35, "ajar": 0.0, "opening": np.radians(60), "friction": 0.8},
}


class DoorOpen(Furniture):
    name = "door_open"
    instruction = "Open the door of the cupboard."
    scene = Path(__file__).with_suffix(".xml")
    features = (
        pose_feature(
            "observation.environment_state",
            "cupboard",
            extra=(("handle_x", "m"), ("handle_y", "m"), ("handle_z", "m"), ("door_angle", "rad"), ("door_goal", "rad")),
        ),
    )

    milestones = ("at the handle", "door moved", "door half open", "door open")
    levels, body, part, held = LEVELS, "cupboard", "door", HANDLE
    widest, stiffest, units = SWING - 0.1, 2.0, ("rad", "N m")


class DoorOpenExpert(Demonstrator):
    """Grasps the bar or hooks it from behind, goes along the arc, and tries the other way if the door did not come."""

    faults = ("miss", "slip", "short")

    @property
    def angle(self) -> float:
        return float(self.obs["observation.environment_state"][10])

    @property
    def goal(self) -> float:
        return float(self.obs["observation.environment_state"][11])

    @property
    def yaw(self) -> float:
        quat = self.obs["observation.environment_state"][3:7]
        return 2 * float(np.arctan2(quat[3], quat[0]))

    def on_arc(self, angle: float, offset: np.ndarray) -> np.ndarray:
        """Where the point `offset` (3,) from the handle, as the door sees it, is with the door at `angle`."""
        place = self.obs["observation.environment_state"][:3].astype(float)
        hinge = place + rotate(quat_about_z(np.array(self.yaw)), HINGE)
        return hinge + rotate(quat_about_z(np.array(self.yaw - angle)), HANDLE + offset)

    def plan(self) -> Plan:
        hook = bool(self.rng.random() < 0.5)
        yield from self.hesitate()
        for attempt in range(3):
            fault = self.fault if attempt == 0 else "none"
            yield from self._open(hook, fault)
            if self.angle >= self.goal or self.fault in ("miss", "short") or (self.fault == "slip" and self.rng.random() < 0.5):
                break  # done; or it does not notice that it is not
            hook = not hook
        yield from self.hand.wait(0.4)

    def _open(self, hook: bool, fault: str) -> Plan:
        r, hand, aim = self.rng, self.hand, self.style.aim
        pitch, turns = (r.uniform(0.32, 0.4), 1.0) if hook else (r.uniform(0.25, 0.35), r.uniform(0.75, 1.0))
        offset = np.array([r.normal(0, aim / 2), r.normal(0, aim / 2), r.uniform(-0.005, 0.008)])
        before = offset + [r.uniform(-0.1, -0.07), 0.0, r.uniform(0.03, 0.06)]
        if hook:  # from above into the gap behind the bar
            offset[0] += 0.028
            before = offset + [0.0, 0.0, r.uniform(0.06, 0.08)]
        if fault == "miss":
            offset[1] -= 0.06
        start, yaw = self.angle, self.yaw - self.angle
        above = self.on_arc(start, before + [-0.03, 0, 0.05])
        hand.width = 0.0 if hook else r.uniform(0.05, 0.065)
        yield from tilt(hand, hand.move(above, yaw), pitched(pitch), seconds=1.0)
        yield from hand.move(self.on_arc(start, before), slower=0.8)
        yield from hand.move(self.on_arc(start, offset), slower=0.6)
        if not hook:
            hand.width = 0.0
            yield from hand.wait(r.uniform(0.5, 0.7))
        yield from self._swing(offset, turns, fault, hook)
        yield from hand.wait(0.2)
        if self.angle < self.goal:
            hand.width = self.open
            yield from hand.wait(0.3)
            yield from hand.move(self.on_arc(self.angle, np.array([-0.1, 0.02, 0.08])))

    def _swing(self, offset: np.ndarray, turns: float, fault: str, hook: bool) -> Plan:
        """Along the arc at an eased pace; the hand turns with the door by the share `turns`."""
        r, hand = self.rng, self.hand
        start, end = self.angle, self.goal + r.uniform(0.12, 0.2) + (0.08 if hook else 0.0)
        if fault == "short":
            end = start + r.uniform(0.3, 0.5)
        steps = int(np.ceil((end - start) * 0.22 / (0.6 * hand.speed) * self.rate))
        slip = int(r.integers(4, 10)) if fault == "slip" else -1
        for i in range(1, steps + 1):
            s = i / steps
            share = s**3 * (10 - 15 * s + 6 * s**2)
            angle = start + share * (end - start)
            hand.position, hand.yaw = self.on_arc(angle, offset), self.yaw - start - turns * (angle - start)
            if i == slip:
                hand.width = self.open
                if hook:  # fingers behind the bar pull even when open
                    break
            yield
