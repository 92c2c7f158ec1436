"""Episodes that begin where no demonstration began, and episodes that come to where no demonstration has been."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from policies.diagnosis import Alarm
from waldo.diagnosis import Trial

# A demonstration that is left out is as far from the nearest other one as an episode of the same kind would be: beyond the farthest of
# n demonstrations lies one episode in n + 1. So many decimal orders against that.
ODDS = 4.0
FEWEST = 8  # demonstrations and episodes
# A policy that works stays near; one that fails goes astray whatever the cause.
FAILING = 0.5
FRAMES = 3000


def check(trial: Trial) -> list[Alarm]:
    traces = [o.trace for o in trial.outcomes if o.trace]
    study = trial.study
    if len(traces) < FEWEST or len(study.trained) < FEWEST or not study.vectors:
        return []
    return [*_begins(trial, traces), *_leaves(trial, traces)]


def _begins(trial: Trial, traces: list[Mapping[str, np.ndarray]]) -> list[Alarm]:
    from scipy.stats import binom

    study = trial.study
    rows = study.starts[study.trained]
    shown = _encoded(trial, {name: study.columns[name][rows] for name in study.vectors})
    met = _encoded(trial, {name: np.stack([trace[name][0] for trace in traces]) for name in study.vectors})
    among = _nearest(shown, shown, itself=True)
    far = _nearest(met, shown)
    beyond = int((far > among.max()).sum())
    odds = float(-binom.logsf(beyond - 1, len(far), 1 / (len(among) + 1)) / np.log(10)) if beyond else 0.0
    if odds < ODDS:
        return []
    text = (
        f"{beyond} of {len(far)} episodes begin farther from the nearest demonstration ({np.median(far):.3g}) than any demonstration from "
    )
    text += f"its nearest ({among.max():.3g} of half a range): {_where(trial, shown, met)}"
    why = "a policy knows what to do only near to what it was shown"
    step = f"record demonstrations there, or evaluate where they were recorded: {_recorded(trial)}"
    return [Alarm("out-of-distribution start", "elsewhere", "likely", min(odds, 20.0), text, why, step)]


def _leaves(trial: Trial, traces: list[Mapping[str, np.ndarray]]) -> list[Alarm]:
    if trial.rate >= FAILING or trial.env is None:
        return []
    times, n = astray(trial)
    if len(times) < n / 2:
        return []
    text = f"{len(times)} of {n} episodes come to where no demonstration has been, after {np.median(times) / trial.env.spec.rate_hz:.2g} s in the median"
    why = "from there on it does what nobody showed it"
    step = f"more demonstrations, also of corrections, or a shorter n_action_steps: waldo train {trial.study.settings}"
    return [Alarm("leaves the demonstrations", "elsewhere", "symptom", 2.0, text, why, step)]


def astray(trial: Trial) -> tuple[np.ndarray, int]:
    """(control step at which each episode that does leaves the demonstrations for good, number of episodes)."""
    study = trial.study
    frames = study.frames(study.trained, FRAMES, 100)
    shown = _encoded(trial, {name: study.columns[name][frames.frame] for name in study.vectors})
    halves = np.isin(frames.episode, np.unique(frames.episode)[::2])
    limit = float(np.quantile(_nearest(shown[halves], shown[~halves]), 0.999)) if halves.any() and not halves.all() else np.inf
    times = []
    traces = [o.trace for o in trial.outcomes if o.trace]
    for trace in traces:
        far = _nearest(_encoded(trial, {name: trace[name] for name in study.vectors}), shown) > limit
        if far[-3:].all():
            times.append(len(far) - int(np.argmin(far[::-1])) if not far.all() else 0)
    return np.array(times), len(traces)


def _encoded(trial: Trial, values: dict[str, np.ndarray]) -> np.ndarray:
    encode = trial.study.true_normalizer.encode
    return np.concatenate([encode(name, np.asarray(v, np.float32)) for name, v in values.items()], 1)


def _nearest(a: np.ndarray, b: np.ndarray, itself: bool = False) -> np.ndarray:
    """(n,) distance of each row to the nearest of the others, root mean square over the elements."""
    far = ((a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)).clip(0)
    if itself:
        np.fill_diagonal(far, np.inf)
    return np.sqrt(far.min(1) / a.shape[1])


def _where(trial: Trial, shown: np.ndarray, met: np.ndarray) -> str:
    """The element that differs most."""
    study = trial.study
    rows = study.starts[study.trained]
    worst = ("", 0.0)
    for feature in (f for f in study.policy.spec.observations if not f.is_image):
        values = study.columns[feature.name][rows].astype(float)
        here = np.stack([o.trace[feature.name][0] for o in trial.outcomes if o.trace]).astype(float)
        low, high = values.min(0), values.max(0)
        off = np.maximum(low - np.median(here, 0), np.median(here, 0) - high) / np.maximum(high - low, 1e-3)
        i = int(np.argmax(off))
        if off[i] > worst[1]:
            label = feature.names[i] if i < len(feature.names) else f"{feature.name}[{i}]"
            worst = (
                f"{label} begins at {np.median(here[:, i]):.4g}, in the recording between {low[i]:.4g} and {high[i]:.4g}",
                float(off[i]),
            )
    return worst[0] or "no single element says it, their combination does"


def _recorded(trial: Trial) -> str:
    """What the recording says of its environment that is another one here."""
    then = trial.study.dataset.provenance.get("environment")
    now = getattr(trial.env, "config", None)
    if not isinstance(then, dict) or now is None:
        return "compare the environment with that of the recording"
    apart = [
        f"env.{key}={value}"
        for key, value in then.items()
        if hasattr(now, key) and getattr(now, key) != value and not isinstance(value, dict)
    ]
    task = then.get("task") if isinstance(then.get("task"), dict) else {}
    here = getattr(now, "task", {})
    apart += [f"env.task.{key}={value}" for key, value in (task or {}).items() if dict(here).get(key) != value]
    return " ".join(apart[:6]) or "its settings are those of the recording"
