"""Add a task: one Python file and one YAML, and every command knows it.

Here both are written to a folder of yours, `mine/`, and the command line is told where they are. Inside this repository
they would be `sim/tasks/lift.py` and `configs/env/lift.yaml`, and `tests/test_contracts.py` would test them unasked.
"""

import os
import subprocess
import sys
from pathlib import Path

from data.results import read_summary

TASK = '''
"""Lift the cube of pick_place by 10 cm."""

from dataclasses import dataclass, field

from sim.tasks.pick_place import PickPlace, PickPlaceConfig, PickPlaceExpert


@dataclass
class LiftConfig(PickPlaceConfig):
    height: float = 0.1  # how high counts [m]


class Lift(PickPlace):
    Config = LiftConfig
    name = "lift"
    instruction = "Lift the cube."
    milestones = ()  # the steps on the way, for reports: see PickPlace.reached

    def success(self, physics):
        return physics.body("cube")[0][:, 2] > self.config.height


class LiftExpert(PickPlaceExpert):
    def plan(self):
        """A demonstrator moves its hand, one yield per control step, from what it sees in `self.obs`."""
        yield from self._grasp(miss=False)
        yield from self.hand.wait(0.5)
'''
CONFIG = """
# Lift the cube.
_target_: sim.env.ArmVecEnv
task: {_target_: lift.Lift, cube_yaw: 0.3}
expert: lift.LiftExpert
num_envs: 4
max_steps: 160
"""
mine = Path("mine/env")
mine.mkdir(parents=True)
(mine / "lift.yaml").write_text(CONFIG.lstrip())
Path("lift.py").write_text(TASK.lstrip())

# As in a shell: PYTHONPATH=. waldo collect --config-dir mine env=lift env.task.height=0.08 episodes=4 ...
command = (
    "collect --config-dir mine env=lift env.task.height=0.08 episodes=4 styles.sloppy=0 images=false dataset=datasets/lift out=outputs/lift"
)
environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])}
done = subprocess.run([sys.executable, "-m", "waldo", *command.split()], env=environment, check=True, capture_output=True, text=True)
print(done.stdout.strip())
for figure in read_summary(Path("outputs/lift"))[2]:
    print(figure)
