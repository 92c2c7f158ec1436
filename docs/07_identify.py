"""System identification: from a log of a real arm to a simulation that moves as it does.

The "real" arm here is a simulated one whose wrist is stiffer to turn and whose servo is softer than described. Its log, with
sensor noise, is all that the identification sees. On a robot, `MotionLog.from_ticks` reads the log of the control loop.
"""

import numpy as np

from sim.env import ArmConfig, ArmVecEnv
from sim.variation.identify import MotionLog, identify

TASK = {"_target_": "sim.tasks.pick_place.PickPlace"}
SECRET = {"damping": {"joint5": 4.0}, "stiffness": {"joint6": 420.0}}


def swing(env: ArmVecEnv, seconds: float, rng: np.random.Generator) -> MotionLog:
    """Every joint moves as a sum of sines, wide and fast enough to feel damping and stiffness, within the joints' speed limits."""
    rate, home = env.spec.rate_hz, np.array(env.robot.q_home)
    t = np.arange(int(seconds * rate)) / rate
    speed, phase = rng.uniform(0.4, 1.3, (3, 7)), rng.uniform(0, 2 * np.pi, (3, 7))
    targets = home + 0.1 * np.minimum(t / 0.5, 1)[:, None] * np.sin(2 * np.pi * speed * t[:, None, None] + phase).sum(1)
    env.reset(np.array([0]))
    seen = []
    for target in targets:
        seen.append(np.concatenate(env.physics.joints(), 1)[0])
        env.step(np.append(target, 0.08)[None])
    noisy = np.array(seen) + rng.normal(0, [2e-4] * 7 + [5e-3] * 7, (len(t), 14))
    return MotionLog(t, np.concatenate([noisy[:1, :7], targets[:-1]]), noisy[:, :7], noisy[:, 7:])


settings = {"task": TASK, "action": "joint", "rate_hz": 50.0, "num_envs": 1, "threads": 1, "home_noise": 0.0}
robot = ArmVecEnv(ArmConfig(**settings, identified=SECRET))
log = swing(robot, 3.0, np.random.default_rng(0))
robot.close()

# A log that does not tell a parameter is refused: a slow joint, or damping and stiffness of one joint, which look alike here.
found = identify("panda", [log], ["damping:joint5", "stiffness:joint6"], noise=(2e-4, 5e-3))
print(found)

# The same values in a YAML: env.identified={damping: {joint5: ...}, ...}; env.randomize varies around them.
twin = ArmVecEnv(ArmConfig(**settings, identified=found.override()))
again = swing(twin, 3.0, np.random.default_rng(0))
print(f"the identified arm moves within {1000 * np.abs(again.q - log.q).max():.1f} mrad of the log")
twin.close()
