"""Opens the environment of toy.py."""

from pathlib import Path

from sim.gym import GymConfig, GymVecEnv

TOY = Path(__file__).with_name("toy.py")
SETTINGS = {
    "id": "Toy-v0",
    "hook": str(TOY),
    "task": "toy_task",
    "robot": "toy",
    "max_steps": 12,
    "images": True,
    "observations": {
        "observation.state": {"key": "agent.position", "names": ["x", "y"], "units": "m"},
        "observation.environment_state": {
            "keys": ["agent.time", "mood", "odd.1"],
            "names": ["time", "mood", "n0..2"],
            "units": ["s", "4*1"],
        },
        "observation.images.top": {"key": "pixels", "shape": [4, 6, 3]},
        "observation.images.side": {"render": True, "shape": [12, 16, 3]},
    },
    "action_names": ["vx", "vy"],
    "action_unit": "m/s",
    "success_key": "done.well",
    "start_timeout": 60.0,
}
BLIND = {"observations": {"observation.state": SETTINGS["observations"]["observation.state"]}}


def open_toy(num_envs=4, fault="", at=3, seeds=(), kwargs=None, **options):
    kwargs = {"fault": fault, "at": at, "seeds": list(seeds), "render_mode": "rgb_array", **(kwargs or {})}
    return GymVecEnv(GymConfig(**{**SETTINGS, "kwargs": kwargs, "num_envs": num_envs, **options}))
