"""Chunks that take longer to make than to do."""

from __future__ import annotations

import functools
import time

import numpy as np

from policies.diagnosis import Alarm
from waldo.diagnosis import Trial

TRIES = 7


def check(trial: Trial) -> list[Alarm]:
    spec = trial.study.policy.spec
    budget = spec.n_action_steps / spec.rate_hz
    fastest = float(min(chunk_seconds(trial)))  # what is busy elsewhere only makes it slower
    if fastest <= budget:
        return []
    text = f"a chunk takes {1000 * fastest:.0f} ms at best, and is done in {1000 * budget:.0f} ms ({spec.n_action_steps} actions at {spec.rate_hz:g} Hz)"
    step = "fewer policy.steps, a smaller network, more n_action_steps, or the artefact: waldo export"
    return [Alarm("too slow", "latency", "symptom", 3.0, text, "a simulation waits for it, a robot does not", step)]


@functools.lru_cache(maxsize=2)
def chunk_seconds(trial: Trial) -> tuple[float, ...]:
    """Of one observation's chunk, several times [s]."""
    frames = trial.study.familiar
    one = {name: values[:1] for name, values in frames.observations.items()}
    spent = []
    for _ in range(TRIES):
        began = time.perf_counter()
        trial.study.policy.sample(one, 1, np.zeros(1, np.uint64))
        spent.append(time.perf_counter() - began)
    return tuple(spent)
