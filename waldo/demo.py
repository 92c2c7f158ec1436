"""The whole way in a few minutes: demonstrations in, a moving arm out, one report.

Collects demonstrations of pick_place, trains a flow policy and a regression baseline on them, learns a critic, steers
the flow policy with it, measures all of them on the same held-out seeds, exports the one that was chosen on other seeds,
drives a simulated arm with it through the safety-checked control loop in real time, and writes one HTML report.

Each step is a command that is printed and that you can run yourself. A demo that was interrupted goes on where it
stopped; a second one keeps what is finished.

examples:
  waldo demo
  waldo demo env.engine=pybullet                                       the same in the other physics engine
  waldo demo demonstrations=50 flow_steps=1000 episodes=20 run_episodes=1 image_steps=0 out=outputs/small
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

from omegaconf import DictConfig

from data.config import build
from data.errors import RenderError
from data.results import SUMMARY, Figure
from data.statistics import mcnemar_exact
from waldo.compose import composed
from waldo.films import draw
from waldo.reports.demo import outcomes_of, write_report
from waldo.steps import Steps

HELD_OUT, SELECTION = 100_000, 50_000  # first seeds; demonstrations start at 0
POLICIES = ("untrained", "bc", "flow", "steered")
OTHER_CUBE = "env.task.cube_half=0.025"  # the condition nobody tuned to


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if cfg.fresh:
        for folder in out.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
    shared = ("seed", "demonstrations", "flow_steps", "bc_steps", "critic_steps", "image_steps", "few")
    steps = Steps(out, " ".join([*(f"{name}={cfg[name]}" for name in shared), f"engine={cfg.env.engine}"]))
    try:
        return _walk(cfg, out, steps)
    except BaseException:
        steps.stop()
        raise


def _walk(cfg: DictConfig, out: Path, steps: Steps) -> list[Figure]:
    images = _can_render()
    films = f"videos={cfg.videos if images else 0}"
    data = f"data.path={out}/collect/dataset"
    common = (data, "n_obs_steps=1", "n_action_steps=12", "train.batch_size=64", "train.threads=1", f"seed={cfg.seed}")
    flow_policy = ("policy=flow", "policy.steps=5", *common)
    world = () if cfg.env.engine == "mujoco" else (f"env.engine={cfg.env.engine}",)
    held_out = (f"episodes={cfg.episodes}", f"seed={HELD_OUT}", *world)
    flow, critic = f"checkpoint={out}/flow/checkpoint", f"critic={out}/critic/checkpoint"
    policies = {
        "untrained": (flow, "untrained=true"),
        "bc": (f"checkpoint={out}/bc/checkpoint",),
        "flow": (flow,),
        "steered": (flow, critic, "steer=best_of_n"),
    }
    began = time.perf_counter()

    steps.run("collect", "collect", f"episodes={cfg.demonstrations}", f"images={images}".lower(), f"dataset={out}/collect/dataset", *world)
    beside: list[tuple[str, ...]] = [
        ("bc", "train", "policy=bc", f"train.steps={cfg.bc_steps}", *common),
        ("evaluate_bc", "evaluate", *policies["bc"], *held_out, films),
        ("other_cube_bc", "evaluate", *policies["bc"], *held_out, OTHER_CUBE, "videos=0"),
    ]
    if cfg.few:
        beside += [
            ("few", "train", f"data.max_episodes={cfg.few}", f"train.steps={cfg.flow_steps // 3}", *flow_policy),
            ("evaluate_few", "evaluate", f"checkpoint={out}/few/checkpoint", *held_out, "videos=0"),
        ]
    if cfg.image_steps and images:
        seen = "data.observations=[observation.state,observation.images.front,observation.images.wrist]"
        brief = (*flow_policy, "policy.noise_draws=2", seen, f"train.steps={cfg.image_steps}", "train.batch_size=32")
        beside += [
            ("image", "train", *brief),
            (
                "evaluate_image",
                "evaluate",
                f"checkpoint={out}/image/checkpoint",
                "episodes=20",
                f"seed={HELD_OUT}",
                f"videos={cfg.videos}",
                *world,
            ),
        ]
    steps.beside(beside)
    steps.run("flow", "train", f"train.steps={cfg.flow_steps}", *flow_policy)
    steps.beside([(f"evaluate_{name}", "evaluate", *policies[name], *held_out, films) for name in ("untrained", "flow")])
    steps.run("critic", "refine", flow, data, f"train.steps={cfg.critic_steps}", "train.threads=1", f"seed={cfg.seed}")
    selection = (f"episodes={cfg.selection}", f"seed={SELECTION}", "videos=0", *world)
    chosen_on = {name: steps.run(f"select_{name}", "evaluate", *policies[name], *selection)["success"] for name in ("flow", "steered")}
    chosen = _choose(out)
    steps.run("evaluate_steered", "evaluate", *policies["steered"], *held_out, films)
    steps.run("other_cube", "evaluate", *policies[chosen], *held_out, OTHER_CUBE, "videos=0")
    steps.run("export", "export", *policies[chosen], f"artefact={out}/artefact")
    steps.join()
    arm: dict[str, Figure] = {}
    if cfg.run_episodes:
        arm = steps.run("run", "run", f"artefact={out}/artefact", f"episodes={cfg.run_episodes}", f"seed={HELD_OUT}", *world)
        if cfg.videos and images and not (out / "run" / "videos").exists():
            draw(out / "run", composed("run", [*world]).env, cfg.videos)

    results = [_renamed(steps.figures(f"evaluate_{name}")["success"], f"success/{name}") for name in POLICIES]
    if "success" in arm:
        results.append(_renamed(arm["success"], "success/arm"))
    results.append(_renamed(steps.figures("other_cube")["success"], f"success/other_cube/{chosen}"))
    for name, folder in (("other_cube/bc", "other_cube_bc"), ("few", "evaluate_few"), ("image", "evaluate_image")):
        if (out / folder / SUMMARY).exists():
            results.append(_renamed(steps.figures(folder)["success"], f"success/{name}"))
    results.append(Figure("seconds", time.perf_counter() - began, "s"))
    report = write_report(out, chosen, chosen_on, results, arm, steps.seconds, images)
    _farewell(out, report, chosen, results)
    return results


def _choose(out: Path) -> str:
    """The plain policy, unless steering is better on the selection's seeds by more than chance (paired, p < 0.05)."""
    p, only_steered, only_plain = mcnemar_exact(outcomes_of(out / "select_steered"), outcomes_of(out / "select_flow"))
    return "steered" if p < 0.05 and only_steered > only_plain else "flow"


def _can_render() -> bool:
    """Whether there is OpenGL; if not, says once which package to install."""
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
    return dataclasses.replace(figure, name=name)


def _farewell(out: Path, report: Path, chosen: str, results: list[Figure]) -> None:
    print()
    for figure in results:
        mark = "   <- exported" if figure.name == f"success/{chosen}" else ""
        print(f"  {figure}{mark}")
    next_commands = (
        f"waldo run artefact={out}/artefact episodes=20",
        f"waldo evaluate checkpoint={out}/artefact env.task.cube_half=0.03",
        "waldo train data=pusht_human policy=flow env=pusht",
    )
    print(f"\nreport: {report}\n\ntry next:")
    for command in next_commands:
        print(f"  {command}")
