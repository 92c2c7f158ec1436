"""Drive an exported policy on an arm, with every safety stage in force.

The arm is a virtual one: a process with MuJoCo in real time, its own controller and its own watchdog, reached through a
local socket like hardware would be. The policy runs in a process of its own and only proposes waypoints; the control
loop, 500 times a second, lets through what stays inside every limit of the robot and from which the arm can still stop
inside them. There is no option that switches a stage off.

What the policy is told about the objects is the simulator's ground truth; no camera is involved. This is not a
safety-rated system, and a software stop is not an emergency stop: an arm of metal needs a hard-wired one.

At the end: successes, commanded ticks outside limits (recomputed from the log by other code), measured ticks outside
limits, interventions of each stage, lateness and latency, and what stopped each episode. `ticks.log` holds every tick,
`history/` what is needed to draw a film. Ctrl-C brakes, holds, and keeps what was finished.

examples:
  waldo run artefact=outputs/artefact episodes=20
  waldo run artefact=outputs/artefact clock=step        the same result on any machine, however busy
  waldo run artefact=outputs/artefact robot.speed=0.5
  waldo run artefact=outputs/artefact kill_policy_after=2.0
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from data.config import build
from data.errors import ConfigError, RobotError, WaldoError, did_you_mean
from data.results import EpisodeLog, Figure, write_atomic
from data.statistics import success_rate
from real.audit import Audit, audit
from real.cell import Cell
from real.clock import StepClock, WallClock
from real.drivers.virtual import VirtualArm
from real.log import LogWriter, read_log
from real.loop import ControlLoop
from real.operator import Operator
from real.policy_link import PolicyProcess
from real.policy_process import Settings
from real.realtime import on_time
from real.session import Episode, Session
from real.virtual_process import VirtualArmProcess

TICKS = "ticks.log"
CLOCKS = ("wall", "step")
HEAVY = {"torch", "onnxruntime", "cv2", "mujoco"}


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    """In this process if it is light; in one of its own if somebody has loaded what a control loop must not share with."""
    if not HEAVY & set(sys.modules):
        return _control(cfg, out)
    (out / "control.yaml").write_text(OmegaConf.to_yaml(cfg), encoding="utf-8")
    # In a session of its own, so that it hears Ctrl-C once, from here; it brakes, and this process waits.
    process = subprocess.Popen([sys.executable, "-m", "waldo.run", str(out)], start_new_session=True)
    before = {s: signal.signal(s, lambda number, frame: process.send_signal(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return _answer(out)


def _answer(out: Path) -> list[Figure]:
    """What the control process left behind. Raises what it raised."""
    path = out / "control.json"
    if not path.exists():
        raise RobotError("the control process ended without an answer; the arm's own watchdog stops the arm")
    what = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    (out / "control.yaml").unlink()
    if "interrupted" in what:
        raise KeyboardInterrupt(what["interrupted"])
    if "error" in what:
        raise RobotError(what["error"])
    return [Figure(**figure) for figure in what["figures"]]


def main(out: Path) -> int:
    """The control process: `python -m waldo.run FOLDER`, started by run()."""
    cfg = OmegaConf.load(out / "control.yaml")
    assert isinstance(cfg, DictConfig)
    what: dict[str, object]
    try:
        what = {"figures": [dataclasses.asdict(figure) for figure in _control(cfg, out)]}
    except KeyboardInterrupt as stop:
        what = {"interrupted": str(stop)}
    except WaldoError as error:
        what = {"error": str(error)}
    write_atomic(out / "control.json", json.dumps(what))
    return 0


def _control(cfg: DictConfig, out: Path) -> list[Figure]:
    cell, dt, lockstep = _checked(cfg, out)
    folder = Path(tempfile.mkdtemp(prefix="waldo-"))  # mode 0700: only this user can reach the arm
    processes: list[VirtualArmProcess | PolicyProcess] = []
    try:
        arm = VirtualArmProcess(folder, OmegaConf.to_container(cfg.env, resolve=True), lockstep)
        processes.append(arm)
        arm.await_ready()
        policy = PolicyProcess(cell.robot.dof)
        processes.append(policy)
        settings = Settings(
            load=cfg.load,
            artefact=str(Path(cfg.artefact).resolve()),
            robot=cell.config.robot,
            perception=str(arm.stage),
            lockstep=lockstep,
            perception_hz=cfg.perception_hz,
            proposals=cfg.proposals,
        )
        policy.start(settings)
        rows, interrupted, killed = _episodes(cfg, out, cell, dt, arm, policy)
    finally:
        for process in reversed(processes):
            process.close()
        shutil.rmtree(folder, ignore_errors=True)
    found = audit(read_log(out / TICKS), cell.robot, cell.workspace, dt)
    np.savez(out / "timing.npz", lateness=found.lateness, compute=found.compute, latency=found.latency)
    figures = _figures(rows, found, killed)
    _report(rows, found)
    if interrupted:
        raise KeyboardInterrupt(f"the arm was stopped and holds; {len(rows)} of {cfg.episodes} episodes are kept in {out}")
    if not killed and any("policy process has died" in row.stopped_by for row in rows):
        raise RobotError(f"the policy process died; the arm was stopped. {len(rows)} episodes are kept in {out}")
    return figures


def _checked(cfg: DictConfig, out: Path) -> tuple[Cell, float, bool]:
    """Raises ConfigError or RobotError before anything is started."""
    if cfg.clock not in CLOCKS:
        raise ConfigError(f"clock={cfg.clock}; {did_you_mean(cfg.clock, CLOCKS)}")
    for name in ("episodes", "time_limit", "rate_hz", "perception_hz", "latency", "proposals"):
        if not 0 < cfg[name] < 1e6:
            raise ConfigError(f"{name}={cfg[name]}; it has to be positive")
    if not cfg.env:
        raise ConfigError("env=none: an arm needs a task; env=pick_place is one")
    if (out / TICKS).exists():
        raise RobotError(f"{out} holds the log of an earlier run, which is not overwritten; choose another out=")
    if cfg.load.startswith("policies.") and not Path(cfg.artefact).is_dir():
        raise ConfigError(f"there is no artefact at {cfg.artefact}; `waldo export` writes one")
    return build(cfg.robot), 1.0 / cfg.rate_hz, cfg.clock == "step"


def _episodes(
    cfg: DictConfig, out: Path, cell: Cell, dt: float, arm: VirtualArmProcess, policy: PolicyProcess
) -> tuple[list[Episode], bool, bool]:
    """The rows of the episodes that were finished; whether it was interrupted; whether the drill killed the policy."""
    operator = Operator(arm.stage)
    offered, robot_hash = operator.offered()
    spec, made_for = policy.greeting()
    lockstep = cfg.clock == "step"
    header = {
        "dof": cell.robot.dof,
        "dt": dt,
        "robot": cell.robot.name,
        "robot_hash": robot_hash,
        "spec": spec.to_json(),
        "spec_hash": spec.hash(),
        "cell": dataclasses.asdict(cell.config),
        "clock": cfg.clock,
    }
    log = LogWriter(out / TICKS, header)
    clock = StepClock() if lockstep else WallClock()
    loop = ControlLoop(VirtualArm(cell.robot, arm.wire), clock, cell.committer(dt), policy, log, cell.settings(dt, cfg.latency))
    rows: list[Episode] = []
    try:
        loop.connect()
        loop.check(spec, offered, made_for)
        with contextlib.ExitStack() as stack:
            refused = [] if lockstep else stack.enter_context(on_time(priority=40))
            session = stack.enter_context(Session(loop, operator, policy, lockstep))
            kept = stack.enter_context(EpisodeLog(out / "episodes.jsonl"))
            if refused:
                print(f"not granted by this system: {', '.join(refused)}; ticks may come later")
            for i in range(cfg.episodes):
                row = session.episode(cfg.seed + i, cfg.time_limit, cfg.kill_policy_after)
                _keep(row, operator, out)
                kept.append(dataclasses.asdict(row))
                rows.append(row)
                print(_line(i, cfg.episodes, row), flush=True)
                if session.interrupted or not policy.alive():
                    break
                session.between(cfg.clear_faults)
            return rows, session.interrupted, session.killed
    finally:
        loop.close()
        log.close()
        operator.close()


def _keep(row: Episode, operator: Operator, out: Path) -> None:
    """What a film of the episode can be drawn from later."""
    times, states = operator.history()
    (out / "history").mkdir(exist_ok=True)
    np.savez(out / "history" / f"seed_{row.seed}.npz", t=times, state=states)


def _line(i: int, n: int, row: Episode) -> str:
    outcome = "success" if row.success else "failure"
    by = f" [{row.stage}]" if row.stage else ""
    return (
        f"episode {i + 1}/{n}, seed {row.seed}: {outcome} after {row.seconds:.2f} s; stopped{by}: {row.stopped_by}; "
        f"at rest {row.stop_ticks} ticks later, standstill measured after {row.still_ticks}"
    )


def _figures(rows: list[Episode], found: Audit, killed: bool) -> list[Figure]:
    wins, n = sum(row.success for row in rows), len(rows)
    figures = [
        success_rate("success", wins, n),
        Figure("ticks", found.ticks, "", found.ticks),
        Figure("ticks_outside/commanded", found.outside, "", found.ticks),
        *(Figure(f"ticks_outside/measured_{k}", v, "", found.ticks) for k, v in found.measured_outside.items()),
        *(Figure(f"peak/{k}", v, "of the limit", found.ticks) for k, v in found.peak.items()),
        Figure("peak/tracking", found.tracking, "rad", found.ticks),
        *(Figure(f"interventions/{k}", v, "ticks", found.ticks) for k, v in found.interventions.items()),
        Figure("faults", sum(row.fault for row in rows), "", n),
        *_spread("lateness", found.lateness),
        *_spread("compute", found.compute),
        *_spread("policy_latency", found.latency),
    ]
    if killed:
        last = rows[-1]
        figures += [Figure("drill/stop_ticks", last.stop_ticks, "ticks", 1), Figure("drill/still_ticks", last.still_ticks, "ticks", 1)]
    return figures


def _spread(name: str, seconds: np.ndarray) -> list[Figure]:
    if not len(seconds):
        return []
    return [
        Figure(f"{name}/{k}", float(np.percentile(seconds, p)) * 1e3, "ms", len(seconds))
        for k, p in (("p50", 50), ("p99", 99), ("max", 100))
    ]


def _report(rows: list[Episode], found: Audit) -> None:
    wins = sum(row.success for row in rows)
    print(f"\n{wins} of {len(rows)} episodes succeeded; {found.ticks} ticks, {found.active} of them with the policy in charge")
    print("commanded ticks outside a limit: " + ", ".join(f"{k} {v}" for k, v in found.commanded_outside.items()))
    print("measured ticks outside a limit:  " + ", ".join(f"{k} {v}" for k, v in found.measured_outside.items()))
    print("ticks in which a stage stepped in: " + ", ".join(f"{k} {v}" for k, v in found.interventions.items()))
    for name, seconds in (("tick lateness", found.lateness), ("tick compute", found.compute), ("policy latency", found.latency)):
        if len(seconds):
            p50, p99, top = np.percentile(seconds, [50, 99, 100]) * 1e3
            print(f"{name:<15} p50 {p50:.3f} ms   p99 {p99:.3f} ms   max {top:.3f} ms")
    if not found.whole:
        print("the end of the tick log is damaged; what lies before it was read")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
