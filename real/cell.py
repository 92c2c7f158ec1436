"""`Cell`: an arm where it stands, and what it may do there. One file of configs/robot."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.config import locate
from data.errors import RobotError
from real.base import RobotSpec
from real.kinematics import Kinematics
from real.safety.commit import Committer
from real.safety.limits import MotionLimits
from real.safety.liveness import LivenessLimits
from real.safety.plausible import SampleLimits
from real.safety.timing import TimingLimits
from real.safety.workspace import Workspace
from real.settings import LoopSettings


@dataclass
class CellConfig:
    robot: str = "real.robots.panda.SPEC"  # dotted path of a RobotSpec
    workspace_low: list[float] = field(default_factory=list)  # corner of the box that the tool may not leave, base frame [m]
    workspace_high: list[float] = field(default_factory=list)  # the opposite corner [m]
    speed: float = 1.0  # share of the joints' speed limits, (0, 1]
    acceleration: float = 1.0  # share of their acceleration limits
    jerk: float = 1.0  # share of their jerk limits
    margin: float = 0.002  # distance kept from the ends of a joint [rad]
    watchdog: float = 0.1  # the arm stops by itself after so long without a command [s]
    late: float = 0.05  # a control tick that is later than this stops the arm [s]
    sample_age: float = 0.05  # so long without a reading stops the arm [s]
    tracking: float = 0.25  # distance between command and reading that stops the arm when it lasts for 50 ms [rad]
    heartbeat: float = 0.4  # so long without a sign of life of the policy stops the arm [s]
    chunk_end: float = 0.1  # so long past the end of the last action chunk stops the arm [s]
    observation: float = 1.5  # age of the observation that is acted on which stops the arm [s]


class Cell:
    Config = CellConfig

    def __init__(self, config: CellConfig) -> None:
        """Raises RobotError or ConfigError for limits that are none."""
        self.config = config
        self.robot: RobotSpec = locate(config.robot)
        if not isinstance(self.robot, RobotSpec):
            raise RobotError(f"{config.robot} is not a RobotSpec")
        self.kinematics = Kinematics(self.robot)
        self.limits = MotionLimits.of(self.robot, config.speed, config.acceleration, config.jerk, config.margin)
        self.workspace = Workspace.of(tuple(config.workspace_low), tuple(config.workspace_high))
        for name in ("watchdog", "late", "sample_age", "tracking", "heartbeat", "chunk_end", "observation"):
            if not 0 < getattr(config, name) < 60:
                raise RobotError(f"robot.{name}={getattr(config, name)!r}; it has to be positive and finite: no stage can be switched off")

    def committer(self, dt: float) -> Committer:
        return Committer(self.kinematics, self.limits, self.workspace, dt)

    def settings(self, dt: float, latency: float = 0.03) -> LoopSettings:
        """dt: of the control loop [s]."""
        c = self.config
        return LoopSettings(
            dt=dt,
            watchdog=c.watchdog,
            latency=latency,
            timing=TimingLimits(late=dt, stop=c.late),
            sample=SampleLimits(age=c.sample_age, tracking=c.tracking),
            liveness=LivenessLimits(heartbeat=c.heartbeat, chunk_end=c.chunk_end, observation=c.observation),
        )
