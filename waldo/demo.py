"""The whole way in a few minutes: demonstrations in, a moving arm out, one report.

Collects demonstrations of pick_place, trains a flow policy and a regression baseline on them, learns a critic, steers
the flow policy with it, measures all of them on the same held-out seeds, exports the one that was chosen on other seeds,
drives a simulated arm with it through the safety-checked control loop in real time, and writes one HTML report.

Each step is a command that is printed and that you can run yourself. A demo that was interrupted goes on where it
stopped; a second one keeps what is finished.

examples:
  waldo demo
  waldo demo demonstrations=50 flow_steps=1000 episodes=20 run_episodes=1 image_steps=0 out=outputs/small
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from data.errors import RenderError
from data.results import SUMMARY, Figure, read_summary
from waldo.compose import composed
from waldo.films import draw
from waldo.jobs import Job

HELD_OUT, SELECTION = 100_000, 50_000  # first seeds; demonstrations start at 0
POLICIES = ("untrained", "bc", "flow", "steered")
OTHER_CUBE = "env.task.cube_half=0.025"  # the condition nobody tuned to


class Steps:
    """Runs commands one after the other, keeps those that are finished, and remembers how long each took."""

    def __init__(self, out: Path, fresh: bool) -> None:
        self.out, self.fresh = out, fresh
        self.seconds: dict[str, float] = {}

    def run(self, name: str, command: str, *words: str) -> dict[str, Figure]:
        """The figures of `waldo command words out=<out>/name`, by name."""
        folder = self.out / name
        line = f"waldo {command} {' '.join(words)} out={folder}"
        note = folder / "command.txt"
        start = time.perf_counter()
        finished = (folder / SUMMARY).exists() and note.exists() and note.read_text() == line
        print(f"\n\033[1m$ {line}\033[0m{'   (finished before)' if finished else ''}", flush=True)
        if not finished:
            job = Job(command, (*words, f"out={folder}"))
            cfg, _ = job._composed()
            job.execute(cfg, folder)
            note.write_text(line)
            (folder / "seconds.txt").write_text(f"{time.perf_counter() - start:.1f}")
        seconds = folder / "seconds.txt"
        self.seconds[name] = float(seconds.read_text()) if seconds.exists() else 0.0
        return {figure.name: figure for figure in read_summary(folder)[2]}


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.fresh:
        import shutil

        for folder in out.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
    steps = Steps(out, cfg.fresh)
    images = _can_render()
    videos = f"videos={cfg.videos if images else 0}"
    data = f"data.path={out}/dataset"
    common = ("train.batch_size=128", f"seed={cfg.seed}")
    began = time.perf_counter()

    steps.run("collect", "collect", f"episodes={cfg.demonstrations}", f"dataset={out}/dataset")
    flow, critic = f"checkpoint={out}/flow/checkpoint", f"critic={out}/critic/checkpoint"
    steps.run("flow", "train", "policy=flow", data, f"train.steps={cfg.flow_steps}", *common)
    steps.run("bc", "train", "policy=bc", data, f"train.steps={cfg.bc_steps}", *common)
    steps.run("critic", "refine", flow, data, f"train.steps={cfg.critic_steps}", *common)
    policies = {
        "untrained": (flow, "untrained=true"),
        "bc": (f"checkpoint={out}/bc/checkpoint",),
        "flow": (flow,),
        "steered": (flow, critic, "steer=best_of_n"),
    }
    chosen_on = {
        name: steps.run(f"select_{name}", "evaluate", *policies[name], f"episodes={cfg.selection}", f"seed={SELECTION}", "videos=0")[
            "success"
        ]
        for name in ("flow", "steered")
    }
    chosen = max(chosen_on, key=lambda name: (chosen_on[name].value, name == "flow"))
    held_out = (f"episodes={cfg.episodes}", f"seed={HELD_OUT}")
    figures = {name: steps.run(f"evaluate_{name}", "evaluate", *policies[name], *held_out, videos)["success"] for name in POLICIES}
    other = {
        name: steps.run(f"other_cube_{name}", "evaluate", *policies[name], *held_out, OTHER_CUBE, "videos=0")["success"]
        for name in ("bc", chosen)
    }
    extra: dict[str, Figure] = {}
    if cfg.few:
        steps.run("few", "train", "policy=flow", data, f"data.max_episodes={cfg.few}", f"train.steps={cfg.flow_steps // 2}", *common)
        extra["few"] = steps.run("evaluate_few", "evaluate", f"checkpoint={out}/few/checkpoint", *held_out, "videos=0")["success"]
    if cfg.image_steps and images:
        seen = "data.observations=[observation.state,observation.images.front,observation.images.wrist]"
        steps.run(
            "image", "train", "policy=flow_mlp", "policy.noise_draws=4", data, seen, f"train.steps={cfg.image_steps}", "train.batch_size=64"
        )
        extra["image"] = steps.run(
            "evaluate_image", "evaluate", f"checkpoint={out}/image/checkpoint", "episodes=20", f"seed={HELD_OUT}", "videos=2"
        )["success"]
    steps.run("export", "export", *policies[chosen], f"artefact={out}/artefact")
    arm: dict[str, Figure] = {}
    if cfg.run_episodes:
        arm = steps.run("run", "run", f"artefact={out}/artefact", f"episodes={cfg.run_episodes}", f"seed={HELD_OUT}")
        if cfg.videos and not (out / "run" / "videos").exists():
            draw(out / "run", composed("run", []).env, cfg.videos)

    from waldo.demo_report import write_report

    results = [_renamed(figures[name], f"success/{name}") for name in POLICIES]
    if "success" in arm:
        results.append(_renamed(arm["success"], "success/arm"))
    results += [_renamed(figure, f"success/other_cube/{name}") for name, figure in other.items()]
    results += [_renamed(figure, f"success/{name}") for name, figure in extra.items()]
    results += [Figure("seconds", time.perf_counter() - began, "s")]
    report = write_report(out, chosen, chosen_on, results, arm, steps.seconds, images)
    _farewell(out, report, chosen, results)
    return results


def _can_render() -> bool:
    """Whether there is OpenGL; if not, says once which package to install."""
    from data.config import build

    env = build({"_target_": "sim.env.ArmVecEnv", "task": {"_target_": "sim.tasks.pick_place.PickPlace"}}, num_envs=1)
    try:
        env.render("front", [0], (32, 32))
    except RenderError as error:
        print(f"without images and videos: {error}")
        return False
    finally:
        env.close()
    return True


def _renamed(figure: Figure, name: str) -> Figure:
    import dataclasses

    return dataclasses.replace(figure, name=name)


def _farewell(out: Path, report: Path, chosen: str, results: list[Figure]) -> None:
    print()
    for figure in results:
        mark = "   <- exported" if figure.name == f"success/{chosen}" else ""
        print(f"  {figure}{mark}")
    next_commands: tuple[Any, ...] = (
        f"waldo run artefact={out}/artefact episodes=20",
        f"waldo evaluate checkpoint={out}/artefact env.task.cube_half=0.03",
        "waldo train data=pusht_human policy=flow env=pusht",
    )
    print(f"\nreport: {report}\n\ntry next:")
    for command in next_commands:
        print(f"  {command}")
