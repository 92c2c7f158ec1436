"""Recordings with one defect each, and the finding that it has to be: `DEFECTS`."""

from __future__ import annotations

import numpy as np

from data.source import Table
from tests.data.recorded import CAMERA, EPISODES, FPS, LENGTH, NAMES, Recorded, motion


def nan(s: Recorded) -> None:
    s.arrays[2]["action"][30, [0, 5]] = np.nan
    s.arrays[4]["action"][3, 5] = np.inf


def nan_at_the_end(s: Recorded) -> None:
    s.arrays[2]["action"][75:, 1] = np.nan


def spike(s: Recorded) -> None:
    s.arrays[3]["observation.state"][40, 1] += 3


def mixed_up(s: Recorded) -> None:
    """Every fifth action is that of another moment."""
    for table in s.arrays:
        x = table["action"][:, 0]
        x[2::5] = np.roll(x[2::5], len(x[2::5]) // 2)


def teleport(s: Recorded) -> None:
    s.arrays[1]["observation.state"][50:, 2] += 4


def turned_over(s: Recorded) -> None:
    s.arrays[5]["observation.state"][20:21, 3:7] = [0, 1, 0, 0]


def undeclared_angle(s: Recorded) -> None:
    turning = np.concatenate([np.linspace(-3, 6, LENGTH)[:, None], np.linspace(0, 1, LENGTH)[:, None]], 1)
    s.add_column("observation.heading", lambda table: (turning + np.pi) % (2 * np.pi) - np.pi, names=["yaw", "pitch"], units=["rad", "rad"])


def not_of_norm_one(s: Recorded) -> None:
    s.arrays[2]["action"][10:12, 3:7] *= 1.2


def rounded(s: Recorded) -> None:
    s.arrays[2]["action"][10:12, 3:7] *= 1.01


def sign_flip(s: Recorded) -> None:
    s.arrays[2]["observation.state"][33:, 3:7] *= -1


def constant(s: Recorded) -> None:
    s.add_column("observation.bin", lambda table: np.full((LENGTH, 2), 0.5), names=["bin_x", "bin_y"], units=["m", "m"])


def dead_joint(s: Recorded) -> None:
    for table in s.arrays:
        table["observation.state"][:, 1] = 0.25


def dead_in_one_episode(s: Recorded) -> None:
    s.arrays[4]["observation.state"][:, 2] = 0.1


def dead_gripper(s: Recorded) -> None:
    for table in s.arrays:
        table["observation.state"][:, 7] = 0.08


def no_grasp(s: Recorded) -> None:
    s.arrays[1]["action"][:, 7] = s.arrays[1]["observation.state"][:, 7] = 0.08


def clipped(s: Recorded) -> None:
    for table in s.arrays:
        table["action"][:, 0] = table["action"][:, 0].clip(-np.inf, 0.15)


def copied(s: Recorded) -> None:
    for name in ("observation.state", "action"):
        s.arrays[5][name] = s.arrays[1][name].copy()


def replay(s: Recorded) -> None:
    s.arrays[5]["action"] = s.arrays[1]["action"].copy()
    s.arrays[5]["observation.state"] = s.arrays[1]["observation.state"] + np.float32(1e-4) * (np.arange(8) < 3)


def short(s: Recorded) -> None:
    s.arrays[3] = {name: np.concatenate([column[:9], column[-1:]]) for name, column in s.arrays[3].items()}
    s.arrays[3]["timestamp"] = s.arrays[0]["timestamp"][:10]
    s.arrays[3]["observation.state"], s.arrays[3]["action"] = motion(3)[30:40], motion(3)[31:41]
    s.renumber()


def single_frame(s: Recorded) -> None:
    s.arrays[3] = {name: column[-1:] for name, column in s.arrays[3].items()}
    s.arrays[3]["timestamp"] = s.arrays[0]["timestamp"][:1]
    s.renumber()


def long(s: Recorded) -> None:
    s.arrays[2] = {name: np.concatenate([column] * 5) for name, column in s.arrays[2].items()}
    n = 5 * LENGTH
    t = np.arange(n + 1) / FPS
    slow = np.stack([0.2 * np.sin(0.4 * t + i) for i in range(3)], 1).astype(np.float32)
    s.arrays[2]["observation.state"][:, :3], s.arrays[2]["action"][:, :3] = slow[:-1], slow[1:]
    s.arrays[2]["timestamp"] = (np.arange(n) / FPS).astype(np.float32)
    for name in ("observation.state", "action"):
        s.arrays[2][name][:, 3:] = [1, 0, 0, 0, 0.05]
        s.arrays[2][name][n // 2 :, 7] = 0.0
    for name in ("next.terminated", "next.success", "next.reward"):
        s.arrays[2][name][: n - 1] = 0
    s.renumber()


def action_is_the_state(s: Recorded) -> None:
    for table in s.arrays:
        table["action"] = table["observation.state"].copy()


def late(s: Recorded) -> None:
    for i, table in enumerate(s.arrays):
        path = np.concatenate([np.repeat(motion(i)[:1], 5, 0), motion(i)])
        table["action"], table["observation.state"] = path[6 : 6 + LENGTH].copy(), path[1 : 1 + LENGTH].copy()


def ends_early(s: Recorded) -> None:
    s.arrays[2]["next.terminated"][40] = True


def both_ends(s: Recorded) -> None:
    s.arrays[4]["next.truncated"][-1] = True


def no_end(s: Recorded) -> None:
    s.arrays[4]["next.terminated"][-1] = False


def unpaid(s: Recorded) -> None:
    s.arrays[0]["next.reward"][:] = 0
    s.arrays[5]["next.reward"][:] = 0
    s.arrays[5]["next.success"][:] = False


def paid_failure(s: Recorded) -> None:
    s.arrays[3]["next.success"][:] = False


def lost_success(s: Recorded) -> None:
    s.arrays[3]["next.success"][60] = True
    s.arrays[3]["next.success"][-1] = False


def no_reward(s: Recorded) -> None:
    for table in s.arrays:
        table["next.reward"][:] = 0


def spelling(s: Recorded) -> None:
    s.tasks, s.task_of = ("Pick up the cube.", "pick up  the cube"), ((0,), (0,), (1,), (0,), (1,), (0,))


def empty_task(s: Recorded) -> None:
    s.tasks, s.task_of = ("pick up the cube", " "), ((0,), (0,), (1,), (0,), (0,), (0,))


def no_task(s: Recorded) -> None:
    s.tasks, s.task_of = (), ()


def no_names(s: Recorded) -> None:
    s.add_column("observation.force", lambda table: table["action"][:, :2], units=["N", "N"])


def no_units(s: Recorded) -> None:
    s.add_column("observation.force", lambda table: table["action"][:, :2], names=["left", "right"])


def held(s: Recorded) -> None:
    for table in s.arrays:
        table["observation.state"][:, 1] = table["observation.state"][np.arange(LENGTH) // 4 * 4, 1]


def all_held(s: Recorded) -> None:
    for table in s.arrays:
        table["observation.state"] = table["observation.state"][np.arange(LENGTH) // 4 * 4]
    s.features["action"]["names"] = [f"target_{name}" for name in NAMES[:-1]] + ["opening"]


def wrong_velocity(s: Recorded) -> None:
    def velocity(table: Table) -> np.ndarray:
        return np.gradient(table["observation.state"][:, :2], 2 / FPS, axis=0)

    s.add_column("observation.velocity", velocity, names=["x_vel", "y_vel"], units=["m/s", "m/s"])


def frame_index(s: Recorded) -> None:
    s.arrays[1]["frame_index"][7:] += 1


def task_index(s: Recorded) -> None:
    s.arrays[1]["task_index"][7] = 3


def drift(s: Recorded) -> None:
    s.arrays[4]["timestamp"] *= np.float32(1.002)


def shifted(s: Recorded) -> None:
    s.arrays[4]["timestamp"] += np.float32(1.0)


def backwards(s: Recorded) -> None:
    s.arrays[4]["timestamp"][30] = 0.1


def hole(s: Recorded) -> None:
    s.arrays[4]["timestamp"][30:] += np.float32(5 / FPS)


def other_rate(s: Recorded) -> None:
    for table in s.arrays:
        table["timestamp"] = table["timestamp"] * np.float32(2)


def wrong_stats(s: Recorded) -> None:
    every = s.columns(["action"], np.arange(EPISODES))["action"]
    other = s.columns(["observation.state"], np.arange(EPISODES))["observation.state"]
    for name, values in (("action", every), ("observation.state", other)):
        s.stored[name] = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    s.stored["action"]["mean"] = s.stored["action"]["mean"] + np.float32(0.2) * (np.arange(8) == 1)


def missing_stats(s: Recorded) -> None:
    wrong_stats(s)
    del s.stored["action"]


def frozen(s: Recorded) -> None:
    s.add_camera()
    s.films[4][20:60] = s.films[4][20]


def black(s: Recorded) -> None:
    s.add_camera()
    s.films[2][50:] = 5


def dark_lens(s: Recorded) -> None:
    s.add_camera()
    rng = np.random.default_rng(0)
    s.films[2] = rng.integers(0, 9, s.films[2].shape, np.uint8)


def burnt_out(s: Recorded) -> None:
    s.add_camera()
    s.films[0][10:14] = 255


def said_rate(s: Recorded) -> None:
    s.add_camera()
    s.features[CAMERA] |= {"dtype": "video", "info": {"video.fps": 30}}


EVERYWHERE = None
DEFECTS = [
    (
        nan,
        "finite",
        "error",
        "action",
        (0, 5),
        (2, 30),
        r"3 values of action\[0, 5\] .* are not finite",
        r"delete demo .*episodes=\[2,4\]",
    ),
    (mixed_up, "scattered", "error", "action", (0,), (0, 2), r"\d+ % of action\[0\] \(x\) have nothing", r"record again"),
    (nan_at_the_end, "finite", "error", "action", (1,), (2, 75), r"5 values", r"trim demo .*frames=\{2: \[0, 75\]\}"),
    (
        spike,
        "jumps",
        "warning",
        "observation.state",
        (1,),
        (3, 40),
        r"2 jumps of observation.state\[1\] \(y\); .* [23]\.\d+ m in one",
        r"delete",
    ),
    (teleport, "jumps", "warning", "observation.state", (2,), (1, 50), r"1 jump of", r"view demo episodes=\[1\]"),
    (turned_over, "jumps", "warning", "observation.state", (3, 4, 5, 6), (5, 20), r"jumps of the rotation .* rad in one frame", r"delete"),
    (undeclared_angle, "jumps", "warning", "observation.heading", (0,), (0, 54), r"crosses the end of its turn 6 times", r"angles: \[0\]"),
    (not_of_norm_one, "quaternions", "error", "action", (3, 4, 5, 6), (2, 10), r"2 of 480 frames; the norm is up to 0\.2 off", r"delete"),
    (rounded, "quaternions", "warning", "action", (3, 4, 5, 6), (2, 10), r"up to 0\.01 off 1", r"delete"),
    (sign_flip, "quaternions", "note", "observation.state", (3, 4, 5, 6), (2, 33), r"changes its sign 1 time, in 1 of 6", r"nothing"),
    (constant, "dead", "note", "observation.bin", (0, 1), EVERYWHERE, r"never move; always 0\.5, 0\.5", r"nothing"),
    (dead_joint, "dead", "warning", "observation.state", (1,), EVERYWHERE, r"\[1\] \(y\) never moves, though the action", r"sensor"),
    (dead_in_one_episode, "dead", "warning", "observation.state", (2,), (4, 0), r"stands still in 1 of 6 episodes", r"episodes=\[4\]"),
    (dead_gripper, "gripper", "warning", "observation.state", (7,), EVERYWHERE, r"\(gripper\) never moves: always 0\.08 m", r"again"),
    (no_grasp, "gripper", "note", "action", (7,), (1, 0), r"neither opens nor closes in 1 of 6 episodes", r"delete"),
    (clipped, "clipped", "note", "action", (0,), EVERYWHERE, r"exactly 0\.15 m in \d\d % of all frames", r"limit"),
    (copied, "duplicates", "warning", "", (), (5, 0), r"episode 5 is episode 1, value for value", r"episodes=\[5\]"),
    (replay, "duplicates", "note", "", (), (5, 0), r"episode 5 repeats those of episode 1", r"episodes=\[5\]"),
    (short, "lengths", "warning", "", (), (3, 0), r"1 episode of only 10 to 10 frames, where 80 are usual", r"episodes=\[3\]"),
    (single_frame, "lengths", "warning", "", (), (3, 0), r"1 episode with a single frame", r"episodes=\[3\]"),
    (long, "lengths", "note", "", (), (2, 0), r"1 episode of 400 to 400 frames, where 80 are usual", r"episodes=\[2\]"),
    (action_is_the_state, "lag", "warning", "action", (0, 1, 2), EVERYWHERE, r"is the observed state of the same frame", r"commanded"),
    (late, "lag", "note", "action", (0, 1, 2), EVERYWHERE, r"leads the observed state by 5 frames \(250 ms\)", r"nothing"),
    (ends_early, "outcomes", "warning", "next.terminated", (), (2, 40), r"before the last frame of its episode, 1 time", r"2: \[0, 41\]"),
    (both_ends, "outcomes", "warning", "next.truncated", (), (4, 79), r"both true in 1 frame", r"terminated"),
    (no_end, "outcomes", "note", "next.terminated", (), (4, 79), r"1 of 6 episodes neither terminated nor truncated", r"nothing"),
    (unpaid, "outcomes", "warning", "next.reward", (), (0, 79), r"1 episode succeeded without a reward", r"next.success"),
    (paid_failure, "outcomes", "warning", "next.reward", (), (3, 79), r"1 episode without success got as much reward", r"next.success"),
    (lost_success, "outcomes", "note", "next.success", (), (3, 79), r"reached and lost again in 1 of 6 episodes", r"episodes=\[3\]"),
    (no_reward, "outcomes", "note", "next.reward", (), EVERYWHERE, r"the reward is 0 in every frame", r"next.success"),
    (spelling, "tasks", "warning", "task_index", (), (2, 0), r"'Pick up the cube.' and 'pick up  the cube'", r"2: .*4: "),
    (empty_task, "tasks", "warning", "task_index", (), (2, 0), r"1 of 6 episodes without a task", r"episode_tasks=\{2: "),
    (no_task, "tasks", "note", "", (), EVERYWHERE, r"no task is said", r"task=WORDS"),
    (no_names, "labels", "note", "observation.force", (), EVERYWHERE, r"no names of the elements of observation.force", r"names="),
    (no_units, "labels", "note", "observation.force", (), EVERYWHERE, r"no units of observation.force", r"units="),
    (
        held,
        "rate",
        "note",
        "observation.state",
        (1,),
        EVERYWHERE,
        r"\[1\] \(y\) changes only every 4 frames: .* 5 Hz and held",
        r"nothing",
    ),
    (all_held, "rate", "warning", "observation.state", (0, 1, 2, 3, 6, 7), EVERYWHERE, r"every 4 frames", r"resample=5"),
    (wrong_velocity, "rate", "warning", "observation.velocity", (), EVERYWHERE, r"at 10 Hz instead of 20 Hz", r"fps=10"),
    (frame_index, "counting", "error", "frame_index", (), (1, 7), r"is 8, wanted 7; wrong in 73 of 480 frames", r"repair"),
    (task_index, "counting", "error", "task_index", (), (1, 7), r"is 3, there are 1 task", r"repair"),
    (drift, "timestamps", "warning", "timestamp", (), (4, 2), r"by up to 0\.0079 s", r"repair"),
    (shifted, "timestamps", "error", "timestamp", (), (4, 0), r"by up to 1 s", r"repair"),
    (backwards, "timestamps", "error", "timestamp", (), (4, 30), r"backwards 1 time, by 1\.35 s", r"repair"),
    (hole, "timestamps", "warning", "timestamp", (), (4, 29), r"about 5 frames are missing in 1 hole, .* 0\.3 s", r"episodes=\[4\]"),
    (other_rate, "timestamps", "error", "timestamp", (), EVERYWHERE, r"said to be 20 Hz, .* 0\.1 s apart, which is 10 Hz", r"fps=10"),
    (wrong_stats, "stats", "error", "action", (), EVERYWHERE, r"mean of \[1\] is 0\.\d+, true is", r"stats demo write=true"),
    (missing_stats, "stats", "warning", "action", (), EVERYWHERE, r"no statistics of action", r"stats demo write=true"),
    (frozen, "pictures", "warning", CAMERA, (), (4, 20), r"stands still for up to 40 frames \(2 s\) while the robot moves", r"\[4\]"),
    (black, "pictures", "warning", CAMERA, (), (2, 50), r"black in up to 38 % of the frames", r"episodes=\[2\]"),
    (dark_lens, "pictures", "error", CAMERA, (), (2, 0), r"black in up to 100 %", r"episodes=\[2\]"),
    (burnt_out, "pictures", "warning", CAMERA, (), (0, 10), r"burnt out in up to 5 %", r"episodes=\[0\]"),
    (said_rate, "videos", "warning", CAMERA, (), EVERYWHERE, r"said to be 30 Hz, the recording 20 Hz", r"repair"),
]
