"""Stage `commit`: Ruckig's next step is taken only if a stop from where it leads is inside every limit.

    state k --- step (one tick of Ruckig's profile) --> state k+1 --- stop --> rest        verified: commit
          \\-- one tick of the stop verified at k ----> state k+1' -- rest of it --> rest   otherwise

The induction needs no assumption about setpoints: at rest the stop is empty; a committed step brings a verified stop
with it; a refused one leaves the arm on the stop that was verified before. Steps start from the commanded state, never
from the measured one: tracking lag must not slow the arm down, and the limits are limits of what is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import ruckig

from real.kinematics import Kinematics
from real.safety.arc import Arc, cut, reach, stop
from real.safety.fence import Fence
from real.safety.limits import INSIDE, MotionLimits, Setpoint
from real.safety.verdict import PASS, Reaction, Stage, Verdict
from real.safety.workspace import ToolBound, Workspace

GAIN = 20.0  # [1/s] with which a small distance from the setpoint is closed
SAMPLES = 15  # instants of a stop at which the tool is looked at
INSTANTS = np.linspace(0.0, 1.0, SAMPLES)
SLACK = 3e-4  # [m] by which a path may bulge out of the inner box; without it an arm resting on its face could never leave


@dataclass(frozen=True)
class Motion:
    """The commanded state, and the stop that was verified for it."""

    q: np.ndarray  # (n,) [rad]
    v: np.ndarray  # (n,) [rad/s]
    a: np.ndarray  # (n,) [rad/s^2]
    brake: Arc
    braked: float = 0.0  # how much of `brake` has been played [s]

    @property
    def at_rest(self) -> bool:
        return not (self.v.any() or self.a.any())


def approach(distance: np.ndarray, limits: MotionLimits) -> np.ndarray:
    """The velocity (n,) with which to close in on a setpoint that is `distance` (n,) [rad] away.

    In proportion where that is slow, and where it is not, as fast as half the acceleration limit can brake from.
    """
    size = np.abs(distance)
    half = 0.5 * limits.a_max
    near = half / GAIN**2  # where both laws have the same slope
    far = np.sqrt(np.maximum(2 * half * (size - near / 2), 0.0))
    return np.sign(distance) * np.where(size < near, GAIN * size, far)


class Committer:
    """`step(motion, setpoint)`: a pure function of its arguments (the Ruckig objects are scratch memory).

    dt   tick [s]
    """

    def __init__(self, kinematics: Kinematics, limits: MotionLimits, workspace: Workspace, dt: float) -> None:
        n = kinematics.spec.dof
        self.kinematics, self.limits, self.dt = kinematics, limits, dt
        self.v_max, self.a_max, self.j_max = (INSIDE * x for x in (limits.v_max, limits.a_max, limits.j_max))
        self._tool = ToolBound(kinematics)
        shrink = SLACK + self._tool.bulge(limits.v_max, limits.a_max, dt)  # the second term: between two ticks
        self._box = Workspace.of(tuple(workspace.low + shrink), tuple(workspace.high - shrink))
        self.fence = Fence(kinematics, limits, workspace)
        self._planner = ruckig.Ruckig(n)
        self._profile = ruckig.Trajectory(n)
        self._input = ruckig.InputParameter(n)
        self._input.control_interface = ruckig.ControlInterface.Velocity
        self._input.synchronization = ruckig.Synchronization.No
        self._input.max_velocity = list(self.v_max)
        self._input.max_acceleration = list(self.a_max)
        self._input.max_jerk = list(self.j_max)

    def rest(self, q: np.ndarray) -> Motion:
        """Standing at `q`."""
        zero = np.zeros_like(q, float)
        empty = Arc(np.array(q, float), zero, zero, np.zeros((1, len(q))), np.zeros((1, len(q))))
        return Motion(empty.position, zero, zero, empty)

    def inside(self, q: np.ndarray) -> bool:
        """Whether the arm may stand at `q`: joints within their ends, tool in the box."""
        within = bool(((q >= self.limits.q_min) & (q <= self.limits.q_max)).all())
        return within and bool(self._box.room(self.kinematics.tool(q))[0] >= 0)

    def step(self, motion: Motion, setpoint: Setpoint | None) -> tuple[Motion, Verdict]:
        """One tick on, towards the setpoint of that tick. Without one the verified stop is followed."""
        if setpoint is None:
            return self._follow(motion), PASS
        arc = self._plan(motion, setpoint)
        if arc is None:
            return self._follow(motion), Verdict(Stage.COMMIT, Reaction.LOG, "the planner found no motion: braking")
        proposal = self._verified(motion, arc)
        if proposal is None:
            return self._follow(motion), Verdict(Stage.COMMIT, Reaction.LOG, "no stop inside the limits: braking")
        return proposal, PASS

    def _plan(self, motion: Motion, setpoint: Setpoint) -> Arc | None:
        """The next tick as pieces of constant jerk: Ruckig's fastest way to the velocity that closes in on the setpoint.

        The goal is a velocity and not the setpoint itself: the fastest way to a near point that has to be passed at
        speed begins with a run-up away from it. On the path the goal is the path's own velocity and acceleration.
        """
        goal_v = setpoint.v + approach(setpoint.q - motion.q - self.dt * motion.v, self.limits)
        goal_a = setpoint.a + GAIN * (setpoint.v - motion.v)
        top = 0.9 * self.a_max
        goal_a = np.minimum(np.maximum(goal_a, -top), top)
        room = self.v_max - goal_a * goal_a / (2 * self.j_max)  # so that the velocity limit holds after the goal, too
        goal_v = np.minimum(np.maximum(goal_v, -room), room)
        given = self._input
        given.current_position, given.current_velocity = motion.q.tolist(), motion.v.tolist()
        given.current_acceleration = motion.a.tolist()
        given.target_velocity, given.target_acceleration = goal_v.tolist(), goal_a.tolist()
        try:
            if int(self._planner.calculate(given, self._profile)) < 0:
                return None
        except ruckig.RuckigError:
            return None
        durations, jerks = [], []
        for joint in self._profile.profiles[0]:
            durations.append([*joint.brake.t, *joint.t])
            jerks.append([*joint.brake.j, *joint.j])
        whole = Arc(motion.q, motion.v, motion.a, np.array(durations).T, np.array(jerks).T)
        return cut(whole, self.dt)

    def _verified(self, motion: Motion, arc: Arc) -> Motion | None:
        """The state at the end of the step, if the step and a stop from there stay inside every limit."""
        step_v, step_a, step_j = arc.peaks()
        p, v, a = arc.knots
        q, dq, ddq = p[-1], v[-1], a[-1]
        brake = stop(q, dq, ddq, self.a_max, self.j_max)
        stop_v, stop_a, _ = brake.peaks()
        v_peak, a_peak = np.maximum(step_v, stop_v), np.maximum(step_a, stop_a)
        loose = 1 + 1e-9  # rounding; INSIDE leaves a thousand times more room
        if not ((v_peak <= self.v_max * loose).all() and (a_peak <= self.a_max * loose).all()):
            return None
        if not (step_j <= self.j_max * loose).all():
            return None
        low, high = reach(brake)
        # Inside the tick a joint can pass beyond both its ends only by turning round.
        turn = np.where(motion.v * dq < 0, step_v * self.dt / 2, 0.0)
        if not ((low - turn >= self.limits.q_min) & (high + turn <= self.limits.q_max)).all():
            return None
        if not self._tool_inside(brake, v_peak, a_peak):
            return None
        return Motion(q, dq, ddq, brake)

    def _tool_inside(self, brake: Arc, v_peak: np.ndarray, a_peak: np.ndarray) -> bool:
        """Whether the tool stays in the box from here to rest; the step that leads here bulges by less than SLACK."""
        length = brake.duration
        path = brake.at(length * INSTANTS)[0]
        bulge = self._tool.bulge(v_peak, a_peak, length / (SAMPLES - 1))
        room = self._box.room(self.kinematics.tool(path))
        return bool((room >= max(0.0, bulge - SLACK)).all())

    def _follow(self, motion: Motion) -> Motion:
        if motion.at_rest:
            return motion
        played = motion.braked + self.dt
        if played >= motion.brake.duration:
            zero = np.zeros_like(motion.q)
            return Motion(motion.brake.knots[0][-1], zero, zero, motion.brake, played)
        p, v, a = motion.brake.at(np.array([played]))
        return Motion(p[0], v[0], a[0], motion.brake, played)
