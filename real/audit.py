"""What a tick log proves: every limit recomputed from the numbers that were written, with none of the loop's code.

The loop's own verdicts are counted too, but no finding here rests on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from real.base import RobotSpec
from real.kinematics import Kinematics
from real.lifecycle import Phase
from real.log import Log
from real.safety.verdict import Stage
from real.safety.workspace import Workspace

TOLERANCE = 1e-9  # relative


@dataclass(frozen=True)
class Audit:
    """Counts of ticks, and samples to draw distributions from."""

    ticks: int
    active: int
    commanded_outside: dict[str, int]  # position, velocity, acceleration, jerk, workspace, width -> ticks
    measured_outside: dict[str, int]  # position, velocity -> ticks
    peak: dict[str, float]  # velocity, acceleration, jerk -> largest share of the limit that was commanded
    interventions: dict[str, int]  # stage -> ticks
    lateness: np.ndarray  # (ticks,) [s]
    compute: np.ndarray  # (ticks,) [s], from the wake-up to the write
    latency: np.ndarray  # (chunks,) [s], from an observation to the first tick that followed its chunk
    tracking: float  # largest distance between command and reading [rad]
    whole: bool  # the log was read to its end

    @property
    def outside(self) -> int:
        """Commanded ticks outside any limit, each counted once per kind of limit."""
        return sum(self.commanded_outside.values())


def audit(log: Log, spec: RobotSpec, workspace: Workspace, dt: float) -> Audit:
    """dt: of the control loop [s]."""
    ticks = log.ticks
    wrote = ticks[ticks["wrote"] == 1]
    counts = dict.fromkeys(("position", "velocity", "acceleration", "jerk", "workspace", "width"), 0)
    peak = dict.fromkeys(("velocity", "acceleration", "jerk"), 0.0)
    for segment in np.unique(wrote["segment"]):
        part = wrote[wrote["segment"] == segment]
        for name, (count, share) in _differences(part, spec, dt).items():
            counts[name] += count
            peak[name] = max(peak[name], share)
    q = wrote["q_wire"]
    counts["position"] = _outside(q, spec.q_min, spec.q_max)
    width = wrote["width_wire"]
    counts["width"] = int((~((width >= 0) & (width <= spec.gripper_max_width))).sum())
    tool = _tool(Kinematics(spec), q)
    counts["workspace"] = int((~(workspace.room(tool) >= 0)).sum()) if len(tool) else 0
    speed = np.array(spec.dq_max)
    measured = {
        "position": _outside(ticks["q"], spec.q_min, spec.q_max),
        "velocity": int((~(np.abs(ticks["dq"]) <= speed).all(1)).sum()) if len(ticks) else 0,
    }
    fresh = ticks[(ticks["chunk"] > 0) & (ticks["phase"] == Phase.ACTIVE)]
    _, first = np.unique(fresh["chunk"], return_index=True)
    gap = np.abs(wrote["q_wire"] - wrote["q"])
    return Audit(
        ticks=len(ticks),
        active=int((ticks["phase"] == Phase.ACTIVE).sum()),
        commanded_outside=counts,
        measured_outside=measured,
        peak=peak,
        interventions={s.name.lower(): int(((ticks["stages"] & int(s)) != 0).sum()) for s in Stage if s and s.name},
        lateness=ticks["lateness"].copy(),
        compute=ticks["compute"].copy(),
        latency=fresh["chunk_age"][first],
        tracking=float(gap.max()) if gap.size else 0.0,
        whole=log.whole,
    )


def _outside(q: np.ndarray, low: tuple[float, ...], high: tuple[float, ...]) -> int:
    return int((~((q >= np.array(low)) & (q <= np.array(high))).all(1)).sum()) if len(q) else 0


def _differences(part: np.ndarray, spec: RobotSpec, dt: float) -> dict[str, tuple[int, float]]:
    """Per kind of limit: ticks outside, largest share. By finite differences and by the profile's own v and a."""
    q = np.concatenate([np.repeat(part["q_wire"][:1], 3, 0), part["q_wire"]])  # every segment begins at rest
    found = {}
    for order, name, limit, profile in (
        (1, "velocity", spec.dq_max, part["v"]),
        (2, "acceleration", spec.ddq_max, part["a"]),
        (3, "jerk", spec.dddq_max, None),
    ):
        bound = np.array(limit)
        value = np.abs(np.diff(q, order, axis=0) / dt**order)[-len(part) :]
        bad = ~(value <= bound * (1 + TOLERANCE)).all(1)
        if profile is not None:
            bad |= ~(np.abs(profile) <= bound * (1 + TOLERANCE)).all(1)
        found[name] = (int(bad.sum()), float((value / bound).max()))
    return found


def _tool(kinematics: Kinematics, q: np.ndarray) -> np.ndarray:
    parts = [kinematics.joint_origins(q[i : i + 4096])[:, -1] for i in range(0, len(q), 4096)]
    return np.concatenate(parts) if parts else np.zeros((0, 3))
