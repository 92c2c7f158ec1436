"""Limits of another arm: another robot, actions beyond what the environment takes, actions that were cut where the arm went further."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

import real.robots
from data.checks import GRIPPER
from policies.diagnosis import CERTAIN, Alarm
from real.base import RobotSpec
from waldo.diagnosis import Trial, replay
from waldo.diagnosis.hypotheses import OFF, distance

BEYOND = 0.01  # share of recorded actions; a demonstrator of this environment never gets beyond its bounds
HAIR = 1e-3  # of the bounds
CUT = 0.05  # share of samples exactly at one value, as in data/checks/clipped.py: a motion that turns round by itself leaves one
PACES = 3.0  # frames of motion beyond a cut: overshoot is less than one
CURBED = 0.02  # share of replayed steps that the environment cut; none of a recording of the same arm
CAUSE = "another arm's limits"


def check(trial: Trial) -> list[Alarm]:
    return [*_named(trial), *_outside(trial), *_cut(trial), *_normalised(trial), *_curbed(trial)]


def _named(trial: Trial) -> list[Alarm]:
    """By what the policy, the recording and the environment say."""
    study = trial.study
    robots = {"the policy": study.policy.spec.robot, "the recording": study.part.offer.robot}
    if trial.env is not None:
        robots["the environment"] = trial.env.spec.robot
    if len(set(robots.values())) < 2:
        return []
    text = ", ".join(f"{who} is of {robot!r}" for who, robot in robots.items())
    return [_alarm(CERTAIN, text, f"env.robot={study.policy.spec.robot}, or train on recordings of the other arm")]


def _outside(trial: Trial) -> list[Alarm]:
    """Recorded actions outside of the environment's bounds."""
    if trial.env is None or not trial.partners:
        return []
    low, high = trial.env.action_low, trial.env.action_high
    actions = _smooth(np.concatenate([trial.study.table(["action"], int(e))["action"] for e in trial.sample]))
    span = high - low
    share = ((actions < low - HAIR * span) | (actions > high + HAIR * span)).mean(0)
    i = int(np.argmax(share))
    if share[i] <= BEYOND:
        return []
    name = trial.study.policy.spec.action.names[i]
    text = f"{100 * share[i]:.0f} % of the recorded actions have {name} outside of {low[i]:.4g} to {high[i]:.4g}, which is all that the environment takes"
    return [_alarm(0.9 * CERTAIN, text, "use the arm that was recorded: env.robot=..., or record with this one")]


def _cut(trial: Trial) -> list[Alarm]:
    """Actions that stay exactly at one value while the recorded arm goes beyond it."""
    study = trial.study
    offer = study.part.offer
    names = [p for p in replay.partners_of(offer.action, offer.observations) if not any(word in p.name.lower() for word in GRIPPER)]
    if not names or not offer.action.absolute:
        return []
    table = study.dataset.table([*sorted({p.feature for p in names}), "action"])
    rows = np.concatenate([np.arange(study.starts[e], study.ends[e]) for e in study.trained])
    paces = {p: float(np.sqrt((np.diff(table[p.feature][rows, p.index].astype(float)) ** 2).mean())) for p in names}
    found, arms = [], set(robots())
    for p in names:
        action, state = (np.asarray(v, float) for v in (table["action"][rows, p.element], table[p.feature][rows, p.index]))
        like = max(paces[q] for q in names if q.unit == p.unit)
        for end, sign in ((action.max(), 1.0), (action.min(), -1.0)):
            at = action == end
            beyond = at & (sign * (state - end) > PACES * max(like, 1e-6))
            if at.mean() > CUT and beyond.mean() > CUT / 2:
                found.append(
                    f"{p.name} is exactly {end:.4g} in {100 * at.mean():.0f} % of the actions, and the arm went on to {np.max(sign * state) * sign:.4g}"
                )
                arms &= {name for name, spec in robots().items() if _is_limit(spec, p.name, float(end))}
    if not found:
        return []
    named = f"; these are the limits of {' or '.join(sorted(arms - {offer.robot}))}" if arms - {offer.robot} else ""
    return [
        _alarm(0.95 * CERTAIN, "; ".join(found[:3]) + named, "record the actions as they were commanded, without limits of another arm")
    ]


def _normalised(trial: Trial) -> list[Alarm]:
    """Ranges of the checkpoint's actions that are the limits of an arm, and not what was recorded."""
    study = trial.study
    names = study.policy.spec.action.names
    (low, high), (least, most) = study.normalizer.ranges["action"], study.ranges["action"]
    off = [
        i for i in range(len(names)) for mine, true in ((low[i], least[i]), (high[i], most[i])) if abs(mine - true) > 1e-3 * (1 + abs(true))
    ]
    if len(off) < 2:
        return []
    for name, spec in robots().items():
        at = [i for i in off if _is_limit(spec, names[i], float(low[i])) or _is_limit(spec, names[i], float(high[i]))]
        if len(at) >= 2 and len(at) >= len(set(off)) / 2:
            text = f"the checkpoint holds actions within the limits of {name}, not within what was recorded ({len(set(at))} elements)"
            return [_alarm(CERTAIN, text, f"waldo train {study.settings}")]
    return []


def _curbed(trial: Trial) -> list[Alarm]:
    """Recorded actions, done again, that the environment cuts."""
    if trial.asis is None or not distance(trial) > OFF:
        return []
    share = float(np.mean(np.concatenate(trial.asis.limited)))
    if share <= CURBED:
        return []
    text = f"done again, {100 * share:.0f} % of the recorded actions are beyond what the environment's arm may do, "
    text += f"and it is {distance(trial):.2g} frames of motion away from the recorded one"
    return [
        Alarm(
            CAUSE, "limits", "likely", 6.0, text, _WHY, "compare the limits of the two arms; the recorded one was faster or reached further"
        )
    ]


_WHY = "what was shown cannot be done with the limits that hold here"


def _alarm(odds: float, text: str, step: str) -> Alarm:
    return Alarm(CAUSE, "limits", "certain", odds, text, _WHY, step)


def _smooth(actions: np.ndarray) -> np.ndarray:
    """Medians of five frames: single wrong actions are another cause's."""
    return np.median(np.lib.stride_tricks.sliding_window_view(np.pad(actions, ((2, 2), (0, 0)), mode="edge"), 5, 0), -1)


def robots() -> dict[str, RobotSpec]:
    """The arms that are known here."""
    names = sorted(path.stem for path in Path(real.robots.__path__[0]).glob("*.py") if path.stem != "__init__")
    return {spec.name: spec for name in names if (spec := getattr(importlib.import_module(f"real.robots.{name}"), "SPEC", None))}


def _is_limit(spec: RobotSpec, joint: str, value: float) -> bool:
    digits = "".join(c for c in joint if c.isdigit())
    i = int(digits) - 1 if digits else -1
    return 0 <= i < len(spec.q_min) and min(abs(value - spec.q_min[i]), abs(value - spec.q_max[i])) < 2e-4
