"""Pull a drawer open by its bar handle. The cabinet stands on the table, at another place and turned in every episode.

Two ways lead there, and people use both: grasp the bar from above, or hook closed fingers behind it.

      from above, at yaw 0                  from the side, being opened
        +------------+                          / the hand, leaning back
        |  cabinet   |      x, away            /  +------------+
        +------------+      ^  from           o---[   drawer   |
           |______|         |  the arm       bar  |            |
            handle          +--> -y               +------------+
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.rotations import quat_about_z, rotate
from sim.experts import Demonstrator, Plan
from sim.grips import pitched, tilt
from sim.task import pose_feature
from sim.tasks.furniture import Furniture

HANDLE = np.array([-0.056, 0.0, 0.012])  # [m] middle of the bar in the drawer's frame
TRAVEL = 0.18  # [m] how far the drawer opens
LEVELS = {
    "easy": {"x": [0.69, 0.72], "y": [-0.04, 0.04], "yaw": 0.1, "ajar": 0.03, "opening": 0.1, "friction": 1.0},
    "medium": {"x": [0.68, 0.74], "y": [-0.12, 0.12], "yaw": 0.3, "ajar": 0.02, "opening": 0.12, "friction": 2.0},
    "hard": {"x": [0.67, 0.76], "y": [-0.18, 0.18], "yaw": 0.45, "ajar": 0.0, "opening": 0.14, "friction": 6.0},
}


class DrawerOpen(Furniture):
    name = "drawer_open"
    instruction = "Open the drawer."
    scene = Path(__file__).with_suffix(".xml")
    features = (
        pose_feature(
            "observation.environment_state",
            "cabinet",
            extra=(("handle_x", "m"), ("handle_y", "m"), ("handle_z", "m"), ("drawer_opening", "m"), ("drawer_goal", "m")),
        ),
    )

    milestones = ("at the handle", "drawer moved", "drawer half open", "drawer open")
    levels, body, part, held = LEVELS, "cabinet", "drawer", HANDLE
    widest, stiffest, units = TRAVEL - 0.01, 20.0, ("m", "N")


class DrawerOpenExpert(Demonstrator):
    """Grasps the bar or hooks it from behind, pulls, and tries the other way if the drawer did not come."""

    faults = ("miss", "slip", "short")

    @property
    def handle(self) -> np.ndarray:
        return self.obs["observation.environment_state"][7:10].astype(float)

    @property
    def left(self) -> float:
        """How far it is still to be pulled [m]."""
        opening, goal = self.obs["observation.environment_state"][10:12]
        return float(goal - opening)

    @property
    def yaw(self) -> float:
        quat = self.obs["observation.environment_state"][3:7]
        return 2 * float(np.arctan2(quat[3], quat[0]))

    def plan(self) -> Plan:
        hook = bool(self.rng.random() < 0.5)
        yield from self.hesitate()
        for attempt in range(3):
            fault = self.fault if attempt == 0 else "none"
            yield from self._open(hook, fault)
            if self.left <= 0 or self.fault in ("miss", "short") or (self.fault == "slip" and self.rng.random() < 0.5):
                break  # done; or it does not notice that it is not
            hook = not hook
        yield from self.hand.wait(0.4)

    def _open(self, hook: bool, fault: str) -> Plan:
        r, hand = self.rng, self.hand
        pitch, roll = (r.uniform(0.3, 0.4), 0.0) if hook else (r.uniform(0.32, 0.42), -np.pi / 2)
        away = rotate(quat_about_z(np.array(self.yaw)), np.array([-1.0, 0.0, 0.0]))  # the way the drawer comes
        side = np.array([-away[1], away[0], 0.0])
        hold = self.handle + side * r.uniform(-0.022, 0.022)
        hold += side * r.normal(0, self.style.aim) + away * r.normal(0, self.style.aim / 2) + [0, 0, r.normal(0, self.style.aim / 2)]
        above = hold + [0, 0, r.uniform(0.09, 0.13)]
        if hook:
            hold += -0.026 * away + [0, 0, r.uniform(-0.012, -0.004)]
            above -= 0.026 * away
        if fault == "miss":  # over the bar, not at it
            hold = hold + 0.03 * away + [0, 0, r.uniform(0.035, 0.05)]
        hand.width = 0.0 if hook else r.uniform(0.04, 0.046)
        yield from tilt(hand, hand.move(above, self.yaw), pitched(pitch, roll), seconds=1.0)
        yield from hand.move(hold, slower=0.6)
        if not hook:
            hand.width = 0.0
            yield from hand.wait(r.uniform(0.5, 0.7))
        far = self.left + r.uniform(0.035, 0.045) if fault != "short" else 0.6 * self.left
        pull = hand.move(hand.position + away * (far + (0.018 if hook else 0.0)), slower=0.6)
        slip = r.integers(3, 8) if fault == "slip" else -1
        for i, _ in enumerate(pull):
            if i == slip:
                hand.width = self.open
                if hook:  # fingers behind the bar pull even when open
                    break
            yield
        yield from hand.wait(0.2)
        if self.left > 0:
            hand.width = self.open
            yield from hand.wait(0.3)
            yield from hand.move(hand.position + [0, 0, 0.1])
