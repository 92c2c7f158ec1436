"""What the price of another process is compared with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from data.errors import ConfigError
from sim.foreign import direct
from sim.gym import GymConfig, plan_of
from tests.sim.open_toy import BLIND, SETTINGS
from waldo.benchmarks.foreign import SEVERAL, measure, step_times


def test_the_plain_loop_steps_the_environment_itself():
    config = GymConfig(**{**SETTINGS, **BLIND, "kwargs": {"ends": 4}})
    words = [sys.executable, str(Path(direct.__file__)), json.dumps(plan_of(config)), "2"]
    done = subprocess.run(words, input="10\n20\n", capture_output=True, text=True, check=True)
    ready, *times = done.stdout.split()
    assert ready == "ready" and len(times) == 2 and all(0 < float(time) < 0.1 for time in times)


@pytest.mark.slow
def test_every_way_is_measured_as_often():
    times = step_times(GymConfig(**{**SETTINGS, **BLIND, "max_steps": 30, "kwargs": {}}), 0.0)
    assert set(times) == {"one", "one, a process", "several", "several, a process", "several, all cores", "one, AsyncVectorEnv"}
    assert {len(values) for values in times.values()} == {5} and all((values > 0).all() for values in times.values())
    # A process costs something, and less for each of several that share it.
    cost = {name: times[f"{name}, a process"].min() - times[name].min() for name in ("one", "several")}
    assert SEVERAL > 1 and cost["one"] > cost["several"] > 0


def test_an_environment_that_is_none_of_gymnasiums_is_one_clear_error():
    with pytest.raises(ConfigError, match="environment=pick_place is no environment of Gymnasium's; .*pusht"):
        measure(OmegaConf.create({"environment": "pick_place", "seconds": 1.0}))
